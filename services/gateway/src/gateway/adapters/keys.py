"""Where do the keys lie? In one JSON file, as hashes; the secret that makes the hashes useless to a thief lies in another."""

import secrets
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from gateway.domain.keys import Key, Priority, Quota, Scope

LEAST_SECRET: Final = 32  # bytes
KEY_PREFIX: Final = "bp_"
KEY_BYTES: Final = 32
KEY_ID: Final = r"^[a-z0-9-]{1,40}\Z"


class BadKeys(Exception):
    """The keys or their secret cannot be used; the message names the file and the field."""


class _Quota(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    per_minute: Annotated[int, Meta(ge=1)]
    burst: Annotated[int, Meta(ge=1)]


class _Entry(msgspec.Struct, forbid_unknown_fields=True, frozen=True, omit_defaults=True):
    id: Annotated[str, Meta(pattern=KEY_ID)]
    hash: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
    scopes: Annotated[list[Scope], Meta(min_length=1)]
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
    if len({entry.id for entry in entries}) < len(entries):
        raise BadKeys(f"{path}: `id` must be unique")
    return [
        Key(
            entry.id,
            bytes.fromhex(entry.hash),
            frozenset(entry.scopes),
            entry.priority,
            None if entry.quota is None else Quota(entry.quota.per_minute, entry.quota.burst),
        )
        for entry in entries
    ]


def entry_text(key: Key) -> str:
    """A key as it stands in the file."""
    quota = None if key.quota is None else _Quota(key.quota.per_minute, key.quota.burst)
    entry = _Entry(key.id, key.hash.hex(), sorted(key.scopes), key.priority, quota)
    return msgspec.json.encode(entry).decode()


def new_key_text() -> str:
    """A key that nobody can guess, to be shown once."""
    return KEY_PREFIX + secrets.token_urlsafe(KEY_BYTES)
