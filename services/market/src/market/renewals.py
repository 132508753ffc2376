"""What do insurers offer the customers they have? Last year's price, this year's price for a new customer, and a renewal never above it.

The price for an equivalent new customer (ENBP) is the ceiling that the regulator set in 2022: a renewal blends last year's premium and this
year's, and is cut at the ENBP.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from market.columns import Floats
from market.drift import Timeline
from market.enquiries import Enquiries, Plan, weeks_of
from market.outcomes import ABSENT
from market.randomness import BLOCK, Stream, stream

INSURED: Final = 0.70
"""The share of those with a year of licence or more who have a policy that ends."""
CHOICE_SD: Final = 0.15
"""How far last year's order of prices was from this year's."""
YEAR_SD: Final = 0.08
"""What a year changes in a premium besides the market: the driver, the car, the tariff's details."""
YEAR: Final = 52


@dataclass(frozen=True, slots=True)
class Renewals:
    """R offers, in the order of their enquiries. All premiums are gross GBP to the penny."""

    row: NDArray[np.int64]
    """[R], the enquiry's place in its block's arrays."""
    insurer: NDArray[np.int64]
    """[R], the place of the insurer that holds the policy."""
    last_premium: Floats
    enbp: Floats
    renewal: Floats


def of_block(of: Timeline, plan: Plan, asked: Enquiries) -> Renewals:
    """The renewals of those of a block (or a part of one) whose insurer would have them again."""
    rng = stream(plan.seed, Stream.RENEWAL, block=asked.first // BLOCK)
    shape = (BLOCK, asked.outcome.shape[1])
    rows = slice(asked.first % BLOCK, asked.first % BLOCK + len(asked.ids))
    order, year, blend = rng.random(BLOCK)[rows], rng.standard_normal(BLOCK)[rows], rng.random(BLOCK)[rows]
    noise = CHOICE_SD * rng.standard_normal(shape, np.float32)[rows]
    open_to = (asked.reason == 0) & (asked.outcome != ABSENT)
    held = np.argmin(np.where(open_to, asked.log_price + noise, np.inf), axis=1)
    insured = open_to.any(1) & (order < INSURED) & (asked.columns["licence_years"] >= 1)
    row = np.flatnonzero(insured)
    insurer = held[row]
    week = weeks_of(plan, asked.asked_at_us[row])
    shifts = np.array([of.shifts[name] for name in of.ids])
    dearer = shifts[insurer, week] - shifts[insurer, np.maximum(week - YEAR, 0)]
    log = asked.log_price[row, insurer]
    quoted = asked.premium[row, insurer]
    enbp = np.where(np.isnan(quoted), np.round(np.exp(log), 2), quoted)
    last = np.round(np.exp(log - dearer + YEAR_SD * year[row]), 2)
    share = 0.3 + 0.4 * blend[row]
    offered = np.floor(100 * last**share * enbp ** (1 - share)) / 100
    return Renewals(row, insurer, last, enbp, np.minimum(offered, enbp))
