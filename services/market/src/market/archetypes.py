"""Which insurers does a market seed give? Ten archetypes in eighteen underwriting groups, each brand with draws of its own.

All that this module makes is data (`market.insurers`); nothing here is asked when a premium is computed. A number that two brands could
share is drawn from a short list on purpose: real rules sit on round numbers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from statistics import NormalDist
from typing import Any, Final

import numpy as np

from kit.contract import Contract
from market.columns import Floats
from market.insurers import FACTORS, Answering, Bands, Group, Insurer, Market
from market.parts import DECIMALS, Condition, Curve, Part, Power, Rule, Steps, Table, Term, condition, table
from market.randomness import Stream, stream

GROUPS: Final = 18
GROUP_EXPONENT: Final = -0.6
BASE: Final = 6.71
"""Near where the index puts it, so that one correction is enough: ln GBP, gross."""

Numbers = Sequence[float | None]
Knots = Mapping[float, float] | Mapping[int, float]
Raw = tuple[tuple[tuple[Any, ...], ...], float]
"""Conditions as (field, is, values...), and the log price where all hold."""


@dataclass(frozen=True, slots=True)
class Archetype:
    """What brands of a kind have in common: a tilt of the price, and the lists that their limits are drawn from (None: no limit)."""

    name: str
    of_60: int
    level: float = 0.0
    terms: tuple[Raw, ...] = ()
    slopes: Mapping[str, float] = field(default_factory=dict)
    min_age: Numbers = (17, 17, 18, 19, 21, 21, 21, 23)
    max_age: Numbers = (75, 79, 82, 84, 85, None, None)
    min_value: Numbers = (None,)
    max_value: Numbers = (40_000, 45_000, 45_000, 60_000, 60_000, 75_000, 100_000)
    max_claims: Numbers = (2, 3, 4)
    max_points: Numbers = (6, 9, 9, 12)
    max_mileage: Numbers = (25_000, 30_000, 50_000)
    min_ncd: Numbers = (None,)
    young_group: Numbers = tuple(range(18, 39))
    max_premium: Numbers = (3500, 5000, 7500, None, None)
    sectors: tuple[float, float] = (0.0, 0.07)
    footprint: tuple[float, float] = (0.005, 0.03)
    major: float = 0.30
    modified: float = 0.45
    cancelled: float = 0.15
    criminal: float = 0.08
    tpo: float = 0.55
    business: float = 0.80
    international: float = 0.50
    provisional: float = 0.40
    medians_s: tuple[float, ...] = (0.8, 0.8, 1.8, 1.8, 1.8)


def _under(age: float) -> tuple[Any, ...]:
    return ("age", "below", age)


def _over(age: float) -> tuple[Any, ...]:
    return ("age", "above", age)


ARCHETYPES: Final = (
    Archetype("mainstream", 20, terms=(((_under(25),), 0.12), ((("points", "above", 3),), 0.15))),
    Archetype("comparison_site", 9, level=-0.10, min_age=(17, 18, 19, 21, 21), max_age=(74, 79, 80, 85, None)),
    Archetype(
        "over_50s",
        5,
        terms=(((_over(49),), -0.10), ((_over(59),), -0.05)),
        min_age=(40, 45, 50, 50, 50),
        max_age=(85, 90, None),
        max_points=(6,),
    ),
    Archetype(
        "telematics",
        6,
        terms=(
            ((_under(25),), -0.28),
            ((("age", "within", 25, 29),), -0.16),
            ((("age", "within", 30, 39),), -0.08),
            ((_over(39),), 0.10),
        ),
        min_age=(17,),
        max_age=(25, 30, 40, 65, 70),
        max_value=(45_000,),
        modified=0.0,
        tpo=0.0,
    ),
    Archetype(
        "non_standard",
        6,
        level=0.16,
        terms=(
            ((("modified", "one_of", "cosmetic", "performance"),), -0.08),
            ((("cancelled_before", "above", 0),), -0.08),
        ),
        slopes={"conviction": 0.65, "claims": 0.70},
        min_age=(17, 18, 19, 21, 21),
        max_claims=(4, 5, 6),
        max_points=(12, 12, None),
        major=1.0,
        modified=1.0,
        cancelled=1.0,
        criminal=0.60,
        international=1.0,
        provisional=0.80,
    ),
    Archetype(
        "prestige",
        4,
        level=0.10,
        terms=(((("vehicle_value", "above", 35_000),), -0.22), ((("vehicle_group", "above", 35),), -0.10)),
        min_age=(23, 25, 30),
        min_value=(8_000, 12_000, 15_000),
        max_value=(100_000, None),
        min_ncd=(None, 1, 2),
        max_premium=(7500, None),
    ),
    Archetype(
        "low_mileage",
        3,
        terms=(
            ((("annual_mileage", "below", 5_001),), -0.20),
            ((("annual_mileage", "within", 5_001, 7_000),), -0.08),
            ((("annual_mileage", "above", 8_000),), 0.10),
        ),
        min_age=(19, 21, 25),
        max_mileage=(9_000, 10_000, 12_000),
    ),
    Archetype("brand_plus", 4, level=0.13, min_age=(18, 20, 21, 25)),
    Archetype("electric", 1, level=0.12, terms=(((("fuel", "one_of", "electric"),), -0.28),), min_age=(21,)),
    Archetype(
        "broker_panel",
        2,
        level=0.04,
        min_age=(17,),
        max_age=(None,),
        max_value=(None,),
        max_claims=(5, 6),
        max_points=(12, None),
        max_mileage=(None,),
        young_group=(None,),
        max_premium=(None,),
        sectors=(0.0, 0.01),
        footprint=(0.005, 0.01),
        major=1.0,
        modified=1.0,
        cancelled=1.0,
        criminal=0.5,
        tpo=1.0,
        business=1.0,
        international=1.0,
        provisional=1.0,
        medians_s=(4.0,),
    ),
)

# How much groups differ in each factor; a brand's own slope adds 6 %.
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
    "conviction": 0.45,
    "record": 0.30,
    "cover": 0.30,
    "excess": 0.30,
    "lead": 0.25,
    "household": 0.30,
}
BRAND_SLOPE_SD: Final = 0.06
SMALLEST_SLOPE: Final = 0.05

REGION_RATIOS: Final = (
    *(1.59, 1.30, 1.21, 1.23, 1.13, 1.05, 0.98, 0.93, 0.96, 0.91),
    *(0.86, 0.86, 0.93, 0.90, 0.80, 0.78, 0.70, 0.68, 0.72),
)

AGE_KNOTS: Final = (17, 21, 25, 30, 37, 45, 55, 65, 75, 85, 93)
GROUP_KNOTS: Final = (1, 8, 15, 22, 29, 36, 43, 50)
BRAND_AGE_EDGES: Final = (25, 30, 40, 50, 60, 70)

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
    (_under(26), ("vehicle_group", "above", 22)),
    (("ncd_years", "below", 3), ("points", "above", 2)),
    (("urbanity", "above", 0.8), ("overnight", "one_of", "street")),
    (_over(69), ("annual_mileage", "above", 9000)),
    (("fault_claims", "above", 0), ("ncd_years", "below", 4)),
    (("vehicle_age", "above", 12), _over(59)),
)
INTERACTION: Final = 0.08


def make(contract: Contract, seed: int, insurers: int) -> Market:
    """The market of a seed, its base not yet set to the index. Brands are shuffled: an id says nothing."""
    rng = stream(seed, Stream.INSURER)
    kinds = np.repeat(np.arange(len(ARCHETYPES)), _share_out([a.of_60 for a in ARCHETYPES], insurers))
    groups = min(GROUPS, insurers)
    sizes = 1 + _share_out([float(rank) ** GROUP_EXPONENT for rank in range(1, groups + 1)], insurers - groups)
    members = np.repeat(np.arange(groups), sizes)
    kinds, members = rng.permutation(kinds), rng.permutation(members)
    return Market(
        seed=seed,
        base=BASE,
        factors=_factors(contract, seed),
        groups=tuple(_group(contract, seed, n, level) for n, level in enumerate(_levels(seed, groups), start=1)),
        insurers=tuple(
            _insurer(contract, seed, number, ARCHETYPES[kind], f"g-{group + 1:02d}")
            for number, (kind, group) in enumerate(zip(kinds, members, strict=True), start=1)
        ),
    )


def _share_out(weights: Sequence[float], total: int) -> Any:
    """Whole numbers in proportion to the weights, with the given sum: the largest remainders get what is left."""
    exact = np.array(weights) / sum(weights) * total
    whole = np.floor(exact).astype(int)
    whole[np.argsort(whole - exact, kind="stable")[: total - whole.sum()]] += 1
    return whole


def _logs(values: Any) -> tuple[float, ...]:
    return tuple(round(float(v), DECIMALS) for v in values)


def _normal_table(contract: Contract, name: str, rng: np.random.Generator, sd: float) -> Table:
    return Table(name, np.round(rng.normal(0, sd, len(contract.field(name).values)), DECIMALS))


def _smooth(field_name: str, knots: Sequence[float], rng: np.random.Generator, sd: float) -> Curve:
    """A curve whose knots are normal with this sd and lean on their neighbour."""
    lean = 0.55
    walk = rng.standard_normal(len(knots))
    for i in range(1, len(knots)):
        walk[i] = lean * walk[i - 1] + np.sqrt(1 - lean**2) * walk[i]
    return Curve(field_name, tuple(knots), _logs(sd * walk))


def _curve(name: str, knots: Knots) -> Curve:
    return Curve(name, tuple(knots), tuple(knots.values()))


def _yes(name: str, log: float, otherwise: float = 0.0) -> Curve:
    return Curve(name, (0, 1), (otherwise, log))


AGE_CURVE: Final[Knots] = {
    17: 0.45,
    18: 0.50,
    19: 0.47,
    20: 0.40,
    21: 0.22,
    23: 0.16,
    25: 0.17,
    28: 0.15,
    32: 0.10,
    38: 0.05,
    45: 0,
    55: -0.10,
    62: -0.21,
    68: -0.21,
    73: -0.08,
    78: 0.09,
    85: 0.31,
    93: 0.50,
}
NCD_CURVE: Final[Knots] = {0: 0.56, 1: 0.36, 2: 0.24, 3: 0.14, 4: 0.06, 5: 0, 7: -0.06, 9: -0.10, 15: -0.13, 20: -0.14}
LEAD_CURVE: Final[Knots] = {0: 0.52, 1: 0.40, 3: 0.29, 7: 0.20, 14: 0.07, 20: 0, 26: -0.02, 29: 0.01}


def _factors(contract: Contract, seed: int) -> tuple[tuple[Part, ...], ...]:
    """What all tariffs share: log price by factor, about 0 for age 45, 5 years of bonus, group 20, GBP 9,000."""
    rng = stream(seed, Stream.GROUP)
    regions = contract.field("region").values
    by_region = {r: round(0.90 * float(np.log(x)), DECIMALS) for r, x in zip(regions, REGION_RATIOS, strict=True)}
    named: dict[str, tuple[Part, ...]] = {
        "age": (_curve("age", AGE_CURVE),),
        "licence": (_curve("licence_years", {0: 0.22, 1: 0.14, 2: 0.09, 4: 0.03, 6: 0}),),
        "ncd": (_curve("ncd_years", NCD_CURVE),),
        "area": (
            table(contract, "region", by_region),
            _curve("urbanity", {0: -0.124, 1: 0.076}),
            _curve("theft_index", {0: -0.036, 1: 0.084}),
            _curve("deprivation", {0: -0.021, 1: 0.039}),
            _normal_table(contract, "sector", rng, 0.12),
        ),
        "vehicle": (
            _curve("vehicle_group", {1: -0.4465, 50: 0.705}),
            Power("vehicle_value", 0.05, 9000),
            table(contract, "fuel", {"electric": 0.05}),
        ),
        "mileage": (Power("annual_mileage", 0.10, 8000), _curve("annual_mileage", {3000: 0.07, 6000: 0})),
        "overnight": (table(contract, "overnight", {"garage": -0.02, "street": 0.05, "other": 0.08}),),
        "use": (table(contract, "class_of_use", {"commuting": 0.03, "business": 0.10}),),
        "employment": (
            table(
                contract,
                "employment",
                {"self_employed": 0.02, "student": 0.06, "retired": -0.05, "house_person": 0.02, "unemployed": 0.26},
            ),
        ),
        "occupation": (_normal_table(contract, "occupation", rng, 0.065),),
        "claims": (_curve("fault_claims", {0: 0, 3: 0.30}), _curve("non_fault_claims", {0: 0, 4: 0.20})),
        "conviction": (
            table(
                contract,
                "conviction",
                (
                    {"sp30": 0.11, "sp50": 0.11, "sp_x2": 0.28, "cu80": 0.32}
                    | {"ts10": 0.09, "dr10": 0.75, "in10": 0.60, "cd10": 0.30}
                ),
            ),
        ),
        "record": (
            table(contract, "modified", {"cosmetic": 0.10, "performance": 0.10}),
            _yes("cancelled_before", 0.12),
            _yes("unspent_criminal", 0.15),
        ),
        "cover": (table(contract, "cover", {"tpft": 0.20, "tpo": 0.45}),),
        "excess": (_curve("voluntary_excess", {0: 0.05, 100: 0.03, 250: 0, 500: -0.05, 1000: -0.08}),),
        "lead": (_curve("days_to_start", LEAD_CURVE),),
        "household": (
            _yes("home_owner", -0.03, otherwise=0.02),
            _curve("uk_resident_years", {2: 0.12, 3: 0}),
            table(contract, "licence_type", {"eu": 0.08, "international": 0.25, "provisional": 0.10}),
            _yes("adds_spouse", -0.05),
            _yes("adds_young_driver", 0.40),
            _yes("adds_parent", -0.08),
        ),
    }
    return tuple(named[name] for name in FACTORS)


def _slopes(rng: np.random.Generator, sds: Sequence[float]) -> Floats:
    return np.maximum(rng.normal(1, sds), SMALLEST_SLOPE)


def _levels(seed: int, groups: int) -> tuple[float, ...]:
    """Normal levels, one in each of as many equal slices of the normal law: no seed gives a market to two cheap groups."""
    rng = stream(seed, Stream.GROUP, block=1)
    places = (rng.permutation(groups) + rng.random(groups)) / groups
    return _logs(NormalDist(0, 0.09).inv_cdf(place) for place in places.tolist())


def _group(contract: Contract, seed: int, number: int, level: float) -> Group:
    rng = stream(seed, Stream.GROUP, insurer=number)
    sds = [0.9 * SLOPE_SD[name] for name in FACTORS]
    chosen = rng.permutation(len(INTERACTIONS))[: rng.integers(2, 4)]
    return Group(
        id=f"g-{number:02d}",
        level=level,
        slopes=_logs(_slopes(rng, sds)),
        parts=(
            _smooth("age", AGE_KNOTS, rng, 0.09),
            _smooth("vehicle_group", GROUP_KNOTS, rng, 0.10),
            _normal_table(contract, "region", rng, 0.09),
            _normal_table(contract, "sector", rng, 0.10),
            _normal_table(contract, "make", rng, 0.08),
            _normal_table(contract, "model", rng, 0.03),
            _normal_table(contract, "occupation", rng, 0.05),
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


def _insurer(contract: Contract, seed: int, number: int, kind: Archetype, group: str) -> Insurer:
    rng = stream(seed, Stream.INSURER, insurer=number)
    tilt = np.array([kind.slopes.get(name, 1.0) for name in FACTORS])
    draw = _Limits(rng)
    return Insurer(
        id=f"i-{number:04d}",
        group=group,
        archetype=kind.name,
        level=round(kind.level + rng.normal(0, 0.075), DECIMALS),
        slopes=_logs(tilt * _slopes(rng, [BRAND_SLOPE_SD] * len(FACTORS))),
        parts=(
            _normal_table(contract, "region", rng, 0.05),
            Steps("age", BRAND_AGE_EDGES, _logs(rng.normal(0, 0.06, len(BRAND_AGE_EDGES) + 1))),
        ),
        terms=tuple(_term(contract, t) for t in kind.terms),
        rules=_rules(contract, kind, draw),
        max_premium=draw.one_of(kind.max_premium),
        footprint=draw.between(*kind.footprint),
        answering=Answering(
            hidden_loading=float(rng.choice((0.02, 0.05, 0.08, 0.11))),
            noise=float(rng.choice((0.02, 0.035, 0.05))),
            price_test=0.03 if rng.random() < 0.20 else 0.0,
            ends_in_99=bool(rng.random() < 0.15),
            median_s=float(rng.choice(kind.medians_s)),
            sigma=draw.between(0.50, 0.66),
            outage=draw.between(0.005, 0.02),
        ),
    )


@dataclass(frozen=True, slots=True)
class _Limits:
    """Draws a brand's limits from its archetype's lists."""

    rng: np.random.Generator

    def one_of(self, choices: Numbers) -> float | None:
        chosen = choices[int(self.rng.integers(len(choices)))]
        return None if chosen is None else float(chosen)

    def between(self, low: float, high: float) -> float:
        return round(float(self.rng.uniform(low, high)), 4)

    def refuses(self, accepted: float) -> bool:
        return bool(self.rng.random() >= accepted)


def _rules(contract: Contract, kind: Archetype, draw: _Limits) -> tuple[Rule, ...]:
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
        ("licence", draw.refuses(kind.international), ("licence_type", "one_of", "international")),
        ("licence", draw.refuses(kind.provisional), ("licence_type", "one_of", "provisional")),
        ("criminal", draw.refuses(kind.criminal), ("unspent_criminal", "above", 0)),
        ("cancelled", draw.refuses(kind.cancelled), ("cancelled_before", "above", 0)),
        ("major_conviction", draw.refuses(kind.major), ("conviction", "one_of", "dr10", "in10")),
        ("modified", draw.refuses(kind.modified), ("modified", "one_of", "cosmetic", "performance")),
        ("cover", draw.refuses(kind.tpo), ("cover", "one_of", "tpo")),
        ("use", draw.refuses(kind.business), ("class_of_use", "one_of", "business")),
    )
    rules = [Rule(why, (condition(contract, name, is_, at),)) for why, name, is_, at in limits if at is not None]
    rules += [Rule(why, (condition(contract, *when),)) for why, refused, when in refusals if refused]
    fastest = draw.one_of(kind.young_group)
    if fastest is not None:
        young_fast = (condition(contract, "age", "below", 25), condition(contract, "vehicle_group", "above", fastest))
        rules.append(Rule("young_fast", young_fast))
    return (*rules, *(Rule("sector", (c,)) for c in _excluded(contract, kind, draw)))


def _excluded(contract: Contract, kind: Archetype, draw: _Limits) -> list[Condition]:
    """One to four blocks of neighbouring sectors that the brand does not cover."""
    sectors = contract.field("sector").values
    blocks = int(draw.rng.integers(1, 5))
    length = round(draw.between(*kind.sectors) * len(sectors) / blocks)
    first = draw.rng.integers(0, len(sectors) - length, blocks)
    if not length:
        return []
    return [condition(contract, "sector", "within", sectors[i], sectors[i + length - 1]) for i in first]


def rebased(market: Market, base: float) -> Market:
    """The same market at another level of prices (ln GBP)."""
    return replace(market, base=round(base, DECIMALS))
