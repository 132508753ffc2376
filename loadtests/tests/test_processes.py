"""What /proc says of a system's processes, tried on processes of our own."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from bench import processes
from bench.systems import role_of, with_flags

MARK = "BALLPARK_TEST_MARK"


@pytest.fixture
def child() -> Iterator["subprocess.Popen[bytes]"]:
    """A process with a mark, which waits to be ended."""
    environ = {**os.environ, MARK: str(os.getpid())}
    with subprocess.Popen([sys.executable, "-c", "input()"], env=environ, stdin=subprocess.PIPE) as process:
        deadline = time.monotonic() + 10
        while process.pid not in processes.marked(MARK, str(os.getpid())):
            assert time.monotonic() < deadline
        yield process
        process.kill()


def test_cpu_time_is_counted() -> None:
    """At least what this process has just used, in the clock's ticks."""
    before, begun = processes.cpu_s([os.getpid()]), time.process_time()
    while time.process_time() - begun < 0.1:
        pass

    assert processes.cpu_s([os.getpid()]) - before >= 0.08
    assert processes.own_cpu_s() <= processes.machine_cpu_s()


def test_memory_and_descriptors_are_counted(child: "subprocess.Popen[bytes]") -> None:
    """Two processes hold more than one; a shared page is not counted twice in the PSS."""
    one, two = processes.held([os.getpid()]), processes.held([os.getpid(), child.pid])

    assert 0 < one.pss_kb < two.pss_kb
    assert one.pss_kb <= one.rss_kb
    assert two.descriptors >= one.descriptors + 3
    assert two.threads >= one.threads + 1


def test_whoever_has_ended_holds_nothing() -> None:
    """A process may be replaced while it is measured."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()

    assert 0.0 == processes.cpu_s([process.pid])
    assert processes.Held(0, 0, 0, 0) == processes.held([process.pid])


def test_processes_are_found_by_mark_and_by_parent(child: "subprocess.Popen[bytes]") -> None:
    """With the command line that they were started with."""
    assert {child.pid: [sys.executable, "-c", "input()"]} == processes.marked(MARK, str(os.getpid()))
    assert child.pid in processes.children(os.getpid())


@pytest.mark.parametrize(
    ("command", "role"),
    [
        (["python", "-m", "gateway"], "gateway"),
        (["python", "-m", "model_server", "--model_config_file=/x/premium-regressor.config"], "premium-regressor"),
        (["valkey-server", "--dbfilename", "features.rdb"], "redis"),
        (["python", "-m", "supervisor.supervisord", "-c", "x"], None),
        (["python", "-m", "baseline", "2w"], None),
    ],
)
def test_a_process_of_a_fleet_has_a_role(command: list[str], role: str | None) -> None:
    """The process manager and the baselines have none."""
    assert role == role_of(command)


def test_a_further_server_is_the_same_elsewhere() -> None:
    """Only the ports differ."""
    command = ["python", "-m", "model_server", "--port=8500", "--rest_api_port=8501", "--ports=1"]

    assert with_flags(command, {"--port": "9", "--rest_api_port": "0"}) == [
        *command[:3],
        "--port=9",
        "--rest_api_port=0",
        "--ports=1",
    ]
