"""Which entities has this process read a moment ago?

Bounded, least recently used out first, and nothing is kept for longer than its time to live: seconds, so that a new
materialisation is seen by everybody within them. It is for reference data (cars, areas); what belongs to a person stays out.
"""

from collections import OrderedDict
from dataclasses import dataclass

from feature_store.codec import Value

Pair = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is kept, and for how long: found values (`hit_s`) and the knowledge that there is none (`miss_s`)."""

    entries: int = 20_000
    hit_s: float = 2.0
    miss_s: float = 1.0


class Recent:
    """An LRU of (entity, id) to a value, or to None for "the store has none"."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._kept: OrderedDict[Pair, tuple[float, Value | None]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, pair: Pair, *, now: float) -> tuple[Value | None] | None:
        """A one-tuple of what is known, or None when nothing is."""
        kept = self._kept.get(pair)
        if kept is None:
            return None
        until, value = kept
        if now >= until:
            del self._kept[pair]
            return None
        self._kept.move_to_end(pair)
        return (value,)

    def put(self, pair: Pair, value: Value | None, *, now: float) -> None:
        """Remember what the store said; drops the least recently used entry when there are too many."""
        until = now + (self._limits.miss_s if value is None else self._limits.hit_s)
        self._kept[pair] = (until, value)
        self._kept.move_to_end(pair)
        if len(self._kept) > self._limits.entries:
            self._kept.popitem(last=False)
