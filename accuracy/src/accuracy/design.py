"""How do a driver's answers become columns that a linear model can use? Sparse: about as many values per row as there are fields, twice.

A number becomes hat functions: with a knot at each value that occurs it has a level of its own for every value, and between quantiles a
broken line. A category has a column for each of its values. Acceptance thresholds and tariffs can be drawn with both.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

KNOTS: Final = 64
"""A number with so many distinct values or fewer has a knot at each; one with more has them at as many quantiles."""

Floats = NDArray[np.floating[Any]]
Codes = NDArray[np.int32]


@dataclass(frozen=True)
class Design:
    """The columns of a linear model: each numeric field's knots, and each categorical field's number of values."""

    knots: tuple[Floats, ...]
    sizes: tuple[int, ...]

    @classmethod
    def of(cls, numeric: Floats, sizes: Sequence[int]) -> Self:
        """The knots follow from packed training rows, [B, N]."""
        return cls(tuple(knots(column) for column in numeric.T), tuple(sizes))

    def columns(self, numeric: Floats, categorical: Codes) -> sp.csr_array:
        """Packed rows [B, N] and [B, M] as a sparse matrix; what is not known is a row of zeros."""
        parts = [hats(column, k) for column, k in zip(numeric.T, self.knots, strict=True)]
        parts += [one_hot(column, n) for column, n in zip(categorical.T, self.sizes, strict=True)]
        return sp.csr_array(sp.hstack(parts, format="csr"))


def knots(column: Floats, most: int = KNOTS) -> Floats:
    """Where the broken line of a number may break, increasing; [0] when nothing is known of it."""
    known = column[np.isfinite(column)]
    values = np.unique(known)
    if len(values) > most:
        values = np.unique(np.quantile(known, np.linspace(0, 1, most)))
    return values.astype(np.float64) if len(values) else np.zeros(1)


def hats(column: Floats, at: Floats) -> sp.csr_array:
    """The weight of each knot, [B, knots]: between two knots both have a share, beyond the last one it has all."""
    there = np.flatnonzero(np.isfinite(column))
    values = np.clip(column[there].astype(np.float64), at[0], at[-1])
    left = np.clip(np.searchsorted(at, values, side="right") - 1, 0, max(len(at) - 2, 0))
    right = np.minimum(left + 1, len(at) - 1)
    width = at[right] - at[left]
    share = np.divide(values - at[left], width, out=np.zeros_like(values), where=width > 0)
    data, rows = np.concatenate([1 - share, share]), np.concatenate([there, there])
    found = sp.csr_array((data, (rows, np.concatenate([left, right]))), shape=(len(column), len(at)))
    found.eliminate_zeros()
    return found


def one_hot(codes: Codes, size: int) -> sp.csr_array:
    """A column for each value, [B, size]."""
    there = np.flatnonzero(codes >= 0)
    return sp.csr_array((np.ones(len(there)), (there, codes[there])), shape=(len(codes), size))
