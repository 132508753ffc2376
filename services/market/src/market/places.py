"""What is known of an area? A country of 19 regions and the contract's sectors, invented once: it is the same in every market."""

from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from kit.contract import Contract
from market.columns import Floats
from market.randomness import COUNTRY_SEED, Stream, stream

# Inner and outer capital, four conurbations or near them, then ever more country: share of enquiries, and mean urbanity.
SHARES: Final = (5, 8, 8, 7, 7, 3, 6, 5, 9, 5, 5, 3, 4.5, 6.5, 6, 3.5, 1.5, 7.5, 3.5)
URBANITY: Final = (
    *(0.97, 0.85, 0.80, 0.78, 0.72, 0.55, 0.58, 0.62, 0.60, 0.58),
    *(0.66, 0.55, 0.66, 0.55, 0.40, 0.58, 0.25, 0.42, 0.30),
)
SPREAD: Final = 0.16
CROWDING: Final = 0.5
"""Exponent of the Zipf law by which the sectors of a region share its enquiries; sectors are of nearly equal size."""


@dataclass(frozen=True, slots=True)
class Areas:
    """One entry per sector of the contract, in its order."""

    region: NDArray[np.int16]
    urbanity: Floats
    deprivation: Floats
    theft_index: Floats
    share: Floats
    """Of all enquiries; sums to 1."""


@cache
def _country(sectors: tuple[str, ...], regions: tuple[str, ...]) -> Areas:
    rng = stream(COUNTRY_SEED, Stream.COUNTRY)
    region = np.array([regions.index(s.partition("-")[0]) for s in sectors], np.int16)
    z = rng.standard_normal((3, len(sectors)))
    urban = np.clip(np.array(URBANITY)[region] + SPREAD * z[0], 0, 1)
    deprivation = np.clip(0.35 + 0.25 * (urban - 0.6) + 0.20 * z[1], 0, 1)
    theft = np.clip(0.30 + 0.35 * (urban - 0.6) + 0.25 * (deprivation - 0.35) + 0.12 * z[2], 0, 1)
    share = np.zeros(len(sectors))
    for code, region_share in enumerate(SHARES):
        here = np.flatnonzero(region == code)
        weight = (1.0 + rng.permutation(len(here))) ** -CROWDING
        share[here] = region_share / sum(SHARES) * weight / weight.sum()
    return Areas(region, urban.round(3), deprivation.round(3), theft.round(3), share)


def areas(contract: Contract) -> Areas:
    """The country that the contract's sectors lie in."""
    return _country(contract.field("sector").values, contract.field("region").values)
