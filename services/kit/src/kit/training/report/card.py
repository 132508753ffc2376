"""card.md of an artefact: the project's text with the figures of its report filled in."""

from collections.abc import Callable, Mapping
from string import Template
from typing import Any, Final

from kit.training.data.wrangle import Wrangled
from kit.training.nets.masking import FULL
from kit.training.project import Project

Figures = Mapping[str, float]

LEAST_ROWS: Final = 100  # a group with fewer enquiries is not called the worst
WORST: Final[Mapping[str, Mapping[str, tuple[str, Callable[[float], float]]]]] = {
    "premium": {
        "largest error": ("premium_mape", lambda v: v),
        "lowest coverage": ("coverage", lambda v: -v),
        "highest coverage": ("coverage", lambda v: v),
        "largest bias": ("premium_bias", abs),
    },
    "quote": {
        "lowest AUC": ("auc", lambda v: -v),
        "largest calibration error": ("calibration_error", lambda v: v),
        "largest gap of the share of quotes": ("quote_gap", abs),
    },
}
"""What the worst group of a kind is, for each column of the card's table: the figure, and what it is worst by."""


def card(project: Project, wrangled: Wrangled, report: Mapping[str, Any]) -> str:
    """The project's card with its figures filled in."""
    return Template(project.card).substitute(
        figures=profiles(report["profiles"]),
        segments=worst(report["segments"][FULL], project.branch),
        fairness=fairness(report["fairness"]),
        enquiries=sum(wrangled.counts.values()),
        train=wrangled.counts["train"],
        test=wrangled.counts["test"],
        test_begins=wrangled.begins["test"],
        insurers=len(wrangled.insurers),
        contract=wrangled.contract[:12],
        data=wrangled.data[:12],
    )


def profiles(found: Mapping[str, Figures]) -> str:
    """A table with a row for each profile."""
    names = list(found[FULL])
    rows = [[profile, *(f"{figures[n]:.3f}" for n in names)] for profile, figures in found.items()]
    return _table(["answers given", *(n.replace("_", " ") for n in names)], rows)


def worst(kinds: Mapping[str, Mapping[str, Figures]], branch: str) -> str:
    """A table with the worst groups of each kind, among those that are large enough."""
    rows = []
    for kind, groups in kinds.items():
        row = [kind]
        for figure, badness in WORST[branch].values():
            found = {g: f[figure] for g, f in groups.items() if f["rows"] >= LEAST_ROWS and f[figure] == f[figure]}
            group = max(found, key=lambda g: badness(found[g]), default=None)
            row.append("n/a" if group is None else f"{group.replace('_', ' ')}: {found[group]:.3f}")
        rows.append(row)
    return _table(["kind of group", *WORST[branch]], rows)


def fairness(found: Mapping[str, Any]) -> str:
    """A table with the widest gap of each kind, among the groups that are judged."""
    rows = []
    for kind, groups in found["groups"].items():
        judged = {g: of for g, of in groups.items() if of["judged"]}
        if judged:
            group = max(judged, key=lambda g: abs(judged[g]["gap"]))
            of = judged[group]
            rows.append(
                [
                    kind,
                    group,
                    f"{of['gap']:+.4f}",
                    f"{of['allowance']:.4f}",
                    f"{found['gap_at_most']:g}",
                    str(of["rows"]),
                ]
            )
    return _table(["kind of group", "widest gap", "gap", "of it chance, at most", "limit", "enquiries"], rows)


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
