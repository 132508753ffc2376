"""What do samples come to? Percentiles, medians over rounds, and the slope of a line: pure, on lists of numbers."""

import math
from collections.abc import Sequence
from statistics import median


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of the values do not exceed (nearest rank). Raises ValueError for none."""
    if not values:
        raise ValueError("no values, no percentile")
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median over rounds of ours divided by theirs, each pair measured right after one another. NaN where there is none."""
    pairs = [a / b for a, b in zip(ours, theirs, strict=True) if b > 0]
    return median(pairs) if pairs else math.nan


def slope(at: Sequence[float], values: Sequence[float]) -> float:
    """By how much the least-squares line through the values rises for each unit of `at`; 0 where there is no line."""
    if len(at) < 2:
        return 0.0
    middle = sum(at) / len(at)
    spread = sum((x - middle) ** 2 for x in at)
    return sum((x - middle) * y for x, y in zip(at, values, strict=True)) / spread if spread else 0.0
