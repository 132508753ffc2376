"""Who may call what, and how often?"""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Self


class Scope(StrEnum):
    """What a key may be allowed."""

    QUOTES = "quotes"
    BALLPARK = "ballpark"
    OUTCOMES = "outcomes"
    PRIVACY = "privacy"


class Priority(StrEnum):
    """Who is answered first when there is too much to do."""

    INTERACTIVE = "interactive"
    BATCH = "batch"
    LOADTEST = "loadtest"


@dataclass(frozen=True, slots=True)
class Quota:
    """So many requests a minute on average, and so many at once after a pause."""

    per_minute: int
    burst: int


@dataclass(frozen=True, slots=True)
class Key:
    """A caller as it is kept: each of `hashes` is HMAC-SHA256 of a text that it may send, under a secret that lies elsewhere.

    Two while one text is exchanged for another, the older first; otherwise one.
    """

    id: str
    hashes: tuple[bytes, ...]
    scopes: frozenset[Scope]
    priority: Priority = Priority.INTERACTIVE
    quota: Quota | None = None


@dataclass(frozen=True, slots=True)
class Bucket:
    """What is left of a quota: tokens that come back with time. `at` is when `tokens` was true, in seconds."""

    quota: Quota
    tokens: float
    at: float

    @classmethod
    def full(cls, quota: Quota, *, now: float) -> Self:
        """Nothing has been used yet."""
        return cls(quota, quota.burst, now)

    def take(self, *, now: float) -> Self | None:
        """The bucket after one more request, or None when none is left."""
        tokens = min(self.quota.burst, self.tokens + (now - self.at) * self.quota.per_minute / 60)
        return replace(self, tokens=tokens - 1, at=now) if tokens >= 1 else None

    def wait(self, *, now: float) -> float:
        """Seconds until one more request is allowed."""
        tokens = self.tokens + (now - self.at) * self.quota.per_minute / 60
        return max(0.0, (1 - tokens) * 60 / self.quota.per_minute)
