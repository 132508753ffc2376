"""A stretch of network in front of the store that can be slow or cut: it delays every answer, or resets whoever says something."""

import asyncio
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from chaos.load import Background

RESET: Final = struct.pack("ii", 1, 0)  # SO_LINGER: closing throws away what is there, and tells the other side so


class Proxy:
    """On a free port of loopback; `connections` counts those that were ever made."""

    def __init__(self, background: Background, port: int) -> None:
        self.delay_s, self.resets, self.connections = 0.0, False, 0
        self._background, self._to = background, port
        self._tasks: set[asyncio.Task[None]] = set()
        self._server = background.run(asyncio.start_server(self._connected, "127.0.0.1", 0))
        self.port: int = self._server.sockets[0].getsockname()[1]

    def be(self, *, delay_s: float = 0.0, resets: bool = False) -> None:
        """From now on, also for who is connected."""
        self.delay_s, self.resets = delay_s, resets

    def close(self) -> None:
        """Cut everybody off."""
        self._background.run(self._close())

    async def _close(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        there, back = await asyncio.open_connection("127.0.0.1", self._to)
        for side in (self._asks(reader, writer, back), self._answers(there, writer, back)):
            task = asyncio.create_task(side)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _asks(
        self, asks: asyncio.StreamReader, caller: asyncio.StreamWriter, store: asyncio.StreamWriter
    ) -> None:
        with closing(caller, store):
            while data := await asks.read(1 << 16):
                if self.resets:
                    caller.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                    return
                store.write(data)

    async def _answers(
        self, answers: asyncio.StreamReader, caller: asyncio.StreamWriter, store: asyncio.StreamWriter
    ) -> None:
        on_its_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        arriving = asyncio.create_task(_arrive(on_its_way, caller))
        try:
            with closing(caller, store):
                while data := await answers.read(1 << 16):
                    on_its_way.put_nowait((time.monotonic() + self.delay_s, data))
        finally:
            arriving.cancel()


async def _arrive(on_its_way: "asyncio.Queue[tuple[float, bytes]]", caller: asyncio.StreamWriter) -> None:
    """Each when its time has come, in order, and none held up by the one before."""
    while True:
        at, data = await on_its_way.get()
        await asyncio.sleep(max(0.0, at - time.monotonic()))
        caller.write(data)


@contextmanager
def closing(*writers: asyncio.StreamWriter) -> Iterator[None]:
    """Whichever side ends, the other one does."""
    try:
        with suppress(ConnectionError):
            yield
    finally:
        for writer in writers:
            writer.close()
