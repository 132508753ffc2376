"""How a budget is split."""

from random import Random

import pytest
from hypothesis import given, strategies as st

from gateway.domain.deadline import LEAST_RESERVE_S, MOST_MEASURED_S, Deadline, Measured


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


def test_merging_is_left_the_time_that_it_takes() -> None:
    """When it was measured to be more than the reserve, models have so much less."""
    deadline = Deadline.after(0.150, now=10.0)

    assert pytest.approx(0.138) == deadline.for_call(now=10.0, measured=0.012)
    assert deadline.for_call(now=10.0) == deadline.for_call(now=10.0, measured=0.0001)


def test_what_is_measured_is_about_the_slowest_of_a_hundred() -> None:
    """Whatever the times are like, about one in a hundred takes longer."""
    random, measured, longer = Random(1), Measured(), 0  # noqa: S311 -- a simulation
    for number in range(60_000):
        took_s = random.lognormvariate(-6.0, 0.5)
        if number >= 20_000:
            longer += took_s > measured.seconds
        measured = measured.took(took_s)

    assert 0.007 < longer / 40_000 < 0.013


@given(st.lists(st.floats(0, 10)))
def test_what_is_measured_stays_within_reason(times_s: list[float]) -> None:
    """A process that stood still for a while must still ask its models."""
    measured = Measured()
    for took_s in times_s:
        measured = measured.took(took_s)

        assert LEAST_RESERVE_S <= measured.seconds <= MOST_MEASURED_S
