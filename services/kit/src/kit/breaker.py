"""When is it worth asking a dependency at all?

A breaker is a value that is told what happened and when:

    closed    calls go out; it opens at the failure that makes at least `limit` of them, and a `share` of all calls, in one window
    open      no call goes out for `pause_s`
    probing   after the pause one call, and no other, goes out: its success closes the breaker, its failure opens it again

A window begins with the first failure after the last one has passed, so a healthy dependency costs nothing. A success that arrives
late, from a call made before the breaker opened, closes it too: the dependency does answer. A late failure changes nothing,
because it speaks of the time before.
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
    """Times are seconds on any one clock that never goes back; `calls` and `failures` are those of the present window."""

    limit: int = 3
    share: float = 0.8
    window_s: float = 10.0
    pause_s: float = 1.0
    state: State = State.CLOSED
    calls: int = 0
    failures: int = 0
    window_until: float = 0.0
    open_until: float = 0.0

    def allows(self, *, now: float) -> bool:
        """Whether a call may go out now."""
        return self.state is State.CLOSED or (self.state is State.OPEN and now >= self.open_until)

    def called(self) -> Self:
        """An allowed call goes out; the one that ends a pause is the probe."""
        return self if self.state is State.CLOSED else replace(self, state=State.PROBING)

    def succeeded(self) -> Self:
        """Any call was answered in order."""
        if self.state is not State.CLOSED:
            return replace(self, state=State.CLOSED, calls=0, failures=0)
        return self if self.failures == 0 else replace(self, calls=self.calls + 1)

    def failed(self, *, now: float, was_probe: bool) -> Self:
        """A call ended without an answer; `was_probe` says whether it was the one that ended a pause."""
        if was_probe:
            return replace(self, state=State.OPEN, open_until=now + self.pause_s)
        if self.state is not State.CLOSED:
            return self
        if self.failures == 0 or now >= self.window_until:
            told = replace(self, calls=1, failures=1, window_until=now + self.window_s)
        else:
            told = replace(self, calls=self.calls + 1, failures=self.failures + 1)
        if told.failures < self.limit or told.failures < self.share * told.calls:
            return told
        return replace(told, state=State.OPEN, open_until=now + self.pause_s)

    def hurried(self, *, now: float) -> Self:
        """There is news of the dependency: an open breaker need not wait for the end of its pause."""
        return replace(self, open_until=now) if self.state is State.OPEN else self
