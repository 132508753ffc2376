"""What a caller holds of a run that is not over yet, in the event loop.

Less than a future, and cheaper: what must happen at the end of a run (a slot that is free again, a version that is let go) is
called there and then, and a caller that goes away takes nothing with it, so nothing needs a shield.
"""

import asyncio
from collections.abc import Callable, Generator
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Pending(Generic[T]):
    """Ends once, with a result or an error. One caller may wait for it; a wait that is cancelled does not stop the run."""

    __slots__ = ("_ended", "_waiter", "result")

    def __init__(self) -> None:
        self.result: T | Exception | None = None  # None: not over
        self._ended: list[Callable[[T | Exception], None]] = []
        self._waiter: asyncio.Future[None] | None = None

    def then(self, act: Callable[[T | Exception], None]) -> None:
        """Call this with the result at the end; at once if that is past."""
        if self.result is None:
            self._ended.append(act)
        else:
            act(self.result)

    def end(self, result: T | Exception) -> None:
        """The run is over."""
        self.result = result
        for act in self._ended:
            act(result)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def __await__(self) -> Generator[Any, None, T]:
        """The result. Raises the error that the run ended with."""
        if self.result is None:
            self._waiter = asyncio.get_running_loop().create_future()
            yield from self._waiter
        if self.result is None:
            raise AssertionError("waited for, and not over")
        if isinstance(self.result, Exception):
            try:
                raise self.result
            finally:
                del self  # else the error would hold itself, by its traceback
        return self.result
