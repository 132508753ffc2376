"""Figures: right on numbers that one can check by hand, and within their bands for the market of seed 1."""

import numpy as np
import pytest
from conftest import Drawn

from kit.contract import Contract
from market import measure
from market.measure import Figure
from market.outcomes import DECLINE

AT_20_000 = (
    *("index, GBP", "savings variable", "fifth / cheapest, median", "log sd within an enquiry, median"),
    *("dearest / cheapest, median", "log cheapest, sd", "log cheapest, skew", "declined, all", "declined, 19-20"),
    *("declined, 21-24", "declined, clean 30-60, standard car", "no quote at all", "fewer than five quotes"),
    *("index at 21-24, ratio", "index at 30-39, ratio", "index at 40-49, ratio", "index at 50-59, ratio"),
    *("index at 60-69, ratio", "index at 70-79, ratio", "bonus 0 to 1 years, ratio", "cheapest below GBP 750, 25-49"),
)
"""Figures that a sample of 20,000 is large enough for."""


@pytest.fixture(scope="module")
def figures(contract: Contract, drawn: Drawn) -> dict[str, Figure]:
    """Of the market of seed 1, by name."""
    summaries = [measure.summarise(b.columns, b.premium, b.outcome == DECLINE) for b in drawn.blocks]
    return {f.name: f for f in measure.figures(measure.together(summaries), contract)}


@pytest.mark.parametrize("name", AT_20_000)
def test_the_market_is_like_the_real_one(name: str, figures: dict[str, Figure]) -> None:
    """The main rows of the table of targets hold."""
    figure = figures[name]
    # A smaller sample than the tolerance of 1 % is meant for.
    slack = 0.01 * measure.INDEX if name == "index, GBP" else 0.0

    assert figure.least - slack <= figure.value <= figure.most + slack


def test_a_summary_by_hand(drawn: Drawn) -> None:
    """Cheapest, fifth, mean of five, and counts of quotes, declines and answers."""
    columns = {name: column[:2] for name, column in drawn.blocks[0].columns.items()}
    nan = np.nan
    premium = np.array([[600.0, 100, 200, nan, 300, 400, 500], [nan, nan, 250, nan, nan, nan, nan]])
    declined = np.array([[False] * 3 + [True] + [False] * 3, [True] * 2 + [False] + [True] * 3 + [False]])

    of = measure.summarise(columns, premium, declined)

    assert [100, 250] == of.cheapest.tolist()
    assert 500 == of.fifth[0]
    assert 300 == of.top_mean[0]
    assert np.isnan(of.top_mean[1])
    assert [6, 1] == of.quotes.tolist()
    assert [1, 5] == of.declines.tolist()
    assert [7, 6] == of.answers.tolist()
    assert [6, 1] == of.spread.tolist()


def test_a_figure_of_nobody_does_not_fit() -> None:
    """NaN is no success."""
    assert not Figure("nobody", float("nan"), 0, 1).fits
