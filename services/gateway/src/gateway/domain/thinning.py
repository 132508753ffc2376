"""How often is the same thing worth a line in the log?"""

from dataclasses import dataclass


@dataclass(slots=True)
class Thinning:
    """Lets so many events of a second pass, and counts the others. Times are seconds on a clock that never goes back."""

    most_a_second: int
    began: float = float("-inf")
    passed: int = 0
    suppressed: int = 0

    def take(self, *, now: float) -> int | None:
        """How many were suppressed since the last that passed, or None when this one is."""
        if now - self.began >= 1.0:
            self.began, self.passed = now, 0
        if self.passed >= self.most_a_second:
            self.suppressed += 1
            return None
        self.passed += 1
        before, self.suppressed = self.suppressed, 0
        return before
