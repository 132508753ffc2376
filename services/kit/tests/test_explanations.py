"""Do the amounts add up, and are they put down to the answers that earn them?"""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st
from numpy.typing import NDArray

from kit.contract import load
from kit.explanations import Player, explain, of_entities, of_fields, plan, sentence
from kit.rows import Categorical, Numeric, pack

MOTOR = load()
COLUMN = {f.name: i for i, f in enumerate(MOTOR.numeric)}
FIELDS = of_fields(MOTOR)
TYPICAL = pack(
    MOTOR,
    {
        "age": 40,
        "licence_years": 20,
        "ncd_years": 9,
        "vehicle_group": 15,
        "vehicle_age": 6,
        "vehicle_value": 8000,
        "annual_mileage": 8000,
        "conviction": "none",
        "points": 0,
    },
)

Floats = NDArray[np.floating[Any]]


def linear(numeric: Numeric, categorical: Categorical) -> Floats:
    """Log of a price that is a sum: 300 pounds, 2 a year below 100, a penny a mile, 90 for a conviction."""
    age, miles = (np.nan_to_num(numeric[:, COLUMN[name]]) for name in ("age", "annual_mileage"))
    convicted = categorical[:, [f.name for f in MOTOR.categorical].index("conviction")] > 0
    price: Floats = 300 + 2 * (100 - age) + 0.01 * miles + 90 * convicted
    return np.log(price)


def multiplied(numeric: Numeric, _: Categorical) -> Floats:
    """Log of a price in which the age and the car's group are multiplied, twice, as two figures with three quantiles."""
    age, group = (np.nan_to_num(numeric[:, COLUMN[name]]) for name in ("age", "vehicle_group"))
    middle = np.log(np.stack([(100 - age) * group, 100 + 2 * (100 - age) * group], axis=1).astype(np.float64))
    quantiles: Floats = middle[..., None] + np.array([-0.2, 0.0, 0.3])
    return quantiles


def amounts(found: Any, figure: int = 0) -> dict[str, float]:
    """What each field adds."""
    return {p.name: float(a) for p, a in zip(found.players, found.amounts[:, figure], strict=True)}


def test_a_sum_is_taken_apart() -> None:
    """Where answers do not interact, each is worth what it adds, in any order."""
    row = pack(MOTOR, {"age": 21, "annual_mileage": 12_000, "conviction": "dr10", "points": 6})
    found = explain(MOTOR, row, TYPICAL, FIELDS, linear)

    assert {"driver.age": 38.0, "use.annual_mileage": 40.0, "history.conviction": 90.0, "history.points": 0.0} == (
        pytest.approx(amounts(found), abs=0.01)
    )
    assert (500.0, 668.0) == pytest.approx((found.reference[0], found.price[0]))
    assert ["history.conviction", "use.annual_mileage"] == [player.name for player, _ in found.top(2)]
    assert 3 == len(found.top(9))
    np.testing.assert_allclose(found.errors, 0, atol=1e-9)


def test_what_two_do_together_is_split_between_them() -> None:
    """Half to each, for an order and its reverse take turns; in every figure, of which the middle quantile counts."""
    row = pack(MOTOR, {"age": 20, "vehicle_group": 30})
    found = explain(MOTOR, row, TYPICAL, FIELDS, multiplied)

    # (60, 15) to (80, 30): alone the age is worth 20 * 15 and the group 15 * 60, together 20 * 15 more.
    assert {"driver.age": 450.0, "vehicle.vehicle_group": 1050.0} == pytest.approx(amounts(found))
    assert {"driver.age": 900.0, "vehicle.vehicle_group": 2100.0} == pytest.approx(amounts(found, 1))


ROWS = st.fixed_dictionaries(
    {"age": st.integers(17, 90), "vehicle_group": st.integers(1, 50)},
    optional={
        "annual_mileage": st.integers(500, 60_000),
        "vehicle_age": st.integers(0, 40),
        "points": st.integers(0, 12),
        "home_owner": st.booleans(),
        "conviction": st.sampled_from(MOTOR.field("conviction").values),
        "sector": st.sampled_from(MOTOR.field("sector").values[:5]),
    },
)


@given(ROWS, st.integers(0, 5), st.sampled_from([2, 4, 8]))
def test_amounts_add_up_for_any_model(risk: dict[str, Any], seed: int, orders: int) -> None:
    """To the difference of the two prices, whatever the answers, the orders and the interactions."""
    weights = np.random.default_rng(seed).normal(size=(len(MOTOR.numeric), len(MOTOR.numeric)))

    def wild(numeric: Numeric, categorical: Categorical) -> Floats:
        scaled = np.nan_to_num(numeric) / (1 + np.abs(np.nan_to_num(numeric)))
        found: Floats = 6 + np.sin((scaled @ weights) * scaled).sum(axis=1) / 5 + 0.1 * (categorical > 2).sum(axis=1)
        return found

    row = pack(MOTOR, risk)
    planned = plan(MOTOR, row, TYPICAL, FIELDS, orders, seed)
    found = planned.explain(wild(planned.numeric, planned.categorical))

    np.testing.assert_allclose(found.amounts.sum(axis=0), found.price - found.reference, atol=1e-8)
    np.testing.assert_allclose(np.exp(wild(row[0][None], row[1][None])), found.price)


@given(ROWS)
def test_only_what_differs_takes_part(risk: dict[str, Any]) -> None:
    """What is as in a typical driver, or not known, is worth nothing and costs no row."""
    row = pack(MOTOR, risk)
    planned = plan(MOTOR, row, TYPICAL, FIELDS)
    reference = dict(zip([f.name for f in MOTOR.numeric], TYPICAL[0].tolist(), strict=True))
    names = {player.fields[0].name for player in planned.players}

    assert names <= set(risk)
    assert not {name for name in names if reference.get(name) == risk[name]}
    assert 2 + 8 * max(0, len(names) - 1) == len(planned.numeric)


def test_the_same_driver_needs_no_explanation() -> None:
    """Two rows are priced, and nothing is named."""
    found = explain(MOTOR, TYPICAL, TYPICAL, FIELDS, linear)

    assert ((), []) == (found.players, found.top(3))
    assert (0, 1) == found.amounts.shape
    assert found.price == found.reference


def test_the_same_question_has_the_same_answer() -> None:
    """Orders are drawn from a seed."""
    row = pack(MOTOR, {"age": 20, "vehicle_group": 30, "annual_mileage": 9000})
    first, second = (plan(MOTOR, row, TYPICAL, FIELDS) for _ in range(2))

    np.testing.assert_array_equal(first.orders, second.orders)
    np.testing.assert_array_equal(first.orders[::2], first.orders[1::2, ::-1])


def test_what_comes_together_is_one() -> None:
    """The car by all that is known of it; the amounts still add up."""
    row = pack(MOTOR, {"age": 20, "vehicle_group": 30, "vehicle_age": 2, "vehicle_value": 20_000})
    found = explain(MOTOR, row, TYPICAL, of_entities(MOTOR), multiplied)

    assert {"driver.age": 450.0, "vehicle": 1050.0} == pytest.approx(amounts(found))
    names = [f.name for player in of_entities(MOTOR) for f in player.fields]
    assert sorted(f.name for f in MOTOR.fields) == sorted(names)


@pytest.mark.parametrize("orders", [0, 1, 3])
def test_orders_come_in_pairs(orders: int) -> None:
    """An odd number would favour one direction."""
    with pytest.raises(ValueError, match="even number"):
        plan(MOTOR, TYPICAL, TYPICAL, FIELDS, orders)


@pytest.mark.parametrize(
    ("values", "name", "amount", "text"),
    [
        ({"age": 21}, "age", 312.4, "because of `Age` (21): +£312"),
        ({"vehicle_value": 23_000.0}, "vehicle_value", 1234.0, "because of `Value of the car` (£23,000): +£1,234"),
        ({"licence_years": 2.5}, "licence_years", -12.0, "because of `Years since the full licence` (2.5): -£12"),
        ({"home_owner": True}, "home_owner", -8.0, "because of `Owns the home` (yes): -£8"),
        ({"fuel": "electric"}, "fuel", 40.0, "because of `Fuel` (electric): +£40"),
        ({}, "fuel", 0.0, "because of `Fuel` (not known): +£0"),
        ({}, "age", 0.0, "because of `Age` (not known): +£0"),
    ],
)
def test_an_amount_is_said_in_plain_words(values: dict[str, Any], name: str, amount: float, text: str) -> None:
    """The question, the answer, and the pounds with their sign."""
    field = MOTOR.field(name)

    assert text == sentence(MOTOR, Player(field.path, field.title, (field,)), amount, pack(MOTOR, values))


def test_a_group_is_said_without_a_value() -> None:
    """It has several."""
    car = next(player for player in of_entities(MOTOR) if player.name == "vehicle")

    assert "because of `The car`: -£50" == sentence(MOTOR, car, -50.0, TYPICAL)
