"""How is a system started, reached and ended? The fleet through its own command line, the baselines as a process group each.

A further gateway or model server is started as the fleet's own one was, with the same command line and environment but for its
ports, so that what the fleet's processes are started with is known in one place only.
"""

import fcntl
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench import processes

ROOT: Final = Path(__file__).resolve().parents[2]
HOST: Final = "127.0.0.1"
MARK: Final = "BALLPARK_FLEET"
READY: Final = "Ctrl-C stops the fleet."
FLEET: Final = (str(ROOT / "services" / "local-fleet" / ".venv" / "bin" / "python"), "-m", "local_fleet")
BASELINE: Final = (str(ROOT / "loadtests" / "baseline" / ".venv" / "bin" / "python"), "-m", "baseline")
MODELS: Final = ("quote-classifier", "premium-regressor")
ENQUIRIES: Final = 6_000
EPOCHS: Final = 2
START_WITHIN_S: Final = 900.0
"""The first run makes a market and trains both models."""
READY_WITHIN_S: Final = 120.0
END_WITHIN_S: Final = 60.0
POLL_S: Final = 0.1
TIMEOUT_S: Final = 10.0


class CannotRun(Exception):
    """A system did not start, or does not answer as it should; the message says what it said."""


@dataclass(frozen=True)
class System:
    """What is measured: where it listens (more than one gateway: more than one port), what a request needs, and its processes."""

    name: str
    ports: Sequence[int]
    headers: Mapping[str, str]
    pids: Callable[[], Sequence[int]]

    def cpu_s(self) -> float:
        """CPU time of all its processes so far."""
        return processes.cpu_s(self.pids())

    def held(self) -> processes.Held:
        """What all its processes hold."""
        return processes.held(self.pids())

    def ask(self, body: str) -> Mapping[str, Any]:
        """One answer, whole. Raises `CannotRun` for any other."""
        return ask(self.ports[0], body, self.headers)


def ask(port: int, body: str, headers: Mapping[str, str]) -> Mapping[str, Any]:
    """One whole answer to `POST /v1/quotes`. Raises `CannotRun`."""
    connection = http.client.HTTPConnection(HOST, port, timeout=TIMEOUT_S)
    try:
        connection.request("POST", "/v1/quotes", body, dict(headers))
        response = connection.getresponse()
        text = response.read()
    except OSError as error:
        raise CannotRun(f"port {port}: {error}") from error
    finally:
        connection.close()
    answer: dict[str, Any] = json.loads(text) if response.status == 200 else {}
    if not answer.get("complete"):
        raise CannotRun(f"port {port} answered {response.status}: {text[:300].decode(errors='replace')}")
    return answer


def raw(port: int, body: str, headers: Mapping[str, str]) -> bytes:
    """The bytes of a request."""
    lines = [f"POST /v1/quotes HTTP/1.1\r\nHost: {HOST}:{port}\r\n", *(f"{n}: {v}\r\n" for n, v in headers.items())]
    return f"{''.join(lines)}Content-Length: {len(body.encode())}\r\n\r\n{body}".encode()


@dataclass(frozen=True)
class Home:
    """Where the fleet of so many insurers keeps its market and models: made by the first run, used again by later ones."""

    path: Path
    insurers: int

    @classmethod
    def of(cls, insurers: int) -> "Home":
        """Below BALLPARK_BENCH_HOME, or .ballpark/bench in the checkout."""
        base = Path(os.environ.get("BALLPARK_BENCH_HOME") or ROOT / ".ballpark" / "bench")
        return cls(base.absolute() / str(insurers), insurers)

    @property
    def market(self) -> Path:
        """The enquiries, cars and areas."""
        return self.path / "market"

    @property
    def store(self) -> Path:
        """The artefacts."""
        return self.path / "store"

    def size(self) -> list[str]:
        """The arguments that make it: the models' own nets, few rows, few epochs and no gate, for speed is what is measured here."""
        flags = ["--home", str(self.path), "--enquiries", str(ENQUIRIES), "--insurers", str(self.insurers)]
        for model in MODELS:
            package = ROOT / "services" / model / "src" / model.replace("-", "_")
            path = self.path / "params" / f"{model}.toml"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(quick((package / "params.toml").read_text()))
            flags += ["--params", f"{model}={path}"]
        return flags


def quick(params: str) -> str:
    """A params.toml with few epochs and without gates."""
    return re.sub(r"(?m)^epochs = \d+", f"epochs = {EPOCHS}", "gate = []\n" + params.partition("[[gate]]")[0])


@dataclass(frozen=True)
class Fleet:
    """A fleet that runs."""

    home: Home
    port: int

    @property
    def folder(self) -> Path:
        """Where its configuration is; also the mark of its processes."""
        return self.home.path / f"fleet-{self.port - 8080}"

    def roles(self) -> dict[int, str]:
        """Its processes, without the process manager: pid to `gateway`, `redis`, or a model's name."""
        found = {}
        for pid, command in processes.marked(MARK, str(self.folder)).items():
            if (role := role_of(command)) is not None:
                found[pid] = role
        return found

    def pids(self) -> list[int]:
        """All of them."""
        return list(self.roles())

    def pid(self, role: str) -> int:
        """The fleet's own process of that role, the one with the lowest pid."""
        return min(pid for pid, found in self.roles().items() if found == role)

    def target(self, setting: str) -> str:
        """Where its gateway asks a model, `host:port`."""
        return processes.environ(self.pid("gateway"))[setting]

    def system(self, name: str = "fleet", ports: Sequence[int] = ()) -> System:
        """As a system to be measured."""
        return System(name, ports or (self.port,), request_headers(), self.pids)


def role_of(command: Sequence[str]) -> str | None:
    """What a process of a fleet is, by its command line; None for the process manager and for whatever else has the mark."""
    text = " ".join(command)
    if "-m gateway" in text:
        return "gateway"
    if "-m model_server" in text:
        return next((model for model in MODELS if f"/{model}.config" in text), None)
    return "redis" if "--dbfilename" in text else None


def request_headers(key: str | None = None, budget_ms: int = 1000) -> Mapping[str, str]:
    """What a request to a gateway carries; the development key unless another is given."""
    accepted = key or os.environ.get("BALLPARK_DEV_KEY", "ballpark-dev")
    return {
        "Authorization": f"Bearer {accepted}",
        "Content-Type": "application/json",
        "X-Request-Timeout-Ms": str(budget_ms),
    }


@contextmanager
def running_fleet(home: Home, say: Callable[[str], None]) -> Iterator[Fleet]:
    """The whole fleet at a free port offset, stopped afterwards; what a killed run left is ended first. Raises `CannotRun`."""
    home.path.mkdir(parents=True, exist_ok=True)
    with _only_one(home):
        subprocess.run(
            [*FLEET, "down", "--port-offset", "all", "--home", str(home.path)], check=False, capture_output=True
        )
        with _started_fleet(home, say) as fleet:
            yield fleet


@contextmanager
def _only_one(home: Home) -> Iterator[None]:
    with (home.path / "bench.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CannotRun(f"another run measures in {home.path}") from None
        yield


@contextmanager
def _started_fleet(home: Home, say: Callable[[str], None]) -> Iterator[Fleet]:
    output = home.path / "up.log"
    with output.open("wb") as file:
        process = subprocess.Popen(
            [*FLEET, "up", "--port-offset", "auto", *home.size()],
            stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    try:
        say(f"starting a fleet of {home.insurers} insurers (the first time it trains its models: {output})")
        text = _until(lambda: _said(output, READY), process, output, START_WITHIN_S)
        found = re.search(r"docs +http://127\.0\.0\.1:(\d+)/docs", text)
        if found is None:
            raise CannotRun(f"the fleet said nothing of its address: {output}")
        yield Fleet(home, int(found[1]))
    finally:
        end(process)


def _said(output: Path, what: str) -> str | None:
    text = output.read_text(errors="replace")
    return text if what in text else None


def _until(ready: Callable[[], str | None], process: "subprocess.Popen[bytes]", log: Path, within_s: float) -> str:
    deadline = time.monotonic() + within_s
    while (found := ready()) is None:
        if process.poll() is not None or time.monotonic() > deadline:
            raise CannotRun(f"it did not start; {log}:\n{log.read_text(errors='replace')[-2000:]}")
        time.sleep(POLL_S)
    return found


def end(process: "subprocess.Popen[bytes]") -> None:
    """SIGTERM, then SIGKILL to its group, and wait."""
    if process.poll() is None:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(END_WITHIN_S)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@contextmanager
def running_baseline(kind: str, fleet: Fleet, *, signature: bool = False) -> Iterator[System]:
    """A baseline with the fleet's own bundle. Raises `CannotRun`."""
    port, log = free_port(), fleet.home.path / f"{kind}.log"
    flags = ["--store", str(fleet.home.store), "--release", str(fleet.folder / "release.json")]
    flags += ["--market", str(fleet.home.market), "--port", str(port), *(["--signature"] if signature else [])]
    # With the fleet's mark, so that whoever ends what is left of a killed run finds it.
    with started([*BASELINE, kind, *flags], {**os.environ, MARK: str(fleet.folder)}, log) as process:
        _until(lambda: _listens(port), process, log, READY_WITHIN_S)
        # A worker that shares the port may still be loading: all of them listen when as many sockets do.
        workers = 2 if kind == "2w" else 1
        _until(lambda: "" if _listeners(port) >= workers else None, process, log, READY_WITHIN_S)
        name = kind + ("-signature" if signature else "")
        headers = {"Content-Type": "application/json"}
        yield System(name, (port,), headers, lambda: processes.children(process.pid))


@contextmanager
def started(command: Sequence[str], environ: Mapping[str, str], log: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A process in a group of its own, ended afterwards."""
    with log.open("wb") as file:
        process = subprocess.Popen(
            command, env={**environ, "PYTHONDONTWRITEBYTECODE": ""}, stdin=subprocess.DEVNULL, stdout=file,
            stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    try:
        yield process
    finally:
        end(process)


def free_port() -> int:
    """One that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
    return port


def _listens(port: int) -> str | None:
    with socket.socket() as probe:
        return "" if probe.connect_ex((HOST, port)) == 0 else None


def _listeners(port: int) -> int:
    """How many sockets listen on a port of 127.0.0.1."""
    lines = (processes.PROC / "net" / "tcp").read_text().splitlines()
    return sum(f"0100007F:{port:04X} 00000000:0000 0A" in line for line in lines)


@contextmanager
def further_gateway(fleet: Fleet, changes: Mapping[str, str]) -> Iterator[int]:
    """One more gateway of a fleet, with other settings; gives its port. Raises `CannotRun`."""
    own = fleet.pid("gateway")
    port, admin = free_port(), free_port()
    ports = {"GATEWAY_PORT": str(port), "GATEWAY_ADMIN_PORT": str(admin)}
    environ = {**processes.environ(own), **ports, **changes}
    log = fleet.home.path / f"gateway-{port}.log"
    with started(processes.command(own), environ, log) as process:
        _until(lambda: _ready(admin), process, log, READY_WITHIN_S)
        yield port


def _ready(admin: int) -> str | None:
    connection = http.client.HTTPConnection(HOST, admin, timeout=1.0)
    try:
        connection.request("GET", "/readyz")
        return "" if connection.getresponse().status == 200 else None
    except OSError:
        return None
    finally:
        connection.close()


@contextmanager
def further_model_server(fleet: Fleet, model: str) -> Iterator[int]:
    """One more server of a model; gives its gRPC port. Raises `CannotRun`."""
    own, port = fleet.pid(model), free_port()
    command = with_flags(processes.command(own), {"--port": str(port), "--rest_api_port": "0"})
    log = fleet.home.path / f"{model}-{port}.log"
    with started(command, processes.environ(own), log) as process:
        _until(lambda: _listens(port), process, log, READY_WITHIN_S)
        yield port


def with_flags(command: Sequence[str], values: Mapping[str, str]) -> list[str]:
    """A command line whose `--name=value` flags have these values."""
    return [f"{name}={values[name]}" if (name := part.partition("=")[0]) in values else part for part in command]
