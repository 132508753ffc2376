"""The reader against a real server, in good days and bad."""

import asyncio
import random
import signal
import time
from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
from conftest import Open, Server

from feature_store.cache import Limits
from feature_store.codec import Value, encode
from feature_store.keys import key
from feature_store.layout import Layout
from feature_store.reader import FeatureReader, Outcome
from feature_store.store import Bounds
from kit.contract import Contract

NO_CACHE = Limits(hit_s=0.0, miss_s=0.0)
CARS = [("vehicle", f"v-{i:05d}") for i in range(500)]
TIMEOUT_S = 0.02
SLACK_S = 0.13  # a busy machine's event loop; together the default budget of a quote


def fill(server: Server, contract: Contract, pairs: Iterable[tuple[str, str]]) -> None:
    """Store a value for each pair; a car's first number is its number."""
    with server.client() as redis:
        for entity, entity_id in pairs:
            layout = Layout.of(contract, entity)
            numeric = np.full(len(layout.numeric), float(entity_id[-4:]), np.float32)
            value = Value(time.time(), 0, numeric, np.zeros(len(layout.categorical), np.int32))
            redis.set(key(contract.short_fingerprint, entity, entity_id), encode(layout, entity_id, value))


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
    """A car and an area come back with one command of the server's."""
    wanted = [("vehicle", "v-00042"), ("area", "R07-0012")]
    fill(server, contract, wanted)

    async with opened(server.url) as reader:
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
    """Frozen: every read ends in time and without an error; connections stay as they were; thawed: back within five seconds."""
    fill(server, contract, CARS)
    async with opened(server.url, limits=NO_CACHE) as reader:
        await reader.read(CARS[:2], timeout=1.0)
        connections = server.count("stats", "total_connections_received")

        server.signal(signal.SIGSTOP)
        waits, outcomes = await read_for(2.0, reader, CARS)
        server.signal(signal.SIGCONT)

        assert {Outcome.UNAVAILABLE} == outcomes
        assert max(waits) < TIMEOUT_S + SLACK_S
        assert np.median(waits) < 0.001  # most are not even asked
        assert await recovers(reader, within_s=5.0)
        # eight orphans, and one probe in each second and a half; each count makes one of its own
        assert server.count("stats", "total_connections_received") - connections < 20


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
        writer.close()

    async with await asyncio.start_server(rubbish, "127.0.0.1", 0) as other:
        host, port = other.sockets[0].getsockname()
        async with opened(f"redis://{host}:{port}") as reader:
            answer = await reader.read(CARS[:2], timeout=1.0)

    assert [(Outcome.UNAVAILABLE, fault)] * 2 == [(answer[car].outcome, reader.fault) for car in CARS[:2]]


async def test_a_burst_is_answered_with_values(server: Server, contract: Contract, opened: Open) -> None:
    """As many requests at once as a gateway lets in, each for a car of its own, all get it."""
    fill(server, contract, CARS[:128])

    async with opened(server.url, bounds=Bounds(connect_s=10.0, read_s=10.0)) as reader:
        answers = await asyncio.gather(*(reader.read([car], timeout=10.0) for car in CARS[:128]))

    assert [float(i) for i in range(128)] == [e.numeric[0] for answer in answers for e in answer.values()]


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
