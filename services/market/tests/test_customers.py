"""Who asks: inside the contract, without contradiction, and a car of the catalogue."""

import numpy as np
import pytest
from conftest import Drawn

from kit.contract import Contract
from market import vehicles
from market.columns import DTYPES
from market.customers import AGE_BANDS, market_weight


def test_columns_are_those_of_the_contract(contract: Contract, drawn: Drawn) -> None:
    """Every field is there in its order and its type, and nothing else is: no latent variable can be sent by mistake."""
    expected = {f.name: np.dtype(DTYPES[f.kind]) for f in contract.fields}

    actual = {name: column.dtype for name, column in drawn.blocks[0].columns.items()}

    assert list(expected.items()) == list(actual.items())


def test_answers_lie_in_their_ranges(contract: Contract, drawn: Drawn) -> None:
    """No number leaves its range, and every category is one of the field's."""
    for field in contract.fields:
        column = drawn.all(field.name)
        least, most = (field.minimum, field.maximum) if field.is_numeric else (0, len(field.values) - 1)

        assert least <= column.min(), field.name
        assert column.max() <= most, field.name


def test_no_field_is_constant(contract: Contract, drawn: Drawn) -> None:
    """A field that never varies could teach nothing."""
    constant = [f.name for f in contract.fields if len(np.unique(drawn.all(f.name))) == 1]

    assert [] == constant


def test_every_value_of_a_closed_list_occurs(contract: Contract, drawn: Drawn) -> None:
    """Models meet each category that a request may name."""
    unseen = {
        f.name: set(range(len(f.values))) - set(np.unique(drawn.all(f.name)).tolist())
        for f in contract.fields
        if f.kind == "enum"
    }

    assert {name: set() for name in unseen} == unseen


def test_nobody_contradicts_the_contract(contract: Contract, drawn: Drawn) -> None:
    """The contract's orders hold in every row, as the gateway would ask of a request."""
    for order in contract.orders:
        least, most = drawn.all(order.least), drawn.all(order.most)

        assert not (least + order.gap > most).any(), order.message


def test_the_car_is_a_row_of_the_catalogue(contract: Contract, drawn: Drawn) -> None:
    """A request by `vehicle_id` and one by attributes are one risk."""
    rows = vehicles.rows(vehicles.catalogue(contract))
    row = drawn.all("vehicle")

    for field in contract.fields_of("vehicle"):
        np.testing.assert_array_equal(rows[field.name][row], drawn.all(field.name))


def test_every_group_has_its_cars(contract: Contract) -> None:
    """A wanted insurance group is found in the catalogue."""
    groups = np.unique(vehicles.catalogue(contract).group)

    np.testing.assert_array_equal(np.arange(1, 51), groups)


@pytest.mark.parametrize(("age", "share"), [(17, 0.010), (18, 0.016), (45, 0.18 / 10), (75, 0.058 / 10)])
def test_ages_follow_the_traffic(age: int, share: float, drawn: Drawn) -> None:
    """The shares of the age bands are those of a comparison site."""
    assert share == pytest.approx(np.mean(drawn.all("age") == age), abs=0.003)


def test_market_weights_undo_the_traffic() -> None:
    """Over all ages, weighted by traffic, licence holders per enquiry are one."""
    traffic = np.array([b[1] for b in AGE_BANDS])
    weights = market_weight(np.array([b[0] for b in AGE_BANDS]))

    assert np.average(weights, weights=traffic) == pytest.approx(1.0)
    assert weights[0] < 0.3
    assert weights[-1] > 2


def test_marginals_are_those_of_drivers(drawn: Drawn) -> None:
    """A few shares that everything else rests on."""
    assert 7_500 < drawn.all("annual_mileage").mean() < 8_500
    assert 9_000 < drawn.all("vehicle_value").mean() < 11_500
    assert 0.18 < np.mean(drawn.all("fault_claims") > 0) < 0.24
    assert 0.06 < np.mean(drawn.all("points") > 0) < 0.08
    assert 0.94 < np.mean(drawn.all("cover") == 0) < 0.98


def test_sex_is_in_the_truth_alone(drawn: Drawn) -> None:
    """It drives the car, the miles and the convictions, so that a price that never saw it differs all the same."""
    male = np.concatenate([b.latent["male"] for b in drawn.blocks])
    cheapest = np.nanmin(np.where(np.isnan(drawn.all("premium")), np.inf, drawn.all("premium")), axis=1)
    priced = np.isfinite(cheapest)

    ratio = cheapest[male & priced].mean() / cheapest[~male & priced].mean()

    assert "male" not in drawn.blocks[0].columns
    assert 1.08 < ratio < 1.24
