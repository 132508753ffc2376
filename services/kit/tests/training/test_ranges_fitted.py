"""Are limits fitted that cry wolf seldom, and notice what the data rule out?"""

import json
from dataclasses import dataclass

import numpy as np
import pytest

from kit.contract import Contract
from kit.ranges import Ranges
from kit.rows import Categorical, Numeric, pack
from kit.training.judging import mistakes, ranges
from kit.training.judging.mistakes import refuses


@dataclass(frozen=True)
class Drivers:
    """Rows whose licence and bonus follow the age, whose car's value follows its age, and whose excess is one of three."""

    numeric: Numeric
    categorical: Categorical


def drivers(contract: Contract, count: int, seed: int) -> Drivers:
    """So many of them."""
    rng = np.random.default_rng(seed)
    place = {f.name: i for i, f in enumerate(contract.numeric)}
    numeric = np.full((count, len(place)), np.nan, np.float32)
    categorical = np.full((count, len(contract.categorical)), -1, np.int32)
    age = rng.integers(17, 80, count)
    licence = np.round(np.maximum(0, age - 17 - rng.exponential(2, count)), 1)
    car_age = rng.integers(0, 20, count)
    numeric[:, place["age"]], numeric[:, place["licence_years"]] = age, licence
    numeric[:, place["ncd_years"]] = np.minimum(np.floor(licence * rng.beta(8, 1, count)), 20)
    numeric[:, place["vehicle_age"]] = car_age
    numeric[:, place["vehicle_value"]] = np.exp(10 - 0.12 * car_age + 0.2 * rng.normal(size=count))
    numeric[:, place["voluntary_excess"]] = rng.choice([0, 250, 500], count)
    numeric[:, place["fault_claims"]] = rng.poisson(0.2, count)
    return Drivers(numeric, categorical)


@pytest.fixture(scope="module")
def fitted(contract: Contract) -> Ranges:
    """Limits of ten thousand drivers."""
    of = drivers(contract, 10_000, seed=1)
    return Ranges.read(ranges.fit(contract, of.numeric, of.categorical), contract)


def test_sound_rows_raise_few_alarms(contract: Contract, fitted: Ranges) -> None:
    """Whole or in part, on rows that the limits were not fitted on."""
    later = drivers(contract, 10_000, seed=2)
    part = later.numeric.copy()
    part[np.random.default_rng(0).random(part.shape) < 0.5] = np.nan

    alarms = fitted.flags(later.numeric, later.categorical).any

    assert 0 < alarms.mean() <= 0.01
    assert not (fitted.flags(part, later.categorical).any & ~alarms).any()


@pytest.mark.parametrize(
    ("risk", "named"),
    [
        ({"age": 40, "licence_years": 22, "vehicle_age": 15, "vehicle_value": 350_000}, {"vehicle_value"}),
        ({"vehicle_age": 15, "vehicle_value": 30_000}, {"vehicle_age", "vehicle_value"}),
        ({"voluntary_excess": 5}, {"voluntary_excess"}),
        ({"age": 60, "licence_years": 41, "ncd_years": 0}, {"age", "licence_years", "ncd_years"}),
        ({"age": 60, "licence_years": 41, "ncd_years": 20}, set()),
    ],
)
def test_what_the_data_rule_out_is_noticed(
    contract: Contract, fitted: Ranges, risk: dict[str, float], named: set[str]
) -> None:
    """A unit, a value that is not offered, answers that never come together; and nothing else."""
    numeric, categorical = pack(contract, risk)
    verdict = fitted.check(numeric[None], categorical[None])
    found = {*verdict.box, *verdict.joint} if verdict else set()

    assert bool(named) == bool(found)
    assert found <= named


def test_a_number_is_expected_from_those_that_tell_it(contract: Contract) -> None:
    """The value from the car's age, on a log scale; the number of claims from nothing."""
    of = drivers(contract, 4000, seed=1)
    expectations = json.loads(ranges.fit(contract, of.numeric, of.categorical))["expectations"]
    given = {e["field"]: (e["log"], list(e["effects"])) for e in expectations}

    assert (True, ["vehicle_age"]) == given["vehicle_value"]
    assert "age" in given["licence_years"][1]
    assert "fault_claims" not in given


def test_only_numbers_with_gaps_are_lists(contract: Contract) -> None:
    """An excess is chosen from a few; a claim more than anybody had is a matter of the box."""
    of = drivers(contract, 2000, seed=1)
    found = json.loads(ranges.fit(contract, of.numeric, of.categorical))

    assert {"voluntary_excess": [0.0, 250.0, 500.0]} == found["lists"]
    assert 0 == found["box"]["fault_claims"][0]


@pytest.mark.parametrize("count", [1, 3, 50])
def test_a_handful_of_rows_is_enough_to_begin_with(contract: Contract, count: int) -> None:
    """Nothing can be said of pairs then, and what was seen is within range."""
    of = drivers(contract, count, seed=1)
    found = Ranges.read(ranges.fit(contract, of.numeric, of.categorical), contract)

    assert not found.flags(
        of.numeric[: max(1, round(0.8 * count))], of.categorical[: max(1, round(0.8 * count))]
    ).joint.any()


def test_the_contract_refuses_some_mistakes_itself(contract: Contract) -> None:
    """A range, a whole number, an order; what is not known is none of them."""
    risks: list[dict[str, float]] = [
        {},
        {"age": 3400},
        {"age": 0.34},
        {"age": 30, "licence_years": 20},
        {"age": 30, "licence_years": 14},
    ]
    numeric = np.stack([pack(contract, risk)[0] for risk in risks])

    assert [False, True, True, True, False] == refuses(contract, numeric).tolist()


def test_mistakes_are_measured(contract: Contract, fitted: Ranges) -> None:
    """Only rows that a mistake changes count; what the contract refuses is part of what is noticed."""
    later = drivers(contract, 2000, seed=3)
    whole = np.ones(len(contract.numeric) + len(contract.categorical), bool)
    found = mistakes.measure(fitted, contract, later.numeric, later.categorical, {"full": whole})
    excess = found["unit_errors"]["by_field"]["cover.voluntary_excess x100"]

    assert found["false_alarms"]["full"] <= 0.015
    assert (1.0, 1.0) == (excess["noticed"], excess["refused"])
    assert 0.6 < excess["rows"] / 2000 < 0.7  # one in three is 0, which a unit does not change
    assert found["unit_errors"]["noticed"] > 0.95
    assert "driver.age history.fault_claims" in found["swaps"]["by_pair"]
    assert "driver.home_owner driver.adds_spouse" not in found["swaps"]["by_pair"]
    assert {"false_alarms", "unit_errors", "swaps"} == set(mistakes.figures({"out_of_range": found})["out_of_range"])
    assert {} == mistakes.figures({})
    for part in ("unit_errors", "swaps"):
        assert 0 <= found[part]["refused"] <= found[part]["noticed"] <= 1
