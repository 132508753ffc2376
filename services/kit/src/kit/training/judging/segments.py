"""Which groups is a model measured in? Bands of age and points, regions, fifths of the area's figures, kinds of insurer.

The test stage writes them to report.json, for each profile of `PROFILES` and each kind of group whose field the profile knows:

    "segments": {profile: {kind: {group: {"rows": enquiries that count, "cells": answers that count, figure: value, ...}}}}

`kind` is age, points, region, urbanity, deprivation or archetype; a group without a row is left out, and what is not known is the group
`unknown`. Figures of the premium branch: premium_mape, premium_bias (mean of log predicted less log asked), coverage, width, and, where
groups are of enquiries, <panel figure>_mape, <panel figure>_coverage and likely_insurers_coverage. Of the quote branch: auc (over all cells of the group),
calibration_error, quote_share, quote_gap (predicted less observed share) and, where groups are of enquiries, count_coverage: of the number
of insurers that quote, in the whole numbers that the gateway serves.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from kit.contract import Contract
from kit.training.data.slices import Rows
from kit.training.nets.masking import FULL, Mask

PROFILES: Final = (FULL, "no_history", "showroom9", "showroom6", "showroom4")
UNKNOWN: Final = "unknown"
AGES: Final[Mapping[str, float]] = {
    "17-20": 17, "21-24": 21, "25-29": 25, "30-39": 30, "40-49": 40, "50-59": 50, "60-69": 60, "70-79": 70, "80+": 80,
}  # fmt: skip
POINTS: Final[Mapping[str, float]] = {"none": 0, "1-3": 1, "4-6": 4, "7+": 7}
BANDS: Final = {"age": AGES, "points": POINTS}
FIFTHS: Final = ("1 lowest", "2", "3", "4", "5 highest")
IN_FIFTHS: Final = ("urbanity", "deprivation")
REGION: Final = "region"
KINDS: Final = (*BANDS, *IN_FIFTHS, REGION)
"""Groups of enquiries, each by the field of that name."""
ARCHETYPE: Final = "archetype"


@dataclass(frozen=True)
class Partition:
    """Every enquiry, or every insurer, in one group: its place in `names`, int64[B] or int64[K]."""

    names: tuple[str, ...]
    place: NDArray[np.int64]
    of_insurers: bool = False

    def sums(self, cells: "Sums") -> NDArray[np.float64]:
        """The sum over each group's cells, float64[G]."""
        weights = cells.by_insurer if self.of_insurers else cells.by_row
        return np.bincount(self.place, weights, len(self.names)).astype(np.float64)

    def rows(self, counts: NDArray[np.bool_]) -> NDArray[np.int64]:
        """The enquiries with at least one cell that counts, of bool[B, K], in each group, int64[G]."""
        if self.of_insurers:
            return np.array([counts[:, self.place == g].any(axis=1).sum() for g in range(len(self.names))], np.int64)
        return np.bincount(self.place[counts.any(axis=1)], minlength=len(self.names))

    def keys(self) -> NDArray[np.int64]:
        """The places, in the shape that broadcasts against cells [B, K]."""
        return self.place[None, :] if self.of_insurers else self.place[:, None]


@dataclass(frozen=True)
class Sums:
    """Cells [B, K] summed over insurers, float64[B], and over enquiries, float64[K]."""

    by_row: NDArray[np.float64]
    by_insurer: NDArray[np.float64]


def summed(cells: NDArray[Any]) -> Sums:
    """Both sums of cells [B, K]: any partition's sums follow from them."""
    return Sums(cells.sum(axis=1, dtype=np.float64), cells.sum(axis=0, dtype=np.float64))


def kinds(contract: Contract, known: Mask) -> frozenset[str]:
    """The kinds of groups of enquiries that a profile's mask, bool[N + M], leaves: those whose field is known."""
    fields = (*contract.numeric, *contract.categorical)
    return frozenset(f.name for f, k in zip(fields, known, strict=True) if k and f.name in KINDS)


def partitions(
    contract: Contract, rows: Rows, known: Mask, insurers: Sequence[str], archetypes: Mapping[str, str]
) -> dict[str, Partition]:
    """The groups by kind, of B packed rows with all their answers, and of the K insurers.

    `known` is the profile's mask, bool[N + M]: a kind is left out when its field is not known. So is a field that the contract lacks,
    and the archetypes when nobody said them (an insurer without one is `unknown`).
    """
    found = {}
    for name, column in _known_columns(contract, rows, known).items():
        if name in BANDS:
            found[name] = bands(column, BANDS[name])
        elif name in IN_FIFTHS:
            found[name] = fifths(column)
        elif name == REGION:
            values = contract.by_name[REGION].values
            found[name] = _partition([*values, UNKNOWN], np.where(column < 0, len(values), column).astype(np.int64))
    if archetypes:
        kinds = [archetypes.get(insurer, UNKNOWN) for insurer in insurers]
        names, place = np.unique(kinds, return_inverse=True)
        found[ARCHETYPE] = Partition(tuple(str(n) for n in names), place.astype(np.int64), of_insurers=True)
    return found


def bands(column: NDArray[np.float32], begins: Mapping[str, float]) -> Partition:
    """Bands by where each begins, lowest first; NaN is `unknown`, and what lies below the first is in it."""
    place = np.searchsorted(list(begins.values()), column, side="right") - 1
    return _partition([*begins, UNKNOWN], np.where(np.isnan(column), len(begins), np.maximum(place, 0)))


def fifths(column: NDArray[np.float32]) -> Partition:
    """Fifths of these rows; equal values stay together, so that a fifth can be larger or missing. NaN is `unknown`."""
    known = column[~np.isnan(column)]
    edges = np.quantile(known, [0.2, 0.4, 0.6, 0.8]) if len(known) else np.zeros(4)
    return _partition(
        [*FIFTHS, UNKNOWN], np.where(np.isnan(column), len(FIFTHS), np.searchsorted(edges, column, side="left"))
    )


def _partition(names: Sequence[str], place: NDArray[np.int64]) -> Partition:
    """Only the groups that occur, in their order."""
    present, dense = np.unique(place, return_inverse=True)
    return Partition(tuple(names[p] for p in present), dense.astype(np.int64))


def _known_columns(contract: Contract, rows: Rows, known: Mask) -> dict[str, NDArray[Any]]:
    columns = [*rows.numeric.T, *rows.categorical.T]
    fields = (*contract.numeric, *contract.categorical)
    return {f.name: c for f, c, k in zip(fields, columns, known, strict=True) if k}
