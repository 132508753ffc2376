"""How is a person shown a first run of several minutes: what is done, what runs, how long it will still take?"""

import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Final, Protocol, Self, TextIO

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from local_fleet.steps import Step, seconds_left

LINE_EVERY_S: Final = 10.0
SILENT_BELOW_S: Final = 2.0
"""A step that always runs and is this quick had nothing to do: no word about it."""


def clock_text(seconds: float) -> str:
    """`4:05`."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"


class Board:
    """What is known about each step; both displays draw from it."""

    def __init__(
        self, steps: Sequence[Step], reasons: Mapping[str, str], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.steps, self.reasons, self._clock = steps, reasons, clock
        self.begun: dict[str, float] = {}
        self.lines: dict[str, str] = {}
        self.took: dict[str, float] = {}
        self._start = clock()

    def begin(self, step: Step) -> None:
        """It starts now."""
        self.begun[step.name] = self._clock()

    def says(self, step: Step, line: str) -> None:
        """It printed a line."""
        self.lines[step.name] = line

    def done(self, step: Step, seconds: float) -> None:
        """It has finished well."""
        self.took[step.name] = seconds

    def running(self) -> dict[str, tuple[float, str]]:
        """Seconds so far and the last line of each step that runs."""
        now = self._clock()
        return {n: (now - t, self.lines.get(n, "")) for n, t in self.begun.items() if n not in self.took}

    def summary(self) -> str:
        """`2:10 so far, about 3:20 left`."""
        left = seconds_left(self.steps, self.took, self.running())
        return f"{clock_text(self._clock() - self._start)} so far, about {clock_text(left)} left"


class Display(Protocol):
    """A watcher that is opened before the first step and closed after the last."""

    def __enter__(self) -> Self:
        """Begin to show."""
        ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Show the end."""
        ...

    def begin(self, step: Step) -> None:
        """It starts now."""
        ...

    def says(self, step: Step, line: str) -> None:
        """It printed a line."""
        ...

    def done(self, step: Step, seconds: float) -> None:
        """It has finished well."""
        ...


class Lines:
    """One line when a step begins and ends, and now and then one about all; for logs and pipes."""

    def __init__(self, board: Board, out: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._board, self._out, self._clock = board, out, clock
        self._said = clock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return

    def begin(self, step: Step) -> None:
        """Say that it starts, and why."""
        self._board.begin(step)
        if not step.always:
            self._print(f"{step.title} ... ({self._board.reasons[step.name]})")

    def says(self, step: Step, line: str) -> None:
        """Pass a line on, when the last one is a while ago."""
        self._board.says(step, line)
        if self._clock() - self._said >= LINE_EVERY_S:
            self._print(f"{step.title}: {line} [{self._board.summary()}]")

    def done(self, step: Step, seconds: float) -> None:
        """Say that it has finished."""
        self._board.done(step, seconds)
        if not step.always or seconds >= SILENT_BELOW_S:
            self._print(f"{step.title}: done ({seconds:.1f} s)")

    def _print(self, text: str) -> None:
        self._said = self._clock()
        print(text, file=self._out, flush=True)


class Screen:
    """A table that is drawn anew four times a second, for terminals."""

    def __init__(self, board: Board, console: Console) -> None:
        self._board = board
        self._live = Live(get_renderable=self._draw, console=console, refresh_per_second=4)
        self._spinner = Spinner("dots")

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def begin(self, step: Step) -> None:
        """Seen at the next drawing."""
        self._board.begin(step)

    def says(self, step: Step, line: str) -> None:
        """Seen at the next drawing."""
        self._board.says(step, line)

    def done(self, step: Step, seconds: float) -> None:
        """Seen at the next drawing."""
        self._board.done(step, seconds)

    def _draw(self) -> Table:
        board, running = self._board, self._board.running()
        table = Table.grid(padding=(0, 2))
        for step in board.steps:
            if (
                step.always
                and board.took.get(step.name, 0.0) < SILENT_BELOW_S
                and running.get(step.name, (0.0, ""))[0] < SILENT_BELOW_S
            ):
                continue
            if step.name in board.took:
                table.add_row(Text("✓", "green"), step.title, clock_text(board.took[step.name]), "")
            elif step.name in running:
                spent, line = running[step.name]
                table.add_row(
                    self._spinner, step.title, clock_text(spent), Text(line, "dim", no_wrap=True, overflow="ellipsis")
                )
            else:
                table.add_row("", Text(step.title, "dim"), "", Text(board.reasons[step.name], "dim"))
        table.add_row("", "", "", Text(board.summary(), "bold"))
        return table


def display_on(out: TextIO, steps: Sequence[Step], reasons: Mapping[str, str]) -> Display:
    """A table that moves when `out` is a terminal, else lines."""
    board = Board(steps, reasons)
    return Screen(board, Console(file=out)) if out.isatty() else Lines(board, out)
