"""A result as a report: what must be shown first, then where it comes from."""

import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from accuracy import coverage, must, pictures
from accuracy.baselines import KINDS, TUNING_ROWS
from accuracy.benchmark import Result
from accuracy.compare import ORACLE, OURS
from accuracy.coverage import Group
from accuracy.machine import Machine
from accuracy.must import Row
from accuracy.pages import Block, Heading, Picture, Table, Text
from kit.training.judging.segments import PROFILES

FORMAT: Final = 1
COVERAGE: Final = "Coverage of 80 %"
HOW: Final = (
    "Both baselines are fitted anew for each insurer, to the same training enquiries as the models and to the same packed rows, and are judged "
    "on the same later enquiries. HistGradientBoosting (scikit-learn): the log premium, and quote or not; categories of up to 255 values "
    "natively, longer ones (model of the car, postcode sector) by cross-fitted target encoding; a tenth of the rows says when to stop. GLM: ridge "
    "regression of the log premium and logistic regression of quote or not, on hat functions of every number (a knot at each value where there "
    "are at most 64, else at 64 quantiles) and a column for every value of every category. Loss, leaves and the strength of the penalty are chosen "
    f"by the newest tenth of the newest eighth of the training enquiries ({TUNING_ROWS[0]:,} to {TUNING_ROWS[1]:,}), on two insurers. The oracle is the market's own log price before noise "
    "and its probability of a quote; it does not know a driver's hidden score nor a price test's side of the week, so that a model which finds "
    "traces of them in the answers can come out ahead of it."
)


def blocks(
    result: Result, machine: Machine, commit: str, date: str, curves: Mapping[str, Sequence[tuple[int, float]]]
) -> list[Block]:
    """The whole report."""
    failed = must.failures(result.rows)
    begin = (
        f"{result.enquiries:,} enquiries of {result.market.get('insurers', '?')} insurers (market seed {result.market.get('seed', '?')}), "
        f"split by time; {result.held_out:,} later ones are held out. {date}, commit {commit}, on {machine}. "
        + ", ".join(f"{model}/{version}" for model, version in result.versions.items()) + "."
        + "".join(f" {model} was made with other parameters than its own: {file}." for model, file in result.params.items())
        + (f" Done by other code than the present one: {', '.join(result.stale)}." if result.stale else "")
    )  # fmt: skip
    verdict = f"{len(failed)} of what must be shown do not hold." if failed else "All that must be shown holds."
    return [
        Text(begin),
        Text(verdict),
        Heading("What must be shown"),
        verdicts(result.rows),
        Heading("Beside the baselines and the oracle"),
        Text(HOW),
        beside(result),
        by_insurer(result),
        Text("Chosen: " + "; ".join(f"{kind}: {_settings(of)}" for kind, of in result.settings.items()) + "."),
        *_curve(curves),
        Heading("Coverage of the 80 % intervals"),
        *covered(result.groups, result.kinds),
        Heading("What it took"),
        took(result),
        Heading("Men and women"),
        Text(sexes(result.by_sex)),
    ]


def verdicts(rows: Sequence[Row]) -> Table:
    """Every must-show in a line; coverage, of which there are hundreds, as a line for each kind of group and the groups that fail."""
    lines = ((row.group, row.name, row.shown, row.limit, row.verdict, row.note) for row in summary(rows))
    return Table(("", "figure", "value", "limit", "verdict", "note"), tuple(lines), words=2, remarks=2)


def summary(rows: Sequence[Row]) -> list[Row]:
    """The rows with those on coverage counted by profile and kind, and of these only the ones that fail by themselves."""
    found = [row for row in rows if row.group != COVERAGE]
    of = [row for row in rows if row.group == COVERAGE]
    judged = [row for row in of if row.is_judged]
    if of:
        share = sum(row.is_inside for row in judged) / len(judged) if judged else math.nan
        strictly = sum(coverage.LOW <= row.value <= coverage.HIGH for row in judged)
        found.append(
            Row(COVERAGE, "groups inside 78 % to 84 % ± 2 standard errors, profiles strictly", share, at_least=1.0, unit="%",
                note=f"{sum(r.is_inside for r in judged)} of {len(judged)} groups of at least {must.LEAST_ROWS} drivers; {strictly} "
                f"without the allowance; {len(of) - len(judged)} smaller groups are not judged")
        )  # fmt: skip
    return [*found, *(row for row in judged if not row.is_inside)]


def beside(result: Result) -> Table:
    """Premium MAPE and decline AUC of everybody."""
    rows = []
    for label, names in (
        ("all insurers", (OURS, ORACLE)),
        (f"the {len(result.sampled)} sampled", (OURS, *KINDS, ORACLE)),
    ):
        of = result.standings["all" if label == "all insurers" else "sampled"]
        for name in names:
            if name in of:
                oracle = of[ORACLE]
                rows.append((
                    label, name, f"{of[name]['mape']:.2%}", f"{of[name]['mape'] / oracle['mape']:.3f}",
                    f"{of[name]['auc']:.4f}", f"{of[name]['auc'] / oracle['auc']:.4f}",
                ))  # fmt: skip
    return Table(("insurers", "", "premium MAPE", "÷ oracle", "decline AUC", "÷ oracle"), tuple(rows), words=2)


def by_insurer(result: Result) -> Table:
    """Premium MAPE of each sampled insurer."""
    of = result.standings["sampled"]
    names = [name for name in (OURS, *KINDS, ORACLE) if name in of]
    rows = [
        (insurer, *(f"{of[name]['mapes'][i]:.2%}" for name in names), *(f"{of[name]['aucs'][i]:.4f}" for name in names))
        for i, insurer in enumerate(result.sampled)
    ]
    return Table(("insurer", *(f"MAPE {n}" for n in names), *(f"AUC {n}" for n in names)), tuple(rows))


def _settings(of: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in of.items())


def _curve(curves: Mapping[str, Sequence[tuple[int, float]]]) -> list[Block]:
    if max((len(of) for of in curves.values()), default=0) < 2:
        return []
    limits = ((must.ORACLE_FROM, 1.30), (must.STRICTEST_FROM, 1.15))
    return [
        Picture(
            "Premium MAPE over the oracle's, by size", "learning-curve.svg", pictures.learning_curve(curves, limits)
        )
    ]


def covered(groups: Sequence[Group], kinds: Mapping[str, Collection[str]]) -> list[Block]:
    """A table of extremes for every profile and kind, and with all answers known a picture of every group."""
    rows = []
    for profile in PROFILES:
        for figure in dict.fromkeys(g.figure for g in groups):
            of = [g for g in groups if g.profile == profile and g.figure == figure and g.rows >= must.LEAST_ROWS]
            for kind in dict.fromkeys(g.kind for g in of):
                here = sorted((g for g in of if g.kind == kind), key=lambda g: g.value)
                rows.append((
                    profile, figure, kind, str(len(here)), f"{here[0].value:.2%} ({here[0].name})", f"{here[-1].value:.2%} ({here[-1].name})",
                    str(sum(g.is_inside for g in here)), str(sum(g.holds for g in here)),
                ))  # fmt: skip
    drawn = {
        kind: [(g.name, g.value, g.error) for g in groups if (g.profile, g.figure, g.kind) == ("full", coverage.PREMIUM, kind)]
        for kind in coverage.FIGURES
        if kind != coverage.OVERALL
    }  # fmt: skip
    picture = pictures.coverages({k: v for k, v in drawn.items() if v}, coverage.LOW, coverage.HIGH)
    head = ("profile", "figure", "groups by", "groups", "least", "most", "inside", "inside ± 2 errors")
    return [
        Text(
            "Standard errors treat one driver's answers as alike as they were found to be, so that many answers to few drivers do not look "
            "like many drivers. The measured likeness is that with all answers known. " + unasked(kinds)
        ),
        Table(head, tuple(rows), words=3),
        Picture("Coverage by group, all answers known, with two standard errors", "coverage.svg", picture),
    ]


def unasked(kinds: Mapping[str, Collection[str]]) -> str:
    """Which kinds of groups a profile does not have, as it leaves their question open."""
    missing = {profile: [kind for kind in coverage.KINDS if kind not in of] for profile, of in kinds.items()}
    said = "; ".join(f"{profile} has no groups by {' or '.join(of)}" for profile, of in missing.items() if of)
    return f"What a profile leaves open makes no groups: {said}." if said else "Every profile has groups of every kind."


def took(result: Result) -> Table:
    """Every stage's wall clock, processor time and memory."""
    rows = []
    for name, done in result.done.items():
        cost = done.cost
        rate = result.rates.get(name.removesuffix(" score")) if name.endswith("score") else None
        rows.append((
            name, f"{cost.wall_s:,.1f} s", f"{cost.cpu_s:,.1f} s", f"{cost.memory / 2**20:,.0f} MiB",
            f"{rate:,.0f} ({result.held_out / cost.wall_s:,.0f} with the start)" if rate else "",
            done.finished[:10] + (" (code has changed since)" if done.is_stale else ""),
        ))  # fmt: skip
    return Table(("stage", "wall", "CPU", "memory", "enquiries/s, all insurers", "measured"), tuple(rows), remarks=1)


def sexes(of: Mapping[str, float]) -> str:
    """What follows for men and women from answers in which sex is not."""
    if not of:
        return "The held-out enquiries are of one sex only."
    return (
        f"Sex is not asked, and no model knows it. From what they answer, men are asked {of['asked_ratio']:.4f} times what women are asked; the "
        f"models predict {of['predicted_ratio']:.4f}. Mean error of the log premium: men {of['bias_men']:+.4f}, women {of['bias_women']:+.4f}. "
        "This is said, and not judged."
    )


def encode(result: Result, machine: Machine, commit: str, date: str) -> bytes:
    """The figures as JSON; what is not a number is null."""
    content = {
        "format": FORMAT,
        "date": date,
        "commit": commit,
        "machine": asdict(machine),
        "market": dict(result.market),
        "held_out": result.held_out,
        "must_show": [_row(row) for row in summary(result.rows)],
        "coverage": [
            [g.profile, g.kind, g.name, g.figure, round(g.value, 5), g.rows, round(g.error, 5)] for g in result.groups
        ],
        "standings": result.standings,
        "sampled": list(result.sampled),
        "settings": result.settings,
        "costs": {name: asdict(done) for name, done in result.done.items()},
        "rates": dict(result.rates),
        "by_sex": dict(result.by_sex),
        "kinds": {profile: list(kinds) for profile, kinds in result.kinds.items()},
        "params": dict(result.params),
        "stale": list(result.stale),
    }
    return json.dumps(_finite(content), allow_nan=False, indent=1).encode() + b"\n"


def _row(row: Row) -> dict[str, Any]:
    return {k: v for k, v in asdict(row).items() if v not in (None, "")} | {"verdict": row.verdict}


def _finite(content: Any) -> Any:
    if isinstance(content, Mapping):
        return {name: _finite(value) for name, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def curves_of(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """MAPE over the oracle's by size, of each name, on the sampled insurers: of every size the newest report of a folder."""
    newest: dict[int, tuple[str, Mapping[str, Any]]] = {}
    for file in sorted(folder.glob("*.json")):
        try:
            raw = json.loads(file.read_bytes())
            size, date, of = int(raw["market"]["enquiries"]), str(raw["date"]), raw["standings"]["sampled"]
        except (ValueError, KeyError, TypeError):
            continue  # another file
        if size not in newest or newest[size][0] <= date:
            newest[size] = (date, of)
    return {
        name: [(size, of[name]["mape"] / of[ORACLE]["mape"]) for size, (_, of) in sorted(newest.items()) if name in of]
        for name in (OURS, *KINDS)
    }
