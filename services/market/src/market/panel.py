"""Which insurers does a market seed give? Brands of ten archetypes in eighteen underwriting groups, each with draws of its own.

All that this module makes is data (`market.insurers`); nothing here is asked when a premium is computed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import NormalDist
from typing import Any, Final

import numpy as np

from kit.contract import Contract
from market.archetypes import ARCHETYPES, VAN, Archetype, Raw
from market.columns import Floats
from market.curves import factors, normal_table
from market.insurers import FACTORS, Answering, Bands, Group, Insurer, Market
from market.limits import DRAWS, Limits, rules, turns
from market.parts import DECIMALS, Curve, Steps, Term, condition
from market.randomness import Stream, stream

GROUPS: Final = 18
GROUP_EXPONENT: Final = -0.6
LARGE: Final = 5
"""So many groups are large."""
BASE: Final = 6.71
"""Near where the index puts it, so that one correction is enough: ln GBP, gross."""


# How much groups differ in each factor; a brand's own slope adds 12 %.
SLOPE_SD: Final = {
    "age": 0.16,
    "licence": 0.20,
    "ncd": 0.18,
    "area": 0.18,
    "vehicle": 0.18,
    "mileage": 0.35,
    "overnight": 0.40,
    "use": 0.40,
    "employment": 0.30,
    "occupation": 0.45,
    "claims": 0.35,
    "conviction": 0.35,
    "record": 0.30,
    "cover": 0.30,
    "excess": 0.30,
    "lead": 0.25,
    "household": 0.30,
}
BRAND_SLOPE_SD: Final = 0.12
GROUP_LEVEL_SD: Final = 0.03
BRAND_LEVEL_SD: Final = 0.02
GROUP_TABLES: Final = {"region": 0.09, "sector": 0.11, "make": 0.09, "model": 0.03, "occupation": 0.05}
# A brand differs from its group by who it likes rather than by its level: this is what makes a panel worth asking.
BRAND_TABLES: Final = {"region": 0.10, "make": 0.08, "occupation": 0.05}
BRAND_STEPS: Final[Mapping[str, tuple[tuple[float, ...], float]]] = {
    "age": ((25, 30, 40, 50, 60, 70), 0.09),
    "vehicle_group": ((8, 14, 20, 26, 33, 40), 0.10),
    "ncd_years": ((1, 3, 5, 9), 0.05),
}
SMALLEST_SLOPE: Final = 0.05

AGE_KNOTS: Final = (17, 21, 25, 30, 37, 45, 55, 65, 75, 85, 93)
GROUP_KNOTS: Final = (1, 8, 15, 22, 29, 36, 43, 50)

BANDED: Final = {
    "age": (
        (18, 19, 20, 21, 23, 25, 27, 30, 33, 36, 40, 45, 50, 55, 60, 65, 70, 75, 80, 85),
        (18, 19, 20, 21, 22, 23, 24, 25, 28, 31, 35, 39, 44, 50, 56, 62, 68, 74, 79, 84),
    ),
    "licence_years": ((1, 2, 3, 5), (1, 2, 4, 6)),
    "annual_mileage": (
        (3000, 5000, 7000, 9000, 11_000, 13_000, 16_000, 20_000),
        (4000, 6000, 8000, 10_000, 12_000, 15_000),
    ),
    "vehicle_value": (
        (1000, 2000, 3500, 5000, 7500, 10_000, 15_000, 20_000, 30_000, 50_000),
        (1500, 3000, 6000, 9000, 12_000, 18_000, 25_000, 40_000),
    ),
}

INTERACTIONS: Final = (
    (("age", "below", 26), ("vehicle_group", "above", 22)),
    (("ncd_years", "below", 3), ("points", "above", 2)),
    (("urbanity", "above", 0.8), ("overnight", "one_of", "street")),
    (("age", "above", 69), ("annual_mileage", "above", 9000)),
    (("fault_claims", "above", 0), ("ncd_years", "below", 4)),
    (("vehicle_age", "above", 12), ("age", "above", 59)),
)
INTERACTION: Final = 0.08


def make(contract: Contract, seed: int, insurers: int, *, spread: float = 1.0, van: bool = False) -> Market:
    """The market of a seed, not yet held to any figure. Brands are shuffled: an id says nothing.

    `spread` widens how much groups and brands differ; `van` adds the brand that declines nearly every private car.
    """
    rng = stream(seed, Stream.INSURER)
    kinds = np.repeat(np.arange(len(ARCHETYPES)), _share_out([a.of_60 for a in ARCHETYPES], insurers))
    sizes = 1 + _share_out([float(rank) ** GROUP_EXPONENT for rank in range(1, GROUPS + 1)], insurers - GROUPS)
    order = rng.permutation(insurers)
    drawn = np.concatenate([turns(rng, n) for n in np.bincount(kinds)])[order]
    members = _members(rng, kinds[order], sizes)
    brands = [
        _insurer(contract, seed, number, _Kind(ARCHETYPES[kind], f"g-{group + 1:02d}", spread), Limits(uniform))
        for number, (kind, group, uniform) in enumerate(zip(kinds[order], members, drawn.tolist(), strict=True), 1)
    ]
    if van:
        brands.append(entrant(contract, seed, insurers + 1, spread=spread, kind=VAN))
    return Market(
        seed=seed,
        base=BASE,
        factors=factors(contract, seed),
        groups=tuple(_group(contract, seed, n, level, spread) for n, level in enumerate(_levels(seed), start=1)),
        insurers=tuple(brands),
    )


def entrant(
    contract: Contract, seed: int, number: int, *, spread: float = 1.0, kind: Archetype | None = None
) -> Insurer:
    """A brand that nobody knew: of any archetype and group, by its number alone."""
    rng = stream(seed, Stream.ENTRANT, insurer=number)
    shares = np.array([a.of_60 for a in ARCHETYPES], float)
    drawn = ARCHETYPES[int(rng.choice(len(ARCHETYPES), p=shares / shares.sum()))]
    group = f"g-{int(rng.integers(GROUPS)) + 1:02d}"
    return _insurer(contract, seed, number, _Kind(kind or drawn, group, spread), Limits(rng.random(DRAWS).tolist()))


@dataclass(frozen=True, slots=True)
class _Kind:
    """What a brand is, before its own chance."""

    archetype: Archetype
    group: str
    spread: float


def _members(rng: np.random.Generator, kinds: Any, sizes: Any) -> Any:
    """Each brand's group. Two in three of the brands that live by comparison sites belong to the largest groups, as they do."""
    places = rng.permutation(np.repeat(np.arange(GROUPS), sizes))
    places = places[np.argsort(places >= LARGE, kind="stable")]
    eager = np.flatnonzero(np.isin(kinds, [n for n, a in enumerate(ARCHETYPES) if a.name == "comparison_site"]))
    eager = eager[: -(-2 * len(eager) // 3)]
    others = np.setdiff1d(np.arange(len(kinds)), eager)
    members = np.empty(len(kinds), np.int64)
    members[eager], members[others] = places[: len(eager)], rng.permutation(places[len(eager) :])
    return members


def _share_out(weights: Sequence[float], total: int) -> Any:
    """Whole numbers in proportion to the weights, with the given sum: the largest remainders get what is left."""
    exact = np.array(weights) / sum(weights) * total
    whole = np.floor(exact).astype(int)
    whole[np.argsort(whole - exact, kind="stable")[: total - whole.sum()]] += 1
    return whole


def _logs(values: Any) -> tuple[float, ...]:
    return tuple(round(float(v), DECIMALS) for v in values)


def _smooth(field_name: str, knots: Sequence[float], rng: np.random.Generator, sd: float) -> Curve:
    """A curve whose knots are normal with this sd and lean on their neighbour."""
    lean = 0.55
    walk = rng.standard_normal(len(knots))
    for i in range(1, len(knots)):
        walk[i] = lean * walk[i - 1] + np.sqrt(1 - lean**2) * walk[i]
    return Curve(field_name, tuple(knots), _logs(sd * walk))


def _slopes(rng: np.random.Generator, sds: Sequence[float]) -> Floats:
    return np.maximum(rng.normal(1, sds), SMALLEST_SLOPE)


def _levels(seed: int) -> tuple[float, ...]:
    """Normal levels, one in each of as many equal slices of the normal law: no seed gives a market to two cheap groups."""
    rng = stream(seed, Stream.GROUP, block=1)
    places = (rng.permutation(GROUPS) + rng.random(GROUPS)) / GROUPS
    return _logs(NormalDist(0, GROUP_LEVEL_SD).inv_cdf(place) for place in places.tolist())


def _group(contract: Contract, seed: int, number: int, level: float, spread: float) -> Group:
    rng = stream(seed, Stream.GROUP, insurer=number)
    sds = [0.9 * spread * SLOPE_SD[name] for name in FACTORS]
    chosen = rng.permutation(len(INTERACTIONS))[: rng.integers(2, 4)]
    return Group(
        id=f"g-{number:02d}",
        level=round(spread * level, DECIMALS),
        slopes=_logs(_slopes(rng, sds)),
        parts=(
            _smooth("age", AGE_KNOTS, rng, 0.09 * spread),
            _smooth("vehicle_group", GROUP_KNOTS, rng, 0.10 * spread),
            *(normal_table(contract, name, rng, sd * spread) for name, sd in GROUP_TABLES.items()),
        ),
        terms=tuple(
            _term(contract, (INTERACTIONS[i], round(float(rng.choice((-1, 1))) * INTERACTION, DECIMALS)))
            for i in chosen
        ),
        # Every other group quotes by bands, as real tariffs do, and every fifth has a dearest price.
        bands=tuple(_bands(name, sets[rng.integers(len(sets))]) for name, sets in BANDED.items()) if number % 2 else (),
        ceiling=float(rng.choice((4000, 6000, 8000))) if number % 5 == 0 else None,
    )


def _bands(name: str, edges: Sequence[float]) -> Bands:
    middles = [(low + high) / 2 for low, high in pairwise(edges)]
    return Bands(name, tuple(edges), (edges[0] * 0.75, *middles, edges[-1] * 1.1))


def _term(contract: Contract, raw: Raw) -> Term:
    when, log = raw
    return Term(tuple(condition(contract, *c) for c in when), log)


def _insurer(contract: Contract, seed: int, number: int, of: _Kind, draw: Limits) -> Insurer:
    kind, spread = of.archetype, of.spread
    rng = stream(seed, Stream.INSURER, insurer=number)
    tilt = np.array([kind.slopes.get(name, 1.0) for name in FACTORS])
    return Insurer(
        id=f"i-{number:04d}",
        group=of.group,
        archetype=kind.name,
        level=round(kind.level + spread * draw.normal(BRAND_LEVEL_SD), DECIMALS),
        slopes=_logs(tilt * _slopes(rng, [spread * BRAND_SLOPE_SD] * len(FACTORS))),
        parts=(
            *(normal_table(contract, name, rng, sd * spread) for name, sd in BRAND_TABLES.items()),
            *(
                Steps(name, edges, _logs(rng.normal(0, sd * spread, len(edges) + 1)))
                for name, (edges, sd) in BRAND_STEPS.items()
            ),
        ),
        terms=tuple(_term(contract, t) for t in kind.terms),
        rules=rules(contract, kind, draw),
        max_premium=draw.one_of(kind.max_premium),
        footprint=draw.between(*kind.footprint),
        answering=Answering(
            hidden_loading=draw.number(0.02, 0.05, 0.08, 0.11),
            noise=draw.number(0.02, 0.035, 0.05),
            price_test=0.03 if draw.happens(0.20) else 0.0,
            ends_in_99=draw.happens(0.15),
            median_s=draw.number(*kind.medians_s),
            sigma=draw.between(0.50, 0.66),
            outage=draw.between(0.005, 0.02),
        ),
    )


def rebased(market: Market, base: float) -> Market:
    """The same market at another level of prices (ln GBP)."""
    return replace(market, base=round(base, DECIMALS))
