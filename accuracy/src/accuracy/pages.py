"""A report as blocks, and the blocks as Markdown or as one HTML page."""

import html
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Heading:
    """A section begins."""

    text: str


@dataclass(frozen=True, slots=True)
class Text:
    """A paragraph."""

    text: str


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text under names; the columns from `words` on are of numbers, but the last ones, which are `remarks`."""

    names: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    words: int = 1
    remarks: int = 0

    def is_number(self, column: int) -> bool:
        """Whether a column stands to the right."""
        return self.words <= column < len(self.names) - self.remarks


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture: `svg` stands in a HTML page, and in Markdown a link to a file of that name."""

    title: str
    name: str
    svg: str


Block = Heading | Text | Table | Picture

STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem;color:#1b1b1b}"
    "table{border-collapse:collapse;margin:1rem 0;font-variant-numeric:tabular-nums}th,td{padding:.2rem .7rem;border-bottom:1px solid #ddd;text-align:left}"
    "td.n,th.n{text-align:right}td.bad{color:#b00020;font-weight:600}svg{max-width:100%;height:auto}"
)
BAD = "FAILS"


def markdown(title: str, blocks: Sequence[Block]) -> str:
    """As Markdown."""
    parts = [f"# {title}"]
    for block in blocks:
        match block:
            case Heading(text):
                parts.append(f"## {text}")
            case Text(text):
                parts.append(text)
            case Table(names, rows):
                rule = "|".join(" --: " if block.is_number(i) else " --- " for i in range(len(names)))
                lines = [_row(names), f"|{rule}|", *(_row(r) for r in rows)]
                parts.append("\n".join(lines))
            case Picture(caption, name, _):
                parts.append(f"![{caption}]({name})")
    return "\n\n".join(parts) + "\n"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(c.replace("|", "\\|") for c in cells) + " |"


def page(title: str, blocks: Sequence[Block]) -> str:
    """As a HTML page that needs nothing beside it."""
    parts = []
    for block in blocks:
        match block:
            case Heading(text):
                parts.append(f"<h2>{html.escape(text)}</h2>")
            case Text(text):
                parts.append(f"<p>{html.escape(text)}</p>")
            case Table(names, rows):
                head = "".join(f"<th{_kind(block, i)}>{html.escape(n)}</th>" for i, n in enumerate(names))
                body = "".join(f"<tr>{_cells(block, r)}</tr>" for r in rows)
                parts.append(f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>")
            case Picture(caption, _, svg):
                parts.append(f"<figure>{svg}<figcaption>{html.escape(caption)}</figcaption></figure>")
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title><style>{STYLE}</style>'
        f"<h1>{html.escape(title)}</h1>{''.join(parts)}</html>\n"
    )


def _cells(table: Table, row: Sequence[str]) -> str:
    return "".join(f"<td{_kind(table, i, is_bad=c == BAD)}>{html.escape(c)}</td>" for i, c in enumerate(row))


def _kind(table: Table, column: int, *, is_bad: bool = False) -> str:
    kinds = [*(["n"] if table.is_number(column) else []), *(["bad"] if is_bad else [])]
    return f' class="{" ".join(kinds)}"' if kinds else ""


def plain(table: Table) -> list[str]:
    """A table as lines for a terminal."""
    widths = [max(len(r[i]) for r in (table.names, *table.rows)) for i in range(len(table.names))]
    return [
        "  ".join(
            c.rjust(w) if table.is_number(i) else c.ljust(w) for i, (c, w) in enumerate(zip(r, widths, strict=True))
        ).rstrip()
        for r in (table.names, *table.rows)
    ]
