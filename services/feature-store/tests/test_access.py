"""What each user of the server may do, on a real one."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Open, Server, free_port
from redis import Redis
from redis.exceptions import NoPermissionError

from feature_store.__main__ import main
from feature_store.access import USERS
from feature_store.quotas import SharedQuotas
from feature_store.reader import Outcome
from feature_store.remembered import Remembered
from feature_store.store import StoreDown

FORBIDDEN = [
    ("KEYS", "*"), ("FLUSHALL",), ("FLUSHDB",), ("CONFIG", "GET", "*"), ("ACL", "LIST"), ("SHUTDOWN",),
    ("SCRIPT", "FLUSH"), ("REPLICAOF", "NO", "ONE"), ("CLIENT", "LIST"), ("MONITOR",), ("EXPIRE", "f:a", "1"), ("GET", "other"),
]  # fmt: skip


def secret(user: str) -> str:
    return f"the secret of {user}"


@pytest.fixture
def guarded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Server]:
    """A server with the users' file that the command prints."""
    passwords = []
    for user in USERS:
        (tmp_path / user).write_text(secret(user) + "\n")
        passwords += [f"--{user}", str(tmp_path / user)]
    assert 0 == main(["users", *passwords])
    (tmp_path / "users.acl").write_text(capsys.readouterr().out)
    server = Server(tmp_path, free_port(), {"aclfile": str(tmp_path / "users.acl")})
    server.start()
    yield server
    server.kill()


def url(server: Server, user: str) -> str:
    return server.url.replace("//", f"//{user}:{secret(user).replace(' ', '%20')}@")


async def test_everybody_can_do_what_they_do(folder: Path, guarded: Server, opened: Open) -> None:
    """The job fills, looks and verifies; the gateway reads, counts and remembers."""
    for command in (["materialise", "--data", str(folder), "--quiet"], ["get", "vehicle", "v-00001"], ["stats"],
                    ["verify", "--data", str(folder), "--quiet"]):  # fmt: skip
        assert 0 == main([*command, "--redis", url(guarded, "job")])

    async with opened(url(guarded, "gateway")) as reader:
        answer = await reader.read([("vehicle", "v-00001")], timeout=5.0)
        granted = await SharedQuotas(reader.store).lease("caller", per_minute=60, burst=5, tokens=5)
        remembered = Remembered(reader.store, "bundle")
        remembered.remember("digest", b"body", seconds=60)
        recalled = await remembered.recall("digest", timeout=5.0)

    assert ([Outcome.HIT], 5, b"body") == ([e.outcome for e in answer.values()], granted, recalled)


@pytest.mark.parametrize("user", USERS)
def test_nobody_can_do_more(guarded: Server, user: str) -> None:
    """Listing keys, emptying the store, changing the server and strangers' keys are refused."""
    with Redis.from_url(url(guarded, user), protocol=2, driver_info=None) as redis:
        for command in FORBIDDEN:
            with pytest.raises(NoPermissionError):
                redis.execute_command(*command)


async def test_the_gateway_changes_no_feature(guarded: Server, opened: Open) -> None:
    """What it reads it cannot write, by a script neither; and the job sees no quota."""
    async with opened(url(guarded, "gateway")) as reader:
        for command in (("SET", "f:a", "x"), ("EVAL", "return redis.call('SET', KEYS[1], 'x')", 1, "t:a")):
            with pytest.raises(StoreDown, match=r"NoPermissionError|ResponseError"):
                await reader.store.ask(command, lambda reply: reply)
    with Redis.from_url(url(guarded, "job"), protocol=2, driver_info=None) as redis, pytest.raises(NoPermissionError):
        redis.get("q:{caller}")


async def test_without_a_name_nobody_gets_in(guarded: Server, opened: Open) -> None:
    """The user that needs no password is off."""
    async with opened(guarded.url) as reader:
        answer = await reader.read([("vehicle", "v-00001")], timeout=5.0)

        assert (Outcome.UNAVAILABLE, "AuthenticationError") == (answer["vehicle", "v-00001"].outcome, reader.fault)


@pytest.mark.parametrize(("content", "message"), [("short", "at least 16"), (None, "No such file")])
def test_a_weak_password_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str | None, message: str
) -> None:
    """A password that could be guessed, and one that is not there, are bad input."""
    if content is not None:
        (tmp_path / "password").write_text(content)

    assert 2 == main(["users", "--gateway", str(tmp_path / "password"), "--job", str(tmp_path / "password")])
    assert message in capsys.readouterr().err
