"""What happens in a market? Any range of its enquiries, with every insurer's answer and the truth behind it.

Whole blocks are computed whatever the range is, so that a range equals its slice of the whole to the last bit.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from kit.contract import Contract
from market import customers, outcomes, rules, tariff
from market.columns import Column, Columns, Floats
from market.drift import Timeline
from market.insurers import Insurer
from market.randomness import BLOCK, Stream, stream
from market.scenarios import SCENARIOS, Scenario, asking

HOUR_US: Final = 3600 * 1_000_000
WEEK_US: Final = 7 * 24 * HOUR_US


@dataclass(frozen=True, slots=True)
class Plan:
    """Which enquiries there are: how many, over how many weeks of which scenario, and the seed that draws them."""

    seed: int
    enquiries: int
    weeks: int
    scenario: Scenario = SCENARIOS["steady"]

    @property
    def ends(self) -> datetime:
        """The end of the last week."""
        return self.scenario.begins + timedelta(weeks=self.weeks)


@dataclass(frozen=True, slots=True)
class Enquiries:
    """B enquiries in the order of their ids, and the answers of K insurers. Arrays of one name per row begin with B."""

    ids: NDArray[np.int64]
    asked_at_us: NDArray[np.int64]
    """Microseconds since 1970, UTC."""
    columns: Columns
    vehicle: Column
    outcome: NDArray[np.int8]
    """[B, K], place in `OUTCOMES`; `ABSENT` where the insurer was not in the market."""
    premium: Floats
    """[B, K], GBP; NaN unless quoted."""
    response_s: NDArray[np.float32]
    latent: Mapping[str, Column]
    """Truth, [B] each."""
    log_price: Floats
    """Truth, [B, K], ln GBP before noise, whether quoted or not."""
    reason: NDArray[np.int8]
    """Truth, [B, K], place in `REASONS`; known also where nobody answered."""
    decline_chance: NDArray[np.float32]
    """Truth, [B, K], the probability of a decline given the answers."""

    @property
    def first(self) -> int:
        """The id of the first enquiry. Raises IndexError when there is none."""
        return int(self.ids[0])

    def __getitem__(self, rows: slice) -> "Enquiries":
        """These rows alone."""
        cut: dict[str, Any] = {}
        for name in self.__slots__:
            value = getattr(self, name)
            cut[name] = value[rows] if isinstance(value, np.ndarray) else {k: v[rows] for k, v in value.items()}
        return Enquiries(**cut)


def between(contract: Contract, of: Timeline, plan: Plan, first: int, last: int) -> Iterator[Enquiries]:
    """The enquiries first <= id < last, a block or a part of one at a time. Raises ValueError outside the plan."""
    if not 0 <= first <= last <= plan.enquiries:
        raise ValueError(f"enquiries {first} to {last} of 0 to {plan.enquiries}")
    for block in range(first // BLOCK, -(-last // BLOCK)):
        begin = block * BLOCK
        yield _block(contract, of, plan, block)[slice(max(first - begin, 0), last - begin)]


def _block(contract: Contract, of: Timeline, plan: Plan, block: int) -> Enquiries:
    drawn = customers.draw(contract, plan.seed, block)
    ids = np.arange(block * BLOCK, (block + 1) * BLOCK, dtype=np.int64)
    asked = _asked_at(plan, ids, stream(plan.seed, Stream.ARRIVAL, block=block).random(BLOCK))
    week = weeks_of(plan, asked)
    shape = (BLOCK, len(of.ids))
    made = Enquiries(
        ids=ids,
        asked_at_us=asked,
        columns=drawn.columns,
        vehicle=drawn.vehicle,
        outcome=np.full(shape, outcomes.ABSENT, np.int8),
        premium=np.full(shape, np.nan),
        response_s=np.full(shape, np.nan, np.float32),
        latent=drawn.latent.columns(),
        log_price=np.full(shape, np.nan),
        reason=np.zeros(shape, np.int8),
        decline_chance=np.full(shape, np.nan, np.float32),
    )
    place = {name: k for k, name in enumerate(of.ids)}
    for market, rows in of.spans(week):
        part, weeks = made[rows], week[rows]
        for insurer, log in tariff.log_prices(market, part.columns):
            draws = outcomes.chance(plan.seed, block, insurer.number)[rows]
            side = outcomes.price_tests(plan.seed, insurer.number, plan.weeks)[weeks]
            _answer(part, place[insurer.id], insurer, log + of.shifts[insurer.id][weeks], side, draws)
    return made


def _answer(to: Enquiries, k: int, insurer: Insurer, log: Floats, side: Floats, draws: outcomes.Chance) -> None:
    """Fill in the answers of the insurer in place k; `to` is a view of the block."""
    asks = outcomes.premiums(insurer.answering, log, to.latent["score"], draws.noise, side)
    to.reason[:, k] = rules.declined(insurer, to.columns, asks, draws.footprint)
    to.response_s[:, k], answered = outcomes.response_seconds(insurer.answering, draws)
    said = np.where(to.reason[:, k] == 0, outcomes.QUOTE, outcomes.DECLINE)
    to.outcome[:, k] = np.where(answered, said, outcomes.NO_RESPONSE)
    to.premium[:, k] = np.where(to.outcome[:, k] == outcomes.QUOTE, asks, np.nan)
    to.log_price[:, k] = log
    to.decline_chance[:, k] = rules.probability(insurer, to.reason[:, k], log)


def weeks_of(plan: Plan, asked_at_us: NDArray[np.int64]) -> NDArray[np.int64]:
    """The week of each moment, counted from the scenario's beginning."""
    return np.minimum((asked_at_us - _us(plan.scenario.begins)) // WEEK_US, plan.weeks - 1)


def _us(moment: datetime) -> int:
    return int(moment.timestamp()) * 1_000_000


@cache
def _asking(scenario: str, weeks: int) -> tuple[Floats, Floats]:
    hours, done = asking(SCENARIOS[scenario], weeks)
    return np.asarray(hours, np.float64), done


def _asked_at(plan: Plan, ids: NDArray[np.int64], uniform: Floats) -> NDArray[np.int64]:
    """Each enquiry somewhere in its own slot of equal share, so that ids and times have one order."""
    hours, done = _asking(plan.scenario.name, plan.weeks)
    inside = np.interp((ids + uniform) / plan.enquiries, done, hours)
    moment: NDArray[np.int64] = _us(plan.scenario.begins) + np.floor(inside * HOUR_US).astype(np.int64)
    return moment
