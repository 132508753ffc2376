"""How is work for many requests done in one go, without anybody waiting for it? With all that is ready in the same turn of the loop.

When a shared call is answered, all its requests go on in the same turn. What each does next is put here, and done for all of them at
once in the next turn: a NumPy call costs about the same for one row as for thirty.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Together(Generic[T, R]):
    """`work` gives one result for each item, in order. Lives in one event loop."""

    def __init__(self, work: Callable[[Sequence[T]], Sequence[R]]) -> None:
        self._work = work
        self._ready: list[tuple[T, asyncio.Future[R]]] = []

    def do(self, item: T) -> "asyncio.Future[R]":
        """The item's result, in the next turn. Has the exception that the work raises for this item by itself."""
        loop = asyncio.get_running_loop()
        if not self._ready:
            loop.call_soon(self._flush)
        future: asyncio.Future[R] = loop.create_future()
        self._ready.append((item, future))
        return future

    def _flush(self) -> None:
        ready, self._ready = [entry for entry in self._ready if not entry[1].done()], []
        if ready:
            self._finish(ready)

    def _finish(self, ready: list[tuple[T, "asyncio.Future[R]"]]) -> None:
        try:
            results = self._work([item for item, _ in ready])
        except Exception as fault:  # noqa: BLE001 -- whose it is: an item's own, when it is alone
            if len(ready) == 1:
                ready[0][1].set_exception(fault)
                return
            for entry in ready:
                self._finish([entry])
            return
        for (_, future), result in zip(ready, results, strict=True):
            future.set_result(result)
