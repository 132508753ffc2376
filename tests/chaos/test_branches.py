"""One model of the two is gone, stopped, slow, refuses or babbles: it costs its half of the answer, with the reason, inside the budget."""

from itertools import cycle
from typing import Any

import pytest
from chaos.conftest import Fleet, Starter
from chaos.course import Course
from chaos.footprint import series
from chaos.load import Answer
from chaos.model_server import REFUSALS, RUBBISH
from chaos.processes import ModelServer, until

pytestmark = pytest.mark.usefixtures("unharmed")

BACK_WITHIN_S = 3.0
NOTICED_WITHIN_S = 5.0
BRANCHES = ("classifier", "regressor")
HALVES = {"classifier": "probability", "regressor": "premium"}
FIRST_CALLS_S = 0.2
"""What was on its way when it broke may still have been answered."""


@pytest.fixture(scope="module")
def fleet(starter: Starter) -> Fleet:
    """One server a branch."""
    return starter.fleet()


def server(fleet: Fleet, branch: str) -> ModelServer:
    """The only one of a branch."""
    return {"classifier": fleet.classifiers, "regressor": fleet.regressors}[branch][0]


def check_half(found: Course, branch: str) -> None:
    """Each answer lacks the half of that branch, and has the other one."""
    other = HALVES[BRANCHES[1 - BRANCHES.index(branch)]]

    def is_half(one: Answer) -> bool:
        rows = one.body["insurers"] if one.status == 200 else []
        lacks, has = {row[HALVES[branch]] for row in rows}, {row[other] for row in rows}
        return {None} == lacks and None not in has and not one.is_complete

    found.nearly_all(found.during(after_s=FIRST_CALLS_S), is_half)


@pytest.mark.parametrize("branch", BRANCHES)
@pytest.mark.parametrize("fault", ["killed", "stopped"])
def test_a_branch_that_is_gone(fleet: Fleet, branch: str, fault: str) -> None:
    """200 without its half, with the reason; whole again within three seconds of its being back."""
    broken = server(fleet, branch)
    harm, mend = (broken.kill, broken.restart) if fault == "killed" else (broken.stop, broken.go_on)

    found = fleet.drill(harm, mend, back_within_s=BACK_WITHIN_S)

    found.check(reasons={f"{branch}_timeout", f"{branch}_unavailable"})
    check_half(found, branch)


@pytest.mark.parametrize("branch", BRANCHES)
def test_a_branch_that_is_ten_times_slower(fleet: Fleet, branch: str) -> None:
    """Answers stay whole as long as the budget allows it."""
    broken = server(fleet, branch)

    found = fleet.drill(
        lambda: broken.behave(delay_s=0.02), broken.behave, budget_ms=500, lasts_s=1.0, back_within_s=BACK_WITHIN_S
    )

    found.check()


@pytest.mark.parametrize("branch", BRANCHES)
def test_a_branch_that_is_slower_than_the_budget(fleet: Fleet, branch: str) -> None:
    """200 without its half, and nobody waits longer than the budget."""
    broken = server(fleet, branch)

    found = fleet.drill(lambda: broken.behave(delay_s=0.6), broken.behave, back_within_s=BACK_WITHIN_S)

    found.check(reasons={f"{branch}_timeout", f"{branch}_unavailable"})
    check_half(found, branch)


@pytest.mark.parametrize(("fault", "branch"), list(zip([*REFUSALS, *RUBBISH], cycle(BRANCHES), strict=False)))
def test_a_branch_that_refuses_or_babbles(fleet: Fleet, branch: str, fault: str) -> None:
    """200 without its half: nothing that it says passes for a probability or a price, nor for another failure than it is."""
    broken = server(fleet, branch)

    found = fleet.drill(lambda: broken.behave(fault=fault), broken.behave, lasts_s=0.7, back_within_s=BACK_WITHIN_S)

    found.check(reasons={f"{branch}_unavailable"})
    check_half(found, branch)


def test_a_branch_that_is_gone_is_not_asked_by_everybody(fleet: Fleet) -> None:
    """Once it has stopped answering, hardly anybody waits for it, and the series say so."""
    broken = server(fleet, "classifier")

    def is_known() -> bool:
        return 1.0 == series(fleet.gateway)['ballpark_breaker_open{branch="classifier",track="stable"}']

    with fleet.course() as found:
        with found.hurt(broken.stop, broken.go_on):
            until(is_known, within_s=NOTICED_WITHIN_S, what="an open breaker")
            found.goes_on(1.5)
        found.is_back(within_s=BACK_WITHIN_S)

    found.check(reasons={"classifier_timeout", "classifier_unavailable"})
    late = [one for one in found.during() if one.asked_at > found.mending_at - 0.8]
    assert sum(one.reasons == {"classifier_timeout"} for one in late) < len(late) / 2


def hurt_both(fleet: Fleet, name: str, **arguments: Any) -> None:
    """Do the same to both."""
    for branch in BRANCHES:
        getattr(server(fleet, branch), name)(**arguments)


@pytest.mark.parametrize(
    ("harm", "mend", "status"),
    [("kill", "restart", 503), ("stop", "go_on", 504)],
    ids=["gone", "stopped"],
)
def test_both_branches(fleet: Fleet, harm: str, mend: str, status: int) -> None:
    """503 when both are gone, 504 while both are silent and 503 once that is known; never late."""
    found = fleet.drill(lambda: hurt_both(fleet, harm), lambda: hurt_both(fleet, mend), back_within_s=BACK_WITHIN_S)

    found.check(statuses={503, 504}, reasons=REASONS_OF_BOTH)
    found.nearly_all(found.during(after_s=FIRST_CALLS_S), lambda one: one.status in (status, 503))
    assert status in {one.status for one in found.during()}


REASONS_OF_BOTH = {f"{branch}_{how}" for branch in BRANCHES for how in ("timeout", "unavailable")}


def test_both_branches_too_slow(fleet: Fleet) -> None:
    """504 when the budget ends before either has answered, 503 once nobody asks them any more."""
    found = fleet.drill(
        lambda: hurt_both(fleet, "behave", delay_s=0.8), lambda: hurt_both(fleet, "behave"), back_within_s=BACK_WITHIN_S
    )

    found.check(statuses={503, 504}, reasons=REASONS_OF_BOTH)
    found.nearly_all(found.during(after_s=FIRST_CALLS_S), lambda one: one.status in (503, 504))
    assert 504 in {one.status for one in found.during()}
