"""How long have our processes waited for a processor? On a machine with other work an answer may be late, or lack what came late, for
that reason alone; on an idle one for none. So what a test forgives is measured, and not guessed."""

import contextlib
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import psutil

LEAST: Final = 0.02
"""The share of answers that is forgiven on any machine."""

MOST: Final = 0.3
"""Above this nothing can be said of "nearly all": then only what holds for every single answer is judged, and the report counts it."""

UNJUDGED: Final[list[float]] = []


def waited_s() -> dict[int, float]:
    """Of this process and of those that it has started, by pid: the seconds in which a thread was ready to run and did not."""
    own = psutil.Process()
    return {process.pid: _of(process.pid) for process in [own, *own.children()]}


def _of(pid: int) -> float:
    nanoseconds = 0
    with contextlib.suppress(OSError):  # it, or one of its threads, has ended
        for thread in Path(f"/proc/{pid}/task").iterdir():
            nanoseconds += int((thread / "schedstat").read_text().split()[1])
    return nanoseconds / 1e9


@dataclass(slots=True)
class Starvation:
    """Since it was made."""

    _before: dict[int, float] = field(default_factory=waited_s)
    _began: float = field(default_factory=time.monotonic)

    def share(self) -> float:
        """The share of answers that may be other than they should be, for nothing but this; 1.0 when nothing can be said.

        It is that of the time for which the one that waited longest has waited.
        """
        passed_s = time.monotonic() - self._began
        share = LEAST + max(now - self._before.get(pid, 0.0) for pid, now in waited_s().items()) / passed_s
        if share <= MOST:
            return share
        UNJUDGED.append(share)
        return 1.0
