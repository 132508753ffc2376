"""The budget for second attempts, answer by answer."""

import pytest
from hypothesis import given, strategies as st

from gateway.domain.retries import LEAST_PATIENCE_S, Retries

SECONDS = st.floats(1e-6, 100.0)


def test_half_a_bucket_may_be_spent() -> None:
    """When everybody refuses, five second attempts are made and no more."""
    retries, spent = Retries(), 0
    for _ in range(100):
        if retries.allows(left_s=1.0):
            retries, spent = retries.retried(), spent + 1

    assert 5 == spent


def test_ten_answers_pay_for_one_more() -> None:
    """A tenth of the calls may be made again, for ever."""
    retries, spent = Retries(), 0
    for _ in range(1000):
        retries = retries.answered(0.001)
        if retries.allows(left_s=1.0):
            retries, spent = retries.retried(), spent + 1

    assert 100 <= spent <= 106


def test_overtaking_costs_twice_as_much() -> None:
    """The first server goes on computing: a twentieth of the calls, then, and three at once."""
    retries, spent = Retries(), 0
    for _ in range(1000):
        if retries.allows(left_s=1.0):
            retries, spent = retries.overtook(), spent + 1
        retries = retries.answered(0.001)

    assert 50 <= spent <= 55


@pytest.mark.parametrize(("left_s", "allowed"), [(0.0019, False), (0.0049, False), (0.0051, True)])
def test_there_must_be_time_for_nearly_every_call(left_s: float, allowed: bool) -> None:
    """A second attempt that will not end in time is work for nobody."""
    assert allowed == Retries(p95_s=0.005).allows(left_s=left_s)


def test_a_call_needs_two_milliseconds_however_quick_they_are() -> None:
    """A server takes less than one for no deadline."""
    assert not Retries(p95_s=0.0001).allows(left_s=0.0015)


@pytest.mark.parametrize("scale", [0.0005, 0.02])
def test_the_percentile_is_found(scale: float) -> None:
    """From where it starts, up or down, within a few hundred answers: between the true 90th and 99th."""
    retries = Retries()
    for number in range(2000):
        retries = retries.answered(scale * (1 + (number * 37 % 100) / 100))

    assert scale * 1.9 <= retries.p95_s <= scale * 2.2
    assert max(LEAST_PATIENCE_S, 3 * retries.p95_s) == retries.patience_s


@given(st.lists(st.one_of(SECONDS, st.none())))
def test_the_budget_is_kept_whatever_happens(told: list[float | None]) -> None:
    """Never more second attempts than six, and one for ten answers; never more tokens than ten."""
    retries, spent, answers = Retries(), 0, 0
    for seconds in told:
        if seconds is not None:
            retries, answers = retries.answered(seconds), answers + 1
        elif retries.allows(left_s=1e9):
            retries, spent = retries.retried(), spent + 1
        assert 0 <= retries.tokens <= 10
        assert retries.p95_s > 0

    assert spent <= 6 + answers / 10
