"""How does a person read it? Tables and lines of yes and NO; with --report the same as a dated page."""

import os
import platform
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from bench import verdicts
from bench.scenes import Scene, Wanted

DIGITS: Final[Mapping[str, int]] = {"p50 ms": 2, "p99 ms": 2, "CPU ms": 2}
HEAD: Final = "requests/s at 1, 16, 64 connections; p50 and p99 alone; highest Poisson rate/s with p99 <= 25 and 50 ms; CPU of an answer at 64; memory. Medians of the rounds."


def table(scene: Scene) -> list[list[str]]:
    """Cells: a head, and a row for each system; nothing where the scene has no turns."""
    if not scene.rounds:
        return []
    rows = {name: verdicts.middle(turns) for name, turns in scene.rounds.items()}
    columns = list(next(iter(rows.values())))
    return [
        ["", *columns],
        *([name, *(f"{figures[c]:.{DIGITS.get(c, 0)}f}" for c in columns)] for name, figures in rows.items()),
    ]


def text(scenes: Sequence[Scene]) -> str:
    """For a terminal."""
    return "\n".join(_text(scenes))


def _text(scenes: Sequence[Scene]) -> Iterator[str]:
    for scene in scenes:
        yield f"\n{scene.name}"
        cells = table(scene)
        widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))] if cells else []
        for row in cells:
            yield "  " + "  ".join(f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True))
        yield from (f"  {line.text()}" for line in scene.verdicts)
        yield from (f"  note: {note}" for note in dict.fromkeys(scene.notes))


def page(scenes: Sequence[Scene], wanted: Wanted, *, day: str, where: str) -> str:
    """As Markdown."""
    return "\n".join(_page(scenes, wanted, day, where)) + "\n"


def _page(scenes: Sequence[Scene], wanted: Wanted, day: str, where: str) -> Iterator[str]:
    yield f"# The fleet's speed, {day}"
    yield ""
    yield f"`make bench-fleet` on {where}. {wanted.rounds} rounds in turns, {wanted.seconds:g} s a stretch, the generator on the same machine, everything on loopback."
    for scene in scenes:
        yield from ("", f"## {scene.name}", "")
        if cells := table(scene):
            yield from (HEAD, "")
            yield f"| {' | '.join(cells[0])} |"
            yield f"| --- |{' --: |' * (len(cells[0]) - 1)}"
            yield from (f"| {' | '.join(row)} |" for row in cells[1:])
            yield ""
        yield from ("| | figure | value | limit |", "| --- | --- | --: | --- |")
        yield from (
            f"| {'yes' if v.holds else '**NO**'} | {v.name} | {v.value:.3g} | {v.limit} |" for v in scene.verdicts
        )
        if scene.notes:
            yield ""
            yield from (f"- {note}" for note in dict.fromkeys(scene.notes))


def machine(root: Path) -> str:
    """Processor, cores, memory, system, commit."""
    names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    memory = int(Path("/proc/meminfo").read_text().split()[1]) / 2**20
    done = subprocess.run(
        ["git", "-C", str(root), "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    processor = names[0].partition(":")[2].strip() if names else platform.machine()
    return f"{processor}, {os.cpu_count()} cores, {memory:.0f} GiB, Python {platform.python_version()}, commit {done.stdout.strip() or 'unknown'}"
