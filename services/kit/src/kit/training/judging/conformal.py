"""How is calibration.json fitted? On a slice of time that neither training nor test saw; `kit.calibration` applies it.

Intervals are conformalised quantile regression (Romano, Patterson, Candès 2019), each end for itself: the scores of the low end are
low - y and those of the high end y - high, and a row of the table holds the ceil((n + 1)(1 - tail))-th smallest of them. On top of it
come additive effects of the risk's bands and of the insurer. They are found by going round: the same quantile of what the others leave,
in each group, until every group has its share outside at once; which is what descending the pinball loss along its coordinates does.

A group of few enquiries says little, and cells of one enquiry are alike. So each effect is shrunk towards nought (empirical Bayes, with
the limited translation of Efron and Morris 1972): by tau^2 / (tau^2 + se^2), where se is the standard error of the group's share outside,
with enquiries, not cells, as what is drawn, and tau^2 the variance between groups beyond these; but a group that is far from the others
for certain keeps its distance.

Probabilities go through beta calibration (Kull, Silva Filho, Flach 2017), with offsets for bands and insurers by penalised logistic
regression. It has one number more than Platt's: a net that must draw a threshold as a slope is wrong near 0 otherwise than near 1.

Each table has a row for each key (how much of each group of questions was answered) with enough enquiries. What is left over of a half
key (which groups are at least half answered) is fitted together; a row with few enquiries keeps the effects of the row that would be next. The pooled row is of all.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from kit.calibration import (
    BANDS,
    BETA,
    HALF,
    INSURERS,
    INTERVAL,
    KEYS,
    POOLED,
    SMALLEST_P,
    Bands,
    Cells,
    count_scale,
)
from kit.rows import half_answered
from kit.training.data.slices import quotes_of_all

Floats = NDArray[np.floating[Any]]
Which = NDArray[np.intp]

ROUNDS: Final = 3
CERTAIN: Final = 2.0  # squared standard errors from which on a group is trusted by itself
NEWTON_STEPS: Final = 12
MOST_ENQUIRIES: Final = (
    25_000  # that one row of probabilities, or a pooled one, is fitted on: more change no digit that counts
)
MOST_LOGIT: Final = 30.0  # beyond it one less a probability is nought
SMALLEST_STEP: Final = 1e-6
SLOPE_PRIOR: Final = 10.0  # how many certain cells' worth of belief that slopes are those of the row that would be next
INSURER_PRIOR: Final = 100.0
BAND_PRIOR: Final = 500.0  # cells of one enquiry are alike
DIGITS: Final = 4


@dataclass(frozen=True)
class Row:
    """One row of a table: the numbers [P], what each place of the bands adds [W, E] and what each insurer adds [K, E]."""

    add: Floats
    bands: Floats
    insurers: Floats


Fit = Callable[[Which, Row | None, bool], Row]


@dataclass(frozen=True, slots=True)
class Enough:
    """How many enquiries a row of a table needs, and how many to have effects of bands and insurers of its own."""

    row: int
    effects: int


def margin(scores: Floats, tail: float) -> float:
    """The ceil((n + 1)(1 - tail))-th smallest of n scores; the largest when there is no such one."""
    place = int(np.ceil((len(scores) + 1) * (1 - tail)))
    return float(np.partition(scores, min(place, len(scores)) - 1)[min(place, len(scores)) - 1])


def intervals(below: Floats, above: Floats, cells: Cells, bands: Bands, level: float, enough: Enough) -> dict[str, Any]:
    """What to add to the low and to the high quantile so that `level` lie between.

    `below` and `above` [B, K] are by how much the truth lies outside of either end (negative: inside; NaN: there is none).
    """
    tail = (1 - level) / 2

    sign = np.array([-1.0, 1.0])  # the low end moves down

    def fit(which: Which, after: Row | None, effects: bool) -> Row:
        places, ends = cells.places[which], []
        for end, scores in enumerate((below, above)):
            kept = None if effects or after is None else (sign * after.bands, sign * after.insurers)
            fixed = None if kept is None else (kept[0][:, end], kept[1][:, end])
            ends.append(additive(scores[which], places, bands, tail, fixed))
        add, by_band, by_insurer = (np.stack(part, axis=-1) for part in zip(*ends, strict=True))
        # Rounded outwards: of counts, which are whole numbers, a large share may lie on the very end.
        return Row(sign * np.ceil(add * 10**DIGITS) / 10**DIGITS, sign * by_band, sign * by_insurer)

    return table(fit, np.asarray(np.isfinite(below).any(axis=1)), cells, bands, INTERVAL, enough)


def additive(
    scores: Floats, places: Which, bands: Bands, tail: float, fixed: tuple[Floats, Floats] | None
) -> tuple[float, Floats, Floats]:
    """The margin of [B, K] scores as a sum: for all, for each place of the bands [W], and for each insurer [K].

    The effects of bands and insurers are fitted, unless they are given as `fixed`.
    """
    insurers = scores.shape[1]
    row, insurer = (place.astype(np.int32) for place in np.nonzero(np.isfinite(scores)))
    left = scores[row, insurer].astype(np.float32)  # what is still to be explained
    groups = [
        *(
            _Group.of((places[:, f] - bands.begins[f])[row], size, row, len(scores))
            for f, size in enumerate(bands.sizes)
        ),
        _Group.of(insurer, insurers, None, 0),
    ]
    effects: list[Floats] = [np.zeros(group.size) for group in groups]
    if fixed is not None:
        effects = [*np.split(fixed[0], bands.begins[1:-1])[: len(bands.sizes)], fixed[1]]
        for group, effect in zip(groups, effects, strict=True):
            left -= effect.astype(np.float32)[group.of_cell]
        return margin(left, tail), *fixed
    base = margin(left, tail)
    weights: dict[int, Floats] = {}
    for _ in range(ROUNDS):
        for j, group in enumerate(groups):
            if group.size > 1:
                left += effects[j].astype(np.float32)[group.of_cell]
                if j not in weights:
                    weights[j] = group.weights(left > base, tail)
                effects[j] = weights[j] * (group.margins(left, tail, base) - base)
                left -= effects[j].astype(np.float32)[group.of_cell]
        base = margin(left, tail)
    return base, np.concatenate([*effects[:-1], np.zeros(0)]), effects[-1]


@dataclass(frozen=True)
class _Group:
    """The groups of one kind: of which each cell is, the cells in their order, and where in it each group begins."""

    size: int
    of_cell: NDArray[np.int16]
    order: NDArray[np.int32]
    begins: NDArray[np.intp]
    row: NDArray[np.int32] | None  # the enquiry of each cell; None where groups cut across enquiries
    rows: int

    @classmethod
    def of(cls, of_cell: NDArray[Any], size: int, row: NDArray[np.int32] | None, rows: int) -> "_Group":
        small = of_cell.astype(np.int16)  # sorted by radix
        order = np.argsort(small, kind="stable").astype(np.int32)
        return cls(size, small, order, np.searchsorted(small[order], np.arange(size + 1)), row, rows)

    def margins(self, scores: Floats, tail: float, empty: float) -> Floats:
        """The margin in each group, [size]; `empty` where there is no cell."""
        ordered = scores[self.order]
        spans = zip(self.begins, self.begins[1:], strict=False)
        return np.array([margin(ordered[b:e], tail) if e > b else empty for b, e in spans])

    def weights(self, outside: NDArray[np.bool_], tail: float) -> Floats:
        """How far each group's own margin is to be trusted, 0 to 1, [size]."""
        cells = np.diff(self.begins).astype(np.float64)
        beyond = outside - tail
        drawn = cells * tail * (1 - tail)
        if self.row is not None:
            by_row = np.bincount(self.row, beyond, self.rows)
            of_row = np.zeros(self.rows, np.int16)
            of_row[self.row] = self.of_cell
            drawn = np.maximum(drawn, np.bincount(of_row, by_row**2, self.size))
        with np.errstate(divide="ignore", invalid="ignore"):
            share = np.bincount(self.of_cell, beyond, self.size) / cells
            error = drawn / cells**2
            trust = np.where(cells > 0, 1 / error, 0)
            between = max(np.nansum(trust * (share**2 - error)) / trust.sum(), 0.0) if trust.sum() else 0.0
            shrunk = np.maximum(between / (between + error), 1 - CERTAIN * error / share**2)
        return np.where(cells > 0, np.nan_to_num(shrunk, neginf=0.0).clip(0, 1), 0.0)


def probabilities(p: Floats, quoted: NDArray[np.int8], cells: Cells, bands: Bands, enough: Enough) -> dict[str, Any]:
    """The numbers of beta calibration for [B, K] probabilities, given what happened, int8 [B, K] (-1 none)."""

    def fit(which: Which, after: Row | None, effects: bool) -> Row:
        which = _some(which)
        return beta(p[which], quoted[which], cells.places[which], bands, after, effects)

    return table(fit, np.asarray((quoted >= 0).any(axis=1)), cells, bands, BETA, enough)


def beta(p: Floats, quoted: NDArray[np.int8], places: Which, bands: Bands, after: Row | None, effects: bool) -> Row:
    """One row, by turns: Newton's method for the slopes and the intercept, and a step of it for each effect."""
    insurers = p.shape[1]
    row, insurer = (place.astype(np.int32) for place in np.nonzero(quoted >= 0))
    chance = np.clip(p[row, insurer].astype(np.float64), SMALLEST_P, 1 - SMALLEST_P)
    happened = quoted[row, insurer] == 1
    design = np.stack([np.log(chance), -np.log1p(-chance), np.ones_like(chance)], axis=1)
    if after is None:
        after = Row(np.array([1.0, 1.0, 0.0]), np.zeros((int(bands.begins[-1]), 1)), np.zeros((insurers, 1)))
    groups = [(places[row, f], after.bands[:, 0].copy(), BAND_PRIOR) for f in range(len(bands.sizes))]
    groups.append((insurer, after.insurers[:, 0].copy(), INSURER_PRIOR))
    by_band = after.bands[:, 0].copy()
    by_insurer = after.insurers[:, 0].copy()
    moved = [*([by_band] * len(bands.sizes)), by_insurer]  # places of one field are no other's
    offset = np.zeros(len(chance))
    for (of_cell, _, _), effect in zip(groups, moved, strict=True):
        offset += effect[of_cell]
    add = slopes(design, happened, offset, after.add)
    for _ in range(ROUNDS if effects else 0):
        for (of_cell, start, prior), effect in zip(groups, moved, strict=True):
            q = _expected(design @ add + offset)
            size = len(effect)
            step = (
                np.bincount(of_cell, q - happened, size) + prior * np.where(_used(of_cell, size), effect - start, 0)
            ) / (np.bincount(of_cell, q * (1 - q), size) + prior)
            np.subtract(effect, step, out=effect)
            offset -= step[of_cell]
        add = slopes(design, happened, offset, after.add, add)
    return Row(add, by_band[:, None], by_insurer[:, None])


def _used(of_cell: Which, size: int) -> NDArray[np.bool_]:
    return np.bincount(of_cell, minlength=size) > 0


def _expected(logit: Floats) -> Floats:
    found: Floats = 1 / (1 + np.exp(-np.clip(logit, -MOST_LOGIT, MOST_LOGIT)))
    return found


def slopes(
    design: Floats, happened: NDArray[np.bool_], offset: Floats, prior: Floats, start: Floats | None = None
) -> Floats:
    """Logistic regression of `happened` on [C, 3] by Newton's method, with a weak prior; neither slope may be negative."""
    free = np.ones(3, bool)

    def cost(at: Floats) -> float:
        q = _expected(design @ at + offset)
        return float(SLOPE_PRIOR / 2 * ((at - prior) ** 2).sum() - np.log(np.where(happened, q, 1 - q)).sum())

    found = prior.copy() if start is None else start.copy()
    least = cost(found)
    for _ in range(NEWTON_STEPS):
        q = _expected(design @ found + offset)
        gradient = design.T @ (q - happened) + SLOPE_PRIOR * (found - prior)
        hessian = (design * (q * (1 - q))[:, None]).T @ design + SLOPE_PRIOR * np.eye(3)
        # A slope that lies at nought and would go on below it stays there.
        free[:2] = (found[:2] > 0) | (gradient[:2] < 0)
        step = np.zeros(3)
        step[free] = np.linalg.solve(hessian[np.ix_(free, free)], gradient[free])
        # A full step from far away can overshoot: halve it until it helps.
        while (now := cost(_not_falling(found - step))) > least and np.abs(step).max() > SMALLEST_STEP:
            step /= 2
        if np.abs(step).max() <= SMALLEST_STEP:
            break
        found, least = _not_falling(found - step), now
    return found


def _not_falling(at: Floats) -> Floats:
    return np.array([max(at[0], 0.0), max(at[1], 0.0), at[2]])


def counts(
    p: Floats, quoted: NDArray[np.int8], cells: Cells, bands: Bands, level: float, enough: Enough
) -> dict[str, Any]:
    """How far the number of quotes lies from the sum of all calibrated [B, K] probabilities, in units of `kit.calibration.count_scale`.

    Both are of all K insurers, as the count is served (see `kit.training.data.slices.quotes_of_all`).
    """
    strays = ((quotes_of_all(quoted) - p.sum(axis=1)) / count_scale(p))[:, None]
    return intervals(-strays, strays, cells, bands, level, enough)


def table(
    fit: Fit, counts_at_all: NDArray[np.bool_], cells: Cells, bands: Bands, numbers: tuple[str, ...], enough: Enough
) -> dict[str, Any]:
    """A TABLE of calibration.json; `fit` makes a row of some enquiries, from the row that would be next.

    Raises ValueError without any enquiry that counts.
    """
    if not counts_at_all.any():
        raise ValueError("there is nothing to calibrate on")
    halves = half_answered(cells.keys)
    pooled = fit(_some(np.flatnonzero(counts_at_all)), None, True)
    found: dict[str, Any] = {"numbers": list(numbers), POOLED: _raw(pooled, None, int(counts_at_all.sum()), bands)}
    by_key = _by_key(cells.keys, counts_at_all)
    large = {key: which for key, which in by_key.items() if len(which) >= enough.row}
    # What stands for keys without a row is fitted on them, and not on the many enquiries of a key that has one.
    rest = counts_at_all & ~np.isin(cells.keys, list(large))
    by_half = {}
    for half, every in _by_key(halves, counts_at_all).items():
        left = every[rest[every]]
        which = left if len(left) >= enough.row else every
        if len(which) >= enough.row:
            by_half[half] = fit(which, pooled, len(which) >= enough.effects), len(which)
    found[HALF] = {
        str(half): _raw(row, pooled, size, bands, effects=size >= enough.effects)
        for half, (row, size) in by_half.items()
    }
    found[KEYS] = {}
    for key, which in large.items():
        after, _ = by_half.get(int(half_answered(np.array([key]))[0]), (pooled, 0))
        effects = len(which) >= enough.effects
        found[KEYS][str(key)] = _raw(fit(which, after, effects), after, len(which), bands, effects=effects)
    return found


def _some(which: Which) -> Which:
    """Evenly spread ones, when there are very many."""
    return which[:: -(-len(which) // MOST_ENQUIRIES)]


def _by_key(keys: NDArray[np.int64], counts_at_all: NDArray[np.bool_]) -> dict[int, Which]:
    """The enquiries that count, in the order given, of each key."""
    which = np.flatnonzero(counts_at_all)
    order = np.argsort(keys[which], kind="stable")
    distinct, begins = np.unique(keys[which][order], return_index=True)
    return dict(zip(distinct.tolist(), np.split(which[order], begins[1:]), strict=True))


def _raw(row: Row, after: Row | None, size: int, bands: Bands, *, effects: bool = True) -> dict[str, Any]:
    """A ROW of calibration.json; what is as in the row that would be next is left out."""
    found: dict[str, Any] = {"add": _listed(row.add), "rows": size}
    if effects:
        spans = zip(bands.edges, bands.begins, bands.begins[1:], strict=False)
        by_field = {name: _listed(row.bands[b:e]) for name, b, e in spans}
        found[BANDS] = {name: values for name, values in by_field.items() if np.any(values)}
        if len(row.insurers) > 1 and (after is None or not np.array_equal(row.insurers, after.insurers)):
            found[INSURERS] = _listed(row.insurers)
    return found


def _listed(values: Floats) -> Any:
    return (np.round(values, DIGITS) + 0.0).tolist()  # no -0.0
