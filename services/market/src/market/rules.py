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

CHANCE: Final = (0, REASONS.index("premium_cap"), REASONS.index("footprint"))
"""What another draw of chance would have made otherwise; every other reason is a rule's."""

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


def probability(insurer: Insurer, reason: Reasons, log_price: Floats) -> NDArray[np.float32]:
    """The true chance of a decline, float32[B], of somebody with these answers: over hidden scores, noise, price tests and footprint.

    A rule decides; where none fires, the cap is exceeded by chance, and the footprint is nothing but chance.
    """
    chance = np.full(len(reason), insurer.footprint)
    if insurer.max_premium is not None:
        said = insurer.answering
        sd = float(np.sqrt(said.hidden_loading**2 + said.noise**2 + said.price_test**2))
        chance = 1 - (1 - chance) * (1 - _above((np.log(insurer.max_premium) - log_price) / sd))
    return np.where(np.isin(reason, CHANCE), chance, 1.0).astype(np.float32)


def _above(z: Floats) -> Floats:
    """The chance that a standard normal number is above z, to 1e-7 (Abramowitz and Stegun 26.2.17)."""
    t = 1 / (1 + 0.2316419 * np.abs(z))
    poly = t * (0.31938153 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))))
    tail: Floats = np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi) * poly
    return np.where(z >= 0, tail, 1 - tail)


def _set(reason: Reasons, fires: NDArray[np.bool_], name: str) -> None:
    reason[fires & (reason == 0)] = REASONS.index(name)
