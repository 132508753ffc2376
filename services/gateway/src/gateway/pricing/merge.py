"""How do two models' arrays become statuses, prices, intervals and the panel's figures? Pure functions on arrays.

Everything is done for all rows that are ready at the same moment: one row costs a hundred microseconds of NumPy calls, and each further
one a few.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gateway.domain.answers import Band, Count, Insurers, Panel, Pence
from gateway.domain.risk import STANDARD_IPT_RATE
from gateway.domain.serving import Serving, Standing
from gateway.ports import Answer

PENCE: Final = 2
MOST_PENCE: Final = (
    99_999_999  # a million pounds less a penny: more than any cover costs, and all that an answer has room for
)
PROBABILITY_STEPS: Final = 10_000
CHEAPEST: Final = 5
NOBODY: Final = np.iinfo(np.int64).max // (2 * CHEAPEST)  # above every price, also when five are added up


@dataclass(frozen=True, slots=True, eq=False)
class Merged:
    """What B rows became: the insurers' columns, and each row's panel."""

    insurers: Insurers
    panels: list[Panel]


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
    factors: NDArray[np.float64],
    is_outside: NDArray[np.bool_],
) -> Merged:
    """Merge B rows' [B, K] probabilities and [B, K, 3] log quantiles; either may be missing for all of them.

    `factors` float64[B] are those of `at_rate`. A row that `is_outside` has no interval: calibration promises nothing there.
    """
    places = slice(None) if chosen is None else np.array(chosen, np.intp)
    ids = serving.insurers if chosen is None else tuple(serving.insurers[place] for place in chosen)
    steps = is_likely = prices = None
    if probability is not None:
        calibrated = serving.probabilities.apply(probability, at.quote)[:, places]
        is_likely = calibrated >= serving.likely
        steps = np.rint(calibrated * PROBABILITY_STEPS).astype(np.int64)
    if log_premium is not None:
        prices = pence(serving.intervals.apply(log_premium, at.price), factors)[:, :, places]
    insurers = Insurers(ids, is_likely, steps, prices, is_outside)
    return Merged(insurers, summarise(insurers))


def pence(log_prices: tuple[NDArray[np.floating], ...], factors: NDArray[np.float64]) -> Pence:
    """Log pounds [B, K] to whole pence, stacked in the given order: int64[L, B, K]."""
    pounds = np.exp(np.stack(log_prices), dtype=np.float64)
    pounds *= 100.0 * factors[:, np.newaxis]
    return np.minimum(np.rint(pounds, out=pounds), MOST_PENCE, out=pounds).astype(np.int64)


def summarise(insurers: Insurers) -> list[Panel]:
    """Each row's figures over the insurers that will likely quote."""
    rows = len(insurers.is_outside)
    if insurers.is_likely is None:
        return [Panel(None, None, None)] * rows
    likely = np.count_nonzero(insurers.is_likely, axis=1).tolist()
    if insurers.pence is None:
        return [Panel(count, None, None) for count in likely]
    open_to = np.where(insurers.is_likely, insurers.pence[1], NOBODY)
    best = open_to.argmin(axis=1)
    bands = insurers.pence[:, np.arange(rows), best].T.tolist()
    if open_to.shape[1] > CHEAPEST:
        open_to = np.partition(open_to, CHEAPEST - 1, axis=1)[:, :CHEAPEST]
    sums = np.where(open_to < NOBODY, open_to, 0).sum(axis=1).tolist()
    return [
        Panel(
            count,
            (insurers.ids[place], _pounds(*band, has_interval=not outside)),
            round(total / min(count, CHEAPEST) / 100, PENCE),
        )
        if count
        else Panel(0, None, None)
        for count, place, band, total, outside in zip(
            likely, best.tolist(), bands, sums, insurers.is_outside.tolist(), strict=True
        )
    ]


def bands(
    serving: Serving, at: Standing, log_premium: Answer, *, ipt_rate: float, has_intervals: bool = True
) -> tuple[Band, Band]:
    """The cheapest price and the mean of the five cheapest, from one row's [1, 2, 3] log quantiles."""
    factors = np.array([at_rate(ipt_rate)])
    figures = (serving.cheapest, log_premium[:, :1]), (serving.mean_of_five_cheapest, log_premium[:, 1:])
    cheapest, mean = (
        _pounds(*pence(intervals.apply(quantiles, at.price), factors)[:, 0, 0].tolist(), has_interval=has_intervals)
        for intervals, quantiles in figures
    )
    return cheapest, mean


def _pounds(low: int, middle: int, high: int, *, has_interval: bool) -> Band:
    if not has_interval:
        return Band(middle / 100, None, None)
    return Band(middle / 100, low / 100, high / 100)


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
