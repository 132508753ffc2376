"""How does one gateway keep its part of a quota that all gateways share, without asking anybody while a request waits?

It leases small portions of the shared quota ahead and spends them on the spot. All a request can see is the lease; the store that
holds the shared quota is asked in the background, for what has been spent.
"""

import math
from dataclasses import dataclass, replace
from typing import Final, Self

from gateway.domain.keys import Quota

PORTION_S: Final = (
    0.5  # a portion is what the quota gives in so long: few questions, and little that lies unused elsewhere
)
LOCAL_FOR_S: Final = 1.0  # without the store, the gateway's own bucket is the only limit for so long


@dataclass(frozen=True, slots=True)
class Lease:
    """What a gateway holds of a shared quota. Times are in seconds on a clock that never goes back.

    `tokens` may be negative: the first requests pass on credit of one portion while the store is asked, and the next portion pays for it.
    """

    quota: Quota
    tokens: int = 0
    is_asking: bool = False
    spent_until: float = float("-inf")  # the shared quota is used up: no credit before then
    local_until: float = float("-inf")  # the store is away

    @property
    def portion(self) -> int:
        """How many tokens are leased at once."""
        return max(1, min(self.quota.burst, math.ceil(self.quota.per_minute / 60 * PORTION_S)))

    def take(self, *, now: float) -> Self | None:
        """The lease after one more request, or None when the quota is used up."""
        if now < self.local_until:
            return self
        least = 1 if now < self.spent_until else 1 - self.portion
        return replace(self, tokens=self.tokens - 1) if self.tokens >= least else None

    def wants(self, *, now: float) -> int:
        """How many tokens to ask the store for now; 0 for none."""
        if self.is_asking or now < self.local_until or now < self.spent_until or 2 * self.tokens > self.portion:
            return 0
        return self.portion - min(self.tokens, 0)

    def asked(self) -> Self:
        """The store has been asked, and has not answered yet."""
        return replace(self, is_asking=True)

    def granted(self, tokens: int, *, of: int, now: float) -> Self:
        """The store has given so many of those that it was asked for."""
        wait_s = 60 / self.quota.per_minute * min(of - tokens, self.portion)
        spent_until = now + wait_s if tokens < of else self.spent_until
        return replace(self, tokens=self.tokens + tokens, is_asking=False, spent_until=spent_until)

    def unanswered(self, *, now: float) -> Self:
        """The store is away. What was owed is forgotten: the gateway's own bucket has counted it."""
        return replace(self, tokens=max(0, self.tokens), is_asking=False, local_until=now + LOCAL_FOR_S)

    def wait_s(self, *, now: float) -> float:
        """Until more can be had."""
        return max(60 / self.quota.per_minute, self.spent_until - now)
