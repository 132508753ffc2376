"""Was it good enough? Samples in, figures and a yes or no out; no clock, no Locust, no printing."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import Final

from settings import PERCENTILES, Limits

LATE_S: Final = 0.010


@dataclass(frozen=True, slots=True)
class Sample:
    """One request. Times are seconds on one clock; `error` is empty when the answer was what the question deserves.

    `was_idle` says that its user waited for the intended time: if it was sent late all the same, the generator was held up.
    """

    name: str
    intended_s: float
    sent_s: float
    done_s: float
    was_idle: bool = True
    error: str = ""
    degraded: frozenset[str] = frozenset()

    @property
    def latency_ms(self) -> float:
        """From the intended send time, so that a stall counts for everybody who would have come meanwhile."""
        return 1e3 * (self.done_s - self.intended_s)

    @property
    def is_late(self) -> bool:
        """Whether it was sent noticeably after it was meant to be."""
        return self.sent_s - self.intended_s > LATE_S


@dataclass(frozen=True, slots=True)
class Figures:
    """What some samples amount to. A percentile of too few samples is None."""

    requests: int
    percentiles: Mapping[str, float | None]
    worst_ms: float
    errors: int
    degraded: int

    @classmethod
    def of(cls, samples: Sequence[Sample], min_samples: Mapping[str, int]) -> "Figures":
        """Percentiles are of the samples themselves (nearest rank), not of buckets."""
        ordered = sorted(s.latency_ms for s in samples)
        return cls(
            requests=len(ordered),
            percentiles={
                name: ordered[ceil(q * len(ordered)) - 1] if len(ordered) >= max(1, min_samples[name]) else None
                for name, q in PERCENTILES.items()
            },
            worst_ms=ordered[-1] if ordered else 0.0,
            errors=sum(1 for s in samples if s.error),
            degraded=sum(1 for s in samples if s.degraded),
        )


@dataclass(frozen=True, slots=True)
class Run:
    """What was meant to happen: rate, the counted time from `begin_s` to `end_s`, and the generator's share of a core."""

    rate_per_s: float
    begin_s: float
    end_s: float
    generator_cpu: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """The figures of the journey (quotes and ballparks together) and of each kind of request; `reasons` is empty when it is good."""

    limits: Limits
    run: Run
    journey: Figures
    kinds: Mapping[str, Figures]
    sent_per_s: float
    late_behind_answers: int
    late_by_generator: int
    errors: Mapping[str, int]
    degraded: Mapping[str, int]
    reasons: Sequence[str] = ()

    @property
    def is_good(self) -> bool:
        """Whether the run kept to every limit."""
        return not self.reasons


def judge(samples: Iterable[Sample], run: Run, limits: Limits) -> Verdict:
    """Count the samples whose intended time lies in the run's counted time, and compare with the limits."""
    counted = [s for s in samples if run.begin_s <= s.intended_s < run.end_s]
    asked = [s for s in counted if s.name != "invalid"]
    names = [name for name, _ in Counter(s.name for s in counted).most_common()]
    verdict = Verdict(
        limits=limits,
        run=run,
        journey=Figures.of(asked, limits.min_samples),
        kinds={name: Figures.of([s for s in counted if s.name == name], limits.min_samples) for name in names},
        sent_per_s=len(counted) / (run.end_s - run.begin_s) if run.end_s > run.begin_s else 0.0,
        late_behind_answers=sum(1 for s in counted if s.is_late and not s.was_idle),
        late_by_generator=sum(1 for s in counted if s.is_late and s.was_idle),
        errors=Counter(f"{s.name}: {s.error}" for s in counted if s.error),
        degraded=Counter(reason for s in counted for reason in s.degraded),
    )
    return _with_reasons(verdict, len(counted))


def _with_reasons(verdict: Verdict, counted: int) -> Verdict:
    limits, run, p99 = verdict.limits, verdict.run, verdict.journey.percentiles["p99"]
    errors = sum(verdict.errors.values()) / max(1, counted)
    degraded = verdict.journey.degraded / max(1, verdict.journey.requests)
    miss = abs(verdict.sent_per_s / run.rate_per_s - 1)
    reasons = []
    if p99 is None:
        reasons.append(
            f"{verdict.journey.requests} requests are too few for a p99: {limits.min_samples['p99']} are needed"
        )
    elif p99 > limits.budget_ms:
        reasons.append(f"p99 {p99:.1f} ms is over the budget of {limits.budget_ms:g} ms")
    if errors > limits.max_error_share:
        reasons.append(f"{errors:.2%} errors, at most {limits.max_error_share:.2%}")
    if degraded > limits.max_degraded_share:
        reasons.append(f"{degraded:.2%} degraded, at most {limits.max_degraded_share:.2%}")
    if miss > limits.max_rate_miss:
        reasons.append(f"{verdict.sent_per_s:.1f} requests/s were sent, {run.rate_per_s:g} were meant")
    if run.generator_cpu > limits.max_generator_cpu:
        reasons.append(f"the generator used {run.generator_cpu:.0%} of its core: it was measured too; run it elsewhere")
    return replace(verdict, reasons=reasons)
