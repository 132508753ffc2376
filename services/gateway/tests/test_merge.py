"""How two models' arrays become statuses, prices and the panel's figures."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, strategies as st
from support import INSURERS, LOG_PREMIUM, MOTOR, PANEL, PROBABILITY, K, serving

from gateway.domain.answers import Band, Panel
from gateway.domain.serving import Serving, Standing
from gateway.ports import Answer
from gateway.pricing.merge import Merged, at_rate, bands, count, merge
from kit.calibration import Bands, Cells, Counts, Intervals, Probabilities, Table

AGES = Bands.of(MOTOR, {"age": [25]})


def standing(key: int, age: float = 40.0) -> Standing:
    """Where somebody of that age who answered so much looks, in both models' tables."""
    numeric = np.full((1, len(MOTOR.numeric)), np.nan, np.float32)
    numeric[0, [field.name for field in MOTOR.numeric].index("age")] = age
    places = AGES.places(numeric, np.full((1, len(MOTOR.categorical)), -1, np.int32))
    return Standing(*[Cells(np.array([key]), places)] * 2)


def by_key(table: Table, key: int, last: list[float]) -> Table:
    """The table with a row for a key, whose last numbers are these, and which adds a tenth to them below 25."""
    return replace(
        table,
        by_key={key: 1},
        first=np.repeat(table.first, 2, axis=0),
        last=np.concatenate([table.last, np.reshape(last, (1, -1, 1))]),
        bands=np.array([np.zeros((3, len(last))), np.outer([0.0, 1.0, 0.0], np.full(len(last), 0.1))]),
    )


KEY = standing(5)
PRICES = np.linspace(700.0, 400.0, K).round(2)


def merge_one(
    made: Serving,
    at: Standing,
    probability: Answer | None,
    log_premium: Answer | None,
    *,
    chosen: tuple[int, ...] | None = None,
    ipt_rate: float = 0.12,
) -> Merged:
    """A batch of one row."""
    batch = [None if array is None else array[np.newaxis] for array in (probability, log_premium)]
    factors, inside = np.array([at_rate(ipt_rate)]), np.zeros(1, bool)
    return merge(made, at, *batch, chosen=chosen, factors=factors, is_outside=inside)


def merged(
    probability: Answer | None = PROBABILITY,
    log_premium: Answer | None = LOG_PREMIUM,
    chosen: tuple[int, ...] | None = None,
    ipt_rate: float = 0.12,
) -> Merged:
    """One row's merge."""
    return merge_one(serving(), KEY, probability, log_premium, chosen=chosen, ipt_rate=ipt_rate)


def prices(found: Merged, row: int = 0) -> dict[str, list[float]]:
    """A row's prices in pounds, which are all there."""
    assert found.insurers.pence is not None
    return dict(zip(("low", "premium", "high"), (found.insurers.pence[:, row] / 100).tolist(), strict=True))


def likely(found: Merged, row: int = 0) -> list[bool]:
    """Who of a row is likely to quote."""
    assert found.insurers.is_likely is not None
    return [bool(yes) for yes in found.insurers.is_likely[row]]


def cheapest(found: Merged) -> tuple[str, Band]:
    """The first row's cheapest, which is there."""
    assert found.panels[0].cheapest is not None
    return found.panels[0].cheapest


def test_the_premium_is_the_median() -> None:
    """At the rate that the models have learnt it is exp of the middle quantile, to the penny."""
    found = prices(merged())

    assert PRICES.tolist() == found["premium"]
    assert np.exp(np.log(PRICES[0]) + 0.3).round(2) == found["high"][0]


def test_likely_begins_at_the_threshold() -> None:
    """The bundle says where."""
    assert [True] * 5 + [False] * 3 == likely(merged())


def test_the_panel_counts_likely_insurers_only() -> None:
    """A low price of somebody who will not quote is no bargain."""
    found = merged()
    insurer, band = cheapest(found)

    assert (5, "i-0005", PRICES[4]) == (found.panels[0].likely, insurer, band.premium)
    assert PRICES[:5].mean().round(2) == found.panels[0].mean_of_five_cheapest


def test_the_mean_is_of_the_five_cheapest() -> None:
    """Of seven likely ones, two do not count."""
    (panel,) = merged(probability=np.array([0.9] * 7 + [0.1])).panels

    assert (7, PRICES[2:7].mean().round(2)) == (panel.likely, panel.mean_of_five_cheapest)


@pytest.mark.parametrize(
    ("probability", "log_premium", "panel"),
    [
        (None, LOG_PREMIUM, Panel(None, None, None)),
        (PROBABILITY, None, Panel(5, None, None)),
        (np.zeros(K), LOG_PREMIUM, Panel(0, None, None)),
    ],
)
def test_what_cannot_be_said_is_not_said(probability: Answer | None, log_premium: Answer | None, panel: Panel) -> None:
    """Without one model, or without a likely insurer, there is no cheapest price."""
    assert [panel] == merged(probability, log_premium).panels


def test_a_subset_is_the_same_in_its_own_order() -> None:
    """Asking for some insurers changes no figure of theirs, and the panel is theirs."""
    everybody, some = merged(), merged(chosen=(6, 1))

    assert (INSURERS[6], INSURERS[1]) == some.insurers.ids
    assert [prices(everybody)["premium"][place] for place in (6, 1)] == prices(some)["premium"]
    assert [False, True] == likely(some)
    assert INSURERS[1] == cheapest(some)[0]


@pytest.mark.parametrize(("rate", "factor"), [(0.12, 1.0), (0.0, 1 / 1.12), (0.2, 1.2 / 1.12)])
def test_the_tax_rate_scales_prices(rate: float, factor: float) -> None:
    """Prices are learnt gross at 12 %."""
    assert factor == at_rate(rate)
    assert pytest.approx(PRICES * factor, abs=0.011) == prices(merged(ipt_rate=rate))["premium"]


def test_calibration_depends_on_what_was_answered() -> None:
    """Each key has its own interval and its own probabilities; any other has the pooled ones. Within a key it depends on the band."""
    made = serving(
        intervals=Intervals(by_key(Table.constant(0.0, 0.0), 5, [-1.0, 1.0])),
        probabilities=Probabilities(by_key(Table.constant(1.0, 1.0, 0.0, effects=1), 5, [9.0])),
    )
    known, young, other = (
        merge_one(made, at, PROBABILITY, LOG_PREMIUM) for at in (standing(5), standing(5, 20.0), standing(6))
    )

    assert (8, 5) == (known.panels[0].likely, other.panels[0].likely)
    assert (PRICES * np.exp(1.2)).round(2).tolist() == pytest.approx(prices(known)["high"], abs=0.03)
    assert (PRICES * np.exp(1.3)).round(2).tolist() == pytest.approx(prices(young)["high"], abs=0.03)
    assert (PRICES * np.exp(0.2)).round(2).tolist() == pytest.approx(prices(other)["high"], abs=0.03)


@given(st.data())
def test_a_row_is_the_same_in_any_batch(data: st.DataObject) -> None:
    """Whoever else is answered at the same moment changes nothing: not a price, not a status, not the panel."""
    size = data.draw(st.integers(1, 12))
    random = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    probability = random.random((size, K))
    log_premium = np.sort(random.normal(6.0, 0.5, (size, K, 3)), axis=2)
    factors, is_outside = random.uniform(0.9, 1.1, size), random.random(size) < 0.3
    keys, places = np.full(size, 5), np.repeat(KEY.quote.places, size, axis=0)
    at = Standing(*[Cells(keys, places)] * 2)
    made = serving()
    whole = merge(made, at, probability, log_premium, chosen=None, factors=factors, is_outside=is_outside)
    row = data.draw(st.integers(0, size - 1))
    one = slice(row, row + 1)
    alone = merge(
        made,
        KEY,
        probability[one],
        log_premium[one],
        chosen=None,
        factors=factors[one],
        is_outside=is_outside[one],
    )

    assert alone.panels == whole.panels[one]
    assert prices(alone) == prices(whole, row)
    assert likely(alone) == likely(whole, row)


def test_a_price_beyond_all_reason_is_what_there_is_room_for() -> None:
    """A million pounds less a penny."""
    assert 999_999.99 == prices(merged(log_premium=LOG_PREMIUM + 12.0))["premium"][0]


def test_the_panels_bands_are_calibrated_apart() -> None:
    """The cheapest price and the mean of five have tables of their own."""
    made = serving(mean_of_five_cheapest=Intervals(Table.constant(0.0, 0.0)))
    cheapest, mean = bands(made, KEY, PANEL[np.newaxis], ipt_rate=0.12)

    assert Band(400.0, round(400 * np.exp(-0.4), 2), round(400 * np.exp(0.4), 2)) == cheapest
    assert Band(470.0, round(470 * np.exp(-0.3), 2), round(470 * np.exp(0.3), 2)) == mean


def test_the_count_is_an_expectation_with_a_band() -> None:
    """The sum of the probabilities; the band lies within what is possible."""
    found = count(serving(), KEY, np.full((1, K), 0.5))

    assert (4.0, 2, 6) == (found.expected, found.low, found.high)  # within two of sqrt(8 / 4) to each side


def test_a_band_without_a_whole_number_holds_the_nearest() -> None:
    """Nobody counts 4.2 to 4.4 insurers."""
    found = count(serving(likely_insurers=Counts(Table.constant(0.0, 0.1))), KEY, np.full((1, K), 0.53))

    assert (4.2, 4, 4) == (found.expected, found.low, found.high)


def test_a_band_holds_whole_numbers_inside_it_alone() -> None:
    """From 4.2 to 5.6 there is only 5, although 4.4 is nearer to 4."""
    found = count(serving(likely_insurers=Counts(Table.constant(-0.14, 0.85))), KEY, np.full((1, K), 0.55))

    assert (4.4, 5, 5) == (found.expected, found.low, found.high)


def test_the_count_stays_on_the_panel() -> None:
    """Nobody expects more insurers than there are."""
    found = count(serving(likely_insurers=Counts(Table.constant(-99.0, 99.0))), KEY, np.full((1, K), 0.5))

    assert (0, K) == (found.low, found.high)
