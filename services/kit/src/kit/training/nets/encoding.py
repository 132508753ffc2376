"""How does a number enter the net? As a piecewise-linear encoding (Gorishniy, Rubachev, Babenko 2022).

A number x with edges e0 < e1 < ... becomes clip((x - e[i]) / (e[i+1] - e[i]), 0, 1) for each bin i: how far each bin is filled. A
linear layer on top of it draws any curve with corners at the edges, and nearly a step where two edges lie close: tariffs are curves
and acceptance rules are thresholds. A number that is not known fills no bin and sets one more input to 1.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from kit.contract import Contract, Field
from kit.rows import Numeric

# So much of the bins is spread evenly over the range and not by quantiles: a limit of 75,000 pounds lies where data are thin.
EVEN_SHARE: Final = 0.25


@dataclass(frozen=True)
class Segments:
    """All bins of all numbers side by side, S of them: the number's column, where it begins, and one over its width."""

    column: NDArray[np.int32]
    begin: NDArray[np.float32]
    slope: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.column)

    def encode(self, numeric: Numeric) -> NDArray[np.float32]:
        """[B, N] to [B, S]; 0 where the number is NaN."""
        filled = np.clip((numeric[:, self.column] - self.begin) * self.slope, 0.0, 1.0)
        known: NDArray[np.float32] = np.where(np.isnan(filled), 0.0, filled).astype(np.float32)
        return known


def edges(field: Field, known: NDArray[np.float32], bins: int) -> NDArray[np.float64]:
    """At most `bins` + 1 increasing edges for a number, from its known values in the training data."""
    values = known.astype(np.float64)
    if not values.size:
        return np.array([field.minimum, field.maximum])
    distinct = np.unique(values)
    if len(distinct) == 1:
        return np.array([distinct[0] - 0.5, distinct[0] + 0.5])
    if len(distinct) <= bins + 1:
        return distinct
    even = round(bins * EVEN_SHARE)
    spread = np.concatenate(
        [
            np.quantile(values, np.linspace(0, 1, bins + 1 - even)),
            np.linspace(distinct[0], distinct[-1], even + 2)[1:-1],
        ]
    )
    if field.kind == "int":
        spread = np.round(spread)
    return np.unique(spread)


def segments(contract: Contract, numeric: Numeric, bins: int) -> Segments:
    """The bins of every number of the contract, from training rows [B, N]."""
    column, begin, slope = [], [], []
    for i, field in enumerate(contract.numeric):
        values = numeric[:, i]
        found = edges(field, values[~np.isnan(values)], bins)
        column += [i] * (len(found) - 1)
        begin += list(found[:-1])
        slope += list(1.0 / np.diff(found))
    return Segments(np.array(column, np.int32), np.array(begin, np.float32), np.array(slope, np.float32))
