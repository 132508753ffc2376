"""How many shared calls of one model should be out at once? As few as answer as many rows.

One call at a time makes the largest batches, and a batch costs hardly more than a row; but while it travels the model has nothing to
do, and several replicas need several calls. Nobody knows the right number beforehand, so it is climbed to: while requests wait, rows a second
are measured over a period with the number that is believed in, then over one with half as many more, or with a third fewer. More are
believed in when they gain a fifth, fewer when they lose next to nothing, for they are cheaper. A try that fails is taken back, and the next
one waits longer.

    home --try more or fewer--> measured --good--> that is home, and the next is tried
                                         --bad---> home, for 1, 2, 4 ... 64 periods; then the other way

A pure value: it is told what happened and when, in seconds on any clock that never goes back.
"""

from dataclasses import dataclass, replace
from typing import Final

MOST: Final = 16
CALLS_A_PERIOD: Final = 64
GAIN: Final = 1.2  # that more calls must bring: half as many more on as many idle replicas bring half as much more
LOSS: Final = 0.97  # that fewer may cost
LONGEST_REST: Final = 64  # periods
SMOOTHING: Final = 0.1  # weight of a new call in the running length


@dataclass(frozen=True, slots=True)
class Slots:
    """The state of one climb. `limit` holds now; `call_s` is how long calls take, running, and 0.0 before the first."""

    limit: int = 1
    most: int = MOST
    call_s: float = 0.0
    home: int = 0  # the limit that is believed in; 0 before the first period
    home_rate: float = 0.0  # rows a second with it
    step: int = 1  # the way of the next try
    rest: int = 0  # periods until then
    pause: int = 1  # the rest after the next try that fails
    rows: int = 0  # of the present period, as the next three
    calls: int = 0
    waited: int = 0  # calls at whose end somebody waited
    began: float = 0.0

    def ended(self, rows: int, took_s: float, *, now: float, had_waiting: bool) -> "Slots":
        """After a call of so many rows. Only a period in which requests mostly waited says anything about the limit."""
        call_s = took_s if self.call_s == 0.0 else self.call_s + SMOOTHING * (took_s - self.call_s)
        if self.calls == 0:  # what is measured begins with the end of a call
            return replace(self, call_s=call_s, calls=1, rows=0, waited=0, began=now)
        calls, total, waited = self.calls + 1, self.rows + rows, self.waited + had_waiting
        if calls <= CALLS_A_PERIOD or now <= self.began:
            return replace(self, call_s=call_s, calls=calls, rows=total, waited=waited)
        after = self._judged(total / (now - self.began)) if 2 * waited >= CALLS_A_PERIOD else self
        return replace(after, call_s=call_s, calls=1, rows=0, waited=0, began=now)

    def _judged(self, rate: float) -> "Slots":
        """After a period with so many rows a second."""
        if self.limit != self.home and self.home:
            needed = GAIN if self.limit > self.home else LOSS
            if rate < needed * self.home_rate:
                pause = min(2 * self.pause, LONGEST_REST)
                return replace(self, limit=self.home, step=-self.step, rest=self.pause, pause=pause)
            return _trying(replace(self, home=self.limit, home_rate=rate, pause=1))
        at_home = replace(self, home=self.limit, home_rate=rate)
        return replace(at_home, rest=self.rest - 1) if self.rest else _trying(at_home)


def _trying(slots: Slots) -> Slots:
    """One step further, or the other way at an end."""
    step = -slots.step if slots.home == (slots.most if slots.step > 0 else 1) else slots.step
    wanted = slots.home + max(1, slots.home // 2) if step > 0 else slots.home - max(1, slots.home // 3)
    return replace(slots, limit=min(max(wanted, 1), slots.most), step=step)
