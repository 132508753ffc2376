"""Processes that a killed parent left are found by their mark, and only they."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from local_fleet import leftovers

WAITS = "import time; print('on', flush=True); time.sleep(600)"
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('on', flush=True); time.sleep(600)"


@contextmanager
def process(mark: Path, code: str = WAITS) -> Iterator["subprocess.Popen[bytes]"]:
    """A process that carries a mark, and has begun."""
    child = subprocess.Popen(
        [sys.executable, "-c", code], env={**os.environ, leftovers.MARK: str(mark)}, stdout=subprocess.PIPE
    )
    try:
        assert child.stdout is not None
        child.stdout.readline()
        yield child
    finally:
        child.kill()
        child.wait()
        assert child.stdout is not None
        child.stdout.close()


def test_only_the_fleets_own_processes_are_found(tmp_path: Path) -> None:
    """Another fleet's processes, and this test itself, are not."""
    with process(tmp_path / "fleet-0") as mine, process(tmp_path / "fleet-100"):
        assert [mine.pid] == [p.pid for p in leftovers.marked(tmp_path / "fleet-0")]


def test_leftovers_are_ended(tmp_path: Path) -> None:
    """They are gone afterwards."""
    with process(tmp_path):
        assert 1 == leftovers.clear(tmp_path)
        assert [] == leftovers.marked(tmp_path)


def test_a_process_that_does_not_listen_is_killed(tmp_path: Path) -> None:
    """SIGTERM is a request; after the grace it is no longer one."""
    with process(tmp_path, DEAF):
        assert 1 == leftovers.clear(tmp_path, grace_s=0.2)
        assert [] == leftovers.marked(tmp_path)


def test_a_stopped_process_is_ended(tmp_path: Path) -> None:
    """A drill that ended half-way leaves processes that are stopped by SIGSTOP; they are ended like any other."""
    with process(tmp_path) as child:
        child.send_signal(signal.SIGSTOP)

        assert 1 == leftovers.clear(tmp_path)
        assert [] == leftovers.marked(tmp_path)


def test_nothing_is_left_of_nothing(tmp_path: Path) -> None:
    """A first start finds no leftovers."""
    assert 0 == leftovers.clear(tmp_path)
