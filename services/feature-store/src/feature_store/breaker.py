"""When is it worth asking the store at all?

A breaker is a value that is told what happened and when:

    closed    calls go out; a success forgets earlier failures, the `limit`-th failure in a row opens it
    open      no call goes out for `pause_s`
    probing   after the pause one call, and no other, goes out: its success closes the breaker, its failure opens it again

A success that arrives late, from a call made before the breaker opened, closes it too: the store does answer. A late failure
changes nothing, because it speaks of the time before.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Self


class State(StrEnum):
    """What the breaker lets through."""

    CLOSED = "closed"
    OPEN = "open"
    PROBING = "probing"


@dataclass(frozen=True, slots=True)
class Breaker:
    """Times are seconds on any one clock that never goes back."""

    limit: int = 3
    pause_s: float = 1.0
    state: State = State.CLOSED
    failures: int = 0
    open_until: float = 0.0

    def allows(self, *, now: float) -> bool:
        """Whether a call may go out now."""
        return self.state is State.CLOSED or (self.state is State.OPEN and now >= self.open_until)

    def called(self) -> Self:
        """An allowed call goes out; the one that ends a pause is the probe."""
        return self if self.state is State.CLOSED else replace(self, state=State.PROBING)

    def succeeded(self) -> Self:
        """Any call was answered in order."""
        if self.state is State.CLOSED and self.failures == 0:
            return self
        return replace(self, state=State.CLOSED, failures=0)

    def failed(self, *, now: float, was_probe: bool) -> Self:
        """A call ended without an answer; `was_probe` says whether it was the one that ended a pause."""
        if was_probe:
            return replace(self, state=State.OPEN, open_until=now + self.pause_s)
        if self.state is not State.CLOSED:
            return self
        failures = self.failures + 1
        if failures < self.limit:
            return replace(self, failures=failures)
        return replace(self, state=State.OPEN, failures=failures, open_until=now + self.pause_s)
