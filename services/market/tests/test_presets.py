"""Kinds of market: as wide or as slow as they say, and at the index all the same."""

import numpy as np
import pytest

from kit.contract import Contract
from market import enquiries, measure, presets
from market.drift import still
from market.enquiries import Plan
from market.measure import Summary
from market.outcomes import DECLINE, NO_RESPONSE
from market.presets import PRESETS
from market.randomness import BLOCK


def _drawn(contract: Contract, preset: str) -> tuple[Summary, list[enquiries.Enquiries]]:
    market = presets.drawn(contract, PRESETS[preset], 1, 60, van=False)
    blocks = list(enquiries.between(contract, still(market, 8), Plan(1, 2 * BLOCK, 8), 0, 2 * BLOCK))
    return measure.together([measure.summarise(b.columns, b.premium, b.outcome == DECLINE) for b in blocks]), blocks


def test_a_wide_market_is_wide_at_the_same_index(contract: Contract) -> None:
    """About 23 per cent between the cheapest and the mean of five, eight times between cheapest and dearest."""
    of, _ = _drawn(contract, "wide")
    figures = {f.name: f.value for f in measure.figures(of, contract)}

    assert figures["index, GBP"] == pytest.approx(measure.INDEX, rel=0.05)
    assert 0.20 < figures["savings variable"] < 0.26
    assert 0.44 < figures["log sd within an enquiry, median"] < 0.58
    assert 6.5 < figures["dearest / cheapest, median"] < 10


def test_a_slow_market_has_the_same_prices(contract: Contract) -> None:
    """Four seconds in the median, eight in a hundred time out, and who answers asks what it asks in the standard market."""
    _, slow = _drawn(contract, "check24")
    _, standard = _drawn(contract, "standard")
    seconds = np.concatenate([b.response_s for b in slow])

    assert np.median(seconds) == pytest.approx(4.0, rel=0.03)
    assert 0.07 < np.mean(np.concatenate([b.outcome for b in slow]) == NO_RESPONSE) < 0.11
    for left, right in zip(slow, standard, strict=True):
        np.testing.assert_array_equal(left.log_price, right.log_price)
