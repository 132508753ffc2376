"""Which kinds of insurer are there? Ten archetypes: a tilt of the price, and the lists that a brand's own limits are drawn from.

A number that two brands could share is drawn from a short list on purpose: real rules sit on round numbers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

Numbers = Sequence[float | None]
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
    private_cars: float = 1.0
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

VAN: Final = Archetype("commercial_vehicle", 0, level=0.30, private_cars=0.02)
"""The brand that declines nearly everybody; a market has it when asked for."""
