"""Are the baselines that the fleet's speed is measured against honest? Each gives the fleet's own answers, from the same bundle."""

import http.client
import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from e2e.fleets import HOME, ROOT, Fleet, listens, until

PYTHON = str(ROOT / "loadtests" / "baseline" / ".venv" / "bin" / "python")
ENQUIRIES = 24
PENNY = 0.0101  # both round to pence, after sums in another order


@pytest.fixture(scope="module")
def enquiries() -> list[str]:
    """Bodies of requests, of drivers that are on the market."""
    subprocess.run([ROOT / "scripts" / "venv", "loadtests/baseline"], check=True)
    command = [PYTHON, "-m", "baseline.sample", "--market", str(HOME / "market"), "--count", str(ENQUIRIES)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()


@pytest.mark.parametrize(("kind", "more"), [("2w", []), ("1w-batch", []), ("2w", ["--signature"])])
def test_a_baseline_answers_as_the_fleet_does(
    fleet: Fleet, enquiries: list[str], tmp_path: Path, kind: str, more: list[str]
) -> None:
    """The same statuses, prices and intervals within a penny, the same panel."""
    with baseline(kind, fleet, tmp_path / "log", more) as port:
        pairs = [(fleet.post("/v1/quotes", body.encode()).body, ask(port, body)) for body in enquiries]

    for ours, theirs in pairs:
        assert ours["complete"]
        assert statuses(ours) == statuses(theirs)
        assert prices(ours) == pytest.approx(prices(theirs), abs=PENNY)
        assert ours["panel"]["likely"] == theirs["panel"]["likely"]
        assert ours["panel"]["mean_of_five_cheapest"] == pytest.approx(
            theirs["panel"]["mean_of_five_cheapest"], abs=PENNY
        )


def statuses(answer: Mapping[str, Any]) -> list[tuple[str, str, bool]]:
    """Insurer, status, and whether there is an interval."""
    return [(row["insurer"], row["status"], row["low"] is None) for row in answer["insurers"]]


def prices(answer: Mapping[str, Any]) -> list[float]:
    """Every number of every insurer, in order."""
    names = ("probability", "premium", "low", "high")
    return [row[name] for row in answer["insurers"] for name in names if row[name] is not None]


@contextmanager
def baseline(kind: str, fleet: Fleet, log: Path, more: list[str]) -> Iterator[int]:
    """A baseline with the fleet's bundle, on a free port; ended afterwards."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    flags = ["--store", str(HOME / "store"), "--release", str(fleet.folder / "release.json")]
    flags += ["--market", str(HOME / "market"), "--port", str(port), *more]
    with log.open("wb") as file:
        process = subprocess.Popen(
            [PYTHON, "-m", "baseline", kind, *flags], stdout=file, stderr=file, start_new_session=True
        )
    try:
        until(lambda: listens(port) or process.poll() is not None, within_s=120)
        assert process.poll() is None, log.read_text()
        yield port
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def ask(port: int, body: str) -> dict[str, Any]:
    """A baseline's answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("POST", "/v1/quotes", body, {"Content-Type": "application/json"})
        answer: dict[str, Any] = json.loads(connection.getresponse().read())
        return answer
    finally:
        connection.close()
