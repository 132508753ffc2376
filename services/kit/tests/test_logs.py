"""What is logged, and that nobody waits for it."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any, TextIO

import pytest
import structlog

from kit import logs

MANY = 10_000


@pytest.fixture(autouse=True)
def _default_logging() -> Iterator[None]:
    yield
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


@pytest.fixture
def unread() -> Iterator[tuple[TextIO, TextIO]]:
    """A pipe that nobody reads yet: its reading end and its writing end."""
    ends = os.pipe()
    with os.fdopen(ends[0]) as reading, os.fdopen(ends[1], "w") as writing:
        yield reading, writing


def test_a_log_line_is_one_json_object(capsys: pytest.CaptureFixture[str]) -> None:
    """Events have fields, the service's name among them."""
    logs.configure("gateway", "INFO")
    logs.get().debug("unseen")
    logs.get().warning("model_slow", model="premium-regressor", waited_s=0.2)

    assert logs.flush()
    line = json.loads(capsys.readouterr().err)
    assert ("model_slow", "gateway", "warning", 0.2) == (
        line["event"],
        line["service"],
        line["level"],
        line["waited_s"],
    )


def test_an_unknown_level_is_refused() -> None:
    """The message lists the levels."""
    with pytest.raises(ValueError, match="DEBUG, INFO, WARNING or ERROR"):
        logs.configure("gateway", "LOUD")


def test_lines_keep_their_order(unread: tuple[TextIO, TextIO]) -> None:
    """One thread writes, and what was logged first stands first."""
    reading, writing = unread
    logs.configure("gateway", stream=writing)
    for number in range(100):
        logs.get().info("event", number=number)

    assert logs.flush()
    assert list(range(100)) == [json.loads(reading.readline())["number"] for _ in range(100)]


def test_a_pipe_that_nobody_reads_stops_nobody(unread: tuple[TextIO, TextIO]) -> None:
    """Logging into a full pipe returns at once; when it is read again, what was dropped is said, and every line is accounted for."""
    reading, writing = unread
    logs.configure("gateway", stream=writing)

    begun = time.monotonic()
    for number in range(MANY):
        logs.get().info("event", number=number, filling="x" * 100)
    took = time.monotonic() - begun
    is_flushed = logs.flush(0.05)
    seen, told = 0, list[dict[str, Any]]()
    while seen + sum(line["lines"] for line in told) < MANY:
        line = json.loads(reading.readline())
        if line["event"] == "event":
            seen += 1
        else:
            told.append(line)

    assert took < 5.0
    assert not is_flushed
    assert {("logs_dropped", "gateway", "warning")} == {
        (line["event"], line["service"], line["level"]) for line in told
    }
    assert logs.flush()


def test_a_reader_that_has_gone_is_no_error() -> None:
    """Lines for a closed pipe are dropped, and the next stream is written as ever."""
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as gone:
        logs.configure("gateway", stream=gone)
        logs.get().info("lost")
        assert logs.flush()

    logs.configure("gateway", stream=gone)  # closed by now
    logs.get().info("lost")

    assert logs.flush()


@pytest.mark.parametrize(("lines", "is_whole"), [(10, True), (MANY, False)])
def test_a_process_ends_with_its_lines_written(lines: int, *, is_whole: bool) -> None:
    """The last line before the end is there; with nobody reading, the process ends all the same, and in order."""
    program = (
        f"from kit import logs; logs.configure('p'); [logs.get().info('e', n=n, f='x' * 100) for n in range({lines})]"
    )
    with subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE, text=True) as process:
        code = process.wait(timeout=30)
        assert process.stderr is not None
        said = process.stderr.read().splitlines()

    assert 0 == code
    assert is_whole == (len(said) == lines)
    assert 0 == json.loads(said[0])["n"]
