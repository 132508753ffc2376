"""Steps as processes: order, failure, what is left behind."""

import asyncio
import os
import sys
import time
from pathlib import Path

import psutil
import pytest

from local_fleet import runner
from local_fleet.runner import StepFailed
from local_fleet.steps import Step


class Story:
    """A watcher that writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def begin(self, step: Step) -> None:
        self.told.append(f"begin {step.name}")

    def says(self, step: Step, line: str) -> None:
        self.told.append(f"{step.name}: {line}")

    def done(self, step: Step, seconds: float) -> None:
        assert seconds >= 0
        self.told.append(f"done {step.name}")


def python(name: str, code: str, *, after: tuple[str, ...] = ()) -> Step:
    """A step that runs a line of Python."""
    return Step(name, name, (sys.executable, "-c", code), after=after)


def run(folder: Path, *steps: Step) -> list[str]:
    """Run them and give what the watcher was told."""
    story = Story()
    asyncio.run(
        runner.run(
            steps,
            environment=os.environ,
            folder=folder,
            logs=folder,
            watcher=story,
            finished=lambda step: story.told.append(f"stamp {step.name}"),
        )
    )
    return story.told


def test_a_step_waits_for_those_it_comes_after(tmp_path: Path) -> None:
    """It begins when they are done and stamped; what it prints is passed on."""
    told = run(tmp_path, python("two", "print('hello')", after=("one",)), python("one", "pass"))

    assert ["begin one", "stamp one", "done one", "begin two", "two: hello", "stamp two", "done two"] == told


def test_a_step_that_is_not_planned_is_not_waited_for(tmp_path: Path) -> None:
    """What was done by an earlier run is done."""
    assert "done two" in run(tmp_path, python("two", "pass", after=("one",)))


def test_a_failure_has_its_last_lines(tmp_path: Path) -> None:
    """The message has the exit code, what was printed at the end, and where all of it lies."""
    with pytest.raises(StepFailed, match=r"(?s)exit code 3.*gate refused.*bad\.log") as failed:
        run(tmp_path, python("bad", "import sys; print('gate refused', file=sys.stderr); sys.exit(3)"))

    assert 3 == failed.value.code


def test_a_failure_ends_the_other_steps(tmp_path: Path) -> None:
    """Nothing of a failed preparation goes on running."""
    endless = python(
        "endless", "import os, time; print(os.getpid(), flush=True); open('on', 'w').close(); time.sleep(600)"
    )
    waits = "import os, time\nwhile not os.path.exists('on'): time.sleep(0.01)\nraise SystemExit(1)"

    with pytest.raises(StepFailed, match="bad failed"):
        run(tmp_path, endless, python("bad", waits))

    pid = int((tmp_path / "endless.log").read_text())
    deadline = time.monotonic() + 10
    while psutil.pid_exists(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not psutil.pid_exists(pid)
