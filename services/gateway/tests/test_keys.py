"""Keys while the gateway runs: exchanged without a refused request, read again when their file changes."""

import asyncio
import json
import secrets
from pathlib import Path

import pytest
from support import ALL, KEY, SECRET

from gateway import app as composition
from gateway.__main__ import main
from gateway.adapters.keys import BadKeys, KeysFile, read_keys, read_secret, write_keys
from gateway.api import access as access_module
from gateway.api.access import Access, hash_key
from gateway.api.problems import Refusal
from gateway.app import follow_keys, in_background
from gateway.domain.keys import Key, Priority, Quota, Scope


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """A file of keys with one entry, and its secret."""
    keys, secret = tmp_path / "keys.json", tmp_path / "secret"
    secret.write_text(secrets.token_hex())
    first = Key(
        "site-1", (hash_key(b"first", read_secret(secret)),), frozenset({Scope.QUOTES}), Priority.BATCH, Quota(6, 2)
    )
    write_keys(keys, [first])
    return keys, secret


def known(access: Access, text: str, *, now: float = 0.0) -> bool:
    """Whether a key is accepted."""
    try:
        access.identify(f"Bearer {text}".encode(), now=now)
    except Refusal:
        return False
    return True


def second_text(keys: Path, secret: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """The key that `new-key --add-to` shows."""
    assert 0 == main(["new-key", "--id", "site-1", "--add-to", str(keys), "--secret-file", str(secret)])
    shown = capsys.readouterr()
    assert "" == shown.out
    return shown.err.split("shown this once:")[1].strip()


def test_a_key_is_exchanged_by_command(files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    """Both are accepted in between, with the same scopes, priority and quota; then the older one is not."""
    keys, secret = files
    accepted = []
    text = second_text(keys, secret, capsys)
    for _ in range(2):
        [entry] = read_keys(keys)
        access = Access([entry], read_secret(secret))
        accepted.append((known(access, "first"), known(access, text)))
        main(["retire-key", "--id", "site-1", "--keys-file", str(keys)])

    assert [(True, True), (False, True)] == accepted
    assert (Priority.BATCH, Quota(6, 2), frozenset({Scope.QUOTES})) == (entry.priority, entry.quota, entry.scopes)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["new-key", "--id", "site-2", "--add-to"], "has no `site-2`; did you mean `site-1`?"),
        (["new-key", "--id", "site-1", "--scopes", "quotes", "--add-to"], "--scopes stays as it stands in the file"),
        (["retire-key", "--id", "site-1", "--keys-file"], "`site-1` has one key only"),
        (["retire-key", "--id", "other", "--keys-file"], "has no `other`"),
    ],
)
def test_a_wrong_exchange_changes_nothing(
    arguments: list[str], says: str, files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, one line, and the file as it was."""
    keys, secret = files
    before = keys.read_bytes()
    more = ["--secret-file", str(secret)] if arguments[0] == "new-key" else []

    assert (2, before) == (main([*arguments, str(keys), *more]), keys.read_bytes())
    assert says in capsys.readouterr().err


def test_two_keys_are_the_most(files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    """A third would be one that nobody remembers to end."""
    keys, secret = files
    second_text(keys, secret, capsys)

    assert 2 == main(["new-key", "--id", "site-1", "--add-to", str(keys), "--secret-file", str(secret)])
    assert "has two keys already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("entries", "says"),
    [
        ([{"id": "a", "scopes": ["quotes"]}], r"`hash` or `hashes` is needed, and not both - at `\$.keys\[0\]`"),
        ([{"id": "a", "scopes": ["quotes"], "hash": "0" * 64, "hashes": ["1" * 64]}], "and not both"),
        ([{"id": "a", "scopes": ["quotes"], "hashes": ["0" * 64] * 3}], r"\$.keys\[0\].hashes"),
        ([{"id": i, "scopes": ["quotes"], "hash": "0" * 64} for i in "ab"], "no hash may stand there twice"),
    ],
)
def test_a_bad_entry_is_refused(entries: list[object], says: str, tmp_path: Path) -> None:
    """With its place."""
    path = tmp_path / "keys.json"
    path.write_text(json.dumps({"keys": entries}))

    with pytest.raises(BadKeys, match=says):
        read_keys(path)


async def test_keys_are_exchanged_without_a_refused_request(
    files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the file is written twice under a caller who changes from one to the other; bad bytes in between change nothing."""
    keys, secret_file = files
    secret = read_secret(secret_file)
    old, new = hash_key(b"old", secret), hash_key(b"new", secret)
    monkeypatch.setattr(composition, "KEYS_EVERY_S", 0.01)
    access, file = Access([Key("site-1", (old,), frozenset(Scope))], secret), KeysFile(keys)
    refused: list[str] = []

    async def ask(text: str, *, until_known: str | None = None, until_unknown: str | None = None) -> None:
        """Ask with one key until the other one's state has changed."""
        async with asyncio.timeout(5):
            while True:
                if not known(access, text):
                    refused.append(text)
                if (until_known and known(access, until_known)) or (until_unknown and not known(access, until_unknown)):
                    return
                await asyncio.sleep(0.001)

    write_keys(keys, [Key("site-1", (old,), frozenset(Scope))])
    async with in_background(follow_keys(file, access)):
        keys.write_text("nonsense")
        await asyncio.sleep(0.03)
        write_keys(keys, [Key("site-1", (old, new), frozenset(Scope))])
        await ask("old", until_known="new")
        write_keys(keys, [Key("site-1", (new,), frozenset(Scope))])
        await ask("new", until_unknown="old")

    assert [] == refused


def test_a_file_is_read_when_it_changes(files: tuple[Path, Path]) -> None:
    """Not before, and a bad or a missing one is told once."""
    keys, _ = files
    file = KeysFile(keys)
    first, again = file.changed(), file.changed()
    keys.unlink()
    with pytest.raises(BadKeys):
        file.changed()

    assert (["site-1"], None, None) == ([key.id for key in first or []], again, file.changed())


def test_a_key_of_no_file_stays() -> None:
    """The development key survives a change of the file."""
    access = Access([], SECRET, own=[ALL])
    access.replace([])

    assert known(access, KEY)


def test_what_was_verified_is_remembered_for_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    """And no longer; nothing that failed is remembered, nor more than there is room for, nor what is too long."""
    hashed: list[bytes] = []

    def counted(text: bytes, secret: bytes) -> bytes:
        hashed.append(text)
        return hash_key(text, secret)

    access = Access([ALL], SECRET)
    monkeypatch.setattr(access_module, "hash_key", counted)
    for now in (0.0, 1.0, 59.0, 60.0, 61.0):
        assert known(access, KEY, now=now)
    times = len(hashed)
    for _ in range(3):
        assert not known(access, "guess", now=61.0)
        assert known(access, KEY + " " * 300, now=61.0)

    assert (2, 2 + 6) == (times, len(hashed))


def test_a_replaced_quota_counts_at_once() -> None:
    """What was left of another quota is of no meaning."""
    access = Access([], SECRET)
    passed = []
    for quota in (Quota(6, 1), Quota(6, 1), Quota(60, 2), Quota(60, 2), Quota(60, 2)):
        try:
            access.admit(Key("a", ALL.hashes, ALL.scopes, quota=quota), Scope.QUOTES, now=0.0)
        except Refusal:
            passed.append(False)
        else:
            passed.append(True)

    assert [True, False, True, True, False] == passed
