"""Is every figure outside its limits named, with the limit?"""

import math
from typing import Any

import pytest

from kit.training.judging import verdicts
from kit.training.params import Limit

FAIR: dict[str, Any] = {"gap_at_most": 0.05, "groups": {}}


@pytest.mark.parametrize(
    ("value", "passed"), [(0.5, True), (0.7, True), (0.49, False), (0.71, False), (math.nan, False), (math.inf, False)]
)
def test_a_figure_is_held_to_both_limits(value: float, passed: bool) -> None:
    """Which belong to what is allowed."""
    (found,) = verdicts.held_to({"full": {"coverage": value}}, [Limit("full.coverage", 0.5, 0.7)])

    assert passed == found["passed"]


@pytest.mark.parametrize("figure", ["full.acuracy", "fool.accuracy", "accuracy"])
def test_a_figure_that_does_not_exist_did_not_pass(figure: str) -> None:
    """Even without a limit: a misspelt one must not wave a model through."""
    (found,) = verdicts.held_to({"full": {"accuracy": 1.0}}, [Limit(figure)])

    assert not found["passed"]


def test_all_that_refuses_is_said_at_once() -> None:
    """Each figure with what it is and has to be, each group with its gap and the limit."""
    gate = verdicts.held_to(
        {"full": {"auc": 0.8, "error": 0.1, "fine": 1.0}},
        [Limit("full.auc", at_least=0.9), Limit("full.error", at_most=0.05), Limit("full.fine", at_least=0.0)],
    )
    group = {"rows": 900, "gap": -0.08, "allowance": 0.01, "judged": True, "passed": False}
    fair = FAIR | {"groups": {"age": {"17-20": group, "80+": group | {"passed": True}}}}

    assert [
        "full.auc is 0.8, and has to be at least 0.9",
        "full.error is 0.1, and has to be at most 0.05",
        "fairness: age 17-20 is -0.0800 apart from all (900 enquiries), and may be 0.05, with 0.0100 for chance",
    ] == verdicts.refusals({"gate": gate, "fairness": fair})
