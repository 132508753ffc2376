"""The named cases are what they say: in the contract or out of it, and found in a real market."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from conftest import Drawn

from kit.contract import Contract
from market import cases, drift, panel, places, rules, tariff, vehicles
from market.cases import ASKED, INSURERS
from market.columns import Columns, cast_to
from market.insurers import Market
from market.scenarios import SCENARIOS


def _columns(contract: Contract, answers: Mapping[str, Any]) -> Columns:
    """A request as a row, with what the store knows of its car and its sector."""
    known = vehicles.rows(vehicles.catalogue(contract))
    row = int(answers["vehicle_id"].removeprefix("v-"))
    sector = contract.field("sector").code_of[answers["sector"]]
    country = places.areas(contract)
    found = {name: column[row] for name, column in known.items()}
    found |= {f.name: getattr(country, f.name)[sector] for f in contract.fields_of("area")}
    for name, value in answers.items():
        if name in contract.by_name:
            field = contract.field(name)
            found[name] = value if field.is_numeric else field.code_of[value]
    return {f.name: cast_to(f, np.array([found[f.name]])) for f in contract.fields}


def _broken(contract: Contract, answers: Mapping[str, Any]) -> bool:
    """Whether the contract refuses the request: a number out of its range, or two answers that contradict each other."""
    numbers = [contract.field(name) for name in answers if name in contract.by_name and contract.field(name).is_numeric]
    outside = any(
        f.minimum is not None and f.maximum is not None and not f.minimum <= answers[f.name] <= f.maximum
        for f in numbers
    )
    return outside or any(answers[o.least] + o.gap > answers[o.most] for o in contract.orders)


@pytest.mark.parametrize("name", ASKED)
def test_a_case_is_owed_what_it_says(name: str, contract: Contract) -> None:
    """Refused cases break the contract and no other does; flagged ones name an entity that nobody has."""
    case = ASKED[name]
    unseen = case.answers["sector"] not in contract.field("sector").code_of or case.answers["vehicle_id"] >= "v-78000"

    assert (case.owed == "refused") == _broken(contract, case.answers)
    assert (case.owed == "flagged") == unseen


def test_nobody_quotes_the_hopeless(contract: Contract, market: Market) -> None:
    """Every insurer but the broker panels, which take anybody, has a rule against this driver; the ordinary one gets quotes."""
    quotes = {}
    for name in ("ordinary", "no_quotes"):
        columns = _columns(contract, ASKED[name].answers)
        asked = {i.id: np.exp(log) for i, log in tariff.log_prices(market, columns)}
        reasons = [rules.declined(i, columns, asked[i.id], np.ones(1))[0] for i in market.insurers]
        quotes[name] = reasons.count(0)

    assert 0 == quotes["no_quotes"]
    assert quotes["ordinary"] > 30


@pytest.mark.parametrize("case", INSURERS)
def test_a_market_has_every_insurers_case(case: str, contract: Contract) -> None:
    """With a van among them, sixty insurers have each of the cases."""
    assert cases.insurers(panel.make(contract, 1, 60, van=True), case)


def test_a_birthday_decides(contract: Contract, market: Market) -> None:
    """Of each pair of ages at a limit, the first is taken and the second declined for its age."""
    insurer = cases.insurers(market, "age_limits")[0]
    ages = np.array(cases.threshold_ages(insurer))
    row = _columns(contract, ASKED["ordinary"].answers)
    columns = {**{name: np.repeat(column, len(ages)) for name, column in row.items()}, "age": ages}

    reasons = rules.declined(insurer, columns, np.full(len(ages), 500.0), np.ones(len(ages)))

    named = [rules.REASONS[r] for r in reasons]
    assert {"min_age", "max_age"} & set(named[1::2]) == set(named[1::2])
    assert not {"min_age", "max_age"} & set(named[::2])


def test_always_and_never(drawn: Drawn) -> None:
    """One insurer declines everybody, one nobody."""
    columns, one = drawn.blocks[0].columns, drawn.market.insurers[0]
    premium, uniform = np.full(len(columns["age"]), 9e9), np.zeros(len(columns["age"]))

    assert (rules.declined(cases.always_declines(one), columns, premium, uniform) > 0).all()
    assert (rules.declined(cases.never_declines(one), columns, premium, uniform) == 0).all()


def test_sex_moves_no_price(contract: Contract, drawn: Drawn) -> None:
    """No field of a request says it, and no part of a tariff can: parts and rules name fields of the contract."""
    assert not {"sex", "male", "gender"} & set(contract.by_name)
    assert not {"sex", "male", "gender"} & set(drawn.blocks[0].columns)


def test_newcomers_and_re_rating_weeks(contract: Contract, market: Market) -> None:
    """A moving market has cold starts and re-rating weeks, a steady one has neither."""
    moving = drift.timeline(contract, market, SCENARIOS["usual"], 40)

    assert {13, 26, 39} == set(cases.rerating_weeks(moving)) == set(cases.newcomers(moving).values())
    assert not cases.newcomers(drift.still(market, 40))


def test_an_erased_subject_leaves_no_row() -> None:
    """Nothing of the person is left for the next training, and nobody else's row is touched."""
    answers = pa.table({"enquiry_id": pa.array([1, 1, 2, 3], pa.int64()), "premium": [400.0, None, 500.0, 600.0]})

    left = cases.erased(answers, {1, 9})

    assert {"enquiry_id": [2, 3], "premium": [500.0, 600.0]} == left.to_pydict()
