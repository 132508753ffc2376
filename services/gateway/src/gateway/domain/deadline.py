"""How long may the next step take? One moment is fixed when a request comes; every later step asks it what is left."""

from dataclasses import dataclass
from typing import Final, Self

LEAST_CALL_S: Final = 0.002  # TensorFlow Serving takes a deadline under a millisecond for "no deadline"
LEAST_RESERVE_S: Final = 0.001  # merging and writing take about so long, however small the budget
MOST_RESERVE_S: Final = 0.002
MOST_MEASURED_S: Final = 0.02  # whatever is measured: a process that is held up for longer must still ask its models
SLOWEST: Final = 0.99  # the share of answers that the reserve is enough for
STEP: Final = 0.05  # how far one answer moves the reserve, as a share of it
RESERVE_SHARE: Final = 0.1
MOST_FEATURES_S: Final = 0.02
FEATURES_SHARE: Final = 0.2


@dataclass(frozen=True, slots=True)
class Deadline:
    """The moment, on a clock that never goes back, after which the answer is worthless. All numbers are seconds.

    `reserve` is kept back from calls for merging and writing; `features` is the most that the feature store may take.
    """

    at: float
    reserve: float
    features: float

    @classmethod
    def after(cls, budget: float, *, now: float) -> Self:
        """The deadline of a request that came `now` with `budget` seconds to live."""
        reserve = min(MOST_RESERVE_S, max(LEAST_RESERVE_S, RESERVE_SHARE * budget))
        return cls(now + budget, reserve, min(MOST_FEATURES_S, FEATURES_SHARE * budget))

    def left(self, *, now: float) -> float:
        """Until the deadline; never negative."""
        return max(0.0, self.at - now)

    def for_features(self, *, now: float) -> float:
        """What a read of the feature store may take, so that a call can still follow; never negative."""
        return max(0.0, min(self.features, self.at - now - self.reserve - LEAST_CALL_S))

    def for_call(self, *, now: float, measured: float = 0.0) -> float:
        """What a model call may take, or 0.0 when too little is left for one to be worth making.

        Merging and writing are left what they were `measured` to take, when that is more than the reserve.
        """
        left = self.at - now - max(self.reserve, measured)
        return left if left >= LEAST_CALL_S else 0.0


@dataclass(frozen=True, slots=True)
class Measured:
    """How many seconds merging and writing take when they take long, of late.

    A running 99th percentile that remembers one number (Ma, Muthukrishnan and Sandler, "Frugal Streaming for Estimating Quantiles", 2013):
    an answer above it moves it up by 99 parts of a step, one below it down by one part, so that it rests where one in a hundred is above.
    """

    seconds: float = LEAST_RESERVE_S

    def took(self, seconds: float) -> Self:
        """After one more answer."""
        parts = SLOWEST if seconds > self.seconds else SLOWEST - 1.0
        moved = self.seconds * (1.0 + STEP * parts)
        return type(self)(min(max(moved, LEAST_RESERVE_S), MOST_MEASURED_S))
