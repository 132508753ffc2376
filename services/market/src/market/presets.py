"""Which kinds of market can be had? The one that the targets are of, and two that a system should survive."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

from kit.contract import Contract
from market import calibrate, panel
from market.insurers import Insurer, Market


@dataclass(frozen=True, slots=True)
class Preset:
    """How a market is drawn."""

    name: str
    about: str
    spread: float = 1.0
    """How much groups and brands differ, against the base market."""
    response: tuple[float, float] | None = None
    """Median in seconds and sigma of every brand's response time; None: each has its own."""


PRESETS: Final[Mapping[str, Preset]] = {
    p.name: p
    for p in (
        Preset("standard", "held to every row of the targets"),
        Preset(
            "wide",
            "brands and groups differ so much that the dearest quote is eight times the cheapest; only the index is held",
            spread=1.6,
        ),
        Preset(
            "check24",
            "standard prices; every brand takes 4 seconds in the median, and many time out",
            response=(4.0, 0.66),
        ),
    )
}


@lru_cache(maxsize=4)
def drawn(contract: Contract, preset: Preset, seed: int, insurers: int, *, van: bool) -> Market:
    """The market of a seed and a preset, at its level. The last few are kept: a market costs two seconds, and is never changed."""
    made = panel.make(contract, seed, insurers, spread=preset.spread, van=van)
    held = calibrate.calibrated(contract, made) if preset.spread == 1 else calibrate.recentred(contract, made)
    return held if preset.response is None else replace(held, insurers=tuple(_slow(held, *preset.response)))


def _slow(market: Market, median_s: float, sigma: float) -> list[Insurer]:
    return [replace(i, answering=replace(i.answering, median_s=median_s, sigma=sigma)) for i in market.insurers]
