"""Are the figures of the report what their names say?"""

import numpy as np
import pytest
from hypothesis import given, strategies as st

from kit.training.judging import measures


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=30))
def test_auc_is_the_share_of_pairs_in_the_right_order(pairs: list[tuple[int, bool]]) -> None:
    """Ties count half; without both kinds there is none."""
    score, positive = np.array([p[0] for p in pairs], float), np.array([p[1] for p in pairs])
    differences = score[positive][:, None] - score[~positive][None]
    expected = ((differences > 0) + 0.5 * (differences == 0)).mean() if differences.size else np.nan

    np.testing.assert_allclose(expected, measures.auc(score, positive))


def test_insurer_aucs_leave_out_what_was_not_answered() -> None:
    """A cell without an answer is neither a quote nor a decline."""
    p = np.array([[0.9, 0.1], [0.2, 0.8], [0.99, 0.5]])
    quoted = np.array([[1, 1], [0, 0], [-1, -1]], np.int8)

    assert [1.0, 0.0] == measures.insurer_aucs(p, quoted).tolist()


def test_calibration_error_of_a_constant() -> None:
    """Saying 0.7 where half happens is 0.2 off."""
    assert pytest.approx(0.2) == measures.calibration_error(np.full(400, 0.7), np.tile([True, False], 200))


def test_percentage_error_is_of_the_actual_premium() -> None:
    """110 for 100 is 10 % off, 90 for 100 too."""
    predicted, actual = np.log([[110.0, 90.0, 5.0]]), np.array([[np.log(100), np.log(100), np.nan]])

    assert pytest.approx(0.1) == measures.absolute_percentage_error(predicted, actual)


def test_coverage_counts_only_what_happened() -> None:
    """NaN is no miss."""
    assert 0.5 == measures.coverage(np.zeros(3), np.ones(3), np.array([0.5, 2.0, np.nan]))


def test_log_loss_of_a_coin() -> None:
    """Is ln 2."""
    assert pytest.approx(np.log(2)) == measures.log_loss(np.full(4, 0.5), np.array([True, False, True, True]))
