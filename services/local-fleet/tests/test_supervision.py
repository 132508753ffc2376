"""A real supervisord, with programs that only wait."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from local_fleet import configs, fleet, leftovers, supervision
from local_fleet.configs import Program
from local_fleet.places import FleetFolder
from local_fleet.supervision import SupervisionError, Supervisor

WAITS = (sys.executable, "-c", "import time; time.sleep(600)")
FAILS = (sys.executable, "-c", "print('no such thing'); raise SystemExit(1)")


@contextmanager
def launched(folder: FleetFolder, *programs: Program) -> Iterator[Supervisor]:
    """A supervisord that is stopped afterwards, whatever happened."""
    folder.path.mkdir(parents=True, exist_ok=True)
    folder.supervisor_config.write_text(
        configs.supervisor(
            programs, socket=folder.socket, folder=folder.path, logs=folder.logs, log=folder.supervisor_log
        )
    )
    process = supervision.launch(folder, os.environ)
    try:
        yield Supervisor(folder)
    finally:
        fleet.stop(folder)
        process.wait(10)


def until(condition: Callable[[], bool], within_s: float = 20) -> None:
    """Wait for a condition, or fail."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "the condition was not met in time"
        time.sleep(0.02)


@pytest.fixture
def folder(tmp_path: Path) -> FleetFolder:
    """A fleet's folder whose path is longer than a socket's may be."""
    return FleetFolder(tmp_path / ("long" * 20) / "fleet-0")


def test_a_killed_process_is_started_again(folder: FleetFolder) -> None:
    """The new process has another pid; the log says of what the old one died."""
    with launched(folder, Program("sleeper", WAITS, stays_up_s=0)) as supervisor:
        supervisor.start("sleeper")
        until(lambda: supervisor.processes()["sleeper"].state == "RUNNING")
        before = supervisor.processes()["sleeper"].pid

        supervisor.kill("sleeper")

        until(lambda: supervisor.processes()["sleeper"].pid not in {0, before})
        assert "sleeper (terminated by SIGKILL" in folder.supervisor_log.read_text()


def test_a_stopped_process_stays_stopped_until_it_is_started(folder: FleetFolder) -> None:
    """Stopping and starting twice is no error."""
    with launched(folder, Program("sleeper", WAITS, stays_up_s=0)) as supervisor:
        supervisor.start("sleeper")
        until(lambda: supervisor.processes()["sleeper"].state == "RUNNING")
        for _ in range(2):
            supervisor.stop("sleeper")

        assert "STOPPED" == supervisor.processes()["sleeper"].state

        for _ in range(2):
            supervisor.start("sleeper")
        until(lambda: supervisor.processes()["sleeper"].is_up)


def test_a_process_that_dies_at_once_is_seen(folder: FleetFolder) -> None:
    """It is not up, and its log has its last words."""
    with launched(folder, Program("broken", FAILS)) as supervisor:
        supervisor.start("broken")
        until(lambda: not supervisor.processes()["broken"].is_up)

        assert ["no such thing"] == supervision.last_lines(supervisor.processes()["broken"].log)[:1]


def test_a_wrong_name_is_answered_with_the_right_ones(folder: FleetFolder) -> None:
    """The message lists the processes that there are."""
    with (
        launched(folder, Program("sleeper", WAITS)) as supervisor,
        pytest.raises(SupervisionError, match="there are sleeper"),
    ):
        supervisor.start("slepper")


def test_nothing_is_left_after_a_stop(folder: FleetFolder) -> None:
    """No process, no socket."""
    with launched(folder, Program("sleeper", WAITS, stays_up_s=0)) as supervisor:
        supervisor.start("sleeper")

    assert [] == leftovers.marked(folder.path)
    assert not folder.socket.exists()


def test_a_killed_supervisord_is_cleared_and_another_can_start(folder: FleetFolder) -> None:
    """The programs that it leaves are ended; the stale socket is no obstacle."""
    with launched(folder, Program("sleeper", WAITS, stays_up_s=0)) as supervisor:
        supervisor.start("sleeper")
        until(lambda: supervisor.processes()["sleeper"].is_up)
        for process in leftovers.marked(folder.path):
            if "supervisord" in " ".join(process.cmdline()):
                process.kill()
        assert leftovers.clear(folder.path) >= 1

    with launched(folder, Program("sleeper", WAITS)) as supervisor:
        assert "STOPPED" == supervisor.processes()["sleeper"].state


def test_no_supervisord_is_a_clear_error(folder: FleetFolder) -> None:
    """Asking a fleet that does not run says so."""
    with pytest.raises(SupervisionError, match="does not answer"):
        Supervisor(folder).processes()


def test_a_broken_configuration_says_why(folder: FleetFolder) -> None:
    """supervisord's own words are in the message."""
    folder.path.mkdir(parents=True)
    folder.supervisor_config.write_text("[program:x]\n")

    with pytest.raises(SupervisionError, match="does not include supervisord section"):
        supervision.launch(folder, os.environ)


def test_warnings_are_no_errors_for_supervisor(tmp_path: Path) -> None:
    """The process manager itself runs clean with every warning an error."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "supervisor.supervisord", "--version"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )

    assert (0, "") == (done.returncode, done.stderr)
