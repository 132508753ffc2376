"""Whom does a brand of an archetype turn away? Limits drawn from the archetype's lists, as the list of rules that prices know.

Brands of one archetype draw in turns: each of n brands has its own n-th of every list, in an order of chance. The market of any seed thus
declines about as many drivers as any other, while nobody can tell which brand declines whom.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

import numpy as np

from kit.contract import Contract
from market.archetypes import Archetype, Numbers
from market.columns import Floats
from market.parts import Condition, Rule, condition

DRAWS: Final = 40
"""More than a brand makes."""


def turns(rng: np.random.Generator, brands: int) -> Floats:
    """Uniform numbers [brands, DRAWS]: down each column, one in each of as many equal slices as there are brands."""
    order = rng.permuted(np.tile(np.arange(brands)[:, None], DRAWS), axis=0)
    uniform: Floats = (order + rng.random((brands, DRAWS))) / brands
    return uniform


@dataclass(slots=True)
class Limits:
    """Hands out a brand's uniform numbers, one after the other."""

    uniform: Sequence[float]
    used: int = 0

    def next(self) -> float:
        """The next number of the brand, 0 <= u < 1."""
        self.used += 1
        return self.uniform[self.used - 1]

    def one_of(self, choices: Numbers) -> float | None:
        """An entry of a list."""
        chosen = choices[int(self.next() * len(choices))]
        return None if chosen is None else float(chosen)

    def number(self, *choices: float) -> float:
        """An entry of a list without None."""
        return choices[int(self.next() * len(choices))]

    def between(self, low: float, high: float) -> float:
        """Uniform."""
        return round(low + self.next() * (high - low), 4)

    def normal(self, sd: float) -> float:
        """Normal about 0."""
        return sd * NormalDist().inv_cdf(max(self.next(), 1e-9))

    def happens(self, chance: float) -> bool:
        """Whether something of this chance is so."""
        return self.next() < chance


def rules(contract: Contract, kind: Archetype, draw: Limits) -> tuple[Rule, ...]:
    """In the order in which they are tried. Every brand draws all of them, so that a rule left out moves no other draw."""
    limits = (
        ("min_age", "age", "below", draw.one_of(kind.min_age)),
        ("max_age", "age", "above", draw.one_of(kind.max_age)),
        ("points", "points", "above", draw.one_of(kind.max_points)),
        ("claims", "fault_claims", "above", draw.one_of(kind.max_claims)),
        ("min_value", "vehicle_value", "below", draw.one_of(kind.min_value)),
        ("max_value", "vehicle_value", "above", draw.one_of(kind.max_value)),
        ("mileage", "annual_mileage", "above", draw.one_of(kind.max_mileage)),
        ("ncd", "ncd_years", "below", draw.one_of(kind.min_ncd)),
    )
    refusals = (
        ("licence", kind.international, ("licence_type", "one_of", "international")),
        ("licence", kind.provisional, ("licence_type", "one_of", "provisional")),
        ("criminal", kind.criminal, ("unspent_criminal", "above", 0)),
        ("cancelled", kind.cancelled, ("cancelled_before", "above", 0)),
        ("major_conviction", kind.major, ("conviction", "one_of", "dr10", "in10")),
        ("modified", kind.modified, ("modified", "one_of", "cosmetic", "performance")),
        ("cover", kind.tpo, ("cover", "one_of", "tpo")),
        ("use", kind.business, ("class_of_use", "one_of", "business")),
    )
    made = [Rule(why, (condition(contract, name, is_, at),)) for why, name, is_, at in limits if at is not None]
    made += [Rule(why, (condition(contract, *when),)) for why, accepted, when in refusals if not draw.happens(accepted)]
    fastest = draw.one_of(kind.young_group)
    if fastest is not None:
        young_fast = (condition(contract, "age", "below", 25), condition(contract, "vehicle_group", "above", fastest))
        made.append(Rule("young_fast", young_fast))
    if kind.private_cars < 1:
        made.append(_private_car(contract, kind.private_cars))
    return (*made, *(Rule("sector", (c,)) for c in _excluded(contract, kind, draw)))


def _private_car(contract: Contract, accepted: float) -> Rule:
    """A commercial-vehicle insurer takes hardly a car: only the models at the end of the list, which stand for car-derived vans."""
    models = contract.field("model").values
    return Rule(
        "not_a_van", (condition(contract, "model", "within", models[0], models[-round(accepted * len(models)) - 1]),)
    )


def _excluded(contract: Contract, kind: Archetype, draw: Limits) -> list[Condition]:
    """One to four blocks of neighbouring sectors that the brand does not cover."""
    sectors = contract.field("sector").values
    blocks = 1 + int(4 * draw.next())
    length = round(draw.between(*kind.sectors) * len(sectors) / blocks)
    first = [int(draw.next() * (len(sectors) - length)) for _ in range(blocks)]
    return (
        [condition(contract, "sector", "within", sectors[i], sectors[i + length - 1]) for i in first] if length else []
    )
