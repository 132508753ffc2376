"""Do the 80 % intervals hold in every group? Groups are those of report.json; how sure their figure is depends on how many drivers they have."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from kit.contract import Contract
from kit.training.judging import segments
from kit.training.judging.segments import ARCHETYPE, PROFILES
from kit.training.nets import masking

Flags = NDArray[np.bool_]

LOW, HIGH = 0.78, 0.84
ERRORS: Final = 2.0
"""A group is held to the limits with so many standard errors of allowance."""
OVERALL: Final = "all"
PREMIUM: Final = "coverage"
PANEL: Final = ("cheapest_coverage", "mean_of_five_cheapest_coverage", "count_coverage", "likely_insurers_coverage")
"""`count_coverage` is of the number that is served, which the classifier counts; `likely_insurers_coverage` is of the regressor's own."""
KINDS: Final = ("age", "points", "region")
FIGURES: Final[Mapping[str, tuple[str, ...]]] = {
    **dict.fromkeys((OVERALL, *KINDS), (PREMIUM, *PANEL)),
    ARCHETYPE: (PREMIUM,),
}
"""What has to be measured in groups of each kind; only premiums are of an insurer."""


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
        """With the allowance, which a profile as a whole does not have. What is not a number does not hold."""
        allowance = 0.0 if self.kind == OVERALL else ERRORS * self.error
        return LOW - allowance <= self.value <= HIGH + allowance


def kinds(contract: Contract, chosen: Mapping[str, Collection[str]]) -> dict[str, tuple[str, ...]]:
    """The kinds of groups that each profile has: those whose field it knows, and the archetypes of insurers.

    `chosen` are the profiles of the model's parameters, with the fields that they know. One that is not there is asked for all kinds.
    """
    masks = masking.profiles(contract, {name: tuple(fields) for name, fields in chosen.items()})
    known = {name: segments.kinds(contract, masks[name]) if name in masks else frozenset(KINDS) for name in PROFILES}
    return {name: (*(kind for kind in KINDS if kind in known[name]), ARCHETYPE) for name in PROFILES}


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
            if kind in FIGURES:
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
