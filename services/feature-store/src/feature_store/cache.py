"""Which entities has this process read a moment ago?

Bounded, least recently used out first, and nothing is kept for longer than its time to live: seconds, so that a new
materialisation is seen by everybody within them. It is for reference data (cars, areas); what belongs to a person stays out.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")
Pair = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is kept, and for how long: found values (`hit_s`) and the knowledge that there is none (`miss_s`)."""

    entries: int = 20_000
    hit_s: float = 2.0
    miss_s: float = 1.0


class Recent(Generic[T]):
    """An LRU of (entity, id) to what was found for it, be it that there is nothing."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._kept: OrderedDict[Pair, tuple[float, T]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, pair: Pair, *, now: float) -> T | None:
        """What was found, None when nothing is remembered."""
        kept = self._kept.get(pair)
        if kept is None:
            return None
        if now >= kept[0]:
            del self._kept[pair]
            return None
        self._kept.move_to_end(pair)
        return kept[1]

    def put(self, pair: Pair, found: T, *, is_miss: bool, now: float) -> None:
        """Remember what the store said; drops the least recently used entry when there are too many."""
        self._kept[pair] = now + (self._limits.miss_s if is_miss else self._limits.hit_s), found
        self._kept.move_to_end(pair)
        if len(self._kept) > self._limits.entries:
            self._kept.popitem(last=False)
