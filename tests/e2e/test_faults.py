"""A part that dies or hangs costs its half of the answer and no more; the gateway itself is never restarted."""

import os
import signal
from collections.abc import Iterator
from itertools import count

import pytest
from e2e.fleets import SERVERS, Answer, Fleet, until

BUDGET_MS = 500
BACK_WITHIN_S = 120.0
FEATURES_BACK_WITHIN_S = 5.0

NEW_CARS = (f"v-{number:05d}" for number in count(30_000))
"""Cars that were not asked for before: the gateway remembers the others."""


@pytest.fixture(autouse=True)
def same_gateway(fleet: Fleet) -> Iterator[None]:
    """Whatever a test does, the gateway's process is the one that it was."""
    before = fleet.pids()["gateway"]
    yield
    assert before == fleet.pids()["gateway"]


def is_whole(fleet: Fleet) -> bool:
    """A quote on a new car has nothing missing."""
    body = fleet.quote(vehicle=next(NEW_CARS)).body
    return body.get("complete") is True and not body["degraded"]


def reasons_without(server: str) -> set[str]:
    """What an answer may say when that model server is gone."""
    branch = {"quote-classifier-stable": "classifier", "premium-regressor-stable": "regressor"}[server]
    return {f"{branch}_timeout", f"{branch}_unavailable"}


def check_half_an_answer(answer: Answer, server: str) -> None:
    """200 with the other half and the reason, inside the budget (and the client's own time)."""
    assert 200 == answer.status
    assert not answer.body["complete"]
    assert set(answer.body["degraded"]) <= reasons_without(server)
    assert answer.body["degraded"]
    assert 60 == len(answer.body["insurers"])
    assert answer.took_s < 2 * BUDGET_MS / 1000


@pytest.mark.parametrize("server", SERVERS)
def test_a_killed_model_server_costs_its_half(fleet: Fleet, server: str) -> None:
    """Quotes go on without it, and are whole again once it is back."""
    assert 0 == fleet.command("kill", server).returncode
    check_half_an_answer(fleet.quote(budget_ms=BUDGET_MS), server)

    until(lambda: is_whole(fleet), within_s=BACK_WITHIN_S)


@pytest.mark.parametrize("server", SERVERS)
def test_a_hanging_model_server_costs_its_half(fleet: Fleet, server: str) -> None:
    """A process that accepts calls and never answers is no better than a dead one, and no worse."""
    pid = fleet.pids()[server]
    os.kill(pid, signal.SIGSTOP)
    try:
        check_half_an_answer(fleet.quote(budget_ms=BUDGET_MS), server)
    finally:
        os.kill(pid, signal.SIGCONT)

    until(lambda: is_whole(fleet), within_s=BACK_WITHIN_S)


def test_without_redis_quotes_come_from_defaults(fleet: Fleet) -> None:
    """A car that is not remembered is priced by what is known on average, and the answer says so; soon after Redis is back it is not."""
    fleet.command("stop", "redis")
    answer = fleet.quote(vehicle=next(NEW_CARS), budget_ms=BUDGET_MS)
    fleet.command("start", "redis")

    assert (200, True, ["features_unavailable"]) == (answer.status, answer.body["complete"], answer.body["degraded"])
    until(lambda: is_whole(fleet), within_s=FEATURES_BACK_WITHIN_S)


def test_a_hanging_redis_is_not_waited_for(fleet: Fleet) -> None:
    """The answer comes inside the budget from defaults."""
    pid = fleet.pids()["redis"]
    os.kill(pid, signal.SIGSTOP)
    try:
        answer = fleet.quote(vehicle=next(NEW_CARS), budget_ms=BUDGET_MS)
    finally:
        os.kill(pid, signal.SIGCONT)

    assert (200, True, ["features_unavailable"]) == (answer.status, answer.body["complete"], answer.body["degraded"])
    assert answer.took_s < 2 * BUDGET_MS / 1000
    until(lambda: is_whole(fleet), within_s=FEATURES_BACK_WITHIN_S)


def test_what_happens_to_processes_is_printed(fleet: Fleet) -> None:
    """The person in front of the fleet reads which process died, of what, and that it is back."""
    fleet.command("kill", "redis")

    until(lambda: "redis died (terminated by SIGKILL)" in fleet.output.read_text(), within_s=10)
    until(lambda: "redis is ready again" in fleet.output.read_text(), within_s=30)
    until(lambda: is_whole(fleet), within_s=BACK_WITHIN_S)
