"""Percentiles, ratios and slopes of plain lists."""

import math

import pytest
from bench.figures import percentile, ratio, slope
from hypothesis import given, strategies as st


@given(st.lists(st.floats(0, 1e6), min_size=1), st.floats(0.01, 1.0))
def test_a_percentile_is_the_least_value_that_covers_its_share(values: list[float], share: float) -> None:
    """At least the share lies at or below it, and less than the share strictly below."""
    found = percentile(values, share)

    assert found in values
    assert sum(v <= found for v in values) >= share * len(values)
    assert sum(v < found for v in values) < share * len(values)


def test_of_nothing_there_is_no_percentile() -> None:
    """It is not zero."""
    with pytest.raises(ValueError, match="no values"):
        percentile([], 0.99)


def test_a_ratio_is_the_median_of_the_rounds() -> None:
    """Each round is compared with itself, and one in which the other gave nothing does not count."""
    assert 3.0 == ratio([30, 60, 10], [10, 20, 1])
    assert 2.0 == ratio([30, 20], [0, 10])
    assert math.isnan(ratio([1], [0]))


def test_a_slope_is_that_of_the_line() -> None:
    """Rise for each unit; a single point has none."""
    assert 2.0 == pytest.approx(slope([0, 1, 2, 3], [5, 7, 9, 11]))
    assert 0.0 == slope([1], [7])
    assert 0.0 == slope([2, 2], [1, 9])
