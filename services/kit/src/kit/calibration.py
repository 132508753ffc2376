"""How far may a model's answer be off, and what is its probability worth? Tables fitted offline, applied with NumPy only.

Intervals are conformalised quantile regression (Romano, Patterson, Candès 2019), each end for itself: on a slice of time that neither
training nor test saw, the scores of the low end are low - y and those of the high end y - high in log pounds, and the table holds for
each end the ceil((n + 1)(1 - tail))-th smallest score, with half of what the level leaves out as tail. It has a row for each key of
`kit.rows.answered`, how much of each group of questions was answered, and the pooled row for a key that it lacks. Applying it is one
look-up and two additions. Probabilities are rescaled on the logit scale (Platt 1999) by the same keys.

The promise is marginal: over the mixture of questions left open that the slice was repeated with, inside each key (Mondrian) and not
for every set of answers that shares it; over cells of one enquiry, which are not independent; and only as long as enquiries stay like
those of the slice. It must be watched with outcomes.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]

POOLED: Final = "pooled"
SMALLEST_P: Final = 1e-6


class BadCalibration(ValueError):
    """The table cannot be used; the message says why."""


@dataclass(frozen=True)
class Table:
    """Two numbers for each key (of `kit.rows.answered`), and the pooled pair for any other key."""

    by_key: Mapping[int, tuple[float, float]]
    pooled: tuple[float, float]

    @classmethod
    def read(cls, raw: Mapping[str, Mapping[str, float]], first: str, second: str) -> Self:
        """Make it of `{"<key>": {first: x, second: y, "rows": n}, "pooled": {...}}`. Raises `BadCalibration`."""
        try:
            pairs = {key: (float(row[first]), float(row[second])) for key, row in raw.items()}
            pooled = pairs.pop(POOLED)
            table = cls({int(key): pair for key, pair in pairs.items()}, pooled)
        except (KeyError, TypeError, ValueError) as error:
            raise BadCalibration(f"a table needs `{first}` and `{second}` for each key and for `{POOLED}`") from error
        if not np.isfinite([pooled, *table.by_key.values()]).all():
            raise BadCalibration(f"`{first}` and `{second}` must be finite")
        return table

    def pairs(self, keys: NDArray[np.int64]) -> Floats:
        """The pair of each key, float64[B, 2]."""
        return np.array([self.by_key.get(int(key), self.pooled) for key in keys], np.float64).reshape(-1, 2)


@dataclass(frozen=True)
class Intervals:
    """Additions in log pounds to the low and the high quantile."""

    table: Table

    def apply(self, log_quantiles: Floats, keys: NDArray[np.int64]) -> tuple[Floats, Floats, Floats]:
        """From [B, K, 3] log quantiles (low, middle, high) and int64[B] keys: low, middle, high [B, K], never crossing."""
        pairs = self.table.pairs(keys)
        middle = log_quantiles[..., 1]
        low = np.minimum(log_quantiles[..., 0] + pairs[:, :1], middle)
        high = np.maximum(log_quantiles[..., 2] + pairs[:, 1:], middle)
        return low, middle, high


@dataclass(frozen=True)
class Probabilities:
    """Slope and intercept on the logit scale."""

    table: Table

    def apply(self, p: Floats, keys: NDArray[np.int64]) -> Floats:
        """Calibrated probabilities [B, K] of a model's [B, K] and int64[B] keys."""
        pairs = self.table.pairs(keys)
        clipped = np.clip(p, SMALLEST_P, 1 - SMALLEST_P)
        logit = np.log(clipped) - np.log1p(-clipped)
        calibrated: Floats = 1.0 / (1.0 + np.exp(-(pairs[:, :1] * logit + pairs[:, 1:])))
        return calibrated


def read_section(text: str | bytes, section: str) -> Mapping[str, Any]:
    """One section of a calibration.json. Raises `BadCalibration`."""
    try:
        found = json.loads(text)[section]
    except (ValueError, KeyError, TypeError) as error:
        raise BadCalibration(f"calibration.json has no `{section}`") from error
    if not isinstance(found, dict):
        raise BadCalibration(f"`{section}` must be a table")
    return found
