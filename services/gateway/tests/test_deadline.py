"""How a budget is split."""

import pytest

from gateway.domain.deadline import Deadline


@pytest.mark.parametrize(
    ("budget", "elapsed", "features", "call"),
    [
        (0.150, 0.000, 0.020, 0.148),  # the caps, not the shares, bound a usual budget
        (0.150, 0.100, 0.020, 0.048),
        (0.150, 0.140, 0.006, 0.008),  # a read leaves room for a call
        (0.005, 0.000, 0.001, 0.004),  # merging and writing need their millisecond
        (0.005, 0.0025, 0.000, 0.0),  # under 2 ms no call is worth making
        (0.005, 0.009, 0.000, 0.0),
    ],
)
def test_each_step_is_told_what_is_left(budget: float, elapsed: float, features: float, call: float) -> None:
    """A budget's parts never add up to more than it, however much of it has gone."""
    deadline = Deadline.after(budget, now=100.0)

    assert pytest.approx(features) == deadline.for_features(now=100.0 + elapsed)
    assert pytest.approx(call) == deadline.for_call(now=100.0 + elapsed)


def test_nothing_is_left_after_the_deadline() -> None:
    """What is left is never negative: it is shown to the caller."""
    assert 0.0 == Deadline.after(0.1, now=5.0).left(now=6.0)
