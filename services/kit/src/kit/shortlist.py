"""Whom must a website ask, so that the best price is not lost? A table fitted offline, applied with NumPy only.

A model says for each insurer how likely it is to be the cheapest, [B, K], summing to 1. Insurers are asked in falling order of it until
those before the next one add up to more than a threshold. The threshold is conformal (adaptive prediction sets, Romano, Sesia, Candès
2020, without their lottery): on a slice of time that training did not see, the cheapest insurer has a score, the probability of all
that come before it; with the ceil((n + 1) keep)-th smallest score as threshold, it is asked in a share `keep` of enquiries (fitting aims a little higher). The table
holds a threshold for each key of `kit.rows.answered` with rows enough, each half key, and for any other key.

The section of calibration.json:

    {"keeps": [0.8, 0.9, ...], "pooled": ROW, "half": {half key: ROW}, "keys": {key: ROW}}
    ROW = {"thresholds": [a number for each keep], "shifts": [...], "regrets": [...], "rows": enquiries it was fitted on}

`shifts` are added to the probability of a set, so that on average it says what was kept, and `regrets` multiply what deferring is
expected to cost. The promise is kept on average over enquiries like those of the slice, in each key with a row of its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from kit.rows import UPPER_BITS

Floats = NDArray[np.floating[Any]]
Places = NDArray[np.intp]

SECTION: Final = "shortlist"
POOLED, HALF, KEYS = "pooled", "half", "keys"


class BadShortlist(ValueError):
    """The table cannot be used; the message says why."""


class BadKeep(ValueError):
    """No such share can be promised; the message says which can."""


@dataclass(frozen=True, slots=True)
class Row:
    """What belongs to each of the table's keeps."""

    thresholds: tuple[float, ...]
    shifts: tuple[float, ...]
    regrets: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class Asked:
    """Of B enquiries: the insurers in falling order of being the cheapest, int[B, K], how many of them are asked, int[B], and the
    calibrated probability that the cheapest is among these, [B].
    """

    order: Places
    count: Places
    kept: Floats

    def mask(self) -> NDArray[np.bool_]:
        """Whom to ask, bool[B, K] in the insurers' own order."""
        found = np.zeros(self.order.shape, bool)
        np.put_along_axis(found, self.order, np.arange(self.order.shape[1]) < self.count[:, None], axis=1)
        return found

    def split(self, row: int, insurers: Sequence[str]) -> tuple[list[str], list[str]]:
        """The ids to ask and those to defer, for one of the enquiries, likeliest first."""
        names = [insurers[place] for place in self.order[row].tolist()]
        return names[: self.count[row]], names[self.count[row] :]


@dataclass(frozen=True)
class Shortlists:
    """The table: a row for each key, for each half key, and for any other."""

    keeps: tuple[float, ...]
    by_key: Mapping[int, Row]
    by_half: Mapping[int, Row]
    pooled: Row

    @classmethod
    def read(cls, raw: Mapping[str, Any]) -> Self:
        """Make it of its section. Raises `BadShortlist`."""
        try:
            keeps = tuple(float(keep) for keep in raw["keeps"])
            found = cls(
                keeps,
                {int(key): _row(row, len(keeps)) for key, row in raw[KEYS].items()},
                {int(key): _row(row, len(keeps)) for key, row in raw[HALF].items()},
                _row(raw[POOLED], len(keeps)),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BadShortlist(f"`{SECTION}` cannot be read: {type(error).__name__} at {error}") from error
        if not keeps or keeps[0] <= 0 or keeps[-1] >= 1 or list(keeps) != sorted(set(keeps)):
            raise BadShortlist(f"`{SECTION}`: `keeps` must be shares in rising order")
        return found

    def ask(self, p: Floats, keys: NDArray[np.int64], keep: float) -> Asked:
        """Whom to ask of the K insurers, from their probabilities [B, K] to be the cheapest. Raises `BadKeep`."""
        thresholds, shifts, _ = self._at(keys, keep)
        order, before = ranked(p)
        count = np.maximum(1, (before <= thresholds[:, None]).sum(axis=1))
        within = np.take_along_axis(np.cumsum(np.take_along_axis(p, order, 1), axis=1), count[:, None] - 1, 1)[:, 0]
        return Asked(order, count, np.clip(within + shifts, 0.0, 1.0))

    def regret(self, asked: Asked, p: Floats, log_premium: Floats, keys: NDArray[np.int64], keep: float) -> Floats:
        """What asking only these is expected to cost, in pounds of the best price, [B]; `log_premium` are low, middle, high, [B, K, 3].

        Raises `BadKeep`.
        """
        _, _, scale = self._at(keys, keep)
        return scale * loss(asked.mask(), p, log_premium)

    def _at(self, keys: NDArray[np.int64], keep: float) -> tuple[Floats, Floats, Floats]:
        if not self.keeps[0] <= keep <= self.keeps[-1]:
            raise BadKeep(f"keep must be from {self.keeps[0]:g} to {self.keeps[-1]:g}")
        distinct, place = np.unique(keys, return_inverse=True)
        rows = [self.row(int(key)) for key in distinct]
        return tuple(  # type: ignore[return-value]
            np.array([np.interp(keep, self.keeps, getattr(row, name)) for row in rows])[place]
            for name in ("thresholds", "shifts", "regrets")
        )

    def row(self, key: int) -> Row:
        """The row of a key of `kit.rows.answered`."""
        return self.by_key.get(key) or self.by_half.get(key & UPPER_BITS) or self.pooled


def ranked(p: Floats) -> tuple[Places, Floats]:
    """The columns of [B, K] in falling order, ties in their own order, and the sum of those before each place, [B, K]."""
    order = np.argsort(-p, axis=1, kind="stable")
    falling = np.take_along_axis(p, order, 1)
    return order, np.cumsum(falling, axis=1) - falling


def loss(mask: NDArray[np.bool_], p: Floats, log_premium: Floats) -> Floats:
    """Before it is calibrated: over those deferred, the probability to be the cheapest times how far its low price lies below the best
    median among those asked, in pounds, [B].
    """
    best = np.exp(np.where(mask, log_premium[..., 1], np.inf).min(axis=1))
    gap = np.maximum(best[:, None] - np.exp(log_premium[..., 0]), 0.0)
    found: Floats = np.where(mask, 0.0, p * gap).sum(axis=1)
    return found


def _row(raw: Mapping[str, Any], keeps: int) -> Row:
    columns = [tuple(float(value) for value in raw[name]) for name in ("thresholds", "shifts", "regrets")]
    if any(len(column) != keeps for column in columns) or not np.isfinite(columns).all():
        raise ValueError(f"a row needs {keeps} finite numbers in each list")
    return Row(*columns)
