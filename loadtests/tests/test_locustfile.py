"""The command, as a person or `make load` runs it, against a stand-in for the fleet."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Fleet
from settings import FILE

LOCUST = [sys.executable, "-m", "locust", "-f", str(Path(__file__).parents[1] / "locustfile.py"), "--headless"]


def run(url: str, *flags: str, **environ: str) -> tuple[int, str]:
    """The exit code and everything that was said."""
    done = subprocess.run(
        [*LOCUST, *flags], capture_output=True, text=True, timeout=60, check=False,
        env={**os.environ, "BALLPARK_URL": url, **environ},
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def last_line(said: str) -> str:
    return next(line for line in reversed(said.splitlines()) if line.startswith(("PASSED", "FAILED")))


@pytest.fixture
def fast(tmp_path: Path) -> list[str]:
    """Flags for a run of four seconds that counts three: a warm-up and a sample that suit."""
    path = tmp_path / "load.toml"
    path.write_text(FILE.read_text().replace("warm_up_s = 5", "warm_up_s = 1").replace("p99 = 1000", "p99 = 200"))
    return ["--settings", str(path), "--rate", "100", "-t", "4s"]


def test_a_fleet_within_the_budget_passes(fleet: Fleet, fast: list[str]) -> None:
    """Exit 0, a table with the p99 against the limit, and the gateway was told the budget."""
    code, said = run(fleet.url, *fast, "--budget-ms", "1000")

    assert (0, "PASSED: every limit kept") == (code, last_line(said))
    assert {"1000"} == {h["X-Request-Timeout-Ms"] for h in fleet.headers}


def test_a_budget_of_a_millisecond_fails(fleet: Fleet, fast: list[str]) -> None:
    """Exit 1, with the reason."""
    fleet.takes_s = 0.002

    code, said = run(fleet.url, *fast, BALLPARK_BUDGET_MS="1")

    assert 1 == code
    assert "ms is over the budget of 1 ms" in last_line(said)


def test_a_stall_is_seen_in_full(fleet: Fleet, fast: list[str]) -> None:
    """A second without answers at 100 requests a second is about a hundred slow requests: p95 is slow, not only the worst."""
    fleet.stalls_s = (2.0, 3.0)

    code, said = run(fleet.url, *fast)

    row = next(line.split() for line in said.splitlines() if line.strip().startswith("journey"))
    assert 1 == code
    assert float(row[3]) > 300


@pytest.mark.parametrize(
    ("degraded", "status", "reason"), [(("features_unavailable",), 200, "100.00% degraded"), ((), 500, "errors, at most")]
)  # fmt: skip
def test_a_bad_answer_fails(fleet: Fleet, fast: list[str], degraded: tuple[str, ...], status: int, reason: str) -> None:
    """Quick is not enough: degraded and wrong answers have limits of their own."""
    fleet.degraded, fleet.status = degraded, status

    code, said = run(fleet.url, *fast)

    assert 1 == code
    assert reason in last_line(said)


def test_nothing_listening_is_said_clearly() -> None:
    """Exit 2 and what to do about it."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"

    code, said = run(url, "-t", "1s")

    assert 2 == code
    assert f"{url}/v1/contract" in said
    assert "make run" in said


def test_a_key_that_is_refused_is_said_clearly(fleet: Fleet) -> None:
    """Exit 2 before the first question, and the key is not printed."""
    code, said = run(fleet.url, "-t", "1s", BALLPARK_KEY="wrong-key")

    assert 2 == code
    assert "BALLPARK_KEY" in said
    assert "wrong-key" not in said


def test_another_machine_is_not_loaded() -> None:
    """Exit 2, and how to say that it is one's own."""
    code, said = run("http://192.0.2.1", "-t", "1s")

    assert 2 == code
    assert "BALLPARK_ALLOW_HOST=192.0.2.1" in said
