"""Does the piecewise-linear encoding say where a number lies, and nothing when it is not known?"""

import numpy as np
import pytest
from hypothesis import given, strategies as st

from kit.contract import Contract
from kit.training.data.slices import Rows
from kit.training.nets.encoding import edges, segments
from kit.training.nets.masking import hide


def rows_of(contract: Contract, rows: int) -> np.ndarray:
    """Numbers inside the contract's ranges, [rows, N]."""
    rng = np.random.default_rng(3)
    low, high = (np.array([getattr(f, end) for f in contract.numeric]) for end in ("minimum", "maximum"))
    found = rng.uniform(low, high, (rows, len(low)))
    whole = [f.kind != "float" for f in contract.numeric]
    found[:, whole] = np.round(found[:, whole])
    return found.astype(np.float32)


@given(value=st.floats(17, 99), more=st.floats(0, 50))
def test_bins_fill_in_order(contract: Contract, value: float, more: float) -> None:
    """Every bin lies in 0..1, and a larger number fills no bin less."""
    bins = segments(contract, rows_of(contract, 500), 16)
    row = np.tile(np.array([value, value + more], np.float32)[:, None], (1, len(contract.numeric)))

    small, large = bins.encode(row)

    assert ((small >= 0) & (small <= 1)).all()
    assert (large >= small).all()


def test_the_filled_bins_add_up_to_the_number(contract: Contract) -> None:
    """Inside the edges nothing is lost: the number is the first edge and the widths of what is filled."""
    numbers = rows_of(contract, 500)
    bins = segments(contract, numbers, 16)
    filled = bins.encode(numbers) / bins.slope

    for column in range(len(contract.numeric)):
        own = bins.column == column
        np.testing.assert_allclose(
            bins.begin[own][0] + filled[:, own].sum(axis=1), numbers[:, column], rtol=1e-4, atol=1e-4
        )


def test_a_number_that_is_not_known_fills_no_bin(contract: Contract) -> None:
    """NaN is not 0: there is another input that says so."""
    bins = segments(contract, rows_of(contract, 500), 16)

    assert 0 == np.abs(bins.encode(np.full((1, len(contract.numeric)), np.nan, np.float32))).sum()


@pytest.mark.parametrize(
    ("values", "expected"),
    [([], [17, 99]), ([40, 40], [39.5, 40.5]), ([20, 30, 20, 40], [20, 30, 40])],
)
def test_few_values_are_edges_themselves(contract: Contract, values: list[float], expected: list[float]) -> None:
    """A threshold between two of few values can then be drawn exactly."""
    assert expected == edges(contract.field("age"), np.array(values, np.float32), 8).tolist()


def test_many_values_get_edges_in_the_tail_too(contract: Contract) -> None:
    """A limit lies where data are thin: not all edges follow the quantiles."""
    values = np.concatenate([np.linspace(1000, 9000, 10_000), [150_000]]).astype(np.float32)

    found = edges(contract.field("vehicle_value"), values, 16)

    assert len(found) <= 17
    assert (np.diff(found) > 0).all()
    assert 4 == ((found > 9000) & (found < 150_000)).sum()


def test_hidden_rows_keep_the_rest() -> None:
    """Hiding one number and one code leaves the others as they were."""
    numeric, categorical = np.array([[1, 2]], np.float32), np.array([[3, 4]], np.int32)
    rows = Rows(np.array([1]), numeric, categorical, np.ones((1, 1), np.int8), np.ones((1, 1), np.float32))

    found = rows.hidden(np.array([True, False, False, True]))

    np.testing.assert_equal(np.array([[1, np.nan]], np.float32), found.numeric)
    np.testing.assert_equal(np.array([[-1, 4]], np.int32), found.categorical)
    assert hide(rows.numeric, rows.categorical, np.ones(4, bool))[0].dtype == np.float32
