"""Is every market like the real one? The table of targets for several market seeds, and pictures of the first, on one HTML page.

The page has everything inside: it can be sent and opened anywhere. Only this module draws.
"""

import base64
import html
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from kit.contract import Contract
from kit.files import write_atomic
from kit.stage import Progress
from market import calibrate, enquiries, likeness, measure, panel
from market.columns import Column, Floats
from market.drift import still
from market.enquiries import Plan
from market.measure import Figure, Summary
from market.outcomes import DECLINE

LEAST_ENQUIRIES: Final = 50_000
"""The tolerances are meant for samples of this size or larger."""
INSURERS: Final = 60
WEEKS: Final = 8

MISFITS: Final[Mapping[str, str]] = {
    "bonus of 1 years / none": "A comparison site published 0.68. Met within the tolerance.",
    "bonus of 2 years / none": "Published 0.52. Steeper than the curve of a tariff alone, because the published drivers with two years are "
    "also older than those with none; ours are, too, but by less.",
    "bonus of 3 years / none": "Published 0.43; as above. A still steeper curve would leave the range of the first step.",
    "nine years of bonus or more, share of enquiries": "Not published. High, since a bonus is lost here only by a claim or a break.",
    "up to 3,000 miles / 7,000 to 9,000": "Published: a low declared mileage costs GBP 233 more. The shared curve has it dearer; the "
    "low-mileage brands, which compete for exactly these drivers, take most of that out of the five cheapest.",
    "cheapest GBP 250-499, share": "Published 28 %, of a basket of dearer risks than licence holders are; the range allows 27 to 43 %.",
}
"""What is not quite like the real market, and why."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One market seed: its figures, what they were taken of, and the misfits."""

    seed: int
    figures: list[Figure]
    summary: Summary
    misfits: Mapping[str, float]


def measured(contract: Contract, seed: int, count: int) -> Measured:
    """Draw a market and `count` enquiries of the same seed, and hold them to every row of the targets."""
    market = calibrate.calibrated(contract, panel.make(contract, seed, INSURERS))
    blocks = list(enquiries.between(contract, still(market, WEEKS), Plan(seed, count, WEEKS), 0, count))
    of = measure.together([measure.summarise(b.columns, b.premium, b.outcome == DECLINE) for b in blocks])
    rows = measure.figures(of, contract) + likeness.figures(
        market,
        np.concatenate([b.premium for b in blocks]),
        np.concatenate([b.outcome == DECLINE for b in blocks]),
        of.columns["age"],
        np.concatenate([b.latent["male"] for b in blocks]),
    )
    return Measured(seed, rows, of, measure.misfits(of, contract))


def markets(contract: Contract, seeds: Sequence[int], count: int, progress: Progress) -> list[Measured]:
    """Each seed's market, held to the targets."""
    found = []
    with progress.task("market: report", len(seeds)) as task:
        for seed in seeds:
            found.append(measured(contract, seed, count))
            task.advance()
    return found


def report(contract: Contract, found: Sequence[Measured], count: int, page: Path) -> tuple[str, bool]:
    """Write the page; a few lines that say what is outside its range, and whether nothing is."""
    write_atomic(page, _page(contract, found, count).encode())
    outside = [f"market {m.seed}: {_line(f)}" for m in found for f in m.figures if not f.fits]
    rows = len(found[0].figures)
    total = f"{rows} rows x {len(found)} markets of {count:,} enquiries, {len(outside)} outside: {page}"
    return "\n".join([*outside, total]), not outside


def _line(figure: Figure) -> str:
    return f"{figure.name}: {figure.value:.3f}, not {figure.least:.3f} to {figure.most:.3f}"


def _page(contract: Contract, found: Sequence[Measured], count: int) -> str:
    pictures = "".join(
        f'<figure><img alt="{html.escape(title)}" src="data:image/png;base64,{_png(draw, found[0].summary, contract)}">'
        f"<figcaption>{html.escape(title)} (market {found[0].seed})</figcaption></figure>\n"
        for title, draw in PICTURES.items()
    )
    outside = sum(not f.fits for m in found for f in m.figures)
    verdict = "every row is inside its range" if not outside else f"{outside} values are outside their range"
    return (
        "<!doctype html>\n<html lang=en><meta charset=utf-8><title>The synthetic market and its targets</title>\n"
        "<style>body{font:15px system-ui,sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem}"
        "td,th{padding:.1rem .6rem;text-align:right}td:first-child{text-align:left}.no{background:#fbb}"
        "figure{display:inline-block;margin:.5rem}img{max-width:34rem}</style>\n"
        f"<h1>The synthetic market and its targets</h1><p>{count:,} enquiries of {INSURERS} insurers for each market seed: {verdict}.</p>\n"
        f"<table><tr><th>figure<th>target<th>range{''.join(f'<th>market {m.seed}' for m in found)}<th></tr>\n"
        + "".join(_row([m.figures[n] for m in found]) for n in range(len(found[0].figures)))
        + "</table>\n<h2>Known misfits</h2>\n<table><tr><th>figure"
        + "".join(f"<th>market {m.seed}" for m in found)
        + "<th>why</tr>\n"
        + "".join(_misfit(name, why, found) for name, why in MISFITS.items())
        + f"</table>\n<h2>Pictures</h2>\n{pictures}</html>\n"
    )


def _row(of: Sequence[Figure]) -> str:
    first = of[0]
    cells = "".join(f"<td{'' if f.fits else ' class=no'}>{f.value:.3f}" for f in of)
    middle = (first.least + first.most) / 2
    verdict = "pass" if all(f.fits for f in of) else "<b>fail</b>"
    span = f"{first.least:.3f} to {first.most:.3f}"
    return f"<tr><td>{html.escape(first.name)}<td>{middle:.3f}<td>{span}{cells}<td>{verdict}</tr>\n"


def _misfit(name: str, why: str, found: Sequence[Measured]) -> str:
    cells = "".join(f"<td>{m.misfits[name]:.3f}" for m in found)
    return f"<tr><td>{html.escape(name)}{cells}<td style='text-align:left'>{html.escape(why)}</tr>\n"


def _png(draw: Callable[[Axes, Summary, Contract], None], of: Summary, contract: Contract) -> str:
    with mpl.rc_context({"axes.grid": True, "grid.alpha": 0.3, "font.size": 9}):
        canvas = Canvas(figsize=(6.4, 3.8), dpi=90, layout="constrained")
        draw(canvas.subplots(), of, contract)
        file = io.BytesIO()
        canvas.savefig(file, format="png", metadata={"Software": None})
    return base64.b64encode(file.getvalue()).decode()


def _prices(axes: Axes, of: Summary, contract: Contract) -> None:  # noqa: ARG001
    edges = list(np.geomspace(120, 8000, 60))
    for name, price in (("cheapest", of.cheapest), ("mean of five cheapest", of.top_mean)):
        axes.hist(price[~np.isnan(price)], bins=edges, histtype="step", label=name)
    axes.set(xscale="log", xlabel="GBP a year", ylabel="enquiries")
    axes.legend()


def _spreads(axes: Axes, of: Summary, contract: Contract) -> None:  # noqa: ARG001
    spread = of.spread[of.quotes >= measure.TOP]
    axes.hist(spread, bins=list(np.linspace(1, 10, 60)))
    axes.axvline(float(np.median(spread)), color="black")
    axes.set(xlabel="dearest / cheapest quote of an enquiry (line: median)", ylabel="enquiries")


def _ages(axes: Axes, of: Summary, contract: Contract) -> None:  # noqa: ARG001
    age = of.columns["age"]
    years = np.arange(17, 90)
    axes.plot(years, [float(np.nanmean(of.top_mean[age == y])) for y in years])
    axes.set(xlabel="age", ylabel="mean of five cheapest, GBP", ylim=(0, None))


def _regions(axes: Axes, of: Summary, contract: Contract) -> None:
    names = list(measure.REGIONS)
    axes.bar(names, [measure.in_region(of, contract, name) for name in names], label="here")
    axes.plot(names, list(measure.REGIONS.values()), "k_", markersize=14, label="target")
    axes.set(ylabel="index of the region / index")
    axes.tick_params(axis="x", rotation=60)
    axes.legend()


def _declines(axes: Axes, of: Summary, contract: Contract) -> None:
    rows = [f for f in measure.figures(of, contract) if f.name.startswith("declined, ")]
    names = [f.name.removeprefix("declined, ") for f in rows]
    axes.barh(names, [f.value for f in rows])
    axes.errorbar(
        [(f.least + f.most) / 2 for f in rows],
        names,
        xerr=[(f.most - f.least) / 2 for f in rows],
        fmt="none",
        color="k",
    )
    axes.set(xlabel="share of answers that are declines (black: range)", xlim=(0, 1))
    axes.invert_yaxis()


def _quotes(axes: Axes, of: Summary, contract: Contract) -> None:  # noqa: ARG001
    age = of.columns["age"]
    years = np.arange(17, 90)
    low, middle, high = (_quantile_by(age, of.quotes.astype(float), years, q) for q in (0.1, 0.5, 0.9))
    axes.fill_between(years, low, high, alpha=0.3, label="8 of 10 enquiries")
    axes.plot(years, middle, label="median")
    axes.set(xlabel="age", ylabel="quotes of 60", ylim=(0, None))
    axes.legend()


def _quantile_by(key: Column, values: Floats, keys: Column, quantile: float) -> Floats:
    return np.array([np.quantile(values[key == k], quantile) for k in keys])


PICTURES: Final[Mapping[str, Callable[[Axes, Summary, Contract], None]]] = {
    "Prices": _prices,
    "How far the quotes of one enquiry lie apart": _spreads,
    "Price by age": _ages,
    "Price by region": _regions,
    "Declines by segment": _declines,
    "Quotes by age": _quotes,
}
