"""Tokens that are given away once, whoever asks."""

import asyncio
import time

import pytest
from conftest import Server

from feature_store.quotas import SharedQuotas
from feature_store.store import Bounds, StoreDown
from feature_store.wire import Wire

BOUNDS = Bounds(connect_s=5.0, read_s=5.0)


async def test_two_gateways_share_a_quota(server: Server) -> None:
    """For two seconds two clients take what they get, in leases of different sizes: together what one was allowed, within five per cent."""
    wires = [Wire(server.url, BOUNDS) for _ in range(2)]
    quotas = [SharedQuotas(wire) for wire in wires]
    per_minute, burst, begun = 30_000, 100, time.monotonic()

    async def take(quota: SharedQuotas, tokens: int) -> int:
        taken = 0
        while time.monotonic() - begun < 2.0:
            taken += await quota.lease("caller", per_minute=per_minute, burst=burst, tokens=tokens)
            await asyncio.sleep(0.005)
        return taken

    taken = await asyncio.gather(take(quotas[0], 20), take(quotas[1], 7))
    allowed = burst + per_minute / 60 * (time.monotonic() - begun)
    for wire in wires:
        await wire.close()

    assert allowed == pytest.approx(sum(taken), rel=0.05)
    assert min(taken) > 0


async def test_a_bucket_is_emptied_and_no_further(server: Server) -> None:
    """A full bucket is granted, then what has come back, and the rest of a wish that is too big."""
    wire = Wire(server.url, BOUNDS)
    quotas = SharedQuotas(wire)

    granted = [await quotas.lease("caller", per_minute=1, burst=10, tokens=tokens) for tokens in (4, 4, 4, 4)]
    other = await quotas.lease("another", per_minute=1, burst=10, tokens=4)
    await wire.close()

    assert ([4, 4, 2, 0], 4) == (granted, other)


async def test_a_count_goes_when_its_bucket_is_full_again(server: Server) -> None:
    """The key expires a moment after it would say nothing any more."""
    wire = Wire(server.url, BOUNDS)
    await SharedQuotas(wire).lease("caller", per_minute=60, burst=100, tokens=30)
    await wire.close()

    with server.client() as redis:
        assert 29_000 < redis.pttl("q:{caller}") <= 31_000


async def test_a_server_that_forgot_the_script_is_told_it_again(server: Server) -> None:
    """A restart or SCRIPT FLUSH costs one call more and no failure."""
    wire = Wire(server.url, BOUNDS)
    quotas = SharedQuotas(wire)
    granted = [await quotas.lease("caller", per_minute=60, burst=10, tokens=1)]
    with server.client() as redis:
        redis.script_flush()
    granted += [await quotas.lease("caller", per_minute=60, burst=10, tokens=1) for _ in range(2)]
    await wire.close()

    assert [1, 1, 1] == granted
    with server.client() as redis:
        commands = redis.info("commandstats")
    assert (2, 4 - 1) == (commands["cmdstat_eval"]["calls"], commands["cmdstat_evalsha"]["calls"])


async def test_a_store_that_is_down_says_so(server: Server) -> None:
    """No answer is `StoreDown`; after three of them the store is left alone."""
    wire = Wire(server.url, BOUNDS)
    quotas = SharedQuotas(wire)
    server.kill()

    faults = []
    for _ in range(5):
        with pytest.raises(StoreDown) as down:
            await quotas.lease("caller", per_minute=60, burst=10, tokens=1)
        faults.append(str(down.value))
    await wire.close()

    assert ["ConnectionError"] * 3 + ["LeftAlone"] * 2 == faults


async def test_numbers_below_one_are_refused(server: Server) -> None:
    """A quota of nothing is the programmer's error."""
    with pytest.raises(ValueError, match="at least 1"):
        await SharedQuotas(Wire(server.url, BOUNDS)).lease("caller", per_minute=0, burst=1, tokens=1)
