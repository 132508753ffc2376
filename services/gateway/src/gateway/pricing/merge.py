"""How do two models' arrays become statuses, prices, intervals and the panel's figures? Pure functions on arrays."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gateway.domain.answers import Band, Count, Insurers, Panel, Prices
from gateway.domain.risk import STANDARD_IPT_RATE
from gateway.domain.serving import Serving, Standing
from gateway.ports import Answer

PENCE: Final = 2
PROBABILITY_DIGITS: Final = 4
CHEAPEST: Final = 5


@dataclass(frozen=True, slots=True, eq=False)
class Merged:
    """What one row became."""

    insurers: Insurers
    panel: Panel


def at_rate(ipt_rate: float) -> float:
    """The factor from the prices that the models have learnt to prices with insurance premium tax at `ipt_rate`."""
    return (1.0 + ipt_rate) / (1.0 + STANDARD_IPT_RATE)


def merge(
    serving: Serving,
    at: Standing,
    probability: Answer | None,
    log_premium: Answer | None,
    *,
    chosen: tuple[int, ...] | None,
    ipt_rate: float,
    has_intervals: bool = True,
) -> Merged:
    """Merge one row's [1, K] probabilities and [1, K, 3] log quantiles; either may be missing.

    Without `has_intervals` no price has one: the row is out of range, and calibration promises nothing there.
    """
    places = slice(None) if chosen is None else np.array(chosen, np.intp)
    ids = serving.insurers if chosen is None else tuple(serving.insurers[place] for place in chosen)
    calibrated = low = premium = high = likely = None
    status = ["unknown"] * len(ids)
    if probability is not None:
        calibrated = serving.probabilities.apply(probability, at.quote)[0][places]
        likely = calibrated >= serving.likely
        status = ["likely" if yes else "unlikely" for yes in likely.tolist()]
        calibrated = calibrated.round(PROBABILITY_DIGITS)
    if log_premium is not None:
        low, premium, high = pounds(serving.intervals.apply(log_premium, at.price), at_rate(ipt_rate))[:, 0, places]
        low, high = (low, high) if has_intervals else (None, None)
    insurers = Insurers(ids, status, calibrated, premium, low, high)
    return Merged(insurers, summarise(insurers, likely))


def pounds(log_prices: tuple[NDArray[np.floating], ...], factor: float) -> Prices:
    """Log pounds to pounds and pence, stacked in the given order."""
    prices: Prices = (np.exp(np.stack(log_prices), dtype=np.float64) * factor).round(PENCE)
    return prices


def summarise(insurers: Insurers, likely: NDArray[np.bool_] | None) -> Panel:
    """The panel's figures over the insurers that will likely quote."""
    if likely is None:
        return Panel(None, None, None)
    places = np.flatnonzero(likely)
    if insurers.premium is None or not len(places):
        return Panel(len(places), None, None)
    prices = insurers.premium[places]
    best = int(places[prices.argmin()])
    low, high = (None if ends is None else float(ends[best]) for ends in (insurers.low, insurers.high))
    band = Band(float(insurers.premium[best]), low, high)
    mean = float(np.sort(prices)[:CHEAPEST].mean().round(PENCE))
    return Panel(len(places), (insurers.ids[best], band), mean)


def bands(
    serving: Serving, at: Standing, log_premium: Answer, *, ipt_rate: float, has_intervals: bool = True
) -> tuple[Band, Band]:
    """The cheapest price and the mean of the five cheapest, from one row's [1, 2, 3] log quantiles."""
    factor = at_rate(ipt_rate)
    figures = (serving.cheapest, log_premium[:, :1]), (serving.mean_of_five_cheapest, log_premium[:, 1:])
    cheapest, mean = (
        pounds(intervals.apply(quantiles, at.price), factor)[:, 0, 0].tolist() for intervals, quantiles in figures
    )
    return _band(*cheapest, has_intervals=has_intervals), _band(*mean, has_intervals=has_intervals)


def _band(low: float, middle: float, high: float, *, has_intervals: bool) -> Band:
    return Band(middle, low, high) if has_intervals else Band(middle, None, None)


def count(serving: Serving, at: Standing, probability: Answer, *, has_intervals: bool = True) -> Count:
    """How many insurers will quote: the sum of one row's calibrated probabilities, and the whole numbers in its calibrated band.

    A band that holds none has the one nearest to the sum. The sum itself is no whole number, and may lie less than one outside of them.
    """
    calibrated = serving.probabilities.apply(probability, at.quote)
    low, expected, high = (float(found[0]) for found in serving.likely_insurers.apply(calibrated, at.quote))
    if not has_intervals:
        return Count(round(expected, 1), None, None)
    lowest, highest = math.ceil(low), math.floor(high)
    if lowest > highest:
        lowest = highest = round(expected)
    return Count(round(expected, 1), lowest, highest)
