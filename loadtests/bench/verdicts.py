"""Is it good enough? Figures against the limits that they must keep, a line each."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from bench.figures import ratio
from bench.measure import Turn

FLEET: Final = "fleet"
TARGETS: Final[Mapping[str, tuple[float, float]]] = {"2w": (3.0, 4.0), "1w-batch": (2.0, 3.0)}
"""By baseline: how many times its throughput at 64 connections, and its rate at p99 <= 25 ms, ours must be."""
AT: Final = 64
WITHIN_MS: Final = 25.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """A figure and what it must be; not a number is not good."""

    name: str
    value: float
    at_least: float | None = None
    at_most: float | None = None

    @property
    def holds(self) -> bool:
        """Whether it keeps to its limit."""
        if self.at_least is not None:
            return self.value >= self.at_least
        return self.at_most is not None and self.value <= self.at_most

    @property
    def limit(self) -> str:
        """As it is written."""
        return f">= {self.at_least:g}" if self.at_least is not None else f"<= {self.at_most:g}"

    def text(self) -> str:
        """One line: yes or NO first."""
        return f"{'yes' if self.holds else 'NO ':<4}{self.name}: {self.value:.3g} ({self.limit})"


def compare(rounds: Mapping[str, Sequence[Turn]]) -> list[Verdict]:
    """What the issue asks of the fleet beside those baselines that were measured."""
    return list(_compare(rounds))


def _compare(rounds: Mapping[str, Sequence[Turn]]) -> Iterator[Verdict]:
    ours = rounds.get(FLEET, ())
    for name, (throughput, rate) in TARGETS.items():
        theirs = rounds.get(name, ())
        if ours and theirs:
            at_64 = ratio([t.closed[AT].per_s for t in ours], [t.closed[AT].per_s for t in theirs])
            yield Verdict(f"throughput at {AT} connections / {name}'s", at_64, at_least=throughput)
            in_time = ratio([t.rate_per_s[WITHIN_MS] for t in ours], [t.rate_per_s[WITHIN_MS] for t in theirs])
            yield Verdict(f"rate at p99 <= {WITHIN_MS:g} ms / {name}'s", in_time, at_least=rate)
    if ours and (theirs := rounds.get("2w", ())):
        alone = ratio([t.closed[1].p50_ms for t in ours], [t.closed[1].p50_ms for t in theirs])
        yield Verdict("p50 alone / 2w's", alone, at_most=1.0)
    for name, turns in rounds.items():
        answered = sum(one.answers for t in turns for one in t.closed.values())
        yield Verdict(f"{name}: share of errors", sum(t.errors for t in turns) / max(1, answered), at_most=0.001)


def middle(turns: Sequence[Turn]) -> Mapping[str, float]:
    """The medians of a system's rounds, by the name of the column."""
    return {
        "1": median(t.closed[1].per_s for t in turns),
        "16": median(t.closed[16].per_s for t in turns),
        "64": median(t.closed[64].per_s for t in turns),
        "p50 ms": median(t.closed[1].p50_ms for t in turns),
        "p99 ms": median(t.closed[1].p99_ms for t in turns),
        "<= 25 ms": median(t.rate_per_s[25.0] for t in turns),
        "<= 50 ms": median(t.rate_per_s[50.0] for t in turns),
        "CPU ms": median(t.cpu_ms for t in turns),
        "PSS MB": median(t.pss_mb for t in turns),
        "errors": float(sum(t.errors for t in turns)),
    }
