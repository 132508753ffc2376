"""How good are the answers? Every figure of report.json, as a function of arrays."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]

BINS: Final = 20
FINE_BINS: Final = 4096
FINE_RANGE: Final = 17.0  # of the logits that a float32 probability can have


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
    """Mean cross-entropy in nats; certainty counts as 1e-7 short of it, which is as close as a float32 comes."""
    p = np.clip(p, 1e-7, 1 - 1e-7)
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


@dataclass(frozen=True)
class Histograms:
    """How a probability and what happened lie in each of G groups: cells, cells where it happened, and summed probability, float64[G, bins].

    Bins are of equal width on the logit scale: so fine that what is taken of them is that of the single cells to about 1e-4.
    """

    cells: Floats
    happened: Floats
    expected: Floats

    def aucs(self) -> Floats:
        """As `auc`, for each group, [G]; cells of one bin count as ties."""
        other = self.cells - self.happened
        below = np.cumsum(other, axis=1) - other / 2
        pairs = self.happened.sum(axis=1) * other.sum(axis=1)
        return np.where(pairs > 0, (self.happened * below).sum(axis=1) / np.where(pairs > 0, pairs, 1), np.nan)

    def calibration_errors(self) -> Floats:
        """As `calibration_error`, for each group, [G]."""
        cells, happened, expected = self.merged(BINS)
        total = cells.sum(axis=1)
        return np.where(total > 0, np.abs(expected - happened).sum(axis=1) / np.where(total > 0, total, 1), np.nan)

    def merged(self, bins: int) -> tuple[Floats, Floats, Floats]:
        """The three in fewer bins with about equally many cells each, [G, bins]."""
        groups = np.arange(len(self.cells))[:, None]
        total = np.maximum(self.cells.sum(axis=1, keepdims=True), 1)
        middle = (np.cumsum(self.cells, axis=1) - self.cells / 2) / total
        to = (groups * bins + np.minimum((middle * bins).astype(np.int64), bins - 1)).ravel()
        cells, happened, expected = (
            np.bincount(to, a.ravel(), len(groups) * bins).astype(np.float64).reshape(-1, bins)
            for a in (self.cells, self.happened, self.expected)
        )
        return cells, happened, expected


def histograms(p: Floats, happened: NDArray[np.bool_], group: NDArray[np.int64], groups: int) -> Histograms:
    """Of flat cells: probability, whether it happened, and the group that each is in."""
    clipped = np.clip(p, 1e-7, 1 - 1e-7)
    logit = np.log(clipped) - np.log1p(-clipped)
    fine = np.clip((logit + FINE_RANGE) * (FINE_BINS / 2 / FINE_RANGE), 0, FINE_BINS - 1).astype(np.int64)
    fine += group * FINE_BINS
    cells, expected = (np.bincount(fine, weights, groups * FINE_BINS) for weights in (None, p))
    positive = np.bincount(fine[happened], minlength=groups * FINE_BINS)
    return Histograms(*(a.reshape(groups, FINE_BINS).astype(np.float64) for a in (cells, positive, expected)))
