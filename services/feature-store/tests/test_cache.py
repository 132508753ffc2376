"""What the process remembers, and for how long."""

from feature_store.cache import Limits, Recent

CAR = ("vehicle", "v-00001")


def test_a_hit_lives_its_time() -> None:
    """A value is known up to its time to live, and not at it."""
    recent: Recent[str] = Recent(Limits(hit_s=2.0))
    recent.put(CAR, "car", is_miss=False, now=10.0)

    assert ("car", None) == (recent.get(CAR, now=11.99), recent.get(CAR, now=12.0))


def test_a_miss_lives_shorter() -> None:
    """That the store has none is remembered too, for its own time."""
    recent: Recent[str] = Recent(Limits(hit_s=2.0, miss_s=0.5))
    recent.put(CAR, "none", is_miss=True, now=10.0)

    assert ("none", None) == (recent.get(CAR, now=10.4), recent.get(CAR, now=10.5))


def test_use_does_not_prolong() -> None:
    """A value that is read all the time still ends: staleness is bounded."""
    recent: Recent[str] = Recent(Limits(hit_s=2.0))
    recent.put(CAR, "car", is_miss=False, now=0.0)

    assert [True, True, True, False] == [recent.get(CAR, now=t) is not None for t in (0.5, 1.0, 1.9, 2.0)]


def test_the_least_recently_used_goes_first() -> None:
    """Full means that the entry nobody asked for longest makes room."""
    recent: Recent[str] = Recent(Limits(entries=2))
    recent.put(("a", "1"), "value", is_miss=False, now=0.0)
    recent.put(("a", "2"), "value", is_miss=False, now=0.0)
    recent.get(("a", "1"), now=0.1)
    recent.put(("a", "3"), "value", is_miss=False, now=0.2)

    assert [True, False, True] == [recent.get(("a", i), now=0.3) is not None for i in "123"]
    assert 2 == len(recent)
