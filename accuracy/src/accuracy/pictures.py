"""The report's pictures, as SVG."""

import io
from collections.abc import Mapping, Sequence
from typing import Any, Final

import matplotlib as mpl
from matplotlib.figure import Figure

COLOURS: Final = ("#1f5fa8", "#c2571a", "#4b7f3f", "#7a4fa0")
SETTINGS: Final[dict[Any, Any]] = {"svg.fonttype": "none", "svg.hashsalt": "accuracy", "font.size": 10}
"""Text stays text, and the same figures give the same bytes."""


def learning_curve(curves: Mapping[str, Sequence[tuple[int, float]]], limits: Sequence[tuple[int, float]]) -> str:
    """MAPE over the oracle's by the number of enquiries, a line for each name; `limits` as crosses."""
    figure = Figure(figsize=(7.0, 3.6), layout="constrained")
    axes = figure.subplots()
    for (name, points), colour in zip(curves.items(), COLOURS, strict=False):
        of = sorted(points)
        axes.plot([n for n, _ in of], [v for _, v in of], marker="o", label=name, color=colour)
    axes.scatter([n for n, _ in limits], [v for _, v in limits], marker="x", color="black", label="limit")
    axes.axhline(1.0, color="grey", linewidth=0.8)
    axes.set(xscale="log", xlabel="enquiries", ylabel="premium MAPE ÷ oracle")
    axes.legend()
    return _svg(figure)


def coverages(groups: Mapping[str, Sequence[tuple[str, float, float]]], low: float, high: float) -> str:
    """The coverage of each group (name, value, standard error) with two standard errors, by kind of group."""
    figure = Figure(figsize=(9.0, 1.2 + 0.17 * sum(len(of) + 1 for of in groups.values())), layout="constrained")
    axes = figure.subplots()
    at, names = 0, []
    for (kind, of), colour in zip(groups.items(), COLOURS, strict=False):
        for i, (name, value, error) in enumerate(of):
            axes.errorbar(
                value,
                at,
                xerr=2 * error,
                fmt="o",
                color=colour,
                markersize=3.5,
                linewidth=1,
                label=kind if i == 0 else None,
            )
            names.append((at, name))
            at += 1
        at += 1
    axes.axvspan(low, high, color="#dfeedd")
    axes.set_yticks([n for n, _ in names], [name for _, name in names], fontsize=7)
    axes.invert_yaxis()
    axes.set_xlabel("coverage of the 80 % interval, all answers known")
    axes.legend(fontsize=8)
    return _svg(figure)


def _svg(figure: Figure) -> str:
    with mpl.rc_context(SETTINGS):
        out = io.StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    text = out.getvalue()
    return text[text.index("<svg") :]
