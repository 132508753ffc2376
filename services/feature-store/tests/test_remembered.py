"""The same question has the same answer, from whichever gateway."""

import pytest
from conftest import Server, scripted
from hypothesis import given, strategies as st

from feature_store.keys import answer_key
from feature_store.remembered import MOST_BYTES, Remembered, decode, encode
from feature_store.store import Bounds, value
from feature_store.wire import Wire

BOUNDS = Bounds(connect_s=5.0, read_s=5.0)
LONG = b'{"price": 42} ' * 1000


@pytest.mark.parametrize("body", [b"", b"short", LONG], ids=["empty", "short", "long"])
async def test_an_answer_is_recalled_elsewhere(server: Server, body: bytes) -> None:
    """What one gateway keeps, another repeats byte by byte; under another bundle there is nothing."""
    one, two = Wire(server.url, BOUNDS), Wire(server.url, BOUNDS)

    assert Remembered(one, "bundle").remember("digest", body, seconds=60)
    await Remembered(one, "bundle").recall("digest", timeout=5.0)  # the answers of one connection come in order
    recalled = await Remembered(two, "bundle").recall("digest", timeout=5.0)
    other = await Remembered(two, "other").recall("digest", timeout=5.0)
    await one.close()
    await two.close()

    assert (body, None) == (recalled, other)


async def test_the_first_answer_stays(server: Server) -> None:
    """Two gateways that answer the same question at once: the first is remembered, for its own time."""
    wire = Wire(server.url, BOUNDS)
    remembered = Remembered(wire, "bundle")
    remembered.remember("digest", b"first", seconds=60)
    remembered.remember("digest", b"second", seconds=6000)
    recalled = await remembered.recall("digest", timeout=5.0)
    await wire.close()

    assert b"first" == recalled
    with server.client() as redis:
        assert 0 < redis.ttl(answer_key("bundle", "digest")) <= 60


async def test_a_late_answer_is_none_and_costs_no_connection(server: Server) -> None:
    """Who waits no longer is told None in time; the connection stays as it is."""
    wire = Wire(server.url, BOUNDS)
    remembered = Remembered(wire, "bundle")
    await remembered.recall("digest", timeout=5.0)
    before = server.count("stats", "total_connections_received")
    with server.client() as redis:
        redis.client_pause(200)

    late = await remembered.recall("digest", timeout=0.01)
    abandoned = remembered.recall("digest", timeout=5.0)
    abandoned.cancel()
    again = await remembered.recall("digest", timeout=5.0)
    await wire.close()

    assert (None, None) == (late, again)
    assert 2 == server.count("stats", "total_connections_received") - before  # the pause's and the count's own


async def test_a_store_that_is_down_remembers_nothing(server: Server) -> None:
    """Nothing is raised, nothing is awaited, and after three failures nothing is even packed."""
    wire = Wire(server.url, BOUNDS)
    remembered = Remembered(wire, "bundle")
    server.kill()

    recalled = [await remembered.recall("digest", timeout=5.0) for _ in range(3)]
    sent = remembered.remember("digest", b"body", seconds=60)
    await wire.close()

    assert ([None] * 3, False) == (recalled, sent)


async def test_a_body_too_long_is_not_sent(server: Server) -> None:
    """Neither is one that would be kept for no time."""
    wire = Wire(server.url, BOUNDS)
    sent = [Remembered(wire, "b").remember("d", body, seconds=s) for body, s in ((bytes(MOST_BYTES + 1), 60), (b"", 0))]
    await wire.close()

    assert [False, False] == sent


async def test_a_read_and_a_recall_are_one_packet() -> None:
    """Both are asked before either is awaited, so the server reads them at once."""
    async with scripted(lambda commands: b"$-1\r\n" * len(commands)) as (url, heard):
        wire = Wire(url, BOUNDS)
        await wire.ask(("GET", "first"), value)
        recalling = Remembered(wire, "bundle").recall("digest", timeout=5.0)
        await wire.ask(("GET", "features"), value)
        assert await recalling is None
        await wire.close()

    assert [[b"GET", b"a:{bundle:digest}"], [b"GET", b"features"]] == heard[-1]


@given(st.text(), st.binary(max_size=10_000))
def test_a_body_survives(stored_at: str, body: bytes) -> None:
    """Whatever is encoded is decoded, under its own key only."""
    data = encode(stored_at, body)

    assert (body, None) == (decode(stored_at, data), decode(stored_at + "x", data))


@given(st.binary(max_size=200), st.data())
def test_damage_is_nothing(noise: bytes, data: st.DataObject) -> None:
    """Any bytes, a cut answer and a flipped bit are no answer, and no exception."""
    good = encode("key", LONG)
    damaged = bytearray(good)
    bit = data.draw(st.integers(0, 8 * len(good) - 1))
    damaged[bit // 8] ^= 1 << bit % 8

    assert [None] * 3 == [
        decode("key", d) for d in (noise, good[: data.draw(st.integers(0, len(good) - 1))], bytes(damaged))
    ]
