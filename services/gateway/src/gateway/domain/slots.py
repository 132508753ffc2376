"""How many shared calls of one model should be out at once? As few as answer as many rows.

One call at a time makes the largest batches, and a batch costs hardly more than a row; but while it travels the model has nothing to
do, and several replicas need several calls. Nobody knows the right number beforehand, so it is climbed to: while requests wait, rows a second
are measured over a period with one number, then over one with another. What gains a few percent is kept and tried further; what loses is
taken back; what makes no difference goes down, for fewer calls are cheaper.

    limit ->  measure a period  ->  better than the last?  yes: one more step the same way
                                                           no:  turn round
                                                           same: down

A pure value: it is told what happened and when, in seconds on any clock that never goes back.
"""

from dataclasses import dataclass, replace
from typing import Final, Self

MOST: Final = 16
FIRST: Final = 2
CALLS_A_PERIOD: Final = 32
GAIN: Final = 1.03  # a difference that is more than noise
SMOOTHING: Final = 0.1  # weight of a new call in the running length


@dataclass(frozen=True, slots=True)
class Slots:
    """The state of one climb. `call_s` is how long calls take, running; 0.0 before the first."""

    limit: int = FIRST
    most: int = MOST
    call_s: float = 0.0
    step: int = -1
    before: float = 0.0  # rows a second of the period before
    rows: int = 0
    calls: int = 0
    began: float = 0.0

    def ended(self, rows: int, took_s: float, *, now: float, had_waiting: bool) -> Self:
        """After a call of so many rows; only a period in which requests waited all the time says anything about the limit."""
        call_s = took_s if self.call_s == 0.0 else self.call_s + SMOOTHING * (took_s - self.call_s)
        if not had_waiting:
            return replace(self, call_s=call_s, rows=0, calls=0, began=now)
        calls, total = self.calls + 1, self.rows + rows
        if self.calls == 0:  # what is measured begins with the end of a call
            return replace(self, call_s=call_s, calls=1, rows=0, began=now)
        if calls <= CALLS_A_PERIOD or now <= self.began:
            return replace(self, call_s=call_s, calls=calls, rows=total)
        return replace(self._moved(total / (now - self.began)), call_s=call_s, calls=1, rows=0, began=now)

    def _moved(self, rate: float) -> Self:
        if rate > self.before * GAIN:
            step = self.step
        elif rate * GAIN < self.before:
            step = -self.step
        else:
            step = -1
        if not 1 <= self.limit + step <= self.most:  # at an end: look whether the world has changed
            step = -step
        return replace(self, limit=min(max(self.limit + step, 1), self.most), step=step, before=rate)
