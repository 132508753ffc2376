"""Do the columns of a linear model say what the answers said?"""

import numpy as np
from hypothesis import given, strategies as st

from accuracy.design import KNOTS, Design, hats, knots, one_hot

Numbers = st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=200)


@given(Numbers)
def test_the_weights_of_the_knots_are_shares(values: list[float]) -> None:
    """Every known number's weights are not negative, sum to one and stand at no more than two knots."""
    column = np.array(values, np.float32)
    found = hats(column, knots(column)).toarray()

    assert (found >= 0).all()
    assert np.allclose(1, found.sum(axis=1))
    assert 2 >= (found > 0).sum(axis=1).max()


@given(Numbers)
def test_a_number_is_the_mean_of_its_knots(values: list[float]) -> None:
    """A straight line through the knots gives the number back."""
    column = np.array(values, np.float32)
    at = knots(column)

    assert np.allclose(column, hats(column, at).toarray() @ at, rtol=1e-5, atol=1e-3)


def test_few_values_have_a_level_each() -> None:
    """A number with few distinct values is one-hot."""
    column = np.array([3.0, 1.0, 7.0, 1.0], np.float32)

    assert [[0, 1, 0], [1, 0, 0], [0, 0, 1], [1, 0, 0]] == hats(column, knots(column)).toarray().tolist()


def test_many_values_have_quantiles() -> None:
    """A number with many distinct values has so many knots and no more, from the least to the largest."""
    at = knots(np.arange(10_000, dtype=np.float32))

    assert (KNOTS, 0, 9999) == (len(at), at[0], at[-1])


def test_what_lies_outside_counts_as_the_end() -> None:
    """A number beyond those of the training rows has the level of the last knot."""
    assert [[1, 0], [0, 1]] == hats(np.array([-5.0, 9.0]), np.array([1.0, 2.0])).toarray().tolist()


def test_what_is_not_known_has_no_column() -> None:
    """A number that is NaN and a category that is -1 are rows of zeros."""
    assert [[0, 0]] == hats(np.array([np.nan]), np.array([1.0, 2.0])).toarray().tolist()
    assert [[0, 0], [0, 1]] == one_hot(np.array([-1, 1], np.int32), 2).toarray().tolist()


def test_a_field_of_which_nothing_is_known_is_harmless() -> None:
    """A column of NaN in the training rows has one knot, and says nothing."""
    design = Design.of(np.full((3, 1), np.nan, np.float32), [2])

    found = design.columns(np.full((3, 1), np.nan, np.float32), np.array([[0], [1], [-1]], np.int32))

    assert [[0, 1, 0], [0, 0, 1], [0, 0, 0]] == found.toarray().tolist()
