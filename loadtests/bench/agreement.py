"""Do two systems say the same? Statuses alike, prices within a penny: a baseline that answered something else would be no baseline."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

PENNY: Final = 0.0101  # both are rounded, after sums in another order
PROBABILITY: Final = 0.0002
PRICES: Final = ("premium", "low", "high")


def differences(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[str]:
    """What differs between two answers to the same question; nothing when they agree."""
    return list(_differences(ours, theirs))


def _differences(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> Iterator[str]:
    pairs = list(zip(ours["insurers"], theirs["insurers"], strict=False))
    if len(ours["insurers"]) != len(theirs["insurers"]):
        yield f"{len(ours['insurers'])} and {len(theirs['insurers'])} insurers"
    for mine, other in pairs:
        name = mine["insurer"]
        if (name, mine["status"]) != (other["insurer"], other["status"]):
            yield f"{name} {mine['status']}, {other['insurer']} {other['status']}"
        if not _near(mine["probability"], other["probability"], PROBABILITY):
            yield f"{name}: probability {mine['probability']} and {other['probability']}"
        yield from (
            f"{name}: {price} {mine[price]} and {other[price]}"
            for price in PRICES
            if not _near(mine[price], other[price], PENNY)
        )
    mine, other = ours["panel"], theirs["panel"]
    if mine["likely"] != other["likely"]:
        yield f"panel: {mine['likely']} and {other['likely']} likely"
    if not _near(mine["mean_of_five_cheapest"], other["mean_of_five_cheapest"], PENNY):
        yield f"panel: mean of five {mine['mean_of_five_cheapest']} and {other['mean_of_five_cheapest']}"
    best, cheapest = mine["cheapest"] or {}, other["cheapest"] or {}
    if not _near(best.get("premium"), cheapest.get("premium"), PENNY):
        yield f"panel: cheapest {best.get('premium')} and {cheapest.get('premium')}"


def _near(one: float | None, other: float | None, within: float) -> bool:
    if one is None or other is None:
        return one is other
    return abs(one - other) <= within
