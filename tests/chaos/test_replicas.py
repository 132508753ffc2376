"""One of several servers of a branch is worse than the others: answers stay complete, it is set aside, and it comes back."""

from collections.abc import Callable

import pytest
from chaos.conftest import Fleet, Starter
from chaos.course import Course
from chaos.footprint import series
from chaos.processes import ModelServer, until

pytestmark = pytest.mark.usefixtures("unharmed")

REPLICAS = 3
BACK_WITHIN_S = 3.0
RETURNS_WITHIN_S = 20.0
"""Whoever was aside more than once is left alone for four seconds at most."""

NOTICED_WITHIN_S = 1.0
MOST_INCOMPLETE_S = 0.5
"""A server that falls silent takes what it was given into its silence, for as long as it is not noticed."""


@pytest.fixture(scope="module")
def fleet(starter: Starter) -> Fleet:
    """Three servers a branch."""
    return starter.fleet(replicas=REPLICAS)


def standing(fleet: Fleet, how: str, branch: str = "regressor") -> int:
    """How many servers of the branch the gateway sees so."""
    return int(series(fleet.gateway)[f'ballpark_replicas{{branch="{branch}",standing="{how}",track="stable"}}'])


def all_serve(fleet: Fleet) -> bool:
    """Whether every one of them takes calls."""
    return REPLICAS == standing(fleet, "serving")


@pytest.fixture(autouse=True)
def every_one_serves(fleet: Fleet, unharmed: None) -> None:  # noqa: ARG001
    """A test begins when the one before is forgotten."""
    with fleet.course():  # nobody is tried again while nobody asks
        until(lambda: all_serve(fleet), within_s=RETURNS_WITHIN_S, what="all replicas")


def hurt(fleet: Fleet, harm: Callable[[], object], mend: Callable[[], object], how: str) -> Course:
    """Break a server until the gateway has seen that it stands so, mend it, and wait until it serves again."""
    with fleet.course() as found:
        with found.hurt(harm, mend):
            until(lambda: standing(fleet, how) > 0, within_s=NOTICED_WITHIN_S + 5, what=f"a server that is {how}")
            found.goes_on(1.5)
        until(lambda: all_serve(fleet), within_s=RETURNS_WITHIN_S, what="its return")
        found.is_back(within_s=RETURNS_WITHIN_S)
    return found


def asked(server: ModelServer, fleet: Fleet) -> int:
    """How many of a few quotes this server gets."""
    before = server.behave()
    with fleet.course():
        pass
    return server.behave() - before


def test_one_of_three_killed(fleet: Fleet) -> None:
    """Every answer is complete: what it was given is asked elsewhere. It has its share again once it is back."""
    broken = fleet.regressors[0]

    found = hurt(fleet, broken.kill, broken.restart, "unconnected")

    found.check()
    assert asked(broken, fleet) > 0


def test_one_of_three_stopped(fleet: Fleet) -> None:
    """What it was given before it was noticed lacks its half; from then on answers are complete, and it comes back."""
    broken = fleet.regressors[0]

    found = hurt(fleet, broken.stop, broken.go_on, "aside")

    found.check(reasons={"regressor_timeout"})
    incomplete = [one for one in found.load.answers if one.reasons]
    assert len(incomplete) <= MOST_INCOMPLETE_S * found.load.rate, f"{len(incomplete)} incomplete"
    found.nearly_all(found.during(after_s=NOTICED_WITHIN_S), lambda one: one.is_whole)
    assert asked(broken, fleet) > 0


def test_one_of_three_slow(fleet: Fleet) -> None:
    """Answers stay complete, and once it is noticed nobody waits for it."""
    broken = fleet.regressors[0]

    found = hurt(fleet, lambda: broken.behave(delay_s=0.05), broken.behave, "aside")

    found.check()
    assert asked(broken, fleet) > 0


@pytest.mark.parametrize("fault", ["UNAVAILABLE", "INTERNAL", "NOT_FOUND", "nan", "bytes"])
def test_one_of_three_at_fault(fleet: Fleet, fault: str) -> None:
    """It is set aside after a few calls, and comes back."""
    broken = fleet.regressors[0]

    found = hurt(fleet, lambda: broken.behave(fault=fault), broken.behave, "aside")

    found.check(reasons={"regressor_unavailable"})
    found.nearly_all(found.during(after_s=NOTICED_WITHIN_S), lambda one: one.is_whole)
    assert asked(broken, fleet) > 0


def test_one_server_after_the_other(fleet: Fleet) -> None:
    """A rolling restart of a branch loses no half of any answer."""
    with fleet.course() as found, found.hurt(lambda: None, lambda: None):
        for server in fleet.regressors:
            server.kill()
            until(lambda: standing(fleet, "unconnected") == 1, within_s=5, what="its end")
            server.restart()
            until(lambda: all_serve(fleet), within_s=RETURNS_WITHIN_S, what="its return")

    found.check()


def test_all_of_them_at_fault(fleet: Fleet) -> None:
    """When all fail, no more than half are set aside, and they are back as soon as they answer."""

    def behave(**behaviour: str) -> None:
        for server in fleet.regressors:
            server.behave(**behaviour)

    found = fleet.drill(lambda: behave(fault="INTERNAL"), behave, back_within_s=BACK_WITHIN_S)

    found.check(reasons={"regressor_unavailable"})
    found.nearly_all(found.during(after_s=0.2), lambda one: not one.is_whole)
    assert standing(fleet, "aside") <= REPLICAS // 2
