"""At which level of prices does a market have the figures it should have? It is held to a sample of its own, and moved to meet them.

A seed draws which insurers like whom; how dear the young or the capital are is no matter of chance. The curve of ages and the table of
regions that all insurers share are corrected to the table of targets, telematics brands get their share of the young, and then the base
is set to the index.
"""

from dataclasses import replace
from typing import Final

import numpy as np

from kit.contract import Contract
from market import likeness, measure
from market.drift import still
from market.enquiries import Plan, between
from market.insurers import FACTORS, Insurer, Market
from market.measure import Summary
from market.outcomes import DECLINE
from market.panel import rebased
from market.parts import DECIMALS, Curve, Part, table
from market.randomness import BLOCK, LARGEST_SEED

BLOCKS: Final = 16
"""The index of 65,536 enquiries has a standard error of 0.3 %."""
ROUNDS: Final = (5, 8)
"""Blocks of each correction of ages, regions and telematics; the second sees what the first left."""
TELEMATICS_SHARE: Final = 0.42
"""Of the places in the top fives of drivers under 25."""
SHARE_PER_LOG: Final = 1.3
"""How much that share rises, about, when telematics brands get cheaper by 1 in the log."""


def calibrated(contract: Contract, market: Market) -> Market:
    """The market with its ages, its regions and its index where they should be.

    The samples come of the market's seed and of no customers' seed: one market is one list of definitions, whoever asks it.
    """
    for blocks in ROUNDS:
        market = _corrected(contract, market, *_sample(contract, market, blocks))
    return recentred(contract, market)


def recentred(contract: Contract, market: Market, blocks: int = BLOCKS) -> Market:
    """The market with its base moved so that the index of a sample of its own is `measure.INDEX`."""
    index = measure.index(_sample(contract, market, blocks)[0], contract)
    return rebased(market, market.base + float(np.log(measure.INDEX / index)))


def _sample(contract: Contract, market: Market, blocks: int) -> tuple[Summary, float]:
    """What the figures need, and the share of telematics brands in the top fives of the young."""
    plan = Plan(seed=market.seed + LARGEST_SEED + 1, enquiries=blocks * BLOCK, weeks=1)
    found, young = [], []
    for e in between(contract, still(market, 1), plan, 0, plan.enquiries):
        found.append(measure.summarise(e.columns, e.premium, e.outcome == DECLINE))
        young.append(likeness.telematics_share(market, e.premium, e.columns["age"]))
    return measure.together(found), float(np.mean(young))


def _corrected(contract: Contract, market: Market, of: Summary, share: float) -> Market:
    ages = {
        (first + min(last, 88)) / 2: np.log(target / measure.at_ages(of, contract, first, last))
        for first, last, target in measure.AGE_TARGETS
    }
    regions = {
        name: float(np.log(target / measure.in_region(of, contract, name))) for name, target in measure.REGIONS.items()
    }
    return replace(
        market,
        factors=tuple(
            (*parts, *_extra(contract, name, ages, regions))
            for name, parts in zip(FACTORS, market.factors, strict=True)
        ),
        insurers=tuple(_at_share(insurer, share) for insurer in market.insurers),
    )


def _at_share(insurer: Insurer, share: float) -> Insurer:
    """Telematics brands, cheaper or dearer for drivers under 25, which is their first term."""
    if insurer.archetype != "telematics":
        return insurer
    young, *others = insurer.terms
    log = round(young.log - (TELEMATICS_SHARE - share) / SHARE_PER_LOG, DECIMALS)
    return replace(insurer, terms=(replace(young, log=log), *others))


def _extra(contract: Contract, name: str, ages: dict[float, float], regions: dict[str, float]) -> tuple[Part, ...]:
    if name == "age":
        return (Curve("age", tuple(ages), tuple(round(float(log), DECIMALS) for log in ages.values())),)
    if name == "area":
        return (table(contract, "region", {region: round(log, DECIMALS) for region, log in regions.items()}),)
    return ()
