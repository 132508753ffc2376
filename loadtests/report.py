"""How does a person read a verdict? A table of latency against the budget, what went wrong, and one last line."""

from collections.abc import Iterator, Mapping

from settings import PERCENTILES
from verdict import Figures, Verdict


def text(verdict: Verdict, *, checksum: str) -> str:
    """The whole report; `checksum` is that of load.toml."""
    return "\n".join(_lines(verdict, checksum))


def _lines(verdict: Verdict, checksum: str) -> Iterator[str]:
    run, limits = verdict.run, verdict.limits
    yield ""
    yield f"Quote journey, {run.end_s - run.begin_s:.0f} s counted, mix {checksum}; latency in ms from the intended send time"
    yield ""
    yield f"  {'':<10} {'requests':>9} {'p50':>8} {'p95':>8} {'p99':>8} {'worst':>8} {'errors':>8} {'degraded':>9}"
    yield _row("journey", verdict.journey)
    for name, figures in verdict.kinds.items():
        yield _row(f"  {name}", figures)
    yield f"  {'limit':<10} {'':>9} {'':>8} {'':>8} {limits.budget_ms:>8g} {'':>8} {limits.max_error_share:>8.2%} {limits.max_degraded_share:>9.2%}"
    yield ""
    yield f"  sent {verdict.sent_per_s:.1f}/s of {run.rate_per_s:g}/s meant; {verdict.late_behind_answers} late behind a slow answer"
    yield f"  generator: {run.generator_cpu:.0%} of a core, {verdict.late_by_generator} sent late by itself (a busy machine; counted as latency)"
    yield from _counts("errors", verdict.errors)
    yield from _counts("degraded", verdict.degraded)
    yield ""
    yield "PASSED: every limit kept" if verdict.is_good else "FAILED: " + "; ".join(verdict.reasons)


def _row(name: str, figures: Figures) -> str:
    shown = [f"{v:>8.1f}" if (v := figures.percentiles[p]) is not None else f"{'too few':>8}" for p in PERCENTILES]
    share = max(1, figures.requests)
    return (
        f"  {name:<10} {figures.requests:>9} {' '.join(shown)} {figures.worst_ms:>8.1f} "
        f"{figures.errors / share:>8.2%} {figures.degraded / share:>9.2%}"
    )


def _counts(title: str, counts: Mapping[str, int]) -> Iterator[str]:
    for what, count in sorted(counts.items(), key=lambda item: -item[1]):
        yield f"  {title}: {count} x {what}"
