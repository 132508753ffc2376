"""Where do the keys lie? In one JSON file, as hashes; the secret that makes the hashes useless to a thief lies in another."""

import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from gateway.domain.keys import Key, Priority, Quota, Scope
from kit.files import write_atomic

LEAST_SECRET: Final = 32  # bytes
KEY_PREFIX: Final = "bp_"
KEY_BYTES: Final = 32
KEY_ID: Final = r"^[a-z0-9-]{1,40}\Z"
MOST_HASHES: Final = 2  # the text that is in use and the one that replaces it


class BadKeys(Exception):
    """The keys or their secret cannot be used; the message names the file and the field."""


class _Quota(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    per_minute: Annotated[int, Meta(ge=1)]
    burst: Annotated[int, Meta(ge=1)]


_Hash = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]


class _Entry(msgspec.Struct, forbid_unknown_fields=True, frozen=True, omit_defaults=True):
    id: Annotated[str, Meta(pattern=KEY_ID)]
    scopes: Annotated[list[Scope], Meta(min_length=1)]
    hash: _Hash | None = None
    hashes: Annotated[list[_Hash], Meta(min_length=1, max_length=MOST_HASHES)] | None = None
    priority: Priority = Priority.INTERACTIVE
    quota: _Quota | None = None


class _File(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    keys: list[_Entry]


def read_secret(path: Path) -> bytes:
    """The secret for hashing keys. Raises `BadKeys` when it is too short to be one."""
    try:
        secret = path.read_bytes().strip()
    except OSError as error:
        raise BadKeys(f"{path}: {error.strerror}") from error
    if len(secret) < LEAST_SECRET:
        raise BadKeys(f"{path}: a secret has at least {LEAST_SECRET} bytes")
    return secret


def read_keys(path: Path) -> list[Key]:
    """Every key of a file. Raises `BadKeys`."""
    try:
        entries = msgspec.json.decode(path.read_bytes(), type=_File).keys
    except OSError as error:
        raise BadKeys(f"{path}: {error.strerror}") from error
    except msgspec.DecodeError as error:
        raise BadKeys(f"{path}: {error}") from error
    for place, entry in enumerate(entries):
        if (entry.hash is None) == (entry.hashes is None):
            raise BadKeys(f"{path}: `hash` or `hashes` is needed, and not both - at `$.keys[{place}]`")
    keys = [_key(entry) for entry in entries]
    if len({key.id for key in keys}) < len(keys):
        raise BadKeys(f"{path}: `id` must be unique")
    if len({hashed for key in keys for hashed in key.hashes}) < sum(len(key.hashes) for key in keys):
        raise BadKeys(f"{path}: no hash may stand there twice")
    return keys


def _key(entry: _Entry) -> Key:
    return Key(
        entry.id,
        tuple(bytes.fromhex(text) for text in entry.hashes or [entry.hash or ""]),
        frozenset(entry.scopes),
        entry.priority,
        None if entry.quota is None else Quota(entry.quota.per_minute, entry.quota.burst),
    )


def write_keys(path: Path, keys: Sequence[Key]) -> None:
    """Replace the file in one step: whoever reads it meanwhile finds the old one or the new one. Raises `BadKeys`."""
    content = msgspec.json.format(msgspec.json.encode(_File([_entry(key) for key in keys])))
    try:
        write_atomic(path, content + b"\n")
    except OSError as error:
        raise BadKeys(f"{path}: {error.strerror}") from error


def entry_text(key: Key) -> str:
    """A key as it stands in the file."""
    return msgspec.json.encode(_entry(key)).decode()


def _entry(key: Key) -> _Entry:
    quota = None if key.quota is None else _Quota(key.quota.per_minute, key.quota.burst)
    texts = [hashed.hex() for hashed in key.hashes]
    hashes = {"hash": texts[0]} if len(texts) == 1 else {"hashes": texts}
    return _Entry(key.id, sorted(key.scopes), priority=key.priority, quota=quota, **hashes)


class KeysFile:
    """A file of keys that may change while we run."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, ...] | None = None

    def changed(self) -> list[Key] | None:
        """The keys, when the file is another than at the last call. Raises `BadKeys`, once for each bad file."""
        stamp = _stamp(self._path)
        if stamp == self._seen:
            return None
        self._seen = stamp
        return read_keys(self._path)


def _stamp(path: Path) -> tuple[int, ...]:
    """What differs when a file does, also when a link was moved to another one, as Kubernetes does it."""
    try:
        found = path.stat()
    except OSError:
        return ()
    return (found.st_mtime_ns, found.st_size, found.st_ino)


def new_key_text() -> str:
    """A key that nobody can guess, to be shown once."""
    return KEY_PREFIX + secrets.token_urlsafe(KEY_BYTES)
