"""Insurers are data: what is written is what prices, and it says what the archetypes promise."""

import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from conftest import Drawn
from hypothesis import given, settings, strategies as st

from kit.contract import Contract
from market import archetypes, insurers, panel, rules, tariff
from market.insurers import Market
from market.parts import BadDefinition, Condition, Curve, Power, Rule, Steps, condition, part, table
from market.rules import REASONS


def test_definitions_are_read_as_written(contract: Contract, market: Market) -> None:
    """Nothing that prices is lost on the way to the file and back."""
    text = insurers.to_json(contract, market)

    assert text == insurers.to_json(contract, insurers.from_json(contract, text))


def test_definitions_as_read_price_alike(contract: Contract, drawn: Drawn) -> None:
    """The engine prices from the file alone."""
    columns = {name: column[:200] for name, column in drawn.blocks[0].columns.items()}
    again = insurers.from_json(contract, insurers.to_json(contract, drawn.market))

    expected = {i.id: log for i, log in tariff.log_prices(drawn.market, columns)}

    for insurer, log in tariff.log_prices(again, columns):
        np.testing.assert_array_equal(expected[insurer.id], log)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**63 - 1), count=st.integers(30, 160))
def test_any_size_has_all_archetypes_and_groups(seed: int, count: int, contract: Contract) -> None:
    """Brands are shared out over ten archetypes and eighteen groups, none empty, and ids run from one."""
    made = panel.make(contract, seed, count)

    kinds = Counter(i.archetype for i in made.insurers)
    assert [f"i-{n:04d}" for n in range(1, count + 1)] == list(made.ids)
    assert {g.id for g in made.groups} == {i.group for i in made.insurers}
    assert panel.GROUPS == len(made.groups)
    assert len(archetypes.ARCHETYPES) - 1 <= len(kinds)


def test_sixty_brands_are_those_of_the_specification(market: Market) -> None:
    """The default market has each archetype as often as its table says."""
    expected = {a.name: a.of_60 for a in archetypes.ARCHETYPES}

    assert expected == Counter(i.archetype for i in market.insurers)


def test_two_brands_of_a_group_are_alike(drawn: Drawn) -> None:
    """Log prices correlate more within a group than across groups, and across groups they leave room to shop around."""
    correlation = np.asarray(np.corrcoef(drawn.blocks[0].log_price.T))
    group = np.array([i.group for i in drawn.market.insurers])
    same = (group[:, None] == group) & ~np.eye(len(group), dtype=bool)
    other = group[:, None] != group

    assert correlation[same].mean() > correlation[other].mean() + 0.05
    assert correlation[same].max() < 0.9999
    assert 0.70 < correlation[other].mean() < 0.85


def test_a_group_with_bands_prices_by_steps(drawn: Drawn) -> None:
    """Half the groups charge all of a band alike: 5,100 miles and 6,900 are one answer to them."""
    banded = next(g for g in drawn.market.groups if g.bands)
    row = {name: np.repeat(column[:1], 2) for name, column in drawn.blocks[0].columns.items()}
    edges = next(b.edges for b in banded.bands if b.field == "annual_mileage")
    inside = [edges[2] + 100, edges[3] - 100]

    priced = tariff.log_prices(drawn.market, {**row, "annual_mileage": np.array(inside, np.int32)})

    low, high = next(log for insurer, log in priced if insurer.group == banded.id and not insurer.terms)
    assert low == high


def test_a_ceiling_holds(drawn: Drawn) -> None:
    """A group with a dearest price never asks for more, before noise."""
    capped = {g.id: g.ceiling for g in drawn.market.groups if g.ceiling is not None}
    assert capped

    for k, insurer in enumerate(drawn.market.insurers):
        if insurer.group in capped:
            assert drawn.all("log_price")[:, k].max() <= np.log(capped[insurer.group]) + 1e-12


def test_the_first_rule_that_fires_is_the_reason(contract: Contract, drawn: Drawn) -> None:
    """Too young comes before too many points; the cap comes after all rules, and the footprint last."""
    one = replace(
        drawn.market.insurers[0],
        rules=(
            Rule("min_age", (condition(contract, "age", "below", 25),)),
            Rule("points", (condition(contract, "points", "above", 6),)),
        ),
        max_premium=1000.0,
        footprint=0.5,
    )
    columns = {"age": np.array([20, 20, 40, 40, 40, 40]), "points": np.array([9, 0, 9, 0, 0, 0])}
    premium = np.array([2000.0, 500, 500, 2000, 500, 500])
    uniform = np.array([0.1, 0.9, 0.9, 0.1, 0.1, 0.9])

    reasons = rules.declined(one, columns, premium, uniform)

    assert ["min_age", "min_age", "points", "premium_cap", "footprint", ""] == [REASONS[r] for r in reasons]


def test_every_reason_occurs(drawn: Drawn) -> None:
    """No rule of the archetypes is dead; models are banned only over time, and only a commercial-vehicle insurer wants a van."""
    found = set(np.unique(drawn.all("reason")).tolist())

    assert set(range(len(REASONS))) - {REASONS.index("not_a_van"), REASONS.index("model")} == found


@pytest.mark.parametrize(
    ("made", "values", "expected"),
    [
        (Curve("age", (20, 30), (0.0, 1.0)), [10, 20, 25, 40], [0.0, 0.0, 0.5, 1.0]),
        (Steps("age", (20, 30), (0.0, 1.0, 2.0)), [19, 20, 29, 30], [0.0, 1.0, 1.0, 2.0]),
        (Power("age", 2.0, 10.0), [10, 20], [0.0, 2 * np.log(2)]),
    ],
)
def test_parts(made: Curve | Steps | Power, values: list[int], expected: list[float]) -> None:
    """Each kind of part gives the summand that it says."""
    np.testing.assert_allclose(expected, made.log({"age": np.array(values)}))


def test_a_table_is_by_name(contract: Contract) -> None:
    """Categories that a table does not name cost nothing."""
    made = table(contract, "overnight", {"street": 0.05})

    np.testing.assert_array_equal([0, 0, 0.05, 0], made.log({"overnight": np.arange(4)}))


@pytest.mark.parametrize(
    ("is_", "values", "expected"),
    [
        ("below", (30.0,), [True, False, False]),
        ("above", (30.0,), [False, False, True]),
        ("within", (20.0, 30.0), [True, True, False]),
        ("one_of", (20.0, 31.0), [True, False, True]),
    ],
)
def test_conditions(is_: str, values: tuple[float, ...], expected: list[bool]) -> None:
    """Each kind of condition claims what it says, and limits are exact."""
    assert expected == Condition("age", is_, values).holds({"age": np.array([20, 30, 31])}).tolist()


@pytest.mark.parametrize(
    ("field", "is_", "values"),
    [
        ("colour", "below", (1,)),
        ("overnight", "below", ("street",)),
        ("overnight", "one_of", ("moon",)),
        ("age", "within", (1,)),
    ],
)
def test_a_bad_condition_is_named(field: str, is_: str, values: tuple[object, ...], contract: Contract) -> None:
    """A definition that contradicts the contract is refused by the field's name."""
    with pytest.raises(BadDefinition, match=field):
        condition(contract, field, is_, *values)


def test_a_bad_document_is_refused(contract: Contract, market: Market) -> None:
    """Neither another format nor a missing key nor an unknown part is taken for a market."""
    document = json.loads(insurers.to_json(contract, market))

    for bad in ({**document, "format": 99}, {"format": insurers.FORMAT}):
        with pytest.raises(BadDefinition):
            insurers.from_json(contract, json.dumps(bad))
    with pytest.raises(BadDefinition, match="no kind of part"):
        part(contract, {"kind": "spline", "field": "age"})


def test_any_seed_declines_alike(contract: Contract) -> None:
    """Brands of an archetype draw their limits in turns: as many mainstream brands have each minimum age in every market."""
    ages = [
        sorted(
            c.values[0]
            for i in panel.make(contract, seed, 60).insurers
            if i.archetype == "mainstream"
            for r in i.rules
            if r.reason == "min_age"
            for c in r.when
        )
        for seed in (1, 2, 3)
    ]

    assert all(abs(sum(a) - sum(ages[0])) <= 20 for a in ages)
    assert all(a[0] == 17 and a[-1] == 23 for a in ages)


def test_a_van_insurer_declines_nearly_everybody(contract: Contract, drawn: Drawn) -> None:
    """It is the last of a market that has one, and leaves the others as they were."""
    with_van = panel.make(contract, 1, 60, van=True)
    van = with_van.insurers[-1]

    reasons = rules.declined(
        van, drawn.blocks[0].columns, np.full(len(drawn.blocks[0].ids), 500.0), np.ones(len(drawn.blocks[0].ids))
    )

    assert ("i-0061", "commercial_vehicle") == (van.id, van.archetype)
    assert panel.make(contract, 1, 60).ids == with_van.ids[:-1]
    assert (reasons > 0).mean() > 0.95
