"""Threads for what blocks. The event loop hands them work and gets each result back in a callback, with nothing between.

A `concurrent.futures` pool does the same with two futures, a condition and three callbacks for each run: a tenth of the CPU of
a call of one row.
"""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Any


class Workers:
    """So many threads at most, each started when the others are busy. Used from one event loop."""

    def __init__(self, limit: int, name: str) -> None:
        self._limit, self._name = limit, name
        self._started = self._busy = 0
        self._work: SimpleQueue[Any] = SimpleQueue()

    def submit(self, done: Callable[[Any], None], act: Callable[..., object], *arguments: object) -> None:
        """Call `act` on a thread, then `done` in the loop with what it returned or the exception that it raised."""
        self._busy += 1
        self._work.put((asyncio.get_running_loop(), done, act, arguments))
        if self._started < min(self._busy, self._limit):
            self._started += 1
            threading.Thread(target=self._serve, name=f"{self._name}-{self._started}", daemon=True).start()

    def _serve(self) -> None:
        while True:
            self._one(*self._work.get())  # its arrays must not stay alive until the next

    def _one(self, loop: asyncio.AbstractEventLoop, done: Any, act: Any, arguments: tuple[Any, ...]) -> None:
        try:
            result = act(*arguments)
        except Exception as error:  # noqa: BLE001 -- the outermost of its thread: callers must not wait for ever
            result = error
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(self._over, done, result)

    def _over(self, done: Callable[[Any], None], result: object) -> None:
        self._busy -= 1
        done(result)
