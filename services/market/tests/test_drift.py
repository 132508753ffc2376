"""Time: nothing moves unless a scenario says so, and what moves is the same however long one looks."""

from collections import Counter
from datetime import datetime, timedelta

import numpy as np
import pytest
from conftest import Drawn

from kit.contract import Contract
from market import drift, enquiries, insurers, scenarios, tariff
from market.drift import Timeline
from market.enquiries import Plan
from market.insurers import Market
from market.outcomes import ABSENT
from market.randomness import BLOCK
from market.scenarios import PUBLISHED, QUARTER, SCENARIOS, Scenario, asking, levels

YEARS_2 = 104


@pytest.fixture(scope="module")
def usual(contract: Contract, market: Market) -> Timeline:
    """Two years of the market of seed 1."""
    return drift.timeline(contract, market, SCENARIOS["usual"], YEARS_2)


def test_the_base_period_stands_still(contract: Contract, drawn: Drawn) -> None:
    """Steady is one era, no event, and no shift: what the targets are measured in."""
    of = drift.timeline(contract, drawn.market, SCENARIOS["steady"], 8)

    assert 1 == len(of.eras)
    assert () == of.events
    assert all((shift == 0).all() for shift in of.shifts.values())


def test_more_weeks_change_nothing_before(contract: Contract, market: Market, usual: Timeline) -> None:
    """The first half of two years is a year."""
    year = drift.timeline(contract, market, SCENARIOS["usual"], 52)

    for era, same in zip(year.eras, usual.eras, strict=False):
        assert insurers.to_json(contract, era.market) == insurers.to_json(contract, same.market)
    assert 4 == len(year.eras)
    assert year.events == tuple(e for e in usual.events if e.week < 52)
    for name, shift in year.shifts.items():
        np.testing.assert_array_equal(shift, usual.shifts[name][:52])


def test_ids_are_never_used_twice(usual: Timeline) -> None:
    """Who left does not come back, who joins has a number that nobody had, and 6 per cent do each a quarter."""
    present = set(usual.eras[0].market.ids)
    gone: set[str] = set()
    for before, after in zip(usual.eras, usual.eras[1:], strict=False):
        now = set(after.market.ids)
        left, joined = present - now, now - present
        gone |= left
        assert not gone & now
        assert min(joined) > max(before.market.ids)
        assert 4 == len(left) == len(joined)
        present = now


def test_everything_that_can_move_does(usual: Timeline) -> None:
    """Within two years brands re-rate slopes and levels, change rules, stop taking models, leave and join."""
    happened = Counter(e.what for e in usual.events)

    assert {"joined", "left", "slopes", "level", "rule", "model"} == set(happened)
    assert 0.15 < (happened["slopes"] + happened["level"]) / (7 * 56) < 0.35


def test_an_entrant_is_cheap_at_first(usual: Timeline) -> None:
    """Ten per cent for eight weeks, and not before or after."""
    entrant = next(e for e in usual.events if e.what == "joined")
    base = levels(SCENARIOS["usual"], usual.eras[0].market.seed, YEARS_2)
    own = usual.shifts[entrant.insurer] - base

    assert -0.15 < own[entrant.week : entrant.week + 8].mean() < -0.05
    assert -0.05 < own[entrant.week + 8 :].mean() < 0.05


def test_insurers_answer_only_while_they_are_there(contract: Contract, usual: Timeline) -> None:
    """Before it joins and after it left, an insurer has neither an outcome nor a price."""
    plan = Plan(1, BLOCK, YEARS_2, SCENARIOS["usual"])
    (block,) = enquiries.between(contract, usual, plan, 0, BLOCK)
    week = enquiries.weeks_of(plan, block.asked_at_us)
    for event in usual.events:
        if event.what in {"joined", "left"}:
            k = usual.ids.index(event.insurer)
            absent = week < event.week if event.what == "joined" else week >= event.week
            assert (block.outcome[absent, k] == ABSENT).all()
            assert np.isnan(block.log_price[absent, k]).all()
    assert (block.outcome != ABSENT).sum(1).min() == 60


def test_a_range_over_a_quarter_is_its_slice(contract: Contract, usual: Timeline) -> None:
    """A block that two eras price is the same whichever part of it is asked for."""
    plan = Plan(1, BLOCK, 2 * QUARTER, SCENARIOS["usual"])
    (whole,) = enquiries.between(contract, usual, plan, 0, BLOCK)
    (part,) = enquiries.between(contract, usual, plan, 1500, 2700)

    np.testing.assert_array_equal(whole.premium[1500:2700], part.premium)


def test_prices_move_over_a_re_rating_week(drawn: Drawn, usual: Timeline) -> None:
    """The same drivers in the last week of a quarter and the next: who re-rated asks another price, and nobody else does."""
    columns = {name: column[:200] for name, column in drawn.blocks[0].columns.items()}
    rerated = {e.insurer for e in usual.events if e.week == QUARTER and e.what in {"level", "slopes"}}
    before, after = (
        {i.id: log for i, log in tariff.log_prices(era.market, columns)} for era in (usual.eras[0], usual.eras[1])
    )

    changed = {name for name in before.keys() & after.keys() if not np.array_equal(before[name], after[name])}

    assert rerated
    assert rerated == changed


@pytest.mark.parametrize(("week", "index"), [(6, 541), (45, 629), (97, 995), (201, 726)])
def test_the_published_years_are_followed(week: int, index: int) -> None:
    """In the middle of a quarter the level is that quarter's, over the last one's; season apart."""
    scenario = SCENARIOS["real-2022-25"]
    season = scenarios.PRICE_SEASON.get((scenario.begins + timedelta(weeks=week, days=3)).month, 0.0)

    assert levels(scenario, 1, week + 1)[week] - season == pytest.approx(np.log(index / PUBLISHED[-1]), abs=0.005)


def test_a_shock_is_nineteen_per_cent_in_a_quarter() -> None:
    """Nothing for four weeks, all of it a quarter after the beginning."""
    level = levels(Scenario("", "", shock=True), 1, 20)

    assert 0 == level[:5].max()
    assert pytest.approx(np.log(1.19)) == level[QUARTER:].min()


def test_more_ask_in_the_evening_and_in_september() -> None:
    """Between six and ten p.m. far more than at night; with a season, September has a fifth more than August."""
    _, done = asking(SCENARIOS["usual"], 52)
    hourly = np.diff(done)
    by_hour = hourly.reshape(-1, 24).sum(0)
    by_month = Counter[int]()
    begins = SCENARIOS["usual"].begins
    for day, share in enumerate(hourly.reshape(-1, 24).sum(1)):
        by_month[(begins + timedelta(days=day)).month] += share

    assert by_hour[18:22].mean() > 10 * by_hour[1:5].mean()
    assert 1.1 < (by_month[9] / 30) / (by_month[8] / 31) < 1.25
    assert datetime(2025, 10, 6).weekday() == begins.weekday()  # noqa: DTZ001 - only its day of the week


def test_three_in_a_hundred_mis_state_one_answer(drawn: Drawn) -> None:
    """The quote is for what was stated; the truth knows which answer it was and what is true."""
    misstated = np.concatenate([b.latent["misstated"] for b in drawn.blocks])
    assert 0.025 < (misstated > 0).mean() < 0.035

    for place, name in enumerate(("annual_mileage", "overnight", "occupation"), start=1):
        true = np.concatenate([b.latent[f"true_{name}"] for b in drawn.blocks])
        np.testing.assert_array_equal(misstated == place, true != drawn.all(name))
