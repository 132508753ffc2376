"""The reader against a real server, in good days and bad."""

import asyncio
import random
import signal
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Open, Server, free_port, listening

from feature_store.cache import Limits
from feature_store.codec import Value, encode
from feature_store.keys import key, table_key
from feature_store.layout import Layout
from feature_store.reader import FeatureReader, Outcome
from feature_store.remembered import Remembered
from feature_store.store import Bounds
from feature_store.tables import Table
from kit.contract import Contract

NO_CACHE = Limits(hit_s=0.0, miss_s=0.0)
CARS = [("vehicle", f"v-{i:05d}") for i in range(500)]
TABLE = Table.of("any", "file", 0.0, now=0.0)
TIMEOUT_S = 0.02
SLACK_S = 0.13  # a busy machine's event loop; together the default budget of a quote


def fill(server: Server, contract: Contract, pairs: Iterable[tuple[str, str]]) -> None:
    """Store a value for each pair; a car's first number is its number."""
    with server.client() as redis:
        for entity in ("vehicle", "area"):
            redis.set(table_key(contract.short_fingerprint, entity), TABLE.encode())
        for entity, entity_id in pairs:
            layout = Layout.of(contract, entity)
            numeric = np.full(len(layout.numeric), float(entity_id[-4:]), np.float32)
            value = Value(time.time(), 0, numeric, np.zeros(len(layout.categorical), np.int32))
            at = key(contract.short_fingerprint, entity, TABLE.generation, entity_id)
            redis.set(at, encode(layout, entity_id, value))


async def read_for(
    seconds: float, reader: FeatureReader, cars: list[tuple[str, str]], *, timeout: float = TIMEOUT_S
) -> tuple[list[float], set[Outcome]]:
    """Read cars, two at once and a new pair every 5 ms, for so long: how long each read took, and every outcome."""
    waits: list[float] = []
    outcomes: set[Outcome] = set()

    async def one(car: tuple[str, str]) -> None:
        begun = time.monotonic()
        answer = await reader.read([car], timeout=timeout)
        waits.append(time.monotonic() - begun)
        outcomes.update(e.outcome for e in answer.values())

    until = time.monotonic() + seconds
    async with asyncio.TaskGroup() as reads:
        while time.monotonic() < until:
            reads.create_task(one(random.choice(cars)))  # noqa: S311 -- any car will do
            reads.create_task(one(random.choice(cars)))  # noqa: S311
            await asyncio.sleep(0.005)
    return waits, outcomes


async def recovers(reader: FeatureReader, *, within_s: float) -> bool:
    """Whether reads hit again, and how soon is soon enough."""
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        answer = await reader.read(CARS[:1], timeout=1.0)
        if answer[CARS[0]].outcome is Outcome.HIT:
            return True
        await asyncio.sleep(0.01)
    return False


async def test_a_round_trip_is_one_mget(server: Server, contract: Contract, opened: Open) -> None:
    """A car and an area come back with one command of the server's, after one more that finds their tables."""
    wanted = [("vehicle", "v-00042"), ("area", "R07-0012")]
    fill(server, contract, wanted)

    async with opened(server.url) as reader:
        await reader.read([("vehicle", "v-00001"), ("area", "R07-0001")], timeout=1.0)
        with server.client() as redis:
            redis.config_resetstat()
        answer = await reader.read(wanted, timeout=1.0)

    assert [(Outcome.HIT, 42.0), (Outcome.HIT, 12.0)] == [(e.outcome, e.numeric[0]) for e in answer.values()]
    with server.client() as redis:
        commands: Any = redis.info("commandstats")
    assert 1 == commands["cmdstat_mget"]["calls"]
    assert not {"cmdstat_hello", "cmdstat_client|setinfo"} & set(commands)


async def test_nobody_listening_is_an_outcome(opened: Open) -> None:
    """An address where nobody listens, here a Unix socket's, does not raise."""
    async with opened("unix:///nowhere.sock") as reader:
        answer = await reader.read(CARS[:1], timeout=1.0)

    assert Outcome.UNAVAILABLE == answer[CARS[0]].outcome


async def test_a_stopped_server_costs_nobody_the_budget(server: Server, contract: Contract, opened: Open) -> None:
    """Frozen: every read ends in time and without an error; one connection a probe; thawed: back within five seconds, and with one."""
    fill(server, contract, CARS)
    async with opened(server.url, limits=NO_CACHE) as reader:
        await reader.read(CARS[:2], timeout=1.0)
        connections = server.count("stats", "total_connections_received")
        clients = server.count("clients", "connected_clients")

        server.signal(signal.SIGSTOP)
        waits, outcomes = await read_for(2.0, reader, CARS)
        server.signal(signal.SIGCONT)

        assert {Outcome.UNAVAILABLE} == outcomes
        assert max(waits) < TIMEOUT_S + SLACK_S
        assert np.median(waits) < 0.001  # most are not even asked
        assert await recovers(reader, within_s=5.0)
        # a probe in each second and a half; each count makes one of its own
        assert server.count("stats", "total_connections_received") - connections < 10
        assert clients == server.count("clients", "connected_clients")


async def test_a_slow_server_keeps_its_connections(server: Server, contract: Contract, opened: Open) -> None:
    """Short freezes, longer than a read may wait and shorter than a call may live, cost no connection at all."""
    fill(server, contract, CARS)
    async with opened(server.url, limits=NO_CACHE, bounds=Bounds(read_s=5.0)) as reader:
        await asyncio.gather(*(reader.read([car], timeout=1.0) for car in CARS[:10]))
        connections = server.count("stats", "total_connections_received")

        for _ in range(10):
            server.signal(signal.SIGSTOP)
            await read_for(0.05, reader, CARS, timeout=0.005)
            server.signal(signal.SIGCONT)
            assert await recovers(reader, within_s=5.0)

        assert 1 == server.count("stats", "total_connections_received") - connections  # that of the count itself


async def test_a_killed_server_is_missed_and_found_again(server: Server, contract: Contract, opened: Open) -> None:
    """Gone: unavailable at once. Started again, empty: misses; filled: hits; all by itself."""
    fill(server, contract, CARS)
    async with opened(server.url, limits=NO_CACHE) as reader:
        await reader.read(CARS[:1], timeout=1.0)

        server.kill()
        waits, outcomes = await read_for(0.5, reader, CARS)
        server.start()
        fill(server, contract, CARS)

        assert {Outcome.UNAVAILABLE} == outcomes
        assert max(waits) < TIMEOUT_S + SLACK_S
        assert await recovers(reader, within_s=5.0)


async def test_a_wrong_password_is_an_outcome(server: Server, opened: Open) -> None:
    """A server that refuses is as good as none, and the kind of refusal can be logged."""
    with server.client() as redis:
        redis.config_set("requirepass", "right")

    async with opened(server.url.replace("//", "//:wrong@")) as reader:
        answer = await reader.read(CARS[:1], timeout=1.0)

        assert (Outcome.UNAVAILABLE, "AuthenticationError") == (answer[CARS[0]].outcome, reader.fault)


@pytest.mark.parametrize(
    ("reply", "fault"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "InvalidResponse"),
        (b"*1\r\n$-1\r\n", "BadReply"),
        (b"*3\r\n$-1\r\n$-1\r\n$-1\r\n", "BadReply"),
        (b"*-1\r\n", "BadReply"),
        (b":5\r\n", "BadReply"),
        (b"$-1\r\n", "BadReply"),
        (b"$2\r\nab\r\n", "BadReply"),
        (b"+OK\r\n", "BadReply"),
        (b"*2\r\n:1\r\n$-1\r\n", "BadReply"),
        (b"*2\r\n*0\r\n$-1\r\n", "BadReply"),
        (b"*2\r\n-WRONG no\r\n$-1\r\n", "BadReply"),
        (b"-WRONG no\r\n", "ResponseError"),
    ],
)
async def test_a_server_of_another_kind_is_an_outcome(opened: Open, reply: bytes, fault: str) -> None:
    """Rubbish on the wire, or a reply to another question, is a fault of the store and not an exception."""

    async def rubbish(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(reply)
        await writer.drain()

    async with listening(rubbish) as url, opened(url) as reader:
        answer = await reader.read([CARS[0], ("area", "R07-0012")], timeout=1.0)

    assert [(Outcome.UNAVAILABLE, fault)] * 2 == [(entity.outcome, reader.fault) for entity in answer.values()]


async def test_a_burst_is_answered_with_values(server: Server, contract: Contract, opened: Open) -> None:
    """As many requests at once as a gateway lets in, each for a car of its own, all get it."""
    fill(server, contract, CARS[:128])

    async with opened(server.url, bounds=Bounds(connect_s=10.0, read_s=10.0)) as reader:
        answers = await asyncio.gather(*(reader.read([car], timeout=10.0) for car in CARS[:128]))

    assert [float(i) for i in range(128)] == [e.numeric[0] for answer in answers for e in answer.values()]


async def test_a_full_server_drops_answers_before_cars(tmp_path: Path, contract: Contract, opened: Open) -> None:
    """With `volatile-ttl` what would soonest go anyway goes first: remembered answers by the thousand, and not one car."""
    server = Server(tmp_path, free_port(), {"maxmemory": "8mb", "maxmemory-policy": "volatile-ttl"})
    server.start()
    fill(server, contract, CARS)
    with server.client() as redis:
        for stored_at in redis.scan_iter(match="f:*"):
            redis.expire(stored_at, 7_776_000)
    async with opened(server.url, bounds=Bounds(connect_s=5.0, read_s=5.0)) as reader:
        remembered = Remembered(reader.store, "bundle")
        for i in range(4_000):
            assert remembered.remember(str(i), bytes(4_000), seconds=86_400)
            if i % 50 == 0:
                await remembered.recall(str(i), timeout=5.0)  # which waits for those before it
        answer = await reader.read(CARS, timeout=5.0)
    evicted = server.count("stats", "evicted_keys")
    server.kill()

    assert {Outcome.HIT} == {entity.outcome for entity in answer.values()}
    assert 1_000 < evicted
    assert remembered.fault is None


async def test_every_answer_is_the_right_cars(server: Server, contract: Contract, opened: Open) -> None:
    """Over thousands of interleaved reads, many late and many cancelled, nobody gets another car's values."""
    fill(server, contract, CARS)
    chance = random.Random(7)  # noqa: S311 -- repeatable, not secret
    seen: Counter[bool] = Counter()
    async with opened(server.url, limits=NO_CACHE) as reader:
        for _ in range(100):
            wanted = [chance.choice(CARS) for _ in range(40)]
            reads = [asyncio.create_task(reader.read([w], timeout=chance.uniform(0, 0.01))) for w in wanted]
            await asyncio.sleep(chance.uniform(0, 0.003))
            for task in chance.sample(reads, 10):
                task.cancel()
            for answer in await asyncio.gather(*reads, return_exceptions=True):
                for (_, car), entity in {} if isinstance(answer, BaseException) else answer.items():
                    if entity.outcome is Outcome.HIT:
                        seen[float(car[-4:]) == entity.numeric[0]] += 1

    assert seen[True] > 100
    assert 0 == seen[False]
