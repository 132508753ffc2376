"""What do all tariffs share? The market's curves: log price by factor, about 0 for age 45, 5 years of bonus, group 20 and GBP 9,000."""

from collections.abc import Mapping
from typing import Final

import numpy as np

from kit.contract import Contract
from market.insurers import FACTORS
from market.parts import DECIMALS, Curve, Part, Power, Table, table
from market.randomness import Stream, stream

Knots = Mapping[float, float] | Mapping[int, float]

REGION_RATIOS: Final = (
    *(1.59, 1.30, 1.21, 1.23, 1.13, 1.05, 0.98, 0.93, 0.96, 0.91),
    *(0.86, 0.86, 0.93, 0.90, 0.80, 0.78, 0.70, 0.68, 0.72),
)

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
NCD_CURVE: Final[Knots] = {0: 0.66, 1: 0.46, 2: 0.27, 3: 0.12, 4: 0.05, 5: 0, 7: -0.06, 9: -0.10, 15: -0.13, 20: -0.14}
LEAD_CURVE: Final[Knots] = {0: 0.52, 1: 0.40, 3: 0.29, 7: 0.20, 14: 0.07, 20: 0, 26: -0.02, 29: 0.01}


def factors(contract: Contract, seed: int) -> tuple[tuple[Part, ...], ...]:
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
            normal_table(contract, "sector", rng, 0.12),
        ),
        "vehicle": (
            _curve("vehicle_group", {1: -0.4465, 50: 0.705}),
            Power("vehicle_value", 0.05, 9000),
            table(contract, "fuel", {"electric": 0.05}),
        ),
        "mileage": (
            Power("annual_mileage", 0.10, 8000),
            _curve("annual_mileage", {2000: 0.25, 4000: 0.12, 6000: 0.03, 7000: 0}),
        ),
        "overnight": (table(contract, "overnight", {"garage": -0.02, "street": 0.05, "other": 0.08}),),
        "use": (table(contract, "class_of_use", {"commuting": 0.03, "business": 0.10}),),
        "employment": (
            table(
                contract,
                "employment",
                {"self_employed": 0.02, "student": 0.06, "retired": -0.05, "house_person": 0.02, "unemployed": 0.26},
            ),
        ),
        "occupation": (normal_table(contract, "occupation", rng, 0.065),),
        "claims": (_curve("fault_claims", {0: 0, 3: 0.30}), _curve("non_fault_claims", {0: 0, 4: 0.20})),
        "conviction": (
            table(
                contract,
                "conviction",
                (
                    {"sp30": 0.11, "sp50": 0.11, "sp_x2": 0.28, "cu80": 0.32}
                    | {"ts10": 0.09, "dr10": 0.85, "in10": 0.68, "cd10": 0.30}
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


def normal_table(contract: Contract, name: str, rng: np.random.Generator, sd: float) -> Table:
    return Table(name, np.round(rng.normal(0, sd, len(contract.field(name).values)), DECIMALS))


def _curve(name: str, knots: Knots) -> Curve:
    return Curve(name, tuple(knots), tuple(knots.values()))


def _yes(name: str, log: float, otherwise: float = 0.0) -> Curve:
    return Curve(name, (0, 1), (otherwise, log))
