"""Who is set aside, call by call."""

import pytest
from hypothesis import given, settings, strategies as st

from gateway.domain.outliers import LEAST_ANSWERS, MOST_ASIDE_S, Outliers, Verdict, Why

A, B, C, D = "a", "b", "c", "d"


def settled(*replicas: str, seconds: float = 0.002) -> Outliers:
    """They have all answered often enough, and in the same time."""
    outliers = Outliers().among(replicas)
    for _ in range(LEAST_ANSWERS):
        outliers = answered(outliers, replicas, seconds)
    return outliers


def answered(outliers: Outliers, replicas: tuple[str, ...], seconds: float = 0.002) -> Outliers:
    """Each answers once."""
    for replica in replicas:
        outliers = outliers.told(replica, Verdict.ANSWERED, seconds, now=0.0)
    return outliers


def failed(outliers: Outliers, replica: str, times: int = 3, *, now: float = 0.0) -> Outliers:
    """It fails so often in a row."""
    for _ in range(times):
        outliers = outliers.told(replica, Verdict.FAILED, 0.1, now=now)
    return outliers


def test_three_failures_in_a_row_set_aside() -> None:
    """Two do not, and an answer between them forgives."""
    twice = failed(settled(A, B), A, 2)
    again = failed(answered(twice, (A,)), A, 2)

    assert ({}, {}, {A: 1.0}) == (twice.aside, again.aside, failed(twice, A, 1).aside)
    assert 1 == failed(twice, A, 1).set_aside[Why.FAILING]


def test_every_second_call_that_fails_sets_aside() -> None:
    """Also when they never fail three times in a row."""
    outliers = settled(A, B)
    for _ in range(20):
        outliers = answered(failed(outliers, A, 2), (A, B))

    assert {A} == set(outliers.aside)


def test_nobody_is_set_aside_when_all_fail() -> None:
    """The fault is elsewhere, and half of the fleet would not mend it."""
    outliers = settled(A, B, C, D)
    for _ in range(50):
        for replica in (A, B, C, D):
            outliers = outliers.told(replica, Verdict.FAILED, 0.1, now=0.0)

    assert {} == outliers.aside


@pytest.mark.parametrize("verdict", [Verdict.BUSY, Verdict.UNCLEAR])
def test_what_says_nothing_of_it_changes_nothing(verdict: Verdict) -> None:
    """However often."""
    outliers = settled(A, B)

    assert outliers == outliers.told(A, verdict, 9.0, now=0.0)


@pytest.mark.parametrize(
    ("usual", "of_a", "is_aside"),
    [
        (0.002, 0.02, True),
        (0.002, 0.0055, False),  # not three times
        (0.0005, 0.004, False),  # eight times, and still quick
        (0.02, 0.2, True),
    ],
)
def test_three_times_as_slow_as_the_others_is_set_aside(usual: float, of_a: float, is_aside: bool) -> None:
    """Unless it is quick enough for everybody."""
    outliers = settled(A, B, C, seconds=usual)
    for _ in range(50):
        outliers = answered(answered(outliers, (A,), of_a), (B, C), usual)

    assert is_aside == (A in outliers.aside)


def test_one_stall_sets_nobody_aside() -> None:
    """A collection of garbage takes seventy times as long as a call, once."""
    outliers = answered(settled(A, B), (A,), 0.14)

    assert {} == outliers.aside


def test_all_slow_is_nobody_slow() -> None:
    """A rush, or a slower model."""
    outliers = settled(A, B)
    for _ in range(100):
        outliers = answered(outliers, (A, B), 0.2)

    assert {} == outliers.aside


def test_each_time_aside_is_longer_up_to_a_limit() -> None:
    """1, 2, 4 and then 4 seconds, while it keeps failing its trial."""
    outliers, now, pauses = failed(settled(A, B), A), 0.0, []
    for _ in range(4):
        pauses.append(outliers.aside[A] - now)
        now = outliers.aside[A]
        assert ([], [A]) == (outliers.due(now=now - 0.001), outliers.due(now=now))
        outliers = outliers.tried(A)
        assert [] == outliers.due(now=now)  # one at a time
        outliers = outliers.told_of_trial(A, Verdict.FAILED, 0.1, now=now)

    assert [1.0, 2.0, 4.0, 4.0] == pauses


def test_a_good_trial_brings_it_back() -> None:
    """With nothing held against it, but for how often it was aside."""
    outliers = failed(settled(A, B), A).tried(A).told_of_trial(A, Verdict.ANSWERED, 0.002, now=1.0)
    soon = failed(outliers, A, now=2.0)
    late = failed(outliers, A, now=62.0)

    assert {} == outliers.aside
    assert ({A: 4.0}, {A: 63.0}) == (soon.aside, late.aside)


def test_a_slow_trial_does_not() -> None:
    """It answers, and still takes ten times as long."""
    outliers = failed(settled(A, B), A).tried(A).told_of_trial(A, Verdict.ANSWERED, 0.02, now=1.0)

    assert {A: 3.0} == outliers.aside


def test_calls_from_before_do_not_count() -> None:
    """Those that were in flight when it was set aside end later."""
    outliers = failed(settled(A, B), A)

    assert outliers == failed(answered(outliers, (A,)), A)
    assert outliers == outliers.told_of_trial(A, Verdict.ANSWERED, 0.002, now=0.5)


def test_who_has_gone_is_forgotten() -> None:
    """And who has come is new; one of two that are left may stay aside, one of one may not."""
    outliers = failed(settled(A, B, C), A).tried(A)

    assert ({A: 1.0}, frozenset({A})) == (outliers.among([A, B]).aside, outliers.among([A, B]).on_probation)
    assert ({}, frozenset()) == (outliers.among([A]).aside, outliers.among([A]).on_probation)
    assert {} == outliers.among([B, D]).aside
    assert outliers == outliers.told(D, Verdict.FAILED, 0.1, now=0.0)


EVENTS = st.tuples(
    st.sampled_from([*Verdict, "trial", "among"]), st.integers(0, 5), st.floats(0.0, 10.0), st.floats(0.0, 3.0)
)


@settings(max_examples=200)
@given(st.lists(EVENTS, max_size=200), st.integers(1, 6))
def test_whatever_happens_half_of_them_are_in_use(events: list[tuple[str, int, float, float]], number: int) -> None:
    """And whoever is aside is due within the longest pause, or on probation."""
    names = [str(n) for n in range(6)]
    outliers, now = Outliers().among(names[:number]), 0.0
    for what, which, seconds, passed in events:
        now += passed
        if what == "among":
            outliers = outliers.among(names[which:])
        elif what == "trial":
            for replica in outliers.due(now=now)[:1]:
                outliers = outliers.tried(replica)
        elif names[which] in outliers.on_probation:
            outliers = outliers.told_of_trial(names[which], Verdict(what), seconds, now=now)
        else:
            outliers = outliers.told(names[which], Verdict(what), seconds, now=now)
        assert len(outliers.aside) <= len(outliers.records) // 2
        assert outliers.on_probation <= outliers.aside.keys() <= outliers.records.keys()
        late = set(outliers.due(now=now + MOST_ASIDE_S))
        assert late == outliers.aside.keys() - outliers.on_probation


@given(st.lists(st.tuples(st.integers(0, 2), st.floats(0.001, 0.0045)), max_size=200))
def test_who_answers_quickly_stays(calls: list[tuple[int, float]]) -> None:
    """No differences between quick ones matter."""
    outliers = Outliers().among([A, B, C])
    for which, seconds in calls:
        outliers = outliers.told("abc"[which], Verdict.ANSWERED, seconds, now=0.0)

    assert {} == outliers.aside
