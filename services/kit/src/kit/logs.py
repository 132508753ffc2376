"""How does a service say what happened? As events with fields, one JSON line each, on standard error.

Whoever logs never waits: a line goes into a bounded queue, and one thread writes. A pipe that nobody reads therefore fills the queue
and not the service; what finds the queue full is dropped, and how much was is said as soon as there is room (`logs_dropped`). At the end
of the process the queue is written out, for a second at most.
"""

import atexit
import json
import logging
import os
import sys
import threading
import time
from datetime import UTC, datetime
from queue import Full, Queue
from typing import Final, TextIO, cast

import structlog

LINES: Final = 4_096  # in the queue at most
EXIT_S: Final = 1.0
TELL_S: Final = 1.0  # between two lines about what was dropped, while there is no end of it


def configure(service: str, level: str = "INFO", stream: TextIO | None = None) -> None:
    """Set up structlog for this process. `level` is one of DEBUG, INFO, WARNING, ERROR; raises ValueError otherwise.

    `stream` is where the lines go, standard error as it is now when left out.
    """
    number = logging.getLevelNamesMapping().get(level.upper())
    if number is None:
        raise ValueError(f"log level must be DEBUG, INFO, WARNING or ERROR, not {level!r}")
    lines = _Lines(_writer, service, stream or sys.stderr)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=lambda *_: lines,
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(service=service)


def get() -> structlog.typing.FilteringBoundLogger:
    """The logger: `get().warning("model_slow", model=name, waited_s=0.2)`."""
    return cast("structlog.typing.FilteringBoundLogger", structlog.get_logger())


def flush(timeout: float = EXIT_S) -> bool:
    """Wait until every line is written, `timeout` seconds at most, and say whether it is."""
    return _writer.flush(timeout)


class _Writer:
    """The queue and its thread, which is started by the first line."""

    def __init__(self, lines: int) -> None:
        self._queue: Queue[tuple[_Lines, str]] = Queue(lines)
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._told_at = 0.0

    def put(self, lines: "_Lines", line: str) -> None:
        """Leave a line to the thread, or drop and count it."""
        if self._thread is None or not self._thread.is_alive():  # at first, and in the child of a fork
            self._start()
        try:
            self._queue.put_nowait((lines, line))
        except Full:
            lines.drop()

    def flush(self, timeout: float) -> bool:
        """Whether every line was written within so many seconds."""
        queue = self._queue
        with queue.all_tasks_done:
            return queue.all_tasks_done.wait_for(lambda: queue.unfinished_tasks == 0, timeout)

    def _start(self) -> None:
        with self._starting:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._write, name="logs", daemon=True)
                self._thread.start()

    def _write(self) -> None:
        while True:
            lines, line = self._queue.get()
            lines.write(line)
            now = time.monotonic()
            if lines.dropped and (self._queue.empty() or now >= self._told_at + TELL_S):
                self._told_at = now
                lines.tell_dropped()
            self._queue.task_done()


class _Lines:
    """What structlog hands its lines to: one service's stream."""

    def __init__(self, writer: _Writer, service: str, stream: TextIO) -> None:
        self._writer, self._service, self._stream = writer, service, stream
        self._counting = threading.Lock()
        self.dropped = 0

    def msg(self, line: str) -> None:
        """Take a line; never waits."""
        self._writer.put(self, line)

    log = debug = info = warn = warning = error = critical = fatal = failure = exception = err = msg

    def drop(self, lines: int = 1) -> None:
        """Count what could not be written."""
        with self._counting:
            self.dropped += lines

    def tell_dropped(self) -> None:
        """Write how many lines were dropped since this was last said."""
        with self._counting:
            dropped, self.dropped = self.dropped, 0
        self.write(
            json.dumps(
                {
                    "event": "logs_dropped", "lines": dropped, "service": self._service, "level": "warning",
                    "timestamp": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
                }
            ),
            worth=dropped,
        )  # fmt: skip

    def write(self, line: str, *, worth: int = 1) -> None:
        """Write the line now, as long as that takes; a stream that takes no more costs it (`worth` lines)."""
        try:
            try:
                number = self._stream.fileno()
            except OSError:  # a stream in memory
                self._stream.write(f"{line}\n")
                self._stream.flush()
                return
            # Past the stream's own buffer, whose lock a thread that is stuck in a full pipe would take into the process's end.
            left = f"{line}\n".encode()
            while left:
                left = left[os.write(number, left) :]
        except (OSError, ValueError):  # nobody reads any more, or the stream is closed
            self.drop(worth)


_writer = _Writer(LINES)
atexit.register(flush)
