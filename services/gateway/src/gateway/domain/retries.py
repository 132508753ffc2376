"""Is a second attempt worth it? One budget for each branch, spent by retries and earned by answers.

Second attempts keep an overload alive that would have passed, so they may only ever be a small share of the calls: a bucket of ten
tokens, one for a retry, two for a call that is made again because the first one takes long (the server computes that one, too), a
tenth of one back for each answer, and nothing below half (as gRFC A6 says). So a tenth of the calls may be retried, or a twentieth
overtaken. And a second attempt that cannot end in time is work for nobody: it must have as long as nearly every call takes.
"""

from dataclasses import dataclass
from typing import Final, Self

from gateway.domain.deadline import LEAST_CALL_S

MOST_TOKENS: Final = 10.0
PER_ANSWER: Final = 0.1
LEAST_TOKENS: Final = MOST_TOKENS / 2

# The 95th percentile is tracked, not computed: 19 steps down are as far as one step up.
STEP_UP: Final = 1.1
STEP_DOWN: Final = STEP_UP ** (-1 / 19)
LEAST_PATIENCE_S: Final = 0.005
PATIENCE: Final = 3.0


@dataclass(frozen=True, slots=True)
class Retries:
    """What is left of the budget, and how many seconds 95 of 100 answers take at most."""

    tokens: float = MOST_TOKENS
    p95_s: float = 0.01

    def answered(self, seconds: float) -> Self:
        """An answer came after so many seconds."""
        step = STEP_UP if seconds > self.p95_s else STEP_DOWN
        return type(self)(min(MOST_TOKENS, self.tokens + PER_ANSWER), self.p95_s * step)

    def allows(self, *, left_s: float) -> bool:
        """Whether a second attempt may be made with so many seconds left."""
        return self.tokens > LEAST_TOKENS and left_s >= max(self.p95_s, LEAST_CALL_S)

    def retried(self) -> Self:
        """A second attempt goes out."""
        return type(self)(self.tokens - 1.0, self.p95_s)

    def overtook(self) -> Self:
        """A second attempt goes out while the first one is still being made."""
        return type(self)(self.tokens - 2.0, self.p95_s)

    @property
    def patience_s(self) -> float:
        """After so many seconds without an answer something is wrong; a call with less time than that accuses nobody."""
        return max(LEAST_PATIENCE_S, PATIENCE * self.p95_s)
