"""Samples in, a yes or no and its reasons out."""

from dataclasses import replace

import pytest
import report
from arrivals import Timetable
from settings import Limits
from verdict import Run, Sample, judge

LIMITS = Limits(
    budget_ms=150, max_error_share=0.01, max_degraded_share=0.02, max_rate_miss=0.02, max_generator_cpu=0.7,
    min_samples={"p50": 10, "p95": 50, "p99": 100},
)  # fmt: skip
RUN = Run(rate_per_s=100.0, begin_s=0.0, end_s=10.0, generator_cpu=0.1)


def samples(latency_ms: float = 10.0, name: str = "quotes") -> list[Sample]:
    """A thousand requests as planned, all alike."""
    return [Sample(name, i / 100, i / 100, i / 100 + latency_ms / 1e3) for i in range(1_000)]


def test_a_run_within_every_limit_is_good() -> None:
    """Nothing to complain of, nothing complained of."""
    verdict = judge(samples(), RUN, LIMITS)

    assert [] == verdict.reasons
    assert 100.0 == verdict.sent_per_s


@pytest.mark.parametrize(
    ("spoilt", "reason"),
    [
        ([replace(s, done_s=s.done_s + 1) if i < 11 else s for i, s in enumerate(samples())], "p99 1010.0 ms is over"),
        ([replace(s, error="status 500") if i < 11 else s for i, s in enumerate(samples())], "1.10% errors"),
        ([replace(s, degraded=frozenset({"x"})) if i < 21 else s for i, s in enumerate(samples())], "2.10% degraded"),
        (samples()[:970], "97.0 requests/s were sent, 100 were meant"),
        (samples()[:99], "99 requests are too few for a p99"),
        ([], "0 requests are too few"),
    ],
)
def test_each_limit_is_kept_apart(spoilt: list[Sample], reason: str) -> None:
    """Just beyond a limit is not good, and the reason has the figure in it."""
    verdict = judge(spoilt, RUN, LIMITS)

    assert not verdict.is_good
    assert any(reason in r for r in verdict.reasons)


@pytest.mark.parametrize("count", [10, 5])
def test_slow_within_a_hundredth_is_good(count: int) -> None:
    """A p99 is what 99 of 100 stay below: one in a hundred may be slow."""
    spoilt = [replace(s, done_s=s.done_s + 1) if i < count else s for i, s in enumerate(samples())]

    assert judge(spoilt, RUN, LIMITS).is_good


def test_a_busy_generator_spoils_the_run() -> None:
    """A generator that is out of breath measures itself."""
    assert not judge(samples(), replace(RUN, generator_cpu=0.71), LIMITS).is_good


def test_the_warm_up_is_not_counted() -> None:
    """What was meant to be sent before the counted time is left out, however slow."""
    slow = [replace(s, done_s=s.done_s + 1) if s.intended_s < 5 else s for s in samples()]

    verdict = judge(slow, replace(RUN, begin_s=5.0), LIMITS)

    assert (True, 500) == (verdict.is_good, verdict.journey.requests)


def test_a_stall_counts_for_everybody_who_would_have_come() -> None:
    """One user at 100 a second meets a stall of two seconds: about two hundred slow requests, not one."""
    timetable, now_s = Timetable(0.0, 0.01), 0.0
    taken: list[Sample] = []
    while len(taken) < 1_000:
        now_s += timetable.wait_s(now_s=now_s)
        intended_s, sent_s = timetable.take(), now_s
        now_s = max(now_s + 0.001, 5.0 if 3.0 <= now_s < 5.0 else 0.0)
        taken.append(Sample("quotes", intended_s, sent_s, now_s))

    verdict = judge(taken, RUN, LIMITS)

    assert 1_000 == verdict.journey.requests
    assert 190 <= sum(s.latency_ms > 100 for s in taken) <= 230
    assert verdict.journey.percentiles["p99"] is not None
    assert verdict.journey.percentiles["p99"] > 1_800


def test_refusals_are_no_part_of_the_journeys_latency() -> None:
    """Invalid input has a row of its own: quick refusals do not flatter the p99."""
    verdict = judge(samples(10.0) + samples(1.0, "invalid"), replace(RUN, rate_per_s=200.0), LIMITS)

    assert (1_000, 1_000) == (verdict.journey.requests, verdict.kinds["invalid"].requests)
    assert 10.0 == pytest.approx(verdict.journey.percentiles["p50"])


def test_the_report_refuses_a_percentile_of_too_few() -> None:
    """Sixty samples make a p95 and no p99, and the report says so."""
    said = report.text(judge(samples()[:60], RUN, LIMITS), checksum="0" * 12)

    row = next(line for line in said.splitlines() if line.strip().startswith("journey"))
    assert ["journey", "60", "10.0", "10.0", "too", "few"] == row.split()[:6]
    assert said.splitlines()[-1].startswith("FAILED: 60 requests are too few")


def test_lateness_has_two_causes() -> None:
    """A user that was waiting and still sent late was held up by the generator; one that was busy, by the answer before."""
    late = [replace(s, sent_s=s.intended_s + 0.02, was_idle=i < 3) for i, s in enumerate(samples()[:10])]

    verdict = judge(late + samples()[10:], RUN, LIMITS)

    assert (7, 3) == (verdict.late_behind_answers, verdict.late_by_generator)
