"""report.html: what a model can do and what it must not be used for, on one page that can be sent and opened anywhere.

It is made of report.json and the card alone, and has everything inside.
"""

import html
from collections.abc import Iterable, Mapping
from typing import Any, Final

from markdown_it import MarkdownIt

from kit.training.judging.verdicts import spoken_limit
from kit.training.report.pictures import Picture

Report = Mapping[str, Any]

STYLE: Final = """
body{font:16px/1.5 system-ui,sans-serif;color:#1a1a1a;max-width:70rem;margin:2rem auto;padding:0 1rem}
h1{margin-bottom:.2rem}h2{margin-top:2.5rem;border-bottom:1px solid #ccc}
table{border-collapse:collapse;margin:.5rem 0;font-variant-numeric:tabular-nums}
td,th{padding:.25rem .8rem;text-align:right;border-bottom:1px solid #e4e4e4}td:first-child,th:first-child{text-align:left}
.wide{overflow-x:auto}.wide table{font-size:.85rem}.yes{background:#d9f0e6}.no{background:#fbd9c9;font-weight:bold}
.verdict{padding:.6rem 1rem;border-left:.5rem solid #009e73;background:#f2faf6}.verdict.refused{border-color:#d55e00;background:#fdf1ec}
.warning{padding:.1rem 1rem;border-left:.5rem solid #d55e00;background:#fdf6f2}
.pictures{display:flex;flex-wrap:wrap;gap:1rem}figure{margin:0;flex:1 1 26rem}figure.large{flex-basis:100%}
figure img{width:100%;height:auto}figcaption{font-size:.9rem}details{margin:.4rem 0}summary{cursor:pointer}
@media(max-width:40rem){figure{flex-basis:100%}}
""".strip()
HEAD: Final = """<!doctype html>
<html lang=en-GB><head><meta charset=utf-8><meta name=viewport content="width=device-width"><title>{title}</title>
<style>{style}</style></head><body>
<h1>{title}</h1>"""
FORBIDDEN: Final = "Must not be used"
"""The card's section that the page shows as a warning."""


def page(report: Report, card: str, pictures: Iterable[Picture]) -> bytes:
    """The page of a report, as UTF-8. `card` is Markdown, and its section `FORBIDDEN` is shown by itself."""
    failed = [v for v in report["gate"] if not v["passed"]]
    unfair = [of for groups in report["fairness"]["groups"].values() for of in groups.values() if not of["passed"]]
    title = f"{report['project']}: test report"
    parts = (
        HEAD.format(title=html.escape(title), style=STYLE),
        _facts(report),
        _verdict(len(failed) + len(unfair)),
        "<h2>Figures and their limits</h2>",
        _limits(report),
        _forbidden(card),
        "<h2>By what was answered</h2>",
        _table("answers given", report["profiles"]),
        "<h2>Pictures</h2>\n<div class=pictures>",
        *_pictures(report, pictures),
        "</div>",
        "<h2>Groups</h2>",
        *_segments(report["segments"]),
        _shortlist(report),
        _out_of_range(report),
        "</body></html>\n",
    )
    return "\n".join(parts).encode()


def _facts(report: Report) -> str:
    counts, begins = report.get("slices", {}), report.get("begins", {})
    held_out = f"measured on {report['enquiries']:,} enquiries that neither training nor calibration saw"
    since = f", from {html.escape(begins['test'][:10])}" if "test" in begins else ""
    trained = f"; trained on {counts['train']:,}" if "train" in counts else ""
    return f"<p>{held_out}{since}{trained}. Data {report['data'][:12]}, contract {report['contract'][:12]}.</p>"


def _verdict(failures: int) -> str:
    if failures:
        return f"<p class='verdict refused'><b>Refused:</b> {failures} figure{'s' * (failures > 1)} outside the limits. Nothing was published.</p>"
    return "<p class=verdict><b>Passed:</b> every figure is within its limits.</p>"


def _limits(report: Report) -> str:
    rows = [(v["figure"], _number(v["value"]), spoken_limit(v), v["passed"]) for v in report["gate"]]
    fairness = report["fairness"]
    groups = {
        f"{kind} {name}": of for kind, found in fairness["groups"].items() for name, of in found.items() if of["judged"]
    }
    if groups:
        worst = max(groups, key=lambda name: abs(groups[name]["gap"]))
        least = f"at most {fairness['gap_at_most']:g} either way, and {groups[worst]['allowance']:.4f} for chance"
        rows.append(
            (
                f"fairness, widest gap of {len(groups)} groups: {worst}",
                f"{groups[worst]['gap']:+.4f}",
                least,
                all(of["passed"] for of in groups.values()),
            )
        )
    cells = "".join(
        f"<tr><td>{html.escape(name)}<td>{value}<td>{limit}<td class={'yes' if ok else 'no'}>{'✓ met' if ok else '✗ missed'}</tr>\n"
        for name, value, limit, ok in rows
    )
    return f"<div class=wide><table><tr><th>figure<th>is<th>has to be<th></tr>\n{cells}</table></div>"


def _forbidden(card: str) -> str:
    text = section(card, FORBIDDEN)
    return f"<h2>What it must not be used for</h2>\n<div class=warning>{_markdown().render(text)}</div>" if text else ""


def section(card: str, title: str) -> str:
    """The text of a card's section, without its heading; empty when there is none."""
    _, _, rest = card.partition(f"## {title}\n")
    return rest.partition("\n## ")[0].strip()


def _markdown() -> MarkdownIt:
    return MarkdownIt("commonmark", {"html": False}).enable("table")


def _pictures(report: Report, pictures: Iterable[Picture]) -> Iterable[str]:
    for picture in pictures:
        if (png := picture.png(report)) is not None:
            title, says = html.escape(picture.title), html.escape(picture.says)
            large = " class=large" if picture.is_wide else ""
            yield (
                f"<figure{large}><figcaption><b>{title}.</b> {says}</figcaption>"
                f"<img alt='{title}. {says} The numbers are in the tables of this page.' src='data:image/png;base64,{png}'></figure>"
            )


def _segments(segments: Mapping[str, Any]) -> Iterable[str]:
    for profile, kinds in segments.items():
        tables = "".join(
            f"<h4>{html.escape(kind)}</h4>{_table(kind, groups)}" for kind, groups in kinds.items() if groups
        )
        yield f"<details><summary>answers given: {html.escape(_spoken(profile))}</summary>{tables}</details>"


def _shortlist(report: Report) -> str:
    """What `kit.training.judging.shortlist` measured, where there is a shortlist: a table for each share of best prices that is to be kept."""
    found = report.get("shortlist")
    if not found:
        return ""
    keeps = dict.fromkeys(keep for by_keep in found.values() for keep in by_keep)
    tables = (
        f"<details><summary>keep {html.escape(keep)} of the best prices</summary>"
        f"{_table('answers given', {profile: by_keep[keep] for profile, by_keep in found.items() if keep in by_keep})}</details>"
        for keep in keeps
    )
    return "\n".join(("<h2>Shortlist</h2>\n<p>How many insurers have to be asked to keep the best price.</p>", *tables))


def _out_of_range(report: Report) -> str:
    """What `kit.training.judging.mistakes` found, where there is any: all mistakes of a kind, each field or pair folded away, and false alarms."""
    found = report.get("out_of_range")
    if not found:
        return ""
    kinds = {name: found[name] for name in ("unit_errors", "swaps")}
    pooled = {name: {n: v for n, v in kind.items() if not isinstance(v, Mapping)} for name, kind in kinds.items()}
    single = {
        f"{_spoken(n)}, {_spoken(by)}": v
        for n, kind in kinds.items()
        for by, v in kind.items()
        if isinstance(v, Mapping)
    }
    alarms = {name: {"share of correct rows": share} for name, share in found["false_alarms"].items()}
    return "\n".join(
        (
            "<h2>Out of range</h2>\n<p>How many mistakes of units and of places are noticed, and how many correct rows are taken for one.</p>",
            _table("mistake", pooled),
            *(
                f"<details><summary>{html.escape(name)}</summary>{_table('', rows)}</details>"
                for name, rows in single.items()
            ),
            _table("false alarms", alarms),
        )
    )


def _table(first: str, rows: Mapping[str, Mapping[str, Any]]) -> str:
    names = list(dict.fromkeys(n for figures in rows.values() for n in figures))
    head = "".join(f"<th>{html.escape(_spoken(n))}" for n in names)
    body = "".join(
        f"<tr><td>{html.escape(_spoken(row))}" + "".join(f"<td>{_number(figures.get(n))}" for n in names) + "</tr>\n"
        for row, figures in rows.items()
    )
    return f"<div class=wide><table><tr><th>{html.escape(first)}{head}</tr>\n{body}</table></div>"


def _number(value: Any) -> str:
    if value is None or value != value:  # noqa: PLR0124 -- NaN
        return "n/a"
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}"


def _spoken(name: str) -> str:
    return name.replace("_", " ")
