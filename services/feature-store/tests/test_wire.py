"""The one connection: what goes over it, in which order, and how it ends."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import hiredis
import pytest
from conftest import Server, listening, scripted

from feature_store.store import Bounds, StoreDown, done, value, values, whole_number
from feature_store.wire import Address, Wire


@asynccontextmanager
async def wired(url: str, bounds: Bounds | None = None) -> AsyncIterator[Wire]:
    """A wire to that address, closed at the end."""
    wire = Wire(url, bounds or Bounds(connect_s=5.0, read_s=5.0))
    yield wire
    await wire.close()


async def test_one_turn_of_the_loop_is_one_write() -> None:
    """What is asked at the same moment arrives together, in order, and each gets its own answer."""
    async with (
        scripted(lambda commands: b"".join(b":%d\r\n" % int(c[1]) for c in commands)) as (url, heard),
        wired(url) as wire,
    ):
        await wire.ask(("GET", 0), whole_number)
        answers = await asyncio.gather(*(wire.ask(("GET", i), whole_number) for i in range(1, 20)))

    assert list(range(1, 20)) == answers
    assert [1, 19] == [len(commands) for commands in heard]


async def test_what_is_not_urgent_leaves_with_the_next() -> None:
    """A command that can wait goes out in the same write as the urgent one that follows, and alone when none follows."""
    async with (
        scripted(lambda commands: b":1\r\n" * len(commands)) as (url, heard),
        wired(url) as wire,
    ):
        await wire.ask(("A",), whole_number)
        waiting = wire.ask(("B",), whole_number, urgent=False)
        await asyncio.sleep(0)
        await wire.ask(("C",), whole_number)
        await waiting
        await wire.ask(("D",), whole_number, urgent=False)

    assert [[[b"A"]], [[b"B"], [b"C"]], [[b"D"]]] == heard


async def test_whoever_gives_up_leaves_the_others_theirs(server: Server) -> None:
    """Half of a thousand calls are cancelled while they are out; the other half get their own answers over the same connection."""
    with server.client() as redis:
        redis.mset({str(i): i for i in range(1000)})
    before = server.count("stats", "total_connections_received")

    async with wired(server.url, Bounds(connect_s=5.0, read_s=5.0, calls=1000)) as wire:
        calls = [wire.ask(("GET", i), value) for i in range(1000)]
        for call in calls[::2]:
            call.cancel()
        answers = await asyncio.gather(*calls[1::2])

    assert [b"%d" % i for i in range(1, 1000, 2)] == answers
    assert 2 == server.count("stats", "total_connections_received") - before  # the wire's, and the count's own


async def test_a_call_too_many_is_refused_at_once(server: Server) -> None:
    """With as many calls out as allowed, the next one fails without being sent."""
    async with wired(server.url, Bounds(connect_s=5.0, read_s=5.0, calls=2)) as wire:
        calls = [wire.ask(("PING",), lambda reply: reply) for _ in range(3)]
        answers = await asyncio.gather(*calls, return_exceptions=True)

    assert [b"PONG", b"PONG", "Full"] == [a if isinstance(a, bytes) else str(a) for a in answers]


async def test_silence_ends_everything_that_is_out() -> None:
    """A server that says nothing for the time of a call is dead: all calls fail together, and the next one connects anew."""
    connections = 0

    async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await reader.read(-1)

    async with listening(silent) as url, wired(url, Bounds(connect_s=5.0, read_s=0.05)) as wire:
        first = await asyncio.gather(*(wire.ask(("GET", i), value) for i in range(5)), return_exceptions=True)
        second = await asyncio.gather(wire.ask(("GET", 5), value), return_exceptions=True)

    assert ["TimeoutError"] * 6 == [str(answer) for answer in (*first, *second)]
    assert 2 == connections


async def test_an_answer_that_nobody_asked_for_ends_the_connection() -> None:
    """After one answer too many no other could be trusted to be anybody's."""
    async with (
        scripted(lambda _: b":1\r\n:2\r\n") as (url, _),
        wired(url) as wire,
    ):
        assert 1 == await wire.ask(("A",), whole_number)
        with pytest.raises(StoreDown):
            await asyncio.gather(wire.ask(("B",), done), wire.ask(("C",), done), wire.ask(("D",), done))


async def test_nothing_is_asked_before_the_greeting_is_accepted() -> None:
    """Password and database come first; a server that refuses them is asked nothing, and the calls hear why."""
    refusals = {b"AUTH": b"+OK\r\n", b"SELECT": b"-ERR DB index is out of range\r\n"}
    async with (
        scripted(lambda commands: b"".join(refusals[c[0]] for c in commands)) as (url, heard),
        wired(url.replace("//", "//user:secret@") + "/7") as wire,
    ):
        with pytest.raises(StoreDown, match="ResponseError"):
            await wire.ask(("GET", "a"), value)

    assert [[[b"AUTH", b"user", b"secret"], [b"SELECT", b"7"]]] == heard


async def test_a_database_is_chosen_before_it_is_read(server: Server) -> None:
    """What is read through /1 is of database 1."""
    with server.client() as redis:
        redis.execute_command("SELECT", 1)
        redis.set("a", "one")

    async with wired(f"{server.url}/1") as wire:
        assert [b"one", None] == await wire.ask(("MGET", "a", "b"), values(2))


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://127.0.0.1", "must begin with one of redis://"),
        ("redis://127.0.0.1/first", "a whole number, not 'first'"),
        ("redis://127.0.0.1?max_connections=5", "no option 'max_connections'"),
        ("rediss://127.0.0.1?ssl_cert_reqs=none", "no option 'ssl_cert_reqs', there are: cluster, db, ssl_ca_certs"),
    ],
)
def test_an_address_that_is_not_understood_is_refused(url: str, message: str) -> None:
    """Another scheme, and an option that would be ignored, are errors before anything is opened."""
    with pytest.raises(ValueError, match=message):
        Address.of(url)


def test_an_address_is_taken_apart() -> None:
    """User, password and database become the greeting; rediss:// is TLS that checks the server's name."""
    address = Address.of("rediss://me:p%40ss@store:6380/3")

    assert ("store", 6380, None) == (address.host, address.port, address.path)
    assert (("AUTH", "me", "p@ss"), ("SELECT", 3)) == address.greeting
    assert address.tls is not None
    assert address.tls.check_hostname


def test_a_sockets_address_is_taken_apart() -> None:
    """A Unix socket's path, its password and its database."""
    address = Address.of("unix://:p@/run/redis.sock?db=2")

    assert "/run/redis.sock" == address.path
    assert (("AUTH", "p"), ("SELECT", 2)) == address.greeting


def test_hiredis_reads_the_replies() -> None:
    """The parser in use is the one in C."""
    assert "hiredis.hiredis" == hiredis.Reader.__module__ or hiredis.hiredis.__file__.endswith(".so")
