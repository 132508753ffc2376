"""How much may be in flight at once, and who is refused first? Frozen values that are told what happened, and when.

The limit follows Netflix's Gradient2: it grows by a little while latency stays what it usually is, and shrinks by the ratio of the
usual latency to the present one when that rises. Three things are different here.

* It is told about windows of a tenth of a second, not about every request: nothing but two additions is paid by a request.
* Requests wait for model calls that they share, so a busy fleet has 64 to 128 in flight and each takes as long as a batch does. A
  latency that rises *while throughput rises with it* is such batching and no overload; nor does the limit fall below what the
  throughput needs at the present latency (Little's law), as long as callers do not notice.
* Callers notice when a request uses up more than half of its budget. That share, and an event loop that is late, are the real signals:
  they cut the limit whatever the gradient says. A cut that does not help is taken back: where half as many in flight give
  half as many answers, a model is slow for everybody, and nobody was waiting because of us.
"""

import math
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, Self

from gateway.domain.keys import Priority

TOLERANCE: Final = 1.5  # latency may rise by so much before it counts
STEEPEST: Final = 0.5  # one window never takes more than half
QUEUE: Final = 4.0  # so many more are tried, or as many as the root of the limit, while all is well
SMOOTHING: Final = 0.5
HEADROOM: Final = 1.25  # arrivals come in bursts: more are in flight at times than on average
LONG_WINDOWS: Final = 60  # of a tenth of a second: what is usual is learnt in six of them
UNLEARN: Final = 0.95  # per window, once latency is less than half of the usual one: a bad time is forgotten quickly
LATE_SHARE: Final = 0.1  # of the requests of a window; with more the p99 is near the budget
BACK_OFF: Final = 0.9
HELD: Final = 0.75  # of the throughput: a cut by half that leaves less of it has taken answers away, not waiting
HOPELESS: Final = 0.9  # of the budget: with answers that take so long, hardly any is one, and there is nothing to keep
SPARED_WINDOWS: Final = 60  # after a cut that did not help, lateness cuts nothing for so long
FEWEST_SAMPLES: Final = 10  # fewer requests say nothing of latency: their window goes on
LONGEST_WINDOW_S: Final = 1.0  # then it ends all the same, for the loop's sake
LAG_SHARE: Final = 0.1  # of the default budget, which the loop may be late before it counts (T10)
LEAST: Final = 8  # one event loop is busy with so many, and calls that they share still hold several rows
LAG_LEAVES: Final = (
    0.5  # of the most: a late loop alone takes no more, for one turn over a full batch is late by nature
)

# The share of the limit that all together may have reached for one more of this priority to be let in, while a more important one asks.
STANDING: Final = {Priority.INTERACTIVE: 1.0, Priority.BATCH: 0.5, Priority.LOADTEST: 0.25}
ASKED_WITHIN_S: Final = 1.0  # so long room is kept for a priority that has asked
PRIORITIES: Final = tuple(Priority)  # the most important one first


class Shed(StrEnum):
    """Why a request was refused before its body was read."""

    FULL = "full"  # as many are in flight as its priority may have
    LAG = "lag"  # the same, while the event loop is late
    WAITED = "waited"  # it had waited too long when its turn came


@dataclass(frozen=True, slots=True)
class Window:
    """What happened in some tenth of a second; times are in seconds.

    `ended` requests had asked a model and took `total_s` together, and `late` of them more than half of their budget. `peak` is the
    most that were in flight at once, whatever they asked; `lag_s` is the 95th percentile of how late the event loop was.
    """

    seconds: float
    ended: int = 0
    total_s: float = 0.0
    late: int = 0
    peak: int = 0
    lag_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Limit:
    """How many requests may be in flight: between `least` and `most`.

    `usual_s` and `usual_rate` (requests a second) are long averages of what is told, 0.0 until something has been. `cut_from` and
    `cut_from_rate` are the limit when the present halving began and the best throughput since, 0.0 while there is none.
    """

    least: int
    most: int
    budget_s: float
    value: float
    usual_s: float = 0.0
    usual_rate: float = 0.0
    lagging: bool = False
    cut_from: float = 0.0
    cut_from_rate: float = 0.0
    spared: int = 0

    @classmethod
    def full(cls, *, most: int, budget_s: float, least: int = LEAST) -> Self:
        """Nothing has happened yet: start with all that is allowed, so that a fresh process is no bottleneck."""
        return cls(min(least, most), most, budget_s, float(most))

    def tells(self, window: Window) -> bool:
        """Whether a window has enough in it to be learnt from; if not, it goes on."""
        return window.ended >= FEWEST_SAMPLES or window.seconds >= LONGEST_WINDOW_S

    def after(self, window: Window) -> Self:
        """The limit after one more window."""
        lagging = window.lag_s > LAG_SHARE * self.budget_s
        if window.ended < FEWEST_SAMPLES:
            return replace(self, value=self._cut_for_lag(window) if lagging else self.value, lagging=lagging)
        latency_s, rate = window.total_s / window.ended, window.ended / window.seconds
        usual_s, usual_rate = self.usual_s or latency_s, self.usual_rate or rate
        spared = self.spared and latency_s < HOPELESS * self.budget_s
        late = window.late > LATE_SHARE * window.ended and not spared
        if late:
            after = self._cut_for_lateness(window, latency_s, rate)
        elif lagging:
            after = replace(self, value=self._cut_for_lag(window))
        else:
            value = self._along_gradient(window, latency_s / usual_s, rate / usual_rate)
            needed = HEADROOM * max(rate, usual_rate) * latency_s + QUEUE
            after = replace(self, value=max(value, min(self.value, needed)))
        if usual_s > 2 * latency_s:
            usual_s *= UNLEARN
        return replace(
            after,
            value=min(max(after.value, self.least), self.most),
            usual_s=usual_s + (latency_s - usual_s) / LONG_WINDOWS,
            usual_rate=usual_rate + (rate - usual_rate) / LONG_WINDOWS,
            lagging=lagging,
            cut_from=after.cut_from if late else 0.0,
            spared=after.spared if late else max(0, self.spared - 1),
        )

    def _along_gradient(self, window: Window, slower: float, more: float) -> float:
        if window.peak < self.value / 2:
            return self.value  # half idle: no evidence that more would be safe, nor that less would be better
        gradient = min(1.0, max(STEEPEST, TOLERANCE * max(1.0, more) / slower))
        return self.value + SMOOTHING * (self.value * gradient + max(QUEUE, math.sqrt(self.value)) - self.value)

    def _cut_for_lateness(self, window: Window, latency_s: float, rate: float) -> Self:
        taken = min(self.value, max(window.peak, self.least))
        if not self.cut_from:
            return replace(self, cut_from=taken, cut_from_rate=rate)  # one bad window may be a pause of the machine
        before = max(self.cut_from_rate, rate)
        if self.value > self.cut_from / 2:
            return replace(self, value=BACK_OFF * taken, cut_from_rate=before)
        if rate < HELD * before and latency_s < HOPELESS * self.budget_s:
            return replace(self, value=self.cut_from, cut_from=0.0, spared=SPARED_WINDOWS)
        return replace(self, value=BACK_OFF * taken, cut_from=self.value, cut_from_rate=rate)

    def _cut_for_lag(self, window: Window) -> float:
        floor = max(self.least, LAG_LEAVES * self.most)
        return min(self.value, max(floor, BACK_OFF * min(self.value, max(window.peak, self.least))))

    def room(self, *, asked: tuple[float, ...], now: float) -> tuple[int, ...]:
        """How many may be in flight in all for a request of each of `PRIORITIES` to be let in.

        `asked` is when each of them has last asked. Room is kept for the more important ones only while they ask: whoever is alone
        has everything.
        """
        rooms, others_ask = [], False
        for priority, last in zip(PRIORITIES, asked, strict=True):
            rooms.append(max(1, int(self.value * (STANDING[priority] if others_ask else 1.0))))
            others_ask = others_ask or now - last < ASKED_WITHIN_S
        return tuple(rooms)


@dataclass(frozen=True, slots=True)
class Lags:
    """How late the event loop was at its last probes, in seconds."""

    last: tuple[float, ...] = ()
    keep: int = 20

    def after(self, lag_s: float) -> Self:
        """With one more probe."""
        return replace(self, last=(*self.last, max(0.0, lag_s))[-self.keep :])

    @property
    def p95_s(self) -> float:
        """The 95th percentile: of twenty probes the second worst, so that a single pause is no state."""
        worst = sorted(self.last)
        return worst[(95 * len(worst) + 99) // 100 - 1] if worst else 0.0


@dataclass(slots=True)
class Patience:
    """How long may a request have waited for its turn? After CoDel, as it is run before pools of threads.

    As long as some request of the last `interval_s` has hardly waited, a queue is a burst that drains, and a wait of `interval_s` is
    borne. Once even the luckiest waits longer than `target_s`, the queue stands: then nothing that waited longer is worth its answer.
    Times are in seconds on a clock that never goes back.
    """

    target_s: float = 0.005
    interval_s: float = 0.1
    short_at: float = float("-inf")  # when the queue was last as good as empty
    seen_at: float = float("-inf")

    def bears(self, waited_s: float, *, now: float) -> bool:
        """Whether a request that has waited so long is still to be answered; told of every request that gets its turn."""
        if waited_s <= self.target_s or now - self.seen_at > self.interval_s:
            self.short_at = now
        self.seen_at = now
        return waited_s <= self.target_s or (waited_s <= self.interval_s and now - self.short_at <= self.interval_s)
