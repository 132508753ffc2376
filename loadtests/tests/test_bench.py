"""Verdicts, tables and what wrk says: pure parts of `python -m bench`."""

import subprocess
import sys
from pathlib import Path

import pytest
from bench import report, verdicts
from bench.agreement import differences
from bench.closed_loop import Closed, NoWrk, read
from bench.measure import Turn
from bench.open_loop import poisson
from bench.scenes import QUESTIONS, SHARES, Scene, Wanted, mixed
from bench.systems import quick, raw
from bench.verdicts import Verdict


def turn(per_s: float, rate: float, p50: float = 2.0, errors: int = 0) -> Turn:
    closed = {n: Closed(n, round(per_s), 1.0, p50, 9.0, errors) for n in (1, 16, 64)}
    return Turn(closed, {25.0: rate, 50.0: rate * 2}, cpu_ms=0.5, pss_mb=400, notes=())


ROUNDS = {"fleet": [turn(3_000, 2_000)] * 3, "2w": [turn(1_000, 600, 2.5)] * 3, "1w-batch": [turn(1_600, 400)] * 3}


def test_the_verdicts_are_those_of_the_issue() -> None:
    """Three and two times the throughput, four and three times the rate, and no slower alone."""
    found = {v.name: (v.holds, v.limit) for v in verdicts.compare(ROUNDS)}

    assert found == {
        "throughput at 64 connections / 2w's": (True, ">= 3"),
        "rate at p99 <= 25 ms / 2w's": (False, ">= 4"),
        "throughput at 64 connections / 1w-batch's": (False, ">= 2"),
        "rate at p99 <= 25 ms / 1w-batch's": (True, ">= 3"),
        "p50 alone / 2w's": (True, "<= 1"),
        "fleet: share of errors": (True, "<= 0.001"),
        "2w: share of errors": (True, "<= 0.001"),
        "1w-batch: share of errors": (True, "<= 0.001"),
    }


def test_what_was_not_measured_is_not_judged() -> None:
    """With --only there may be no fleet, or no baseline."""
    assert ["2w: share of errors"] == [v.name for v in verdicts.compare({"2w": ROUNDS["2w"]})]


def test_no_number_is_no() -> None:
    """A ratio that could not be made does not pass."""
    assert not Verdict("x", float("nan"), at_least=1).holds
    assert not Verdict("x", float("nan"), at_most=1).holds


def test_the_page_has_every_figure_and_verdict() -> None:
    """A table with a row for each system, and yes or NO for each limit."""
    scene = Scene("compare", verdicts.compare(ROUNDS), {n: list(t) for n, t in ROUNDS.items()}, ["a note", "a note"])

    page = report.page([scene], Wanted(3, 3.0, (), 10.0, 30.0), day="2026-11-24", where="a machine")

    assert "| fleet | 3000 | 3000 | 3000 | 2.00 | 9.00 | 2000 | 4000 | 0.50 | 400 | 0 |" in page
    assert "| **NO** | rate at p99 <= 25 ms / 2w's | 3.33 | >= 4 |" in page
    assert 1 == page.count("a note")
    assert "NO  rate at p99 <= 25 ms / 2w's: 3.33 (>= 4)" in report.text([scene])


def test_what_wrk_says_is_read() -> None:
    """Requests, time, p50 and p99; answers that are not whole are no answers."""
    found = read("Running 3s test\nfigures 3000 2000000 1250 9000 4 1 2\nshown 503 {}\n", 64)

    assert Closed(64, 2_996, 2.0, 1.25, 9.0, 7, "503 {}") == found
    assert 1_498 == found.per_s


def test_when_wrk_fails_its_words_are_shown() -> None:
    """And not a figure."""
    with pytest.raises(NoWrk, match="unable to connect"):
        read("unable to connect to 127.0.0.1:1 Connection refused", 1)


def answer(premium: float = 400.0, status: str = "likely", low: float | None = 350.0) -> dict[str, object]:
    row = {"insurer": "i-0001", "status": status, "probability": 0.9, "premium": premium, "low": low, "high": 500.0}
    cheapest = {"insurer": "i-0001", "premium": premium, "low": low, "high": 500.0}
    return {"insurers": [row], "panel": {"likely": 1, "cheapest": cheapest, "mean_of_five_cheapest": premium}}


def test_a_penny_is_no_difference() -> None:
    """Sums in another order round differently."""
    assert [] == differences(answer(400.0), answer(400.01))


@pytest.mark.parametrize("other", [answer(400.02), answer(status="unlikely"), answer(low=None)])
def test_more_than_a_penny_is_one(other: dict[str, object]) -> None:
    """So is another status, or an interval that only one of them has."""
    assert differences(answer(), other)


def test_priorities_are_mixed_by_their_shares() -> None:
    """Each request keeps its time, and gets one of its priority's questions."""
    plan = poisson(2_000, 5.0, 1_000, seed=1)

    found = mixed(plan)

    drawn = [which // QUESTIONS for which in found.which]
    assert plan.due_s == found.due_s
    assert list(SHARES.values()) == pytest.approx([drawn.count(i) / len(drawn) for i in range(3)], abs=0.03)


def test_quick_params_have_few_epochs_and_no_gate() -> None:
    """Speed is measured, not how good the models are."""
    made = quick("[fit]\nepochs = 28\nbatch = 512\n\n[[gate]]\nfigure = 'x'\n")

    assert "gate = []\n[fit]\nepochs = 2\nbatch = 512\n\n" == made


def test_a_request_is_whole() -> None:
    """Its length is that of its bytes."""
    text = raw(80, '{"a": "é"}', {"Content-Type": "application/json"})

    assert text.endswith(b'Content-Length: 11\r\n\r\n{"a": "\xc3\xa9"}')


@pytest.mark.parametrize(
    ("flags", "said"),
    [(["nothing"], "no scene 'nothing'; there are compare, scaling"), (["--rounds", "0"], "not a number from 1 to 20")],
)
def test_bad_arguments_are_said_clearly(flags: list[str], said: str) -> None:
    """Exit 2, and what would be right."""
    done = subprocess.run(
        [sys.executable, "-m", "bench", *flags],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=False,
    )

    assert 2 == done.returncode
    assert said in done.stderr
