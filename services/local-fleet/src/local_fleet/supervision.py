"""How is the process manager, supervisord, started, told what to do, and ended?

It is supervisor from PyPI, one supervisord per fleet, spoken to by XML-RPC over a socket file that only this user may open.
"""

import http.client
import os
import socket
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from local_fleet.leftovers import MARK
from local_fleet.places import FleetFolder

CALL_TIMEOUT_S: Final = 5.0
STOP_TIMEOUT_S: Final = 30.0
POLL_S: Final = 0.05
NOT_RUNNING: Final = 70
BAD_NAME: Final = 10
ALREADY_STARTED: Final = 60


class SupervisionError(Exception):
    """supervisord cannot be reached, or refused; the message says what."""


@dataclass(frozen=True, slots=True)
class Process:
    """What supervisord knows about one program. `state` is one of its words: RUNNING, STARTING, BACKOFF, FATAL, STOPPED, EXITED ..."""

    name: str
    state: str
    pid: int
    since: float
    log: Path

    @property
    def is_up(self) -> bool:
        """It runs, perhaps only just."""
        return self.state in {"RUNNING", "STARTING"}


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        try:
            self.sock.connect(str(self._path))
        except OSError:
            self.close()
            raise


class _Transport(xmlrpc.client.Transport):
    """XML-RPC over a socket file, with a time-out (the one that supervisor ships has none)."""

    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__()
        self._path, self._timeout = path, timeout

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        connection = _Connection(self._path, self._timeout)
        self._connection = host, connection  # where `close` looks for it
        return connection


class Supervisor:
    """The supervisord of one fleet, wherever it was started from."""

    def __init__(self, folder: FleetFolder) -> None:
        self._folder = folder

    def answers(self) -> bool:
        """Whether it runs."""
        try:
            self._call("getState")
        except SupervisionError:
            return False
        return True

    def processes(self) -> dict[str, Process]:
        """Every program by its name. Raises `SupervisionError`."""
        return {
            p["name"]: Process(p["name"], p["statename"], int(p["pid"]), float(p["start"]), Path(p["stdout_logfile"]))
            for p in self._call("getAllProcessInfo")
        }

    def start(self, name: str) -> None:
        """Start a program and do not wait for it. Raises `SupervisionError`."""
        self._call("startProcess", name, False, allowed=ALREADY_STARTED)

    def stop(self, name: str) -> None:
        """Stop a program, and wait until it has ended. Raises `SupervisionError`."""
        self._call("stopProcess", name, allowed=NOT_RUNNING, timeout=STOP_TIMEOUT_S)

    def stop_all(self) -> None:
        """Stop what still runs, all at once, and wait until it has ended. Raises `SupervisionError`."""
        self._call("stopAllProcesses", timeout=STOP_TIMEOUT_S)

    def kill(self, name: str) -> None:
        """Send SIGKILL, as a crash would; supervisord starts it again. Raises `SupervisionError`."""
        self._call("signalProcess", name, "KILL")

    def shut_down(self) -> None:
        """End supervisord, and whatever still runs below it. Raises `SupervisionError`."""
        self._call("shutdown")

    def _call(self, method: str, *args: str | bool, allowed: int | None = None, timeout: float = CALL_TIMEOUT_S) -> Any:
        proxy = xmlrpc.client.ServerProxy("http://localhost", transport=_Transport(self._folder.socket, timeout))
        try:
            with proxy:
                return getattr(proxy.supervisor, method)(*args)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode == allowed:
                return None
            if fault.faultCode == BAD_NAME:
                raise SupervisionError(f"no process {args[0]!r}; there are {', '.join(self.processes())}") from fault
            raise SupervisionError(f"{method}: {fault.faultString}") from fault
        except (OSError, http.client.HTTPException, xmlrpc.client.Error) as error:
            raise SupervisionError(f"supervisord does not answer ({type(error).__name__})") from error


def launch(folder: FleetFolder, environment: Mapping[str, str], *, within_s: float = 10.0) -> "subprocess.Popen[bytes]":
    """Start a supervisord for a fleet and wait until it answers. Raises `SupervisionError` with its last words."""
    for path in (folder.logs, folder.redis, folder.socket.parent):
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.socket.unlink(missing_ok=True)
    output = folder.logs / "supervisord.out"
    with output.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "supervisor.supervisord", "-c", str(folder.supervisor_config)],
            env={**environment, MARK: str(folder.path)},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for the parent, which then stops the fleet in order
        )
    supervisor, deadline = Supervisor(folder), time.monotonic() + within_s
    while not supervisor.answers():
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            process.wait()
            raise SupervisionError(f"supervisord did not start: {output.read_text(errors='replace').strip()[-2000:]}")
        time.sleep(POLL_S)
    return process


def last_lines(log: Path, count: int = 15) -> list[str]:
    """The end of a log file; nothing when there is none."""
    try:
        with log.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - 16_384))
            return file.read().decode(errors="replace").splitlines()[-count:]
    except FileNotFoundError:
        return []
