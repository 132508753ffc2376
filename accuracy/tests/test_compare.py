"""Are all measured alike, and is the likeness of one driver's answers seen?"""

import numpy as np
import pytest
from hypothesis import given, strategies as st

from accuracy import compare
from accuracy.baselines import Answers
from accuracy.compare import HeldOut, Said
from accuracy.data import Models
from accuracy.truth import Oracle, Truth

ACTUAL = np.log([[100.0, 200.0], [100.0, np.nan], [100.0, np.nan], [np.nan, 200.0]])
QUOTED = np.array([[1, 1], [1, 0], [1, -1], [0, 1]], np.int8)
HELD_OUT = HeldOut(QUOTED, ACTUAL)


def test_a_standing_is_over_all_cells_of_its_insurers() -> None:
    """MAPE over quotes only; an AUC by insurer over the answers that came."""
    said = Said(np.log(np.full((4, 2), 110.0)), np.array([[0.9, 0.9], [0.8, 0.1], [0.7, 0.5], [0.2, 0.8]]))

    found = compare.standing(said, HELD_OUT, (0, 1))

    assert pytest.approx((0.1, 0.45)) == found.mapes
    assert pytest.approx((3 * 0.1 + 2 * 0.45) / 5) == found.mape
    assert (1.0, (1.0, 1.0)) == (found.auc, found.aucs)


def test_an_insurer_with_one_kind_of_answer_does_not_count() -> None:
    """Its AUC is not a number, and the mean is of the others."""
    held_out = HeldOut(np.array([[1, 1], [1, 0]], np.int8), np.zeros((2, 2)))
    said = Said(np.zeros((2, 2)), np.array([[0.5, 0.9], [0.5, 0.1]]))

    assert 1.0 == compare.standing(said, held_out, (0, 1)).auc
    assert np.isnan(compare.standing(said.of((0,)), held_out, (0,)).auc)


def test_insurers_are_chosen_by_column() -> None:
    """Those who speak of all, and those who speak of the sample, stand side by side."""
    said = Said(np.arange(8.0).reshape(4, 2), np.arange(8.0).reshape(4, 2))
    fitted = compare.together([{"GLM": Answers(said.log_premium[:, 1], said.score[:, 1])}])

    assert np.array_equal(said.of((1,)).log_premium, fitted["GLM"].log_premium)
    assert {} == compare.together([])


@given(st.integers(2, 40), st.integers(2, 8))
def test_a_driver_whose_answers_agree_is_one_answer(rows: int, insurers: int) -> None:
    """Rows that are all inside or all outside have the highest likeness."""
    inside = np.repeat((np.arange(rows) % 2 == 0)[:, None], insurers, axis=1)

    assert pytest.approx(1.0) == compare.agreement(inside, np.ones_like(inside))


def test_answers_that_have_nothing_to_do_with_each_other_are_not_alike() -> None:
    """Independent cells have a likeness near zero, also when some are missing."""
    rng = np.random.default_rng(0)
    inside, given_ = rng.random((4000, 20)) < 0.8, rng.random((4000, 20)) < 0.7

    assert pytest.approx(0.0, abs=0.01) == compare.agreement(inside, given_)
    assert 1.0 == compare.agreement(inside[:1], given_[:1])


def test_men_and_women_are_compared_on_the_same_quotes() -> None:
    """What is asked, what is predicted, and the error of each."""
    held_out = HeldOut(np.ones((2, 1), np.int8), np.log([[120.0], [100.0]]))
    ours = Models(*[np.array([[110.0], [100.0]])] * 4)
    truth = Truth(Oracle(held_out.log_premium, np.ones((2, 1))), np.array([True, False]))

    found = compare.by_sex(ours, truth, held_out)

    assert (
        pytest.approx({"asked_ratio": 1.2, "predicted_ratio": 1.1, "bias_men": np.log(110 / 120), "bias_women": 0.0})
        == found
    )
    assert {} == compare.by_sex(ours, Truth(truth.oracle, np.array([True, True])), held_out)
