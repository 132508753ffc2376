"""What does every stage of a model project look like from outside? `python -m <project> <stage> --in URL --out URL`.

Exit 0: done. 2: the input is bad (nothing was written). 3: the gate refused (the figures were written, the model was not published).
Progress goes to standard error: a bar with the time left on a terminal, else a line every few seconds.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, Final, Protocol, TextIO

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress as Bar,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

DONE: Final = 0
BAD_INPUT: Final = 2
REFUSED: Final = 3

LINE_EVERY_S: Final = 5.0


class StageError(Exception):
    """A stage ends, and the message is for its user.

    StageError
    ├── BadInput      the data, the parameters or the place to write are wrong   exit 2
    └── GateRefused   the model is not good enough to publish                    exit 3
    """

    exit_code: int


class BadInput(StageError):
    """Names the file and the column, parameter or row that is wrong, and what would be right."""

    exit_code = BAD_INPUT


class GateRefused(StageError):
    """Names the figure, what it is and what it had to be."""

    exit_code = REFUSED


class Task(Protocol):
    """A piece of long work that says how far it is."""

    def advance(self, steps: float = 1, note: str = "") -> None:
        """So many steps of its total are done; `note` is shown beside it (a loss, a rate)."""
        ...


class Progress(Protocol):
    """Where long work reports to."""

    def task(self, text: str, total: float) -> AbstractContextManager[Task]:
        """Begin a piece of work of `total` steps."""
        ...


class Quiet:
    """Progress that nobody reads."""

    @contextmanager
    def task(self, text: str, total: float) -> Iterator[Task]:  # noqa: ARG002
        """Say nothing."""
        yield self

    def advance(self, steps: float = 1, note: str = "") -> None:
        """Say nothing."""


class Lines:
    """Progress as lines of text, for logs and for a parent process: `text: 40 % (12 s, 18 s left) note`."""

    def __init__(self, out: TextIO, clock: Callable[[], float] = time.monotonic, every_s: float = LINE_EVERY_S) -> None:
        self._out, self._clock, self._every_s = out, clock, every_s

    @contextmanager
    def task(self, text: str, total: float) -> Iterator[Task]:
        """A line at the beginning, one every few seconds, one at the end."""
        task = _LineTask(text, total, self._out, self._clock, self._every_s)
        print(f"{text} ...", file=self._out, flush=True)
        yield task
        print(f"{text}: done ({self._clock() - task.begun:.1f} s){task.note}", file=self._out, flush=True)


class _LineTask:
    def __init__(self, text: str, total: float, out: TextIO, clock: Callable[[], float], every_s: float) -> None:
        self._text, self._total, self._out, self._clock, self._every_s = text, total, out, clock, every_s
        self.begun = self._said = clock()
        self._done = 0.0
        self.note = ""

    def advance(self, steps: float = 1, note: str = "") -> None:
        self._done += steps
        self.note = f" {note}" if note else self.note
        now = self._clock()
        if now - self._said < self._every_s:
            return
        self._said = now
        share = min(1.0, self._done / self._total) if self._total else 1.0
        spent = now - self.begun
        left = spent * (1 - share) / share if share else float("nan")
        print(f"{self._text}: {share:.0%} ({spent:.0f} s, {left:.0f} s left){self.note}", file=self._out, flush=True)


class Bars:
    """Progress as a bar on a terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console

    @contextmanager
    def task(self, text: str, total: float) -> Iterator[Task]:
        """A bar with the time spent and the time left."""
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
        )
        with Bar(*columns, console=self._console) as bar:
            yield _BarTask(bar, bar.add_task(text, total=total, note=""))


class _BarTask:
    def __init__(self, bar: Bar, task_id: Any) -> None:
        self._bar, self._task_id = bar, task_id

    def advance(self, steps: float = 1, note: str = "") -> None:
        self._bar.advance(self._task_id, steps)
        if note:
            self._bar.update(self._task_id, note=note)


def progress_on(out: TextIO) -> Progress:
    """A bar when `out` is a terminal, else lines."""
    return Bars(Console(file=out)) if out.isatty() else Lines(out)


@dataclass(frozen=True, slots=True)
class Places:
    """Where a stage reads and writes: fsspec URLs or folders, how it says how far it is, and who hears its notes."""

    source: str
    out: str
    progress: Progress
    say: Callable[[str], None] = lambda _: None


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage's name, what it does in a sentence, its own options, and the function that does it; one that only reads has no --out."""

    name: str
    summary: str
    run: Callable[[Places, argparse.Namespace], None]
    options: Callable[[argparse.ArgumentParser], None] = lambda _: None
    writes: bool = True


def main(project: str, stages: Sequence[Stage], argv: Sequence[str] | None = None) -> int:
    """Run one stage by its command line and give the exit code."""
    parser = argparse.ArgumentParser(prog=f"python -m {project}", description=f"The stages of {project}.")
    commands = parser.add_subparsers(dest="stage", required=True, metavar="|".join(s.name for s in stages))
    for stage in stages:
        command = commands.add_parser(stage.name, help=stage.summary, description=stage.summary)
        command.add_argument(
            "--in", dest="source", required=True, metavar="URL", help="where to read: a folder, a file or an fsspec URL"
        )
        if stage.writes:
            command.add_argument("--out", required=True, metavar="URL", help="where to write")
        command.add_argument("--quiet", action="store_true", help="no progress")
        stage.options(command)
        command.set_defaults(run=stage.run, **({} if stage.writes else {"out": ""}))
    options = parser.parse_args(argv)
    progress = Quiet() if options.quiet else progress_on(sys.stderr)
    say = (lambda _: None) if options.quiet else _say
    try:
        options.run(Places(options.source, options.out, progress, say), options)
    except StageError as error:
        sys.stderr.write(f"{project} {options.stage}: {error}\n")
        return error.exit_code
    return DONE


def _say(note: str) -> None:
    sys.stderr.write(f"{note}\n")
