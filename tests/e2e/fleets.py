"""How does a test start a whole fleet, ask it, and hurt it? As a person would: by its command line, its API and signals."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psutil

ROOT: Final = Path(__file__).resolve().parents[2]
HOME: Final = Path(os.environ.get("BALLPARK_E2E_HOME") or ROOT / ".ballpark" / "e2e")
"""Kept between runs: the first one makes a small market and trains two small models, later ones use them again."""

PYTHON: Final = str(ROOT / "services" / "local-fleet" / ".venv" / "bin" / "python")
MODELS: Final = ("quote-classifier", "premium-regressor")
SERVERS: Final = tuple(f"{model}-stable" for model in MODELS)
ENQUIRIES: Final = 4_000
EPOCHS: Final = 2
READY: Final = "Ctrl-C stops the fleet."
START_WITHIN_S: Final = 600.0
KEY: Final = "ballpark-dev"
WIDE_BUDGET_MS: Final = 1_000
"""For answers that must be whole on a machine that is busy with other tests."""

RISK: Final[Mapping[str, Any]] = {
    "driver": {"age": 41, "licence_years": 20, "licence_type": "full_uk", "ncd_years": 9},
    "vehicle": {"vehicle_id": "v-00200", "modified": "none"},
    "area": {"sector": "R03-0010"},
    "use": {"annual_mileage": 9000, "class_of_use": "social", "overnight": "garage"},
    "cover": {"cover": "comprehensive", "voluntary_excess": 200, "days_to_start": 10},
    "history": {"consent": True, "fault_claims": 0, "non_fault_claims": 0, "conviction": "none", "points": 0},
}


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer, and how long it took."""

    status: int
    headers: Mapping[str, str]
    body: Any
    took_s: float


@dataclass(frozen=True)
class Fleet:
    """A fleet that runs: the process that was started, and everything it printed until it was ready."""

    process: "subprocess.Popen[bytes]"
    printed: str
    output: Path

    @property
    def port(self) -> int:
        """The gateway's, as printed."""
        return int(_found(r"docs +http://127\.0\.0\.1:(\d+)/docs", self.printed))

    @property
    def folder(self) -> Path:
        """Where its files are, as printed."""
        return Path(_found(r"logs +(\S+)", self.printed)).parent

    @property
    def curl(self) -> str:
        """The command that it printed."""
        return _found(r"(?ms)^(curl .*\}')$", self.printed)

    def pids(self) -> dict[str, int]:
        """The pid of each of its processes, as `status` prints them."""
        found = re.findall(r"(?m)^(\S+) +[A-Z]+ +(\d+) ", self.command("status").stdout)
        return {name: int(pid) for name, pid in found}

    def command(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """Run `local_fleet` for this fleet."""
        offset = str(self.port - 8080)
        return subprocess.run(
            [PYTHON, "-m", "local_fleet", *words, "--home", str(HOME), "--port-offset", offset],
            capture_output=True,
            text=True,
            check=False,
        )

    def post(
        self, path: str, body: bytes | Mapping[str, Any], *, key: str | None = KEY, budget_ms: int = WIDE_BUDGET_MS
    ) -> Answer:
        """POST a body (JSON of a mapping) and wait a little longer than the budget."""
        headers = {"Content-Type": "application/json", "X-Request-Timeout-Ms": str(budget_ms)}
        headers |= {} if key is None else {"Authorization": f"Bearer {key}"}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=budget_ms / 1000 + 10)
        begun = time.monotonic()
        try:
            connection.request("POST", path, body if isinstance(body, bytes) else json.dumps(body), headers)
            response = connection.getresponse()
            content = response.read()
            took_s = time.monotonic() - begun
            return Answer(
                response.status, {k.lower(): v for k, v in response.getheaders()}, json.loads(content), took_s
            )
        finally:
            connection.close()

    def quote(self, *, vehicle: str = "v-00200", budget_ms: int = WIDE_BUDGET_MS) -> Answer:
        """Ask for quotes on a car."""
        risk = {**RISK, "vehicle": {**RISK["vehicle"], "vehicle_id": vehicle}}
        return self.post("/v1/quotes", {"risk": risk}, budget_ms=budget_ms)


def _found(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    assert match is not None, f"no {pattern!r} in:\n{text}"
    return match[1]


def small_params() -> list[str]:
    """`--params` of both models: few epochs, no gate. What is tested here is the fleet, not how good its models are."""
    flags = []
    for model in MODELS:
        text = (ROOT / "services" / model / "src" / model.replace("-", "_") / "params.toml").read_text()
        ungated = "gate = []\n" + text.partition("[[gate]]")[0]
        path = HOME / "params" / f"{model}.toml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(re.sub(r"(?m)^epochs = \d+", f"epochs = {EPOCHS}", ungated))
        flags += ["--params", f"{model}={path}"]
    return flags


@contextmanager
def started(output: Path, *, offset: str = "auto") -> Iterator[Fleet]:
    """A fleet in the foreground of a process of its own; stopped afterwards, whatever happened."""
    process, fleet = begin(output, offset=offset), None
    try:
        until(lambda: READY in output.read_text() or process.poll() is not None, within_s=START_WITHIN_S)
        assert process.poll() is None, output.read_text()
        fleet = Fleet(process, output.read_text(), output)
        yield fleet
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
        if fleet is not None and processes_of(fleet):  # a test has killed it, and failed before it was started again
            fleet.command("down")


def begin(output: Path, *, offset: str) -> "subprocess.Popen[bytes]":
    """Start `local_fleet up`, and do not wait."""
    size = ["--enquiries", str(ENQUIRIES), *small_params()]
    with output.open("wb") as file:
        return subprocess.Popen(
            [PYTHON, "-m", "local_fleet", "up", "--port-offset", offset, "--home", str(HOME), *size],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def until(condition: Callable[[], bool], *, within_s: float) -> None:
    """Wait for a condition, or fail."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {within_s:g} s"
        time.sleep(0.05)


def listens(port: int) -> bool:
    """Whether anybody accepts connections there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def processes_of(fleet: Fleet) -> list[psutil.Process]:
    """Every process that carries the fleet's mark in its environment."""
    return [p for p in psutil.process_iter() if _mark(p) == str(fleet.folder)]


def _mark(process: psutil.Process) -> str | None:
    try:
        return process.environ().get("BALLPARK_FLEET")
    except (psutil.Error, OSError):
        return None
