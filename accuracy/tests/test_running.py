"""Is what a process took measured, and its output kept?"""

import os
import sys
from pathlib import Path

import pytest

from accuracy.running import StageFailed, measured


def run(code: str, log: Path, said: list[str]) -> object:
    """A Python process."""
    return measured("a stage", (sys.executable, "-c", code), log, said.append, os.environ)


def test_lines_are_passed_on_and_the_work_is_read(tmp_path: Path) -> None:
    """What the stage says of its own time is told apart from the time of the process."""
    said: list[str] = []
    cost = measured(
        "a stage", (sys.executable, "-c", "print('scoring ...'); print('scoring: done (1.5 s)')"), tmp_path / "log", said.append, os.environ
    )  # fmt: skip

    assert ["  a stage: scoring ...", "  a stage: scoring: done (1.5 s)"] == said
    assert 1.5 == cost.work_s
    assert cost.wall_s > 0
    assert cost.memory > 1_000_000


def test_memory_is_counted(tmp_path: Path) -> None:
    """A process that holds 200 MB has held at least as much."""
    cost = measured(
        "a stage", (sys.executable, "-c", "bytearray(b'x') * 200_000_000"), tmp_path / "log", print, os.environ
    )

    assert cost.memory > 200_000_000
    assert cost.work_s is None


def test_a_failure_has_its_code_and_its_log(tmp_path: Path) -> None:
    """What the stage said last can be read, also what it said to its error stream."""
    with pytest.raises(StageFailed, match="ended with 3") as caught:
        run("import sys; sys.exit(print('why', file=sys.stderr) or 3)", tmp_path / "log", [])

    assert 3 == caught.value.code
    assert "why\n" == (tmp_path / "log").read_text()
