"""What the environment may say, and how a mistake in it is told."""

import json
import logging
import secrets
from pathlib import Path
from typing import Any

import pytest

from gateway.__main__ import main
from gateway.adapters.keys import BadKeys, read_keys, read_secret
from gateway.api.access import Access, hash_key
from gateway.api.problems import Refusal
from gateway.app import LogBridge, bind, read_access
from gateway.domain.keys import Bucket, Key, Priority, Quota, Scope
from gateway.settings import BadSettings, Settings, refuse_strangers

NEEDED = {
    "store": "/s",
    "release": "/r",
    "classifier_target": "c:1",
    "regressor_target": "r:1",
    "redis_url": "redis://localhost",
}


def settings(**changes: Any) -> Settings:
    """Settings that need no environment."""
    return Settings(**(NEEDED | changes))


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BALLPARK_DEV_KEY", raising=False)


def bearer(key: str) -> bytes:
    """An `Authorization` header."""
    return f"Bearer {key}".encode()


def test_a_typo_stops_the_start() -> None:
    """With the nearest right name; other programs' variables are none of ours."""
    with pytest.raises(
        BadSettings, match=r"GATEWAY_CLASSIFIER_TARGTE is not a setting; did you mean GATEWAY_CLASSIFIER_TARGET\?"
    ):
        refuse_strangers(["PATH", "GATEWAY_PORT", "GATEWAY_CLASSIFIER_TARGTE"])


def test_a_forgotten_address_stops_the_start(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every variable that is missing or wrong is named at once; exit code 2."""
    for name in NEEDED:
        monkeypatch.delenv(f"GATEWAY_{name.upper()}", raising=False)
    monkeypatch.setenv("GATEWAY_PORT", "many")

    assert 2 == main([])
    said = capsys.readouterr().err
    assert all(f"GATEWAY_{name.upper()}" in said for name in (*NEEDED, "port"))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"GATEWAY_HOST": "0.0.0.0"}, "GATEWAY_KEYS_FILE is needed"),
        ({"GATEWAY_BUDGET": "150"}, "GATEWAY_BUDGET is not a setting; did you mean GATEWAY_BUDGET_MS?"),
        ({"GATEWAY_BUDGET_MS": "1"}, "GATEWAY_BUDGET_MS: input should be greater than or equal to 5"),
        ({"GATEWAY_LOG_LEVEL": "LOUD"}, "GATEWAY_LOG_LEVEL: input should be"),
        ({"GATEWAY_REGRESSOR_TARGET": ""}, "GATEWAY_REGRESSOR_TARGET: string should have at least 1 character"),
        ({}, "release.json cannot be read"),
    ],
)
def test_a_wrong_environment_is_told_in_one_line(
    changes: dict[str, str], says: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, and the name of the variable."""
    for name, value in ({f"GATEWAY_{name.upper()}": value for name, value in NEEDED.items()} | changes).items():
        monkeypatch.setenv(name, value)

    assert 2 == main([])
    said = capsys.readouterr().err
    assert (True, 1) == (says in said, said.count("\n"))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_loopback_accepts_the_development_key(host: str) -> None:
    """Nothing has to be set up to try it."""
    assert set(Scope) == read_access(settings(host=host)).identify(bearer("ballpark-dev"), now=0.0).scopes


def test_the_development_key_can_be_another() -> None:
    """And then the usual one is not accepted."""
    access = read_access(settings(BALLPARK_DEV_KEY="mine"))

    assert "dev" == access.identify(bearer("mine"), now=0.0).id
    with pytest.raises(Refusal):
        access.identify(bearer("ballpark-dev"), now=0.0)


@pytest.mark.parametrize("host", ["0.0.0.0", "10.0.0.1", "::", "gateway.example"])
def test_no_development_key_leaves_this_machine(host: str, tmp_path: Path) -> None:
    """Refused where it is set; not accepted where it is not; and keys of one's own are needed."""
    keys, secret = tmp_path / "keys.json", tmp_path / "secret"
    keys.write_text('{"keys": []}')
    secret.write_text(secrets.token_hex())
    files = {"keys_file": keys, "keys_secret_file": secret}

    with pytest.raises(BadSettings, match=r"BALLPARK_DEV_KEY is for loopback only"):
        read_access(settings(host=host, BALLPARK_DEV_KEY="ballpark-dev", **files))
    with pytest.raises(BadSettings, match=r"GATEWAY_KEYS_FILE is needed"):
        read_access(settings(host=host))
    with pytest.raises(Refusal):
        read_access(settings(host=host, **files)).identify(bearer("ballpark-dev"), now=0.0)


def test_a_new_key_opens_the_gateway(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command shows the key once; the file gets only what it prints on stdout."""
    keys, secret = tmp_path / "keys.json", tmp_path / "secret"
    secret.write_text(secrets.token_hex())
    arguments = ["--id", "site-1", "--scopes", "quotes", "ballpark", "--priority", "batch", "--per-minute", "600"]
    code = main(["new-key", *arguments, "--secret-file", str(secret)])
    shown = capsys.readouterr()
    keys.write_text(json.dumps({"keys": [json.loads(shown.out)]}))
    text = shown.err.split("shown this once:")[1].split()[0]

    access = read_access(settings(host="0.0.0.0", keys_file=keys, keys_secret_file=secret))
    key = access.identify(bearer(text), now=0.0)
    assert 0 == code
    assert text not in keys.read_text()
    assert ("site-1", frozenset({Scope.QUOTES, Scope.BALLPARK}), Priority.BATCH, Quota(600, 600)) == (
        key.id,
        key.scopes,
        key.priority,
        key.quota,
    )


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("nonsense", "malformed"),
        ('{"keys": [{"id": "a", "hash": "zz", "scopes": ["quotes"]}]}', r"\$.keys\[0\].hash"),
        ('{"keys": [{"id": "a", "hash": "%s", "scopes": ["everything"]}]}' % ("0" * 64), r"\$.keys\[0\].scopes"),
        ('{"keys": [{"id": "a", "hash": "%s", "scopes": ["quotes"], "quoter": 1}]}' % ("0" * 64), "quoter"),
        ('{"keys": [%s, %s]}' % (('{"id": "a", "hash": "%s", "scopes": ["quotes"]}' % ("0" * 64),) * 2), "unique"),
    ],
)
def test_a_bad_keys_file_stops_the_start(content: str, says: str, tmp_path: Path) -> None:
    """With the place in the file."""
    path = tmp_path / "keys.json"
    path.write_text(content)

    with pytest.raises(BadKeys, match=says):
        read_keys(path)


def test_a_short_secret_stops_the_start(tmp_path: Path) -> None:
    """A guessable one would make the hashes worthless."""
    path = tmp_path / "secret"
    path.write_text("short")

    with pytest.raises(BadKeys, match=r"at least 32 bytes"):
        read_secret(path)


def test_keys_without_their_secret_stop_the_start(tmp_path: Path) -> None:
    """No hash could be compared."""
    with pytest.raises(BadSettings, match=r"GATEWAY_KEYS_SECRET_FILE"):
        read_access(settings(keys_file=tmp_path / "keys.json"))


def test_a_taken_port_is_named() -> None:
    """Exit code 2 with the setting, instead of a stack trace."""
    with bind("127.0.0.1", 0, "GATEWAY_PORT") as taken:
        port = taken.getsockname()[1]
        with pytest.raises(BadSettings, match=rf"GATEWAY_PORT: cannot listen on 127.0.0.1:{port}"):
            bind("127.0.0.1", port, "GATEWAY_PORT")


@pytest.mark.parametrize(
    ("pauses", "allowed"), [([0, 0, 0], 2), ([0, 0, 10], 3), ([0, 0, 9.9], 2), ([0, 600, 0, 0], 3)]
)
def test_a_bucket_fills_with_time_and_no_further(pauses: list[float], allowed: int) -> None:
    """Six a minute, two at once."""
    now, bucket, passed = 0.0, Bucket.full(Quota(per_minute=6, burst=2), now=0.0), 0
    for pause in pauses:
        now += pause
        after = bucket.take(now=now)
        passed += after is not None
        bucket = after or bucket

    assert allowed == passed


def test_no_key_is_no_access() -> None:
    """An empty list of keys opens nothing."""
    with pytest.raises(Refusal):
        Access([], b"s" * 32).identify(bearer(""), now=0.0)


@pytest.mark.parametrize("sent", ["", " "])
def test_an_empty_key_is_none(sent: str) -> None:
    """Even where its hash is known."""
    secret = b"s" * 32
    access = Access([Key("empty", (hash_key(b"", secret),), frozenset(Scope))], secret)

    with pytest.raises(Refusal):
        access.identify(bearer(sent), now=0.0)


@pytest.mark.parametrize("switched_off", ["", " "])
def test_an_empty_development_key_is_switched_off(switched_off: str, tmp_path: Path) -> None:
    """Neither the usual one nor nothing at all is accepted; elsewhere than on loopback it may stand empty."""
    keys, secret = tmp_path / "keys.json", tmp_path / "secret"
    keys.write_text('{"keys": []}')
    secret.write_text(secrets.token_hex())
    accesses = [
        read_access(settings(BALLPARK_DEV_KEY=switched_off)),
        read_access(settings(host="0.0.0.0", BALLPARK_DEV_KEY=switched_off, keys_file=keys, keys_secret_file=secret)),
    ]

    for access in accesses:
        for key in ("", "ballpark-dev"):
            with pytest.raises(Refusal):
                access.identify(bearer(key), now=0.0)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--id", "a", "--per-minute", "0"], "--per-minute: must be a whole number from 1"),
        (["--id", "a", "--per-minute=-5"], "--per-minute: must be a whole number from 1"),
        (["--id", "a", "--per-minute", "5", "--burst", "0"], "--burst: must be a whole number from 1"),
        (["--id", "a", "--burst", "5"], "--burst needs --per-minute"),
        (["--id", "Site 1"], "--id: must be 1 to 40 lower-case letters, digits and hyphens"),
        (["--id", "a" * 41], "--id: must be 1 to 40 lower-case letters, digits and hyphens"),
    ],
)
def test_a_key_that_the_file_would_not_take_is_not_made(
    arguments: list[str], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2 with the option, and no key is shown."""
    secret = tmp_path / "secret"
    secret.write_text(secrets.token_hex())
    try:
        code: Any = main(["new-key", *arguments, "--scopes", "quotes", "--secret-file", str(secret)])
    except SystemExit as stopped:
        code = stopped.code

    shown = capsys.readouterr()
    assert (2, "", True) == (code, shown.out, says in shown.err), shown.err


def test_a_library_speaks_under_its_own_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the last line of what it says, which may be nothing."""
    lines: list[tuple[str, str]] = []

    class Log:
        def log(self, level: int, event: str, *, message: str) -> None:
            assert logging.WARNING == level
            lines.append((event, message))

    monkeypatch.setattr("gateway.app.logs.get", Log)
    for text in ("first\nlast", ""):
        LogBridge().emit(logging.LogRecord("asyncio", logging.WARNING, "", 0, text, None, None))

    assert [("asyncio", "last"), ("asyncio", "")] == lines
