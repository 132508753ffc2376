import json
import re

import numpy as np
import pytest
from hypothesis import given, strategies as st

from kit.calibration import BadCalibration, Intervals, Probabilities, Table, read_section

KEYS = np.array([3, 7], np.int64)


def test_a_key_has_its_own_additions_and_a_strange_key_the_pooled_ones() -> None:
    """One look-up and two additions per row."""
    table = Table.read({"3": {"low": -0.1, "high": 0.2}, "pooled": {"low": -1.0, "high": 1.0}}, "low", "high")
    quantiles = np.array([[[6.0, 6.1, 6.2]], [[6.0, 6.1, 6.2]]])

    low, middle, high = Intervals(table).apply(quantiles, KEYS)

    np.testing.assert_allclose([[5.9], [5.0]], low)
    np.testing.assert_allclose([[6.1], [6.1]], middle)
    np.testing.assert_allclose([[6.4], [7.2]], high)


@given(st.lists(st.floats(4, 9), min_size=3, max_size=3), st.floats(-1, 1), st.floats(-1, 1))
def test_an_interval_always_holds_its_middle(quantiles: list[float], low: float, high: float) -> None:
    """Crossing quantiles or a negative addition never give an interval inside out."""
    intervals = Intervals(Table({}, (low, high)))

    bottom, middle, top = intervals.apply(np.array([[quantiles]]), KEYS[:1])

    assert bottom <= middle <= top


def test_slope_one_and_intercept_nought_change_nothing() -> None:
    """The identity on the logit scale is the identity."""
    p = np.array([[0.01, 0.5, 0.999]])

    np.testing.assert_allclose(p, Probabilities(Table({}, (1.0, 0.0))).apply(p, KEYS[:1]), rtol=1e-9)


@given(st.floats(0, 1), st.floats(-50, 50), st.floats(-50, 50))
def test_a_probability_stays_one(p: float, slope: float, intercept: float) -> None:
    """Certain models and wild tables still give a number in [0, 1]."""
    (calibrated,) = Probabilities(Table({}, (slope, intercept))).apply(np.array([[p]]), KEYS[:1])[0]

    assert 0 <= calibrated <= 1


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"3": {"low": 0.1, "high": 0.1}}, "for `pooled`"),
        ({"pooled": {"low": 0.1}}, "needs `low` and `high`"),
        ({"pooled": {"low": 0.1, "high": float("nan")}}, "must be finite"),
        ({"x": {"low": 0.1, "high": 0.1}, "pooled": {"low": 0.1, "high": 0.1}}, "needs `low`"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused(raw: dict[str, dict[str, float]], message: str) -> None:
    """A broken calibration stops the start, not the thousandth request."""
    with pytest.raises(BadCalibration, match=re.escape(message)):
        Table.read(raw, "low", "high")


@pytest.mark.parametrize("text", ["{}", "not json", json.dumps({"intervals": 3})])
def test_a_missing_section_is_named(text: str) -> None:
    """The error names the section."""
    with pytest.raises(BadCalibration, match="intervals"):
        read_section(text, "intervals")
