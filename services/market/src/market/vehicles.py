"""Which cars are there? 3,000 invented variants of 300 models of 20 makes, each at every age from 0 to 25: the same in every market.

A driver's car is a row of this catalogue, with its own value, so that a request by `vehicle_id` and one by attributes are one risk.
"""

from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from kit.contract import Contract
from market.columns import Column, Floats
from market.randomness import COUNTRY_SEED, Stream, stream

VARIANTS: Final = 3000
AGES: Final = 26
PER_MODEL: Final = 10
ELECTRIC_SHARE: Final = 0.15
LARGEST_GROUP: Final = 50


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Variants ([3000]) and values of each at each age ([3000, 26], GBP). Makes, models and fuels are codes."""

    make: NDArray[np.int16]
    model: NDArray[np.int16]
    fuel: NDArray[np.int16]
    group: NDArray[np.int32]
    value: Floats
    pools: dict[bool, "Pools"]


@dataclass(frozen=True, slots=True)
class Pools:
    """Variants sorted by group, and how popular they are: to pick one of a wanted group by one uniform number."""

    variant: NDArray[np.int64]
    edges: NDArray[np.float64]
    """[51] cumulated popularity below group 1, 2, ... 50 and above it."""
    cumulated: Floats

    def pick(self, group: NDArray[np.int64], uniform: Floats) -> NDArray[np.int64]:
        """A variant of the wanted group for each; a group without variants gives one of the next group."""
        low, high = self.edges[group - 1], self.edges[group]
        at = np.searchsorted(self.cumulated, low + uniform * (high - low), side="right")
        return self.variant[np.minimum(at, len(self.variant) - 1)]


def _pools(chosen: NDArray[np.int64], group: NDArray[np.int32], popularity: Floats) -> Pools:
    order = chosen[np.argsort(group[chosen], kind="stable")]
    cumulated = np.cumsum(popularity[order])
    counted = np.searchsorted(group[order], np.arange(1, LARGEST_GROUP + 2))
    return Pools(order, np.concatenate(([0.0], cumulated))[counted], cumulated)


@cache
def _catalogue(makes: int, models: int, fuels: tuple[str, ...]) -> Catalogue:
    rng = stream(COUNTRY_SEED, Stream.CATALOGUE)
    popularity_of_make = (1.0 + rng.permutation(makes)) ** -0.6
    luxury = rng.normal(0, 6, makes)
    make_of_model = rng.choice(makes, models, p=popularity_of_make / popularity_of_make.sum()).astype(np.int16)
    popularity_of_model = (1.0 + rng.permutation(models)) ** -0.8
    # Centres spread evenly over the groups before the make moves them, so that every group has its variants.
    centre = rng.permutation(np.linspace(2, 48, models)) + luxury[make_of_model]
    model = np.repeat(np.arange(models, dtype=np.int16), PER_MODEL)
    electric = rng.random(VARIANTS) < ELECTRIC_SHARE
    group = np.clip(np.rint(centre[model] + 4 * rng.standard_normal(VARIANTS) + 6 * electric), 1, LARGEST_GROUP)
    burning = rng.choice([fuels.index(f) for f in ("petrol", "diesel", "hybrid")], VARIANTS, p=(0.62, 0.28, 0.10))
    fuel = np.where(electric, fuels.index("electric"), burning).astype(np.int16)
    own = 0.22 * rng.standard_normal((VARIANTS, 1)) + 0.12 * rng.standard_normal((VARIANTS, AGES))
    log_value = 9.98 + 0.042 * (group[:, None] - 18) - 0.115 * np.arange(AGES) + own
    value: Floats = np.clip(np.round(np.exp(log_value), -1), 400, 150_000)
    popularity = popularity_of_model[model] * rng.gamma(2.0, 1.0, VARIANTS)
    group = group.astype(np.int32)
    pools = {of: _pools(np.flatnonzero(electric == of), group, popularity) for of in (False, True)}
    return Catalogue(make_of_model[model], model, fuel, group, value, pools)


def catalogue(contract: Contract) -> Catalogue:
    """The cars that the contract's makes and models stand for."""
    make, model, fuel = (contract.field(name).values for name in ("make", "model", "fuel"))
    return _catalogue(len(make), len(model), fuel)


def vehicle_id(variant: Column, age: Column) -> Column:
    """The catalogue's row number: variant * 26 + age in years."""
    return variant.astype(np.int32) * AGES + age.astype(np.int32)


def rows(cars: Catalogue) -> dict[str, Column]:
    """Every row of the catalogue by field name, in the order of `vehicle_id`."""
    repeat: dict[str, Column] = {"make": cars.make, "model": cars.model, "fuel": cars.fuel, "vehicle_group": cars.group}
    return {name: np.repeat(column, AGES) for name, column in repeat.items()} | {
        "vehicle_age": np.tile(np.arange(AGES, dtype=np.int32), VARIANTS),
        "vehicle_value": cars.value.ravel(),
    }
