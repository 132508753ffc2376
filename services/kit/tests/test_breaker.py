"""The breaker, event by event."""

from collections.abc import Sequence

import pytest
from hypothesis import given, strategies as st

from kit.breaker import Breaker, State

OK, FAIL, PROBE, PROBE_FAIL, HURRY = "ok", "fail", "probe", "probe_fail", "hurry"


def after(events: Sequence[tuple[float, str]], breaker: Breaker | None = None) -> Breaker:
    """Tell a breaker (3 failures in 2 s, a pause of 1 s) what happened when."""
    breaker = breaker or Breaker(limit=3, window_s=2.0, pause_s=1.0)
    for now, event in events:
        if event == OK:
            breaker = breaker.succeeded()
        elif event == PROBE:
            assert breaker.allows(now=now)
            breaker = breaker.called()
        elif event == HURRY:
            breaker = breaker.hurried(now=now)
        else:
            breaker = breaker.failed(now=now, was_probe=event == PROBE_FAIL)
    return breaker


@pytest.mark.parametrize(
    ("events", "state", "allowed"),
    [
        ([], State.CLOSED, {0.0: True}),
        ([(0.0, FAIL), (0.1, FAIL)], State.CLOSED, {0.1: True}),
        ([(0.0, FAIL), (0.1, FAIL), (0.2, OK), (0.3, FAIL)], State.CLOSED, {0.3: True}),  # three of four are no 80 %
        ([(0.0, FAIL)] * 2 + [(0.2, OK)] + [(0.3, FAIL)] * 2, State.OPEN, {0.3: False}),  # four of five are
        ([(0.0, FAIL), (0.1, FAIL), (2.0, FAIL)], State.CLOSED, {2.0: True}),  # not in one window
        ([(0.0, FAIL), (0.1, FAIL), (0.2, FAIL)], State.OPEN, {0.3: False, 1.19: False, 1.2: True}),
        ([(0.0, FAIL)] * 3 + [(0.9, FAIL)], State.OPEN, {1.0: True}),  # a late failure does not prolong the pause
        ([(0.0, FAIL)] * 3 + [(0.5, OK)], State.CLOSED, {0.5: True}),  # a late success is a success
        ([(0.0, FAIL)] * 3 + [(1.0, PROBE)], State.PROBING, {1.0: False, 9.0: False}),  # one probe at a time
        ([(0.0, FAIL)] * 3 + [(1.0, PROBE), (1.1, FAIL)], State.PROBING, {9.0: False}),  # only the probe ends the probe
        ([(0.0, FAIL)] * 3 + [(1.0, PROBE), (1.5, PROBE_FAIL)], State.OPEN, {2.4: False, 2.5: True}),
        ([(0.0, FAIL)] * 3 + [(1.0, PROBE), (1.5, OK)], State.CLOSED, {1.5: True}),
        ([(0.0, FAIL)] * 3 + [(1.0, PROBE), (1.5, OK), (1.6, FAIL)], State.CLOSED, {1.6: True}),
        ([(0.0, FAIL)] * 3 + [(0.4, HURRY)], State.OPEN, {0.4: True}),  # there is news of it
        ([(0.0, FAIL)] * 3 + [(1.0, PROBE), (1.1, HURRY)], State.PROBING, {1.1: False}),  # but still one at a time
        ([(0.0, HURRY)], State.CLOSED, {0.0: True}),
    ],
)
def test_the_breaker_follows_the_table(
    events: Sequence[tuple[float, str]], state: State, allowed: dict[float, bool]
) -> None:
    """After these events it is in this state, and lets a call out at these times only."""
    breaker = after(events)

    assert state == breaker.state
    assert allowed == {now: breaker.allows(now=now) for now in allowed}


def test_a_healthy_dependency_costs_nothing() -> None:
    """The same value goes on."""
    breaker = Breaker()

    assert breaker is breaker.called().succeeded()


@given(st.lists(st.tuples(st.floats(0.0, 0.3), st.sampled_from([OK, FAIL])), max_size=300), st.integers(1, 20))
def test_whatever_happens_it_lets_somebody_try(told: list[tuple[float, str]], limit: int) -> None:
    """At most one probe is out, none within a pause, and after every pause one may go."""
    breaker, now, is_probing, opened = Breaker(limit=limit, pause_s=1.0), 0.0, False, -1.0
    for passed, end in told:
        now += passed
        if not is_probing and breaker.state is State.OPEN and breaker.allows(now=now):
            breaker, is_probing = breaker.called(), True
        elif is_probing:
            breaker = breaker.succeeded() if end == OK else breaker.failed(now=now, was_probe=True)
            is_probing = False
        elif breaker.state is State.CLOSED:
            breaker = breaker.succeeded() if end == OK else breaker.failed(now=now, was_probe=False)
        assert is_probing == (breaker.state is State.PROBING)
        if breaker.state is State.OPEN:
            assert breaker.allows(now=breaker.open_until)
            assert breaker.open_until <= now + 1.0
        opened = breaker.open_until

    assert is_probing or breaker.allows(now=max(now, opened))


def test_few_failures_among_many_calls_open_nothing() -> None:
    """One in three, for ever."""
    breaker = Breaker()
    for number in range(300):
        now = number / 100
        breaker = breaker.failed(now=now, was_probe=False) if number % 3 == 0 else breaker.succeeded()

        assert State.CLOSED is breaker.state
