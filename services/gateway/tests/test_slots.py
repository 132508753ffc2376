"""How many shared calls should be out, told only what happened."""

from hypothesis import given, strategies as st

from gateway.domain.slots import CALLS_A_PERIOD, MOST, Slots


def climb(throughput: dict[int, float], periods: int, slots: Slots | None = None) -> list[int]:
    """The limits of so many periods of a world in which so many rows a second are answered with each limit."""
    slots, now, seen = slots or Slots(), 0.0, []
    for _ in range(periods):
        for _ in range(CALLS_A_PERIOD):
            now += 30 / throughput[slots.limit]
            slots = slots.ended(30, 0.003, now=now, had_waiting=True)
        seen.append(slots.limit)
    return seen


def test_what_gains_is_climbed_to() -> None:
    """With four replicas four calls answer four times as much, and a fifth only waits."""
    limits = climb({n: 1000.0 * min(n, 4) for n in range(1, MOST + 1)}, 60)

    assert {3, 4, 6} >= set(limits[10:])
    assert limits[10:].count(4) > 40


def test_what_makes_no_difference_goes_down() -> None:
    """Fewer calls carry more rows each, and cost less."""
    limits = climb(dict.fromkeys(range(1, MOST + 1), 1000.0), 60, Slots(limit=8))

    assert {1, 2} >= set(limits[15:])


def test_what_loses_is_hardly_tried() -> None:
    """A server that thrashes with many calls gets one, and is left in peace for longer and longer."""
    limits = climb({n: 4000.0 / n for n in range(1, MOST + 1)}, 200, Slots(limit=6))

    assert {1, 2} >= set(limits[-150:])
    assert limits[-150:].count(2) < 10


def test_a_world_that_changes_is_noticed() -> None:
    """Replicas that are added are made use of."""
    slots, now = Slots(), 0.0
    for period in range(200):
        for _ in range(CALLS_A_PERIOD):
            replicas = 1 if period < 100 else 3
            now += 30 / (1000.0 * min(slots.limit, replicas))
            slots = slots.ended(30, 0.003, now=now, had_waiting=True)

    assert 3 == slots.home


def test_calm_says_nothing() -> None:
    """When nobody waits every limit is as good as any."""
    slots = Slots(limit=3)
    for call in range(500):
        slots = slots.ended(1, 0.001, now=call / 100, had_waiting=call % 3 == 0)

    assert 3 == slots.limit


def test_the_length_of_calls_is_followed() -> None:
    """Slowly, so that one slow call is no change, and the first at once."""
    first = Slots().ended(1, 0.010, now=1.0, had_waiting=False)
    later = first
    for _ in range(50):
        later = later.ended(1, 0.020, now=1.0, had_waiting=False)

    assert 0.010 == first.call_s
    assert 0.0199 < later.call_s < 0.0201


@given(
    st.lists(st.tuples(st.integers(1, 32), st.floats(0, 1), st.floats(0, 0.1), st.booleans()), max_size=300),
    st.integers(1, MOST),
)
def test_the_limit_stays_within_bounds(calls: list[tuple[int, float, float, bool]], limit: int) -> None:
    """Whatever happens, and also when no time passes at all."""
    slots, now = Slots(limit=limit), 0.0
    for rows, took_s, pause_s, had_waiting in calls:
        now += pause_s
        slots = slots.ended(rows, took_s, now=now, had_waiting=had_waiting)

        assert 1 <= slots.limit <= slots.most
