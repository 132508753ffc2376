"""Is an unfair release named, and a fair one left alone?"""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from kit.contract import Contract
from kit.stage import BadInput
from kit.training.data import checks
from kit.training.judging import fairness
from kit.training.judging.segments import Partition
from kit.training.params import FairnessParams

PARAMS = FairnessParams(gap_at_most=0.05, by=("region",), least_rows=100)
CELLS = 60


def errors(of: Partition, means: list[float], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Sums and counts of cells whose mean is the group's; what the cells of an enquiry share is large."""
    mean = np.array(means)[of.place] + rng.normal(0, 0.2, len(of.place))
    count = rng.integers(1, CELLS, len(of.place)).astype(float)
    return mean * count, count


def regions(*sizes: int) -> Partition:
    """Groups of these sizes."""
    return Partition(tuple(f"R{g:02}" for g in range(len(sizes))), np.repeat(np.arange(len(sizes)), sizes))


def test_a_group_that_is_told_too_much_is_named() -> None:
    """The others are not."""
    of = regions(2000, 2000, 2000)

    found = fairness.gaps(errors(of, [0.0, 0.12, 0.0], np.random.default_rng(1)), {"region": of}, PARAMS)

    assert [True, False, True] == [g.passed for g in found]
    assert pytest.approx(0.08, abs=0.01) == found[1].gap


def test_a_bias_of_all_is_no_gap() -> None:
    """It is the figures' business."""
    of = regions(2000, 2000)

    found = fairness.gaps(errors(of, [0.4, 0.4], np.random.default_rng(1)), {"region": of}, PARAMS)

    assert all(g.passed and abs(g.gap) < 0.03 for g in found)


def test_a_small_group_is_shown_and_not_judged() -> None:
    """Even a single enquiry."""
    of = regions(2000, 99, 1)

    found = fairness.gaps(errors(of, [0.0, 0.9, 0.9], np.random.default_rng(1)), {"region": of}, PARAMS)

    assert [(True, True), (False, True), (False, True)] == [(g.judged, g.passed) for g in found]


def test_chance_alone_seldom_refuses() -> None:
    """With every group at the limit and none beyond, at most about one release in a hundred."""
    of = regions(*[150] * 20)
    rng = np.random.default_rng(5)
    params = replace(PARAMS, false_alarm=0.01)

    means = [0.05, -0.05] * 10
    refused = sum(
        not all(g.passed for g in fairness.gaps(errors(of, means, rng), {"region": of}, params)) for _ in range(300)
    )

    assert refused <= 9  # of a binomial with 300 draws at 0.01, more are seen once in 900 times


def test_the_allowance_shrinks_with_the_group() -> None:
    """As one over the root of its size, so that a large unfair group always trips."""
    rng = np.random.default_rng(3)
    sizes = (200, 800, 3200)
    of = regions(*sizes)

    found = fairness.gaps(errors(of, [0.0] * 3, rng), {"region": of}, PARAMS)

    for first, second in pairwise(g.allowance for g in found):
        assert pytest.approx(2, rel=0.25) == first / second


def test_kinds_that_the_contract_lacks_are_left_out() -> None:
    """Another line of business has no urbanity."""
    of = regions(200)

    params = replace(PARAMS, by=("region", "urbanity"))
    found = fairness.gaps(errors(of, [0.0], np.random.default_rng(1)), {"region": of}, params)

    assert ["region"] == [g.kind for g in found]


@pytest.mark.parametrize(("kind", "message"), [("regoin", "did you mean `region`"), ("archetype", "no groups by")])
def test_a_kind_of_group_that_nobody_knows_is_refused(kind: str, message: str) -> None:
    """A misspelt one must not wave a model through, and insurers are no group of people."""
    of = regions(200)

    with pytest.raises(BadInput, match=message):
        fairness.gaps(errors(of, [0.0], np.random.default_rng(1)), {"region": of}, replace(PARAMS, by=(kind,)))


def test_the_contract_has_no_sex(contract: Contract) -> None:
    """Nor anything else that may not be used: no input means that no answer can change with it."""
    assert not {f.name for f in contract.fields} & checks.FORBIDDEN


@pytest.mark.parametrize("column", ["sex", "Sex", "gender", "title", "date_of_birth"])
def test_a_file_with_such_a_column_is_refused(column: str) -> None:
    """Before anything is read of it."""
    with pytest.raises(BadInput, match=f"column `{column}` may not be used"):
        checks.refuse_forbidden(["age", column], "risks")
