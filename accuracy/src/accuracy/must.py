"""What must be shown, each with its limit and its value, and which of it does not hold."""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from accuracy.costs import Cost
from accuracy.coverage import ERRORS, FIGURES, HIGH, LOW, OVERALL, Group
from accuracy.places import MODELS

STRICTEST_FROM: Final = 1_000_000
"""Enquiries from which the nearest distance to the oracle is asked for, and from which time and memory have limits."""
ORACLE_FROM: Final = 200_000
BASELINES_FROM: Final = 20_000
KEEP: Final = "0.95"
LEAST_ROWS: Final = 200
"""Drivers that a group needs to be judged; it is shown with fewer."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the verdict. Without a limit it is only said; with `is_judged` false its limit is for larger sizes, or for groups too small."""

    group: str
    name: str
    value: float
    at_least: float | None = None
    at_most: float | None = None
    unit: str = ""
    note: str = ""
    is_judged: bool = True

    @property
    def has_limit(self) -> bool:
        """Whether there is something to hold it to."""
        return self.at_least is not None or self.at_most is not None

    @property
    def is_inside(self) -> bool:
        """A figure that is not a number is not."""
        low = -math.inf if self.at_least is None else self.at_least
        high = math.inf if self.at_most is None else self.at_most
        return low <= self.value <= high

    @property
    def fails(self) -> bool:
        """Whether the run has to end with 1 for it."""
        return self.has_limit and self.is_judged and not self.is_inside

    @property
    def verdict(self) -> str:
        """In a word or two."""
        if not self.has_limit:
            return "said"
        if self.is_judged:
            return "holds" if self.is_inside else "FAILS"
        return "not judged (inside)" if self.is_inside else "not judged (outside)"

    @property
    def limit(self) -> str:
        """As text."""
        if self.at_least is not None and self.at_most is not None:
            return f"{shown(self.at_least, self.unit)} to {shown(self.at_most, self.unit)}"
        if self.at_least is not None:
            return f"≥ {shown(self.at_least, self.unit)}"
        return "" if self.at_most is None else f"≤ {shown(self.at_most, self.unit)}"

    @property
    def shown(self) -> str:
        """The value as text."""
        return shown(self.value, self.unit)


def shown(value: float, unit: str) -> str:
    """A value as a person reads it; `%` values are shares."""
    if not math.isfinite(value):
        return "none"
    if unit == "%":
        return f"{value:.2%}"
    if unit in {"s", "rows/s"}:
        return f"{value:,.0f} {unit}" if value >= 100 else f"{value:.1f} {unit}"
    if unit == "GiB":
        return f"{value:.2f} GiB"
    return f"{value:.4f}"


def premium(ours: float, oracle: float, baselines: Mapping[str, tuple[float, float]], enquiries: int) -> list[Row]:
    """Ours beside the oracle over all insurers; and (ours, theirs) of each baseline over the insurers that it was fitted to."""
    limit = 1.15 if enquiries >= STRICTEST_FROM else 1.30
    rows = [
        Row("Premium", "MAPE ÷ oracle", ours / oracle, at_most=limit, is_judged=enquiries >= ORACLE_FROM,
            note=f"{ours:.2%} ÷ {oracle:.2%}; 1.30 from 200,000 enquiries on, 1.15 from 1,000,000"),
    ]  # fmt: skip
    for name, (mine, theirs) in baselines.items():
        rows.append(
            Row("Premium", f"MAPE ÷ {name}", mine / theirs, at_most=1.0, is_judged=enquiries >= BASELINES_FROM,
                note=f"{mine:.2%} ÷ {theirs:.2%}, on the baselines' insurers")
        )  # fmt: skip
    return rows


def quotes(ours: float, oracle: float, error: float, baselines: Mapping[str, tuple[float, float]]) -> list[Row]:
    """Who quotes: the mean AUC, and the calibration of the probabilities."""
    rows = [
        Row("Decline", "AUC ÷ oracle", ours / oracle, at_least=0.97, note=f"{ours:.4f} ÷ {oracle:.4f}, means over insurers"),
        Row("Decline", "expected calibration error", error, at_most=0.01, unit="%"),
    ]  # fmt: skip
    rows += [
        Row("Decline", f"AUC less {name}'s", mine - theirs, note=f"{mine:.4f} and {theirs:.4f}, on the baselines' insurers")
        for name, (mine, theirs) in baselines.items()
    ]  # fmt: skip
    return rows


def coverage(groups: Iterable[Group]) -> list[Row]:
    """Every group by itself, the limits widened by the allowance for its size; a profile as a whole has none."""
    rows = []
    for of in groups:
        allowance = 0.0 if of.kind == OVERALL else ERRORS * of.error
        rows.append(
            Row(
                "Coverage of 80 %", f"{of.profile}, {of.kind} {of.name}, {of.figure}", of.value,
                at_least=LOW - allowance, at_most=HIGH + allowance, unit="%", is_judged=of.rows >= LEAST_ROWS,
                note=f"{of.rows} drivers, standard error {of.error:.2%}, "
                + ("inside" if of.is_inside else "outside") + f" {LOW:.0%} to {HIGH:.0%} without allowance",
            )
        )  # fmt: skip
    return rows


def coverage_is_there(groups: Iterable[Group], kinds: Mapping[str, Collection[str]]) -> list[Row]:
    """That there is something to hold: what should be measured and is in no report is a failure, and not a silence.

    `kinds` are those that each profile has, see `accuracy.coverage.kinds`. A group of insurers has only the coverage of premiums.
    """
    found = {(g.profile, g.kind, g.figure) for g in groups}
    return [
        Row("Coverage of 80 %", f"{profile}, {kind}, {figure} is measured", float("nan"), at_least=0.0, note="no report has it")
        for profile, of_profile in kinds.items()
        for kind in (OVERALL, *of_profile)
        for figure in FIGURES[kind]
        if (profile, kind, figure) not in found
    ]  # fmt: skip


def profiles(report: Mapping[str, Any]) -> list[Row]:
    """How well the cheapest price is met, from all answers and from few; at every size."""
    limits = {"showroom6": 0.215, "showroom4": 0.28, "full": 0.115}
    return [
        Row("Cheapest price", f"MAPE, {name}", figure(report, "profiles", name, "cheapest_mape"), at_most=limit, unit="%")
        for name, limit in limits.items()
    ]  # fmt: skip


def shortlist(report: Mapping[str, Any]) -> list[Row]:
    """At keep 0.95, with all answers known: how often the best price is kept, and how much of the panel is asked."""
    of = report.get("shortlist", {})
    full = of.get("full", {}).get(KEEP, {})
    kept, asked = ([figure(by_keep, KEEP, name) for by_keep in of.values()] for name in ("kept", "asked"))
    return [
        Row("Shortlist at keep 0.95", "best price kept", figure(full, "kept"), at_least=0.94, at_most=0.97, unit="%",
            note=_across(kept)),
        Row("Shortlist at keep 0.95", "mean share asked", figure(full, "asked"), at_most=0.35, unit="%", note=_across(asked)),
    ]  # fmt: skip


def _across(values: Sequence[float]) -> str:
    known = [v for v in values if math.isfinite(v)]
    return f"over all profiles {min(known):.1%} to {max(known):.1%}" if known else "no report has it"


def out_of_range(report: Mapping[str, Any]) -> list[Row]:
    """What the ranges notice of mistakes, and how often they cry wolf, in the profile where they do so most."""
    of = report.get("out_of_range", {})
    alarms = [float(v) for v in of.get("false_alarms", {}).values() if v is not None]
    name = "Out of range"
    return [
        Row(name, "unit errors noticed", figure(of, "unit_errors", "noticed"), at_least=0.95, unit="%", note=_by_whom(of, "unit_errors")),
        Row(name, "swapped fields noticed", figure(of, "swaps", "noticed"), at_least=0.95, unit="%", note=_by_whom(of, "swaps")),
        Row(name, "false alarms, all answers known", figure(of, "false_alarms", "full"), at_most=0.01, unit="%",
            note=f"most in any profile: {max(alarms):.2%}" if alarms else "no report has it"),
    ]  # fmt: skip


def _by_whom(of: Mapping[str, Any], mistake: str) -> str:
    refused, left = (figure(of, mistake, name) for name in ("refused", "of_accepted"))
    return f"{shown(refused, '%')} are refused by the contract; of what it accepts {shown(left, '%')} are noticed"


def figure(report: Mapping[str, Any], *path: str) -> float:
    """A number somewhere in a report, NaN where there is none."""
    at: Any = report
    for name in path:
        at = at.get(name) if isinstance(at, Mapping) else None
    return float(at) if isinstance(at, int | float) else float("nan")


def costs(stages: Mapping[str, Cost], rates: Mapping[str, float], enquiries: int) -> list[Row]:
    """What the stages took by name, and enquiries per second by model, held to the limits at a million enquiries.

    What was not measured has a row too, and is not a number.
    """
    trainings, scorings = ([f"{model} {stage}" for model in MODELS] for stage in ("train", "score"))
    wanted = ("wrangle", *trainings, *scorings)
    missing = [name for name in wanted if name not in stages]
    memory = float("nan") if missing else max(cost.memory for cost in stages.values()) / 2**30
    is_judged = enquiries >= STRICTEST_FROM
    name, unknown = "Cost", float("nan")
    return [
        Row(name, "wrangle", _wall_s(stages, "wrangle"), at_most=120, unit="s", is_judged=is_judged),
        Row(name, "both trainings", sum(_wall_s(stages, training) for training in trainings), at_most=1200, unit="s", is_judged=is_judged),
        *(Row(name, f"{model}: enquiries scored per second, all insurers", rates.get(model, unknown), at_least=20_000, unit="rows/s",
              is_judged=is_judged) for model in MODELS),
        Row(name, "memory of the largest stage", memory, at_most=8.0, unit="GiB", is_judged=is_judged,
            note=f"not measured: {', '.join(missing)}" if missing else ""),
    ]  # fmt: skip


def _wall_s(stages: Mapping[str, Cost], name: str) -> float:
    return stages[name].wall_s if name in stages else float("nan")


def failures(rows: Iterable[Row]) -> list[Row]:
    """Those for which the run ends with 1."""
    return [row for row in rows if row.fails]
