"""The breaker, event by event."""

from collections.abc import Sequence

import pytest

from feature_store.breaker import Breaker, State

OK, FAIL, PROBE, PROBE_FAIL = "ok", "fail", "probe", "probe_fail"


def after(events: Sequence[tuple[float, str]]) -> Breaker:
    """Tell a breaker (3 failures, 1 s) what happened when."""
    breaker = Breaker(limit=3, pause_s=1.0)
    for now, event in events:
        if event == OK:
            breaker = breaker.succeeded()
        elif event == PROBE:
            assert breaker.allows(now=now)
            breaker = breaker.called()
        else:
            breaker = breaker.failed(now=now, was_probe=event == PROBE_FAIL)
    return breaker


@pytest.mark.parametrize(
    ("events", "state", "allowed"),
    [
        ([], State.CLOSED, {0.0: True}),
        ([(0.0, FAIL), (0.1, FAIL)], State.CLOSED, {0.1: True}),
        ([(0.0, FAIL), (0.1, FAIL), (0.2, OK), (0.3, FAIL)], State.CLOSED, {0.3: True}),
        ([(0.0, FAIL), (0.1, FAIL), (0.2, FAIL)], State.OPEN, {0.3: False, 1.19: False, 1.2: True}),
        ([(0.0, FAIL)] * 3 + [(0.9, FAIL)], State.OPEN, {1.0: True}),  # a late failure does not prolong the pause
        ([(0.0, FAIL)] * 3 + [(0.5, OK)], State.CLOSED, {0.5: True}),  # a late success is a success
        ([(0.0, FAIL)] * 3 + [(1.0, PROBE)], State.PROBING, {1.0: False, 9.0: False}),  # one probe at a time
        ([(0.0, FAIL)] * 3 + [(1.0, PROBE), (1.1, FAIL)], State.PROBING, {9.0: False}),  # only the probe ends the probe
        ([(0.0, FAIL)] * 3 + [(1.0, PROBE), (1.5, PROBE_FAIL)], State.OPEN, {2.4: False, 2.5: True}),
        ([(0.0, FAIL)] * 3 + [(1.0, PROBE), (1.5, OK)], State.CLOSED, {1.5: True}),
        ([(0.0, FAIL)] * 3 + [(1.0, PROBE), (1.5, OK), (1.6, FAIL)], State.CLOSED, {1.6: True}),
    ],
)
def test_the_breaker_follows_the_table(
    events: Sequence[tuple[float, str]], state: State, allowed: dict[float, bool]
) -> None:
    """After these events it is in this state, and lets a call out at these times only."""
    breaker = after(events)

    assert state == breaker.state
    assert allowed == {now: breaker.allows(now=now) for now in allowed}
