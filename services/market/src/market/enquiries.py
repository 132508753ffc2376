"""What happens in a market? Any range of its enquiries, with every insurer's answer and the truth behind it.

Whole blocks are computed whatever the range is, so that a range equals its slice of the whole to the last bit.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from kit.contract import Contract
from market import customers, outcomes, rules, tariff
from market.columns import Column, Columns, Floats
from market.insurers import Market
from market.randomness import BLOCK, Stream, stream

BEGINS: Final = datetime(2025, 10, 6, tzinfo=UTC)
"""A Monday: the first week of the base period."""
WEEK_US: Final = 7 * 24 * 3600 * 1_000_000


@dataclass(frozen=True, slots=True)
class Plan:
    """Which enquiries there are: how many, over how many weeks, and the seed that draws them."""

    seed: int
    enquiries: int
    weeks: int

    @property
    def ends(self) -> datetime:
        """The end of the last week."""
        return BEGINS + timedelta(weeks=self.weeks)


@dataclass(frozen=True, slots=True)
class Enquiries:
    """B enquiries in the order of their ids, and the answers of K insurers. Arrays of one name per row begin with B."""

    ids: NDArray[np.int64]
    asked_at_us: NDArray[np.int64]
    """Microseconds since 1970, UTC."""
    columns: Columns
    vehicle: Column
    outcome: NDArray[np.int8]
    """[B, K], place in `OUTCOMES`."""
    premium: Floats
    """[B, K], GBP; NaN unless quoted."""
    response_s: NDArray[np.float32]
    latent: Mapping[str, Column]
    """Truth, [B] each."""
    log_price: Floats
    """Truth, [B, K], ln GBP before noise, whether quoted or not."""
    reason: NDArray[np.int8]
    """Truth, [B, K], place in `REASONS`; known also where nobody answered."""

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


def between(contract: Contract, market: Market, plan: Plan, first: int, last: int) -> Iterator[Enquiries]:
    """The enquiries first <= id < last, a block or a part of one at a time. Raises ValueError outside the plan."""
    if not 0 <= first <= last <= plan.enquiries:
        raise ValueError(f"enquiries {first} to {last} of 0 to {plan.enquiries}")
    for block in range(first // BLOCK, -(-last // BLOCK)):
        begin = block * BLOCK
        yield _block(contract, market, plan, block)[slice(max(first - begin, 0), last - begin)]


def _block(contract: Contract, market: Market, plan: Plan, block: int) -> Enquiries:
    drawn = customers.draw(contract, plan.seed, block)
    ids = np.arange(block * BLOCK, (block + 1) * BLOCK, dtype=np.int64)
    asked = _asked_at(plan, ids, stream(plan.seed, Stream.ARRIVAL, block=block).random(BLOCK))
    week = np.minimum((asked - _us(BEGINS)) // WEEK_US, plan.weeks - 1)
    shape = (BLOCK, len(market.insurers))
    outcome, reason = np.empty(shape, np.int8), np.empty(shape, np.int8)
    premium, log_price = np.empty(shape), np.empty(shape)
    response_s = np.empty(shape, np.float32)
    place = {insurer: k for k, insurer in enumerate(market.ids)}
    for insurer, log in tariff.log_prices(market, drawn.columns):
        k = place[insurer.id]
        draws = outcomes.chance(plan.seed, block, insurer.number)
        side = outcomes.price_tests(plan.seed, insurer.number, plan.weeks)[week]
        asks = outcomes.premiums(insurer.answering, log, drawn.latent.score, draws.noise, side)
        reason[:, k] = rules.declined(insurer, drawn.columns, asks, draws.footprint)
        response_s[:, k], answered = outcomes.response_seconds(insurer.answering, draws)
        said = np.where(reason[:, k] == 0, outcomes.QUOTE, outcomes.DECLINE)
        outcome[:, k] = np.where(answered, said, outcomes.NO_RESPONSE)
        premium[:, k] = np.where(outcome[:, k] == outcomes.QUOTE, asks, np.nan)
        log_price[:, k] = log
    latent = {
        "male": drawn.latent.male,
        "risk": drawn.latent.risk,
        "score": drawn.latent.score,
        "market_weight": drawn.latent.market_weight,
    }
    return Enquiries(ids, asked, drawn.columns, drawn.vehicle, outcome, premium, response_s, latent, log_price, reason)


def _us(moment: datetime) -> int:
    return int(moment.timestamp()) * 1_000_000


def _asked_at(plan: Plan, ids: NDArray[np.int64], uniform: Floats) -> NDArray[np.int64]:
    """Spread evenly: each enquiry somewhere in its own slot, so that ids and times have one order."""
    slot = plan.weeks * WEEK_US / plan.enquiries
    inside: NDArray[np.int64] = _us(BEGINS) + np.floor((ids + uniform) * slot).astype(np.int64)
    return inside
