"""Does an insurer decline, and for which reason? The first rule that fires is the reason; 0 stands for none."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from market.columns import Columns, Floats
from market.insurers import Insurer
from market.parts import all_hold

REASONS: Final = (
    *("", "min_age", "max_age", "points", "claims", "min_value", "max_value", "mileage", "ncd", "licence", "criminal"),
    *("cancelled", "major_conviction", "modified", "cover", "use", "young_fast", "sector", "premium_cap", "footprint"),
    *("not_a_van", "model"),
)
"""Why an insurer declines; the number in the truth is the place in this list, and the first means that it does not."""

Reasons = NDArray[np.int8]


def declined(insurer: Insurer, columns: Columns, premium: Floats, uniform: Floats) -> Reasons:
    """The reason's place in `REASONS`, int8[B]. `premium` is what it would ask (GBP), `uniform` decides the footprint."""
    reason = np.zeros(len(premium), np.int8)
    for rule in insurer.rules:
        _set(reason, all_hold(rule.when, columns), rule.reason)
    if insurer.max_premium is not None:
        _set(reason, premium > insurer.max_premium, "premium_cap")
    _set(reason, uniform < insurer.footprint, "footprint")
    return reason


def _set(reason: Reasons, fires: NDArray[np.bool_], name: str) -> None:
    reason[fires & (reason == 0)] = REASONS.index(name)
