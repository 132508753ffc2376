"""Do the 80 % intervals hold in every group? Groups are those of report.json; how sure their figure is depends on how many drivers they have."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Flags = NDArray[np.bool_]

LOW, HIGH = 0.78, 0.84
ERRORS: Final = 2.0
"""A group is held to the limits with so many standard errors of allowance."""
OVERALL: Final = "all"
PREMIUM: Final = "coverage"
PANEL: Final = ("cheapest_coverage", "mean_of_five_cheapest_coverage", "count_coverage", "likely_insurers_coverage")
PROFILES: Final = ("full", "no_history", "showroom9", "showroom6", "showroom4")
KINDS: Final = ("age", "points", "region", "archetype")


@dataclass(frozen=True, slots=True)
class Group:
    """The coverage of one figure in one group of one profile; `cells` answers of `rows` enquiries."""

    profile: str
    kind: str
    name: str
    figure: str
    value: float
    rows: int
    cells: int
    error: float

    @property
    def is_inside(self) -> bool:
        """Without any allowance."""
        return LOW <= self.value <= HIGH

    @property
    def holds(self) -> bool:
        """With the allowance. What is not a number does not hold."""
        return LOW - ERRORS * self.error <= self.value <= HIGH + ERRORS * self.error


def groups(report: Mapping[str, Any], agreement: float, quotes: int) -> tuple[Group, ...]:
    """Every coverage that must hold in a report.json: of each profile as a whole, and of each of its groups.

    `agreement` is the intraclass correlation of one enquiry's cells (see `accuracy.compare.agreement`), from 0 to 1; `quotes` the cells
    with a premium in all of the held-out enquiries.
    """
    return (*_profiles(report, agreement, quotes), *_segments(report, agreement))


def _profiles(report: Mapping[str, Any], agreement: float, quotes: int) -> Iterator[Group]:
    rows = int(report["enquiries"])
    for profile in PROFILES:
        yield from _of(profile, OVERALL, OVERALL, report["profiles"].get(profile, {}), rows, quotes, agreement)


def _segments(report: Mapping[str, Any], agreement: float) -> Iterator[Group]:
    for profile in PROFILES:
        for kind, of_kind in report.get("segments", {}).get(profile, {}).items():
            if kind in KINDS:
                for name, figures in of_kind.items():
                    yield from _of(profile, kind, name, figures, int(figures["rows"]), int(figures["cells"]), agreement)


def _of(
    profile: str, kind: str, name: str, figures: Mapping[str, Any], rows: int, cells: int, agreement: float
) -> Iterator[Group]:
    for figure in (PREMIUM, *PANEL):
        if figure in figures:
            value = float("nan") if figures[figure] is None else float(figures[figure])
            count = cells if figure == PREMIUM else rows  # a panel figure is one number per enquiry
            yield Group(profile, kind, name, figure, value, rows, count, error(value, rows, count, agreement))


def error(share: float, rows: int, cells: int, agreement: float) -> float:
    """The standard error of a share of cells that come in `rows` clusters (Kish): as if there were fewer of them, the more alike they are."""
    if not rows or not cells:
        return float("nan")
    per_row = max(1.0, cells / rows)
    return sqrt(max(share * (1 - share), 0.0) / cells * (1 + (per_row - 1) * agreement))


def by_insurers(
    kind: str, names: Mapping[str, str], insurers: Sequence[str], inside: Flags, given: Flags, agreement: float
) -> tuple[Group, ...]:
    """The coverage of groups of insurers (insurer to group) with all answers known; bool[B, K] whether a premium is there and inside."""
    found = []
    for name in sorted(set(names.values())):
        columns = [k for k, insurer in enumerate(insurers) if names.get(insurer) == name]
        cells, rows = int(given[:, columns].sum()), int(given[:, columns].any(axis=1).sum())
        value = float((inside & given)[:, columns].sum() / cells) if cells else float("nan")
        found.append(Group("full", kind, name, PREMIUM, value, rows, cells, error(value, rows, cells, agreement)))
    return tuple(found)
