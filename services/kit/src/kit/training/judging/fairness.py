"""Is a model worse, or wrong in one direction, for some groups of people? Region, urbanity, deprivation and age; a gap gates a release.

A group's gap is its mean signed error less that of all: of the log premium (above 0: it is told too dear a price), or of the probability
of a quote (above 0: it is declined more often than it was told). Sex is not among the groups, because it is nowhere: no contract has
it and no file with it is read.

Chance alone gives a small group a gap. The cells of one enquiry are alike, so an enquiry is what is counted: a gap is a ratio of sums
over enquiries, with the ratio estimator's linearised variance (Cochran, Sampling Techniques, 1977, chapter 6). A release is refused where
the lower confidence bound of |gap| is above the limit, with the level shared between the groups that are judged (Bonferroni): when
every group is within the limit, the chance that any is refused is at most `false_alarm`. Groups below `least_rows` are only shown.
"""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from kit.stage import BadInput
from kit.training.judging.segments import BANDS, IN_FIFTHS, Partition
from kit.training.params import FairnessParams

GROUPED: Final = (*BANDS, "region", *IN_FIFTHS)  # by which people can be grouped, where the contract has the field

Sums = NDArray[np.floating[Any]]

ERROR: Final = {
    "premium": "mean error of the log premium less that of all; above 0: predicted too dear",
    "quote": "mean error of the probability of a quote less that of all; above 0: declined more often than predicted",
}
"""What the gap is of, in words, by the project's branch."""


@dataclass(frozen=True, slots=True)
class Gap:
    """One group: enquiries, how far its mean error lies from that of all, and what chance may do to it."""

    kind: str
    group: str
    rows: int
    gap: float
    allowance: float
    judged: bool
    passed: bool


def gaps(errors: tuple[Sums, Sums], kinds: Mapping[str, Partition], params: FairnessParams) -> list[Gap]:
    """Of `kit.training.judging.predicted.Predicted.errors`, every group of the kinds in `params.by`, of those that are known."""
    total, count = errors
    counts = count > 0
    # The error beyond the mean of all: a group's ratio of these to its cells is its gap.
    beyond = total - total.sum() / max(count.sum(), 1) * count
    found = []
    for kind in params.by:
        if kind not in GROUPED:
            near = difflib.get_close_matches(kind, GROUPED, 1)
            raise BadInput(
                f"params.toml: fairness.by: no groups by `{kind}`" + (f"; did you mean `{near[0]}`?" if near else "")
            )
        if kind in kinds:
            of = kinds[kind]
            for g, group in enumerate(of.names):
                which = (of.place == g) & counts
                found.append((kind, group, int(which.sum()), *_ratio(beyond[which], count[which])))
    judged = [rows >= params.least_rows for _, _, rows, _, _ in found]
    each = NormalDist().inv_cdf(1 - params.false_alarm / max(1, 2 * sum(judged)))
    return [
        Gap(kind, group, rows, gap, each * error, at, not at or abs(gap) - each * error <= params.gap_at_most)
        for (kind, group, rows, gap, error), at in zip(found, judged, strict=True)
    ]


def told(gaps: Iterable[Gap], params: FairnessParams) -> dict[str, Any]:
    """The part of report.json: the parameters, and `groups`: {kind: {group: the rest of its gap}}."""
    groups: dict[str, dict[str, Any]] = {}
    for gap in gaps:
        figures = asdict(gap)
        groups.setdefault(figures.pop("kind"), {})[figures.pop("group")] = figures
    return asdict(params) | {"groups": groups}


def _ratio(beyond: Sums, count: Sums) -> tuple[float, float]:
    """The ratio of sums over enquiries, and its standard error; NaN and infinity when there are too few."""
    rows, cells = len(count), count.sum()
    if rows < 2:
        return (float(beyond.sum() / cells) if cells else float("nan")), float("inf")
    ratio = beyond.sum() / cells
    rest = beyond - ratio * count
    return float(ratio), float(np.sqrt(rows / (rows - 1) * (rest**2).sum()) / cells)
