"""What the process remembers, and for how long."""

import numpy as np

from feature_store.cache import Limits, Recent
from feature_store.codec import Value

CAR = ("vehicle", "v-00001")
VALUE = Value(0.0, 0, np.zeros(0, np.float32), np.zeros(0, np.int32))


def test_a_hit_lives_its_time() -> None:
    """A value is known up to its time to live, and not at it."""
    recent = Recent(Limits(hit_s=2.0))
    recent.put(CAR, VALUE, now=10.0)

    assert ((VALUE,), None) == (recent.get(CAR, now=11.99), recent.get(CAR, now=12.0))


def test_a_miss_lives_shorter() -> None:
    """That the store has none is remembered too, for its own time."""
    recent = Recent(Limits(hit_s=2.0, miss_s=0.5))
    recent.put(CAR, None, now=10.0)

    assert ((None,), None) == (recent.get(CAR, now=10.4), recent.get(CAR, now=10.5))


def test_use_does_not_prolong() -> None:
    """A value that is read all the time still ends: staleness is bounded."""
    recent = Recent(Limits(hit_s=2.0))
    recent.put(CAR, VALUE, now=0.0)

    assert [True, True, True, False] == [recent.get(CAR, now=t) is not None for t in (0.5, 1.0, 1.9, 2.0)]


def test_the_least_recently_used_goes_first() -> None:
    """Full means that the entry nobody asked for longest makes room."""
    recent = Recent(Limits(entries=2))
    recent.put(("a", "1"), VALUE, now=0.0)
    recent.put(("a", "2"), VALUE, now=0.0)
    recent.get(("a", "1"), now=0.1)
    recent.put(("a", "3"), VALUE, now=0.2)

    assert [True, False, True] == [recent.get(("a", i), now=0.3) is not None for i in "123"]
    assert 2 == len(recent)
