"""What does a model's report look like? Every picture of report.html, drawn of report.json alone. Only this module draws.

Colours are those of Okabe and Ito (2008), which people with any colour vision can tell apart; marks and line styles differ as well.
"""

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from PIL import Image

from kit.training.nets.masking import FULL

Report = Mapping[str, Any]

BLUE, ORANGE, GREEN, PURPLE, BLACK, GREY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#999999"
MARKS: Final = tuple(zip((BLUE, ORANGE, GREEN, PURPLE, BLACK), ("o", "s", "^", "D", "x"), strict=True))
PROMISED: Final = (0.78, 0.84)
"""Where the coverage of an 80 % interval has to lie in every group."""
STYLE: Final[dict[str, Any]] = {
    "axes.grid": True,
    "grid.alpha": 0.3,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "font.size": 9,
    "figure.dpi": 100,
}
PALETTE: Final = 64
FEW: Final = 100
"""Groups of fewer enquiries are drawn hollow: chance moves them."""
COLUMNS: Final = (("age", "points"), ("region",), ("urbanity", "deprivation", "archetype"))
"""How the kinds of groups are laid out beside each other."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A title, a sentence that says what is to be seen, for those who cannot see it too, and how it is drawn; None draws nothing."""

    title: str
    says: str
    draw: Callable[[Report], Canvas | None]
    is_wide: bool = False

    def png(self, report: Report) -> str | None:
        """The picture as base64, or None when the report has nothing for it."""
        with mpl.rc_context(STYLE):
            canvas = self.draw(report)
            if canvas is None:
                return None
            drawn = io.BytesIO()
            canvas.savefig(drawn, format="png")
        # Few colours are needed, and a palette of them takes a third of the bytes.
        found = io.BytesIO()
        Image.open(drawn).convert("RGB").quantize(PALETTE, dither=Image.Dither.NONE).save(found, "png", optimize=True)
        return base64.b64encode(found.getvalue()).decode()


def _loss(report: Report) -> Canvas | None:
    history = report.get("history", [])
    if not history:
        return None
    canvas, axes = _one()
    names = [n for n in history[0] if n != "seconds" and isinstance(history[0][n], int | float)]
    for name, (colour, mark) in zip(names, MARKS, strict=False):
        axes.plot(
            np.arange(len(history)) + 1,
            [e.get(name) for e in history],
            color=colour,
            marker=mark,
            ms=4,
            label=name.replace("_", " "),
        )
    axes.set(xlabel="epoch", ylabel="weighted loss")
    axes.xaxis.set_major_locator(mpl.ticker.MaxNLocator(integer=True))
    if len(names) > 1:
        axes.legend()
    return canvas


def _reliability_of_quotes(report: Report) -> Canvas | None:
    bins = report.get("reliability", [])
    if not bins:
        return None
    canvas, axes = _one()
    axes.plot([0, 1], [0, 1], color=GREY, lw=1, label="honest")
    axes.plot(
        [b["predicted"] for b in bins], [b["observed"] for b in bins], color=BLUE, marker="o", ms=5, label="model"
    )
    axes.set(
        xlabel="predicted probability of a quote", ylabel="share that quoted", xlim=(0, 1), ylim=(0, 1), aspect="equal"
    )
    axes.legend()
    return canvas


def _reliability_of_premiums(report: Report) -> Canvas | None:
    bins = report.get("reliability", [])
    if not bins:
        return None
    canvas, axes = _one()
    predicted = [b["predicted"] for b in bins]
    ends = [min(b["asked_low"] for b in bins), max(b["asked_high"] for b in bins)]
    axes.plot(ends, ends, color=GREY, lw=1, label="honest")
    axes.fill_between(
        predicted,
        [b["low"] for b in bins],
        [b["high"] for b in bins],
        color=BLUE,
        alpha=0.2,
        label="predicted interval",
    )
    asked = np.array([[b["asked"] - b["asked_low"], b["asked_high"] - b["asked"]] for b in bins]).T
    axes.errorbar(
        predicted,
        [b["asked"] for b in bins],
        yerr=asked,
        fmt="o",
        ms=4,
        color=ORANGE,
        lw=1,
        label="asked: median, 8 of 10",
    )
    axes.set(xlabel="predicted premium, GBP a year", ylabel="premium asked, GBP a year", xscale="log", yscale="log")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(mpl.ticker.ScalarFormatter())
        axis.set_minor_formatter(mpl.ticker.NullFormatter())
    axes.set_xticks(_round_pounds(min(predicted), max(predicted)))
    axes.set_yticks(_round_pounds(*ends))
    axes.legend()
    return canvas


def _round_pounds(low: float, high: float) -> list[float]:
    marks = [m * 10**e for e in range(1, 6) for m in (1, 2, 5)]
    return [m for m in marks if low * 0.7 <= m <= high * 1.4]


def by_group(
    figure: str, label: str, band: tuple[float, float] | None = None, honest: float | None = None
) -> Callable[[Report], Canvas | None]:
    """A picture of one figure in every group, a mark for each profile, with the band or the line where it has to be."""

    def draw(report: Report) -> Canvas | None:
        profiles = report.get("segments", {})
        columns = [[k for k in kinds if k in profiles.get(FULL, {})] for kinds in COLUMNS]
        columns = [kinds for kinds in columns if kinds]
        if not columns:
            return None
        canvas = Canvas(figsize=(11, 6.6), layout="constrained")
        ends = _ends(profiles, figure)
        for part, kinds in zip(canvas.subfigures(1, len(columns), squeeze=False)[0], columns, strict=True):
            sizes = [len(profiles[FULL][k]) + 1 for k in kinds]
            frames = part.subplots(len(kinds), 1, squeeze=False, sharex=True, height_ratios=sizes)[:, 0]
            for axes, kind in zip(frames, kinds, strict=True):
                if band is not None:
                    axes.axvspan(*band, color=GREEN, alpha=0.15, lw=0, label="where it has to be")
                if honest is not None:
                    axes.axvline(honest, color=GREY, lw=1)
                _kind(axes, profiles, kind, figure)
            frames[-1].set(xlabel=label, xlim=ends)
            frames[-1].xaxis.set_major_locator(mpl.ticker.MaxNLocator(5))
        handles, names = canvas.subfigs[0].axes[0].get_legend_handles_labels()
        canvas.legend(handles[::-1], names[::-1], loc="outside upper center", ncols=6, frameon=False)
        return canvas

    return draw


def _ends(profiles: Mapping[str, Any], figure: str) -> tuple[float, float]:
    """One range for every frame, so that kinds can be compared."""
    every = [f for kinds in profiles.values() for groups in kinds.values() for f in groups.values()]
    values = [f[figure] for f in every if f.get(figure) is not None] or [0.0]
    margin = 0.05 * (max(values) - min(values)) or 0.01
    return min(values) - margin, max(values) + margin


def _kind(axes: Axes, profiles: Mapping[str, Any], kind: str, figure: str) -> None:
    groups = list(profiles[FULL][kind])
    for (colour, mark), (profile, kinds) in reversed(list(zip(MARKS, profiles.items(), strict=False))):
        found = {g: f for g, f in kinds.get(kind, {}).items() if f.get(figure) is not None and g in groups}
        for few in (True, False):
            chosen = {g: f[figure] for g, f in found.items() if (f["rows"] < FEW) == few}
            axes.plot(
                list(chosen.values()),
                [groups.index(g) for g in chosen],
                mark,
                color=colour,
                mfc="none" if few else colour,
                ms=5,
                alpha=0.85,
                label=None if few else profile.replace("_", " "),
            )
    axes.set_yticks(range(len(groups)), [g.replace("_", " ") for g in groups])
    axes.set_ylim(len(groups) - 0.5, -0.5)
    axes.set_title(kind, loc="left", fontsize=9, fontweight="bold")


def _fairness(report: Report) -> Canvas | None:
    fairness = report.get("fairness", {})
    kinds = {k: g for k, g in fairness.get("groups", {}).items() if g}
    if not kinds:
        return None
    limit = fairness["gap_at_most"]
    end = 1.6 * max(
        [limit, 1e-3, *(abs(of["gap"]) for groups in kinds.values() for of in groups.values() if of["judged"])]
    )
    canvas = Canvas(figsize=(11, 5.2), layout="constrained")
    for axes, (kind, groups) in zip(
        canvas.subplots(1, len(kinds), squeeze=False, sharex=True)[0], kinds.items(), strict=True
    ):
        axes.axvspan(-limit, limit, color=GREEN, alpha=0.15, lw=0)
        axes.axvline(0, color=GREY, lw=1)
        for i, of in enumerate(groups.values()):
            if of["gap"] is not None and of["allowance"] is not None:
                colour = GREY if not of["judged"] else BLUE if of["passed"] else ORANGE
                axes.errorbar(
                    of["gap"], i, xerr=of["allowance"], color=colour, fmt="o" if of["passed"] else "X", ms=5, lw=1.5
                )
        axes.set_yticks(range(len(groups)), list(groups))
        axes.set_ylim(len(groups) - 0.5, -0.5)
        axes.set_xlim(-end, end)
        axes.set_title(kind, loc="left", fontsize=9, fontweight="bold")
    canvas.supxlabel(fairness["of"], fontsize=9)
    return canvas


def age_curve(label: str, in_pounds: bool) -> Callable[[Report], Canvas | None]:
    """The curve of each kind of insurer in a frame of its own, with the others behind it."""

    def draw(report: Report) -> Canvas | None:
        found = report.get("age_curve")
        if not found:
            return None
        curves = {name: np.array(c, float) for name, c in found["archetypes"].items()}
        columns = min(5, len(curves))
        lines = -(-len(curves) // columns)
        canvas = Canvas(figsize=(11, 1.0 + 2.3 * lines) if columns > 1 else (11, 3.6), layout="constrained")
        frames = canvas.subplots(lines, columns, squeeze=False, sharex=True, sharey=True).ravel()
        for axes, (name, curve) in zip(frames, curves.items(), strict=False):
            for other in curves.values():
                axes.plot(found["age"], other, color=GREY, lw=0.7, alpha=0.5)
            axes.plot(found["age"], curve, color=BLUE, lw=2)
            axes.set_title(name.replace("_", " "), loc="left", fontsize=9, fontweight="bold")
            axes.set(xlim=(17, 90), xticks=[20, 40, 60, 80])
            if in_pounds:
                axes.set_yscale("log")
                axes.yaxis.set_major_formatter(mpl.ticker.ScalarFormatter())
                axes.yaxis.set_minor_formatter(mpl.ticker.NullFormatter())
                axes.set_yticks(_round_pounds(min(map(np.min, curves.values())), max(map(np.max, curves.values()))))
            else:
                axes.set_ylim(0, 1)
        for axes in frames[len(curves) :]:
            axes.set_visible(False)
        canvas.supxlabel("age", fontsize=9)
        canvas.supylabel(label, fontsize=9)
        return canvas

    return draw


def by_profile(
    figure: str, label: str, transform: Callable[[Any], Any] = lambda v: v
) -> Callable[[Report], Canvas | None]:
    """A bar of one figure for each profile, with its number."""

    def draw(report: Report) -> Canvas | None:
        found = {p: f[figure] for p, f in report.get("profiles", {}).items() if f.get(figure) is not None}
        if not found:
            return None
        canvas, axes = _one()
        values: Sequence[float] = [float(transform(v)) for v in found.values()]
        bars = axes.barh([p.replace("_", " ") for p in found], values, color=BLUE, height=0.6)
        axes.bar_label(bars, [f"{v:.3g}" for v in values], padding=3)
        axes.set(xlabel=label, xlim=(0, 1.12 * max(values)))
        axes.invert_yaxis()
        axes.grid(visible=False, axis="y")
        return canvas

    return draw


def _one() -> tuple[Canvas, Axes]:
    canvas = Canvas(figsize=(6.4, 3.8), layout="constrained")
    return canvas, canvas.subplots()


LOSS: Final = Picture(
    "How the loss went",
    "The loss after each epoch: of the rows that are fitted to, with answers hidden, and of rows held out.",
    _loss,
)
FAIRNESS: Final = Picture(
    "Errors by group of people",
    "How far the mean error of each group lies from that of all, with what chance may do to it. Shaded: the limit. Grey: too few enquiries "
    "to judge. A cross: the release is refused.",
    _fairness,
    is_wide=True,
)
PICTURES: Final[Mapping[str, tuple[Picture, ...]]] = {
    "premium": (
        LOSS,
        Picture(
            "Calibration of the premium",
            "What insurers asked, by what was predicted: the points should lie on the line, and their bars fill the band.",
            _reliability_of_premiums,
        ),
        Picture(
            "Width of the interval by what was answered",
            "Upper end divided by lower end of the 80 % interval, geometric mean: the less is known, the wider.",
            by_profile("width", "upper end / lower end of the interval", np.exp),
        ),
        Picture(
            "Error by what was answered",
            "Mean absolute error of the premium, in per cent of it.",
            by_profile("premium_mape", "mean absolute error, % of the premium", lambda v: 100 * v),
        ),
        Picture(
            "Coverage in every group",
            "How often the premium lies in its 80 % interval. Shaded: 78 to 84 %, where each group has to be. Hollow: fewer than 100 enquiries.",
            by_group("coverage", "share inside the interval", PROMISED),
            is_wide=True,
        ),
        Picture(
            "Coverage of the cheapest price in every group",
            "How often the panel's cheapest price lies in its 80 % interval. Shaded: 78 to 84 %. Hollow: fewer than 100 enquiries.",
            by_group("cheapest_coverage", "share inside the interval", PROMISED),
            is_wide=True,
        ),
        Picture(
            "Error in every group",
            "Mean absolute error in parts of the premium.",
            by_group("premium_mape", "error, parts of the premium"),
            is_wide=True,
        ),
        Picture(
            "Premium by age and kind of insurer",
            "Predicted median premium of a typical driver, every other answer fixed (years of licence and of bonus as far as the age allows).",
            age_curve("GBP a year", in_pounds=True),
            is_wide=True,
        ),
        FAIRNESS,
    ),
    "quote": (
        LOSS,
        Picture(
            "Calibration of the probability",
            "The share of quotes that came, by the probability that was predicted: the points should lie on the line.",
            _reliability_of_quotes,
        ),
        Picture(
            "Discrimination by what was answered",
            "The area under the ROC curve, mean over insurers; half is a coin.",
            by_profile("auc_mean", "AUC, mean over insurers"),
        ),
        Picture(
            "Calibration error by what was answered",
            "Expected calibration error: the mean distance of predicted and observed share.",
            by_profile("calibration_error", "calibration error, percentage points", lambda v: 100 * v),
        ),
        Picture(
            "Predicted less observed share of quotes in every group",
            "Above 0: the group is declined more often than it was told.",
            by_group("quote_gap", "predicted less observed", honest=0),
            is_wide=True,
        ),
        Picture(
            "Discrimination in every group",
            "The area under the ROC curve over all answers of the group.",
            by_group("auc", "AUC"),
            is_wide=True,
        ),
        Picture(
            "Quotes by age and kind of insurer",
            "Predicted probability of a quote for a typical driver, every other answer fixed (years of licence and of bonus as far as the age "
            "allows); the median over the insurers of the kind.",
            age_curve("probability of a quote", in_pounds=False),
            is_wide=True,
        ),
        FAIRNESS,
    ),
}
