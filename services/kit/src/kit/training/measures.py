"""How good are the answers? Every figure of report.json, as a function of arrays."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]

BINS: Final = 20


def auc(score: Floats, positive: NDArray[np.bool_]) -> float:
    """The probability that a positive one scores above a negative one, ties counting half; NaN when one kind is missing."""
    count = int(positive.sum())
    if not 0 < count < len(positive):
        return float("nan")
    _, place, repeats = np.unique(score, return_inverse=True, return_counts=True)
    rank = np.cumsum(repeats) - (repeats - 1) / 2
    total = rank[place][positive].sum()
    return float((total - count * (count + 1) / 2) / (count * (len(positive) - count)))


def insurer_aucs(p: Floats, quoted: NDArray[np.int8]) -> Floats:
    """The AUC of each insurer over its answers, [K]; of declining or of quoting, which is the same."""
    return np.array([auc(p[given, k], quoted[given, k] == 1) for k, given in enumerate((quoted >= 0).T)])


def calibration_error(p: Floats, happened: NDArray[np.bool_]) -> float:
    """Expected calibration error: mean distance of predicted and observed share over bins of equally many cells."""
    order = np.argsort(p, kind="stable")
    parts = [part for part in np.array_split(order, BINS) if len(part)]
    return float(sum(abs(p[part].mean() - happened[part].mean()) * len(part) for part in parts) / len(p))


def log_loss(p: Floats, happened: NDArray[np.bool_]) -> float:
    """Mean cross-entropy in nats."""
    return float(-np.log(np.where(happened, p, 1 - p)).mean())


def absolute_percentage_error(log_predicted: Floats, log_actual: Floats) -> float:
    """Mean |predicted - actual| / actual where there is an actual one (not NaN); NaN when there is none."""
    given = np.isfinite(log_actual)
    return float(np.abs(np.expm1(log_predicted[given] - log_actual[given])).mean()) if given.any() else float("nan")


def coverage(low: Floats, high: Floats, actual: Floats) -> float:
    """The share of actual values (not NaN) that lie between; NaN when there is none."""
    given = np.isfinite(actual)
    inside = (low[given] <= actual[given]) & (actual[given] <= high[given])
    return float(inside.mean()) if given.any() else float("nan")
