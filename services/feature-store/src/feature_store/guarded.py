"""Is the store worth asking for this? One breaker for each use of it (features, quotas, answers), so that one of them failing, by a
right that is lacking or a memory that is full, leaves the others alone. The connection below is the same.
"""

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final, TypeVar

from feature_store.store import CONNECTION, Parse, Part, Store, StoreDown
from kit import logs
from kit.breaker import Breaker, State

T = TypeVar("T")
Clock = Callable[[], float]

ABANDONED: Final = "Abandoned"  # the fault of a call that `close` ended


class Guarded:
    """A store behind a breaker. `monotonic` tells the time that passes; at most `calls` are out at once."""

    def __init__(
        self, store: Store, use: str, *, calls: int, monotonic: Clock = time.monotonic, breaker: Breaker | None = None
    ) -> None:
        self._store, self._use, self._most, self._monotonic = store, use, calls, monotonic
        self.breaker = breaker or Breaker()
        self.fault: str | None = None  # the kind of the last failure, None since the store answered; for a log line
        self._calls: set[asyncio.Future[Any]] = set()
        self._sent = self._sent_before_failure = 0

    @property
    def state(self) -> State:
        """Whether the store is being asked."""
        return self.breaker.state

    @property
    def may_ask(self) -> bool:
        """Whether a call would be made now."""
        return len(self._calls) < self._most and self.breaker.allows(now=self._monotonic())

    def ask(self, command: tuple[Part, ...], parse: Parse[T], *, urgent: bool = True) -> asyncio.Future[T] | None:
        """The call, which ends in `StoreDown` or in what `parse` makes of the reply; None when it is not made.

        Nobody may cancel it: wait for it behind `asyncio.shield`, or be told by a callback.
        """
        if not self.may_ask:
            return None
        self.breaker = self.breaker.called()
        call = asyncio.ensure_future(self._store.ask(command, parse, urgent=urgent))
        self._calls.add(call)
        call.add_done_callback(partial(self._ended, self._sent, self.breaker.state is State.PROBING))
        self._sent += 1
        return call

    async def close(self) -> None:
        """End the calls that are out."""
        for call in self._calls:
            call.cancel()
        await asyncio.gather(*self._calls, return_exceptions=True)

    def _ended(self, number: int, was_probe: bool, call: asyncio.Future[Any]) -> None:
        """A call has ended: tell the breaker, and the log what has changed by it.

        All that was out when a connection broke ends with it. That is one failure: the others say nothing new.
        """
        self._calls.discard(call)
        fault = fault_of(call)
        if fault is not None and number < self._sent_before_failure and not was_probe:
            return
        if fault is not None:
            self._sent_before_failure = self._sent
        before = self.fault, self.breaker.state is State.CLOSED
        self.fault = fault
        self.breaker = (
            self.breaker.succeeded()
            if fault is None
            else self.breaker.failed(now=self._monotonic(), was_probe=was_probe)
        )
        # Open and probing count as one: a probe comes and goes every second.
        after = self.fault, self.breaker.state is State.CLOSED
        if before != after and fault != ABANDONED:
            log = logs.get()
            said = {"use": self._use, "fault": fault, "state": str(self.state)}
            (log.info if after == (None, True) else log.warning)("feature_store", **said)


def fault_of(call: asyncio.Future[Any]) -> str | None:
    """The kind of failure that a finished call ended in, None when it was answered.

    A refusal of one command by its own rules (an unknown script, say) is an answer: the server is there.
    """
    if call.cancelled():
        return ABANDONED
    error = call.exception()
    if error is None or (isinstance(error, StoreDown) and error.code == "NOSCRIPT"):
        return None
    return str(error) if isinstance(error, StoreDown) else CONNECTION
