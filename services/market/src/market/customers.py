"""Who asks? A block of enquiries: the answers that a driver gives, and what is true of the driver and never sent.

The order of making is that of life: place, age, work and home, licence, car, use, history, bonus, cover. Each topic has its own stream, so
that a change of one does not redraw the others. Figures without a source are choices, tuned until the whole met its targets.
"""

from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from kit.contract import Contract
from market.columns import Bools, Column, Columns, Floats, cast_to, in_contract
from market.places import areas
from market.randomness import BLOCK, Stream, stream
from market.vehicles import AGES, LARGEST_GROUP, catalogue, vehicle_id

# First age of a band, its share of a comparison site's traffic and of licence holders, in per cent.
AGE_BANDS: Final = (
    *((17, 1.0, 0.18), (18, 1.6, 0.48), (19, 1.7, 0.60), (20, 1.7, 0.76), (21, 9, 4.0), (25, 11, 8)),
    *((30, 21, 18), (40, 18, 18), (50, 17, 19), (60, 11, 16), (70, 5.8, 11.5), (80, 1.2, 3.5)),
)
OLDEST: Final = 92

EMPLOYMENT: Final = {  # shares by first age; the rest is employed
    17: {"student": 0.35, "unemployed": 0.08, "self_employed": 0.02, "house_person": 0.01},
    22: {"student": 0.08, "unemployed": 0.05, "self_employed": 0.07, "house_person": 0.03},
    30: {"student": 0.01, "unemployed": 0.035, "self_employed": 0.14, "house_person": 0.05},
    55: {"retired": 0.20, "unemployed": 0.03, "self_employed": 0.15, "house_person": 0.04},
    66: {"retired": 0.88, "self_employed": 0.05, "house_person": 0.01},
}
OCCUPATION_EXPONENT: Final = 0.8

CONVICTIONS: Final = {  # share of the convicted, points
    "sp30": (0.70, 3),
    "cu80": (0.05, 6),
    "sp_x2": (0.08, 6),
    "sp50": (0.04, 4),
    "ts10": (0.03, 3),
    "dr10": (0.035, 10),
    "in10": (0.035, 6),
    "cd10": (0.03, 5),
}
MISSTATED: Final = ("", "annual_mileage", "overnight", "occupation")
MISSTATES: Final = 0.034
"""The chance of one untrue answer; a few of them come out true, so that 3 % remain."""
EXCESSES: Final = {0: 0.06, 100: 0.09, 250: 0.62, 500: 0.14, 1000: 0.09}


@dataclass(frozen=True, slots=True)
class Latent:
    """What is true of a driver and no question asks: for checks only. All [B]."""

    male: Bools
    risk: Floats
    """Relative claim frequency, log-normal about 1."""
    score: Floats
    """What insurers buy about the driver (credit, past policies), standard normal."""
    market_weight: Floats
    """Licence holders per enquiry of that age, mean about 1: indices are weighted by it."""
    misstated: Column
    """Place in `MISSTATED`: which answer is not true; quotes are for what was stated."""
    true: Columns
    """What is true of the fields that some mis-state."""

    def columns(self) -> Columns:
        """All of it by name."""
        named: dict[str, Column] = {"male": self.male, "risk": self.risk, "score": self.score}
        named |= {"market_weight": self.market_weight, "misstated": self.misstated}
        return named | {f"true_{name}": column for name, column in self.true.items()}


@dataclass(frozen=True, slots=True)
class Customers:
    """A block of enquiries: the contract's fields by name, the car's row in the catalogue, and the latent variables."""

    columns: Columns
    vehicle: Column
    latent: Latent


class _Draw:
    """Chance for a block of one stream, in the words of the page that describes the market."""

    def __init__(self, seed: int, of: Stream, block: int) -> None:
        self._rng = stream(seed, of, block=block)

    def uniform(self) -> Floats:
        return self._rng.random(BLOCK)

    def normal(self) -> Floats:
        return self._rng.standard_normal(BLOCK)

    def gamma(self, shape: float, scale: float) -> Floats:
        return self._rng.gamma(shape, scale, BLOCK)

    def poisson(self, mean: Floats) -> NDArray[np.int64]:
        return np.asarray(self._rng.poisson(mean), np.int64)

    def whole(self, low: int | Column, high: int | Column) -> NDArray[np.int64]:
        """Uniform integers, both ends included."""
        return self._rng.integers(low, high, size=BLOCK, endpoint=True)

    def happens(self, chance: float | Floats) -> Bools:
        return np.asarray(self.uniform() < chance)

    def pick(self, shares: Floats) -> NDArray[np.int64]:
        """An index of `shares`, which need not sum to 1."""
        return _choose(np.cumsum(shares), self.uniform())


def _choose(cumulated: Floats, uniform: Floats) -> NDArray[np.int64]:
    at: NDArray[np.int64] = np.searchsorted(cumulated, uniform * cumulated[-1], side="right")
    return np.minimum(at, np.int64(len(cumulated) - 1))


def _by_age(age: Column, knots: dict[int, float]) -> Floats:
    return np.interp(age, list(knots), list(knots.values()))


@cache
def _ages() -> tuple[NDArray[np.int64], Floats, Floats]:
    """Ages, cumulated shares of traffic, and market weight by age. Within a band all ages are alike; above 80 they fall."""
    age = np.arange(AGE_BANDS[0][0], OLDEST + 1)
    begins = np.array([b[0] for b in AGE_BANDS])
    band = np.searchsorted(begins, age, side="right") - 1
    within = np.where(age >= begins[-1], 0.82 ** (age - begins[-1]), 1.0)
    within /= np.bincount(band, within)[band]
    traffic, weight = np.array([b[1] for b in AGE_BANDS]), np.array([b[2] for b in AGE_BANDS])
    ratio = weight / weight.sum() / (traffic / traffic.sum())
    return age, np.cumsum(traffic[band] * within), ratio[band]


def market_weight(age: Column) -> Floats:
    """Licence holders per enquiry of drivers of that age."""
    ages, _, weight = _ages()
    return np.asarray(weight[np.asarray(age) - ages[0]])


def draw(contract: Contract, seed: int, block: int) -> Customers:
    """The 4,096 enquiries of one block. The same seed and block give the same enquiries, whatever else is drawn."""
    columns: dict[str, Column] = {}
    latent = _person(contract, _Draw(seed, Stream.PERSON, block), columns)
    vehicle = _car(contract, _Draw(seed, Stream.CAR, block), columns, latent)
    _use(contract, _Draw(seed, Stream.USE, block), columns, latent)
    _history(contract, _Draw(seed, Stream.HISTORY, block), columns, latent)
    _wanted(contract, _Draw(seed, Stream.WANTED, block), columns)
    true = {name: cast_to(contract.field(name), columns[name]) for name in MISSTATED[1:]}
    misstated = _misstate(contract, _Draw(seed, Stream.MISSTATED, block), columns)
    return Customers(in_contract(contract, columns), vehicle, replace(latent, misstated=misstated, true=true))


def _misstate(contract: Contract, draw: _Draw, columns: dict[str, Column]) -> Column:
    """Fewer miles, a better place for the night, another occupation: what makes a quote cheaper, or is clicked by mistake."""
    which = np.where(draw.happens(MISSTATES), draw.whole(1, 3), 0)
    fewer = np.maximum(np.rint(columns["annual_mileage"] * 0.0007), 1).astype(np.int64) * 1000
    drive, garage = _codes(contract, "overnight", "drive", "garage")
    stated = {
        "annual_mileage": fewer,
        "overnight": np.where(columns["overnight"] == drive, garage, drive),
        "occupation": _occupation(contract, draw),
    }
    misstated = np.zeros(BLOCK, np.int8)
    for place, name in enumerate(MISSTATED[1:], start=1):
        untrue = (which == place) & (stated[name] != columns[name])
        columns[name] = np.where(untrue, stated[name], columns[name])
        misstated[untrue] = place
    return misstated


def _occupation(contract: Contract, draw: _Draw) -> Column:
    classes = len(contract.field("occupation").values)
    return draw.pick(np.arange(1.0, classes + 1) ** -OCCUPATION_EXPONENT)


def _codes(contract: Contract, field: str, *values: str) -> list[int]:
    return [contract.field(field).code_of[v] for v in values]


def _is(contract: Contract, columns: dict[str, Column], field: str, *values: str) -> Bools:
    return np.isin(columns[field], _codes(contract, field, *values))


def _person(contract: Contract, draw: _Draw, columns: dict[str, Column]) -> Latent:
    country = areas(contract)
    sector = draw.pick(country.share)
    columns |= {"sector": sector, "region": country.region[sector], "urbanity": country.urbanity[sector]}
    columns |= {"deprivation": country.deprivation[sector], "theft_index": country.theft_index[sector]}
    ages, cumulated, _ = _ages()
    age = ages[_choose(cumulated, draw.uniform())]
    columns["age"] = age
    male, risk, score = draw.happens(0.54), np.exp(0.35 * draw.normal() - 0.06), draw.normal()
    columns["employment"] = _employment(contract, age, draw.uniform())
    columns["occupation"] = _occupation(contract, draw)
    columns["home_owner"] = draw.happens(_by_age(age, {17: 0.04, 25: 0.22, 35: 0.52, 45: 0.66, 65: 0.77}))
    _licence(contract, draw, columns)
    return Latent(male, risk, score, market_weight(age), np.zeros(BLOCK, np.int8), {})


def _employment(contract: Contract, age: Column, uniform: Floats) -> Column:
    values = contract.field("employment").values
    shares = np.array([[band.get(v, 0.0) for v in values] for band in EMPLOYMENT.values()])
    shares[:, values.index("employed")] = 1 - shares.sum(1)
    band = np.searchsorted(list(EMPLOYMENT), age, side="right") - 1
    cumulated = np.cumsum(shares, axis=1)[band]
    at: Column = (uniform[:, None] >= cumulated).sum(1)
    return np.minimum(at, len(values) - 1)


def _licence(contract: Contract, draw: _Draw, columns: dict[str, Column]) -> None:
    age = columns["age"]
    born_here, recent = draw.happens(0.87), draw.happens(0.30)
    since = np.where(recent, draw.whole(0, 2), draw.whole(3, np.maximum(3, age - 1)))
    columns["uk_resident_years"] = np.where(born_here, age, since)
    full, eu, international, provisional = _codes(
        contract, "licence_type", "full_uk", "eu", "international", "provisional"
    )
    abroad = draw.uniform()
    eu_share, both_shares = np.where(recent, 0.30, 0.09), np.where(recent, 0.50, 0.117)
    from_abroad = np.where(abroad < eu_share, eu, np.where(abroad < both_shares, international, full))
    learner = (age <= 25) & draw.happens(0.01)
    kind = np.where(born_here, full, from_abroad)
    columns["licence_type"] = np.where(learner, provisional, kind)
    held = np.floor(10 * np.maximum(0, age - 17 - draw.gamma(1.3, 2.2))) / 10
    columns["licence_years"] = np.where(learner, 0, held).astype(np.float32)
    columns["adds_spouse"] = (age >= 25) & draw.happens(0.42)
    columns["adds_young_driver"] = (age >= 40) & (age <= 62) & draw.happens(0.05)
    columns["adds_parent"] = (age < 24) & draw.happens(0.33)


def _car(contract: Contract, draw: _Draw, columns: dict[str, Column], latent: Latent) -> Column:
    age, cars = columns["age"], catalogue(contract)
    years = draw.gamma(2.2, 4.0) * _by_age(age, {17: 1.15, 25: 1.05, 45: 0.97, 70: 1.0})
    car_age = np.minimum(years.astype(np.int64), AGES - 1)
    small = (age >= 25) & draw.happens(0.30)
    usual = _by_age(age, {17: 7, 20: 11, 25: 18, 35: 22, 50: 22, 65: 19, 92: 15})
    spread = _by_age(age, {17: 3.5, 20: 5, 25: 8, 35: 9.5})
    wanted = usual + spread * draw.normal() + np.where(latent.male, 2.6, -2.6)
    wanted = np.where(small, draw.whole(2, 12), np.rint(wanted))
    group = np.clip(wanted, 1, LARGEST_GROUP).astype(np.int64)
    electric = draw.happens(np.where(car_age < 5, 0.14, np.where(car_age < 10, 0.03, 0.002)))
    popular = draw.uniform()
    variant = np.where(electric, cars.pools[True].pick(group, popular), cars.pools[False].pick(group, popular))
    columns |= {"make": cars.make[variant], "model": cars.model[variant], "fuel": cars.fuel[variant]}
    columns |= {"vehicle_group": cars.group[variant], "vehicle_age": car_age}
    columns["vehicle_value"] = cars.value[variant, car_age]
    changed = draw.happens(_by_age(age, {17: 0.07, 25: 0.05, 40: 0.03, 70: 0.01}))
    none, cosmetic, performance = _codes(contract, "modified", "none", "cosmetic", "performance")
    columns["modified"] = np.where(changed, np.where(draw.happens(0.6), cosmetic, performance), none)
    return vehicle_id(variant, car_age)


def _use(contract: Contract, draw: _Draw, columns: dict[str, Column], latent: Latent) -> None:
    works = _is(contract, columns, "employment", "employed", "self_employed")
    studies = _is(contract, columns, "employment", "student")
    commutes = draw.happens(np.where(works, 0.72, np.where(studies, 0.30, 0.0)))
    on_business = commutes & works & draw.happens(0.09)
    social, commuting, business = _codes(contract, "class_of_use", "social", "commuting", "business")
    columns["class_of_use"] = np.where(on_business, business, np.where(commutes, commuting, social))
    urban = columns["urbanity"]
    log_miles = np.log(6300) + 0.22 * (commutes & ~on_business) + 0.55 * on_business - 0.30 * (urban - 0.62)
    log_miles += np.where(latent.male, 0.06, -0.07) + 0.45 * draw.normal()
    columns["annual_mileage"] = np.clip(np.rint(np.exp(log_miles) / 1000), 1, 40).astype(np.int64) * 1000
    dense = urban > 0.85
    shares = np.where(dense[:, None], (0.25, 0.07, 0.62, 0.06), (0.58, 0.145, 0.225, 0.05))
    at = (draw.uniform()[:, None] >= np.cumsum(shares, axis=1)[:, :-1]).sum(1)
    columns["overnight"] = np.array(_codes(contract, "overnight", "drive", "garage", "street", "other"))[at]


def _history(contract: Contract, draw: _Draw, columns: dict[str, Column], latent: Latent) -> None:
    age, licence = columns["age"], columns["licence_years"]
    exposed = np.minimum(5.0, licence)
    by_age = _by_age(age, {17: 1.5, 22: 1.35, 30: 1.05, 45: 0.97, 60: 0.88, 75: 0.95, 92: 1.3})
    often = latent.risk * exposed * (0.7 + 0.5 * columns["urbanity"])
    columns["fault_claims"] = np.minimum(draw.poisson(0.052 * often * by_age), 10)
    columns["non_fault_claims"] = np.minimum(draw.poisson(0.05 * often), 10)
    peak = _by_age(age, {17: 0.6, 22: 1.0, 30: 1.3, 45: 1.15, 60: 0.75, 75: 0.4})
    convicted = draw.happens(0.074 * peak * np.where(latent.male, 1.28, 0.64) * latent.risk * np.minimum(1, licence))
    which = draw.pick(np.array([share for share, _ in CONVICTIONS.values()]))
    codes = np.array(_codes(contract, "conviction", *CONVICTIONS))
    columns["conviction"] = np.where(convicted, codes[which], *_codes(contract, "conviction", "none"))
    points = np.array([points for _, points in CONVICTIONS.values()])[which] + 3 * draw.happens(0.06)
    columns["points"] = np.where(convicted, points, 0)
    columns["cancelled_before"] = draw.happens(0.012 * latent.risk)
    columns["unspent_criminal"] = draw.happens(0.006 * latent.risk)
    columns["ncd_years"] = _bonus(draw, columns)


def _bonus(draw: _Draw, columns: dict[str, Column]) -> Column:
    age, licence = columns["age"], columns["licence_years"]
    new = draw.happens(_by_age(age, {17: 0.75, 21: 0.28, 30: 0.07, 50: 0.03, 92: 0.02}))
    earned = np.floor(np.maximum(0, licence - draw.gamma(1.0, 3.0)))
    # A claim steps an unprotected bonus back; two of them end it, protected or not.
    protected = (earned >= 4) & draw.happens(0.40)
    stepped_back, ended, claims = draw.whole(1, 4), draw.whole(0, 2), columns["fault_claims"]
    earned = np.where((claims == 1) & ~protected, np.minimum(earned, stepped_back), earned)
    earned = np.where(claims > 1, np.minimum(earned, ended), earned)
    return np.where(new, 0, np.minimum(earned, 20)).astype(np.int64)


def _wanted(contract: Contract, draw: _Draw, columns: dict[str, Column]) -> None:
    comprehensive, tpft, tpo = _codes(contract, "cover", "comprehensive", "tpft", "tpo")
    young, unproven = columns["age"] < 25, columns["ncd_years"] == 0
    log_odds = 0.9 * young + 0.6 * unproven + 0.8 * (columns["points"] >= 6) + 0.7 * (columns["vehicle_value"] < 1500)
    chance: Any = np.exp(log_odds)
    uniform = draw.uniform()
    columns["cover"] = np.where(uniform < 0.011 * chance, tpo, np.where(uniform < 0.025 * chance, tpft, comprehensive))
    columns["voluntary_excess"] = np.array(list(EXCESSES))[draw.pick(np.array(list(EXCESSES.values())))]
    hurry = draw.pick(np.array((0.30, 0.31, 0.39)))
    columns["days_to_start"] = np.choose(hurry, (draw.whole(0, 1), draw.whole(2, 13), draw.whole(14, 29)))
