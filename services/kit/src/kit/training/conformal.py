"""How is calibration.json fitted? On a slice of time that neither training nor test saw; `kit.calibration` applies it.

Intervals are conformalised quantile regression (Romano, Patterson, Candès 2019), each end for itself. Probabilities are rescaled on the
logit scale (Platt 1999). Every table has a row for each key (how much of each group of questions was answered) that occurred. A key with
too few enquiries takes the row of all that agree with it in which groups are at least half answered, and when these are too few as well
it has none: the pooled row is for it and for any other.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from kit.calibration import POOLED, SMALLEST_P
from kit.rows import half_answered

Floats = NDArray[np.floating[Any]]
Keys = NDArray[np.int64]
Table = dict[str, dict[str, float]]

NEWTON_STEPS: Final = 50
SMALLEST_STEP: Final = 1e-9
PRIOR: Final = 1.0  # how many cells' worth of belief that nothing has to be rescaled


def margin(scores: Floats, tail: float) -> float:
    """The ceil((n + 1)(1 - tail))-th smallest of n scores; the largest when there is no such one."""
    place = int(np.ceil((len(scores) + 1) * (1 - tail)))
    return float(np.partition(scores, min(place, len(scores)) - 1)[min(place, len(scores)) - 1])


def intervals(log_quantiles: Floats, log_premium: Floats, keys: Keys, level: float, least_rows: int) -> Table:
    """What to add to the low and the high log quantile of [B, K, 3], given log premiums [B, K] with NaN, so that `level` lie between."""
    given = np.isfinite(log_premium)

    def row(which: NDArray[np.bool_]) -> dict[str, float]:
        chosen = given[which]
        target, low, high = (a[which][chosen] for a in (log_premium, log_quantiles[..., 0], log_quantiles[..., 2]))
        tail = (1 - level) / 2
        return {"low": -margin(low - target, tail), "high": margin(target - high, tail)}

    return by_key(row, keys, np.asarray(given.any(axis=1)), least_rows)


def probabilities(p: Floats, quoted: NDArray[np.int8], keys: Keys, least_rows: int) -> Table:
    """Slope and intercept for the logits of [B, K] probabilities, given what happened, int8 [B, K] (-1 none)."""
    given = quoted >= 0
    clipped = np.clip(p, SMALLEST_P, 1 - SMALLEST_P)
    logit = np.log(clipped) - np.log1p(-clipped)

    def row(which: NDArray[np.bool_]) -> dict[str, float]:
        chosen = given[which]
        slope, intercept = logistic(logit[which][chosen], quoted[which][chosen] == 1)
        return {"slope": slope, "intercept": intercept}

    return by_key(row, keys, np.asarray(given.any(axis=1)), least_rows)


def logistic(x: Floats, happened: NDArray[np.bool_]) -> tuple[float, float]:
    """Slope and intercept of the logistic regression of `happened` on x, by Newton's method, with a weak prior at (1, 0)."""
    design = np.stack([x, np.ones_like(x)], axis=1).astype(np.float64)
    start = np.array([1.0, 0.0])

    def cost(at: Floats) -> float:
        score = design @ at
        return float((np.logaddexp(0, score) - happened * score).sum() + PRIOR / 2 * ((at - start) ** 2).sum())

    found, least = start, cost(start)
    for _ in range(NEWTON_STEPS):
        p = np.exp(-np.logaddexp(0, -design @ found))
        gradient = design.T @ (p - happened) + PRIOR * (found - start)
        hessian = (design * (p * (1 - p))[:, None]).T @ design + PRIOR * np.eye(2)
        step = np.linalg.solve(hessian, gradient)
        # A full step from far away can overshoot: halve it until it helps.
        while (now := cost(found - step)) > least and np.abs(step).max() > SMALLEST_STEP:
            step /= 2
        found, least = found - step, min(now, least)
        if np.abs(step).max() <= SMALLEST_STEP:
            break
    return float(found[0]), float(found[1])


def counts(p: Floats, quoted: NDArray[np.int8], keys: Keys, level: float, least_rows: int) -> Table:
    """How far the number of quotes lies from its expectation, in units of `count_scale`: what to add as `low` and as `high`."""
    given = quoted >= 0
    expected = np.where(given, p, 0).sum(axis=1)
    distance = ((quoted == 1).sum(axis=1) - expected) / count_scale(np.where(given, p, 0))

    def row(which: NDArray[np.bool_]) -> dict[str, float]:
        tail = (1 - level) / 2
        return {"low": -margin(-distance[which], tail), "high": margin(distance[which], tail)}

    return by_key(row, keys, np.asarray(given.any(axis=1)), least_rows)


def count_scale(p: Floats) -> Floats:
    """The standard deviation that the number of quotes would have if insurers decided independently, [B]; at least 0.1."""
    scale: Floats = np.sqrt(np.maximum((p * (1 - p)).sum(axis=1), 0.01))
    return scale


def by_key(
    row: Callable[[NDArray[np.bool_]], Mapping[str, float]],
    keys: Keys,
    counts_at_all: NDArray[np.bool_],
    least_rows: int,
) -> Table:
    """A table of `row(which enquiries)` for each key with at least `least_rows` enquiries (or whose coarser key has them), and the pooled one.

    Raises ValueError without any enquiry that counts.
    """
    if not counts_at_all.any():
        raise ValueError("there is nothing to calibrate on")
    table: Table = {POOLED: {**row(counts_at_all), "rows": int(counts_at_all.sum())}}
    halves = half_answered(keys)
    coarse = {}
    for half in np.unique(halves):
        which = (halves == half) & counts_at_all
        if which.sum() >= least_rows:
            coarse[half] = {**row(which), "rows": int(which.sum())}
    for key, half in zip(*np.unique(np.stack([keys, halves]), axis=1), strict=True):
        which = (keys == key) & counts_at_all
        if which.sum() >= least_rows:
            table[str(key)] = {**row(which), "rows": int(which.sum())}
        elif half in coarse:
            table[str(key)] = coarse[half]
    return table
