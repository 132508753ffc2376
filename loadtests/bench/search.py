"""Which rate is the highest that still passes? A bisection that is told how each probe went, and is bounded in its probes."""

from dataclasses import dataclass, field

WIDEN = 1.5


@dataclass(slots=True)
class Search:
    """Rates a second between what passed and what did not, in steps of a ratio.

    A rate does not pass when two probes of it have failed: one stall of a busy machine is not the system's. It ends when the
    highest that passed and the lowest that did not are within `precision` of each other, or after `most_probes`.
    """

    first: float
    most: float
    precision: float = 1.06
    most_probes: int = 10
    best: float = 0.0
    worst: float | None = None
    probes: int = 0
    _doubted: float | None = field(default=None)

    def next(self) -> float | None:
        """The rate to probe now, or None when the search has ended."""
        if self.probes >= self.most_probes or self.best >= self.most:
            return None
        if self._doubted is not None:
            return self._doubted
        if self.worst is None:
            return min(self.most, self.best * WIDEN) if self.best else min(self.first, self.most)
        if not self.best:
            return self.worst / 2
        return (self.best * self.worst) ** 0.5 if self.worst / self.best > self.precision else None

    def tell(self, rate: float, *, passed: bool) -> None:
        """How the probe of a rate went."""
        self.probes += 1
        if passed:
            self.best, self._doubted = max(self.best, rate), None
        elif self._doubted == rate:
            self.worst, self._doubted = rate, None
        else:
            self._doubted = rate
