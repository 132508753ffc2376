"""How is ranges.json fitted? `kit.ranges` says what the limits are and applies them; `kit.training.judging.mistakes` measures what they notice.

Tables come from the earlier training rows, limits from the later ones: each kind of limit may raise its share of the false alarms
there, beyond those of the kinds before it. Limits are set on whole rows, since leaving an answer open never raises an alarm.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from kit.contract import Contract, Field
from kit.ranges import LARGEST, VERSION, BadRanges, Floats, Ranges, encode, tables_text
from kit.rows import UNKNOWN_CODE, Categorical, Numeric
from kit.stage import BadInput

Bins = NDArray[np.intp]

FALSE_ALARMS: Final = 0.0085  # of the later training rows; data that come later still may have 0.01
BOX_SHARE: Final = 0.25  # of the false alarms that the box may raise
DISTANCE_SHARE: Final = 0.25  # that all expectations may raise
EARLIER: Final = 0.8
MOST_ROWS: Final = 400_000
TAILS: Final = (1e-3, 5e-4, 2e-4, 1e-4, 5e-5, 0.0)
WIDER: Final = (1.25, 1.5, 2.0, 3.0, 5.0, 10.0)

FEW_VALUES: Final = 12  # a number with so few is a list: nothing lies between its values
MOST_POINTS: Final = 24  # values that each have a bin of their own
BINS: Final = 16
OUTER: Final = (1e-3, 1e-2, 0.99, 0.999)
LONG_LIST: Final = 64

UNIT: Final = 0.02  # nats

TRIED_ROWS: Final = 12_000
LEAST_BINS: Final = 10  # of a number, for it to be expected
LEAST_ROWS: Final = 500  # of them, for an expectation to be tried at all
MOST_TRIED: Final = 12  # columns that are tried again beside the best one: those that tell most alone
LEAST_EXPLAINED: Final = 0.7  # of a number's variance, for an expectation of it to be kept
LEAST_GAIN: Final = 0.01
LEAST_TOLD: Final = 0.2  # of the rows, for which there has to be an expectation
MOST_GIVEN: Final = 3
SWEEPS: Final = 4
PRIOR_ROWS: Final = 0.1  # how many rows' worth of belief that an answer has no effect
LEAST_SEEN: Final = 3  # rows with an answer, for anything to be expected of it


@dataclass(frozen=True)
class Effects:
    """An additive table: `level` plus, for each given column, an effect by its bin (bin 0, "not known", is left out).

    NaN is the effect of what too few rows had.
    """

    level: float
    given: tuple[int, ...]
    tables: tuple[Floats, ...]

    def of(self, bins: Sequence[Bins]) -> Floats:
        """What is expected of rows with these bins, [B] for each given column, all of them known."""
        total = np.full(len(bins[0]), self.level)
        for place, table in zip(bins, self.tables, strict=True):
            total += table[place - 1]
        return total


@dataclass(frozen=True)
class Fitting:
    """Training rows: bins [N + M, B] (0 is "not known"), numbers [B, N] as they are expected, and how many bins each column has."""

    contract: Contract
    values: Floats
    is_log: NDArray[np.bool_]
    bins: Bins
    sizes: tuple[int, ...]
    names: tuple[str, ...]

    def take(self, rows: Bins) -> "Fitting":
        """Some of the rows."""
        return replace(self, values=self.values[rows], bins=np.ascontiguousarray(self.bins[:, rows]))

    def knows(self, columns: Sequence[int]) -> NDArray[np.bool_]:
        """In which rows all these columns are known, [B]."""
        known: NDArray[np.bool_] = np.all([self.bins[column] > 0 for column in columns], axis=0)
        return known


def fit(contract: Contract, numeric: Numeric, categorical: Categorical) -> bytes:
    """ranges.json of training rows [B, N], [B, M] in the order of time; a field that is never known has no limits."""
    step = max(1, len(numeric) // MOST_ROWS)
    numeric, categorical = numeric[::step], categorical[::step]
    cut = max(1, round(EARLIER * len(numeric)))
    earlier, later = (numeric[:cut], categorical[:cut]), (numeric[cut:], categorical[cut:])
    edges = [edges_of(column[~np.isnan(column)]) for column in earlier[0].T]
    fitting = _fitting(contract, *earlier, edges)
    raw: dict[str, Any] = {
        "version": VERSION,
        "contract": contract.fingerprint,
        "rows": len(numeric),
        "box": {},
        "lists": lists_of(contract, earlier[0]),
        "bins": {f.name: _rounded(e) for f, e in zip(contract.numeric, edges, strict=True)},
        "expectations": [_described(fitting, target, e) for target, e in expectations(fitting)],
        "pairs": {"unit": UNIT, "limit": LARGEST, "between": [], "tables": ""},
    }
    if len(later[0]) == 0:
        later = earlier
    _set_box(raw, contract, earlier[0], later)
    _set_distances(raw, contract, earlier, later)
    _set_pairs(raw, contract, earlier, later)
    return encode(raw)


def fitted(file: Path, contract: Contract) -> Ranges:
    """What `train` has written. Raises `BadInput`."""
    try:
        return Ranges.read(file.read_bytes(), contract)
    except (OSError, BadRanges) as error:
        raise BadInput(f"{file} is not what `train` writes: {error}; train again") from error


def edges_of(known: NDArray[np.float32]) -> Floats:
    """Increasing edges between a number's bins: between all values when they are few, else quantiles, and common values alone."""
    values, counts = np.unique(known.astype(np.float64), return_counts=True)
    if len(values) <= MOST_POINTS:
        return (values[1:] + values[:-1]) / 2
    heavy = values[counts > len(known) / BINS]
    quantiles = np.quantile(known.astype(np.float64), [*np.linspace(0, 1, BINS + 1)[1:-1], *OUTER])
    return np.unique(_rounded(np.concatenate([quantiles, heavy, np.nextafter(heavy.astype(np.float32), np.inf)])))


def lists_of(contract: Contract, numeric: Numeric) -> dict[str, list[float]]:
    """The values of every number (not a boolean) of which training knew only a few, and whose two commonest are no neighbours.

    Of penalty points 0, 3, 4, 5, 6 nobody has 1; but of claims 0, 1, 2, 4 the 3 is missing by chance.
    """
    found = {}
    for f, column in zip(contract.numeric, numeric.T, strict=True):
        values, counts = np.unique(column[~np.isnan(column)], return_counts=True)
        commonest = values[np.argsort(-counts, kind="stable")[:2]]
        if f.kind != "bool" and 1 < len(values) <= FEW_VALUES and abs(commonest[0] - commonest[1]) > 1:
            found[f.name] = values.astype(float).tolist()
    return found


def _fitting(contract: Contract, numeric: Numeric, categorical: Categorical, edges: Sequence[Floats]) -> Fitting:
    values = numeric.astype(np.float64)
    binned = np.stack([np.searchsorted(e, c, side="right") + 1 for e, c in zip(edges, values.T, strict=True)], axis=1)
    binned[np.isnan(values)] = 0
    is_log = np.array([_is_skewed(column[~np.isnan(column)]) for column in values.T])
    values[:, is_log] = np.log1p(values[:, is_log])
    sizes = [len(e) + 2 for e in edges] + [len(f.values) + 1 for f in contract.categorical]
    names = tuple(f.name for f in (*contract.numeric, *contract.categorical))
    bins = np.concatenate([binned.T, categorical.T.astype(np.intp) - UNKNOWN_CODE])
    return Fitting(contract, values, is_log, bins, tuple(sizes), names)


def _is_skewed(known: Floats) -> bool:
    if not known.size or known.min() < 0:
        return False
    low, middle, high = np.quantile(known, [0.01, 0.5, 0.99])
    return bool(middle > 0 and high - middle > 3 * (middle - low))


def expectations(fitting: Fitting) -> list[tuple[int, Effects]]:
    """For each number that others tell: by any of them, and, where the best tell it by a long list, by those without."""
    fields: list[Field] = [*fitting.contract.numeric, *fitting.contract.categorical]
    short = [i for i, f in enumerate(fields) if f.kind != "bool" and fitting.sizes[i] > 2]
    plain = [i for i in short if len(fields[i].values) <= LONG_LIST]
    found = []
    for target, f in enumerate(fitting.contract.numeric):
        if f.kind == "bool" or fitting.sizes[target] < LEAST_BINS:
            continue
        first = _best(fitting, target, short)
        found += [(target, first)] if first else []
        if first and not set(first.given) <= set(plain):
            second = _best(fitting, target, plain)
            found += [(target, second)] if second else []
    return found


def _best(fitting: Fitting, target: int, candidates: Sequence[int]) -> Effects | None:
    """The columns that tell a number best, one after the other, judged on rows that they were not fitted on."""
    known = np.flatnonzero(fitting.knows((target,)))
    if len(known) < LEAST_ROWS:
        return None
    tried = known[:: max(1, len(known) // TRIED_ROWS)]
    fitted, judged = fitting.take(tried[::2]), fitting.take(tried[1::2])
    chosen: tuple[int, ...] = ()
    best, left = 0.0, [column for column in candidates if column != target]
    while len(chosen) < MOST_GIVEN and left:
        scores = {column: _explained(fitted, judged, target, (*chosen, column)) for column in left}
        column = max(scores, key=lambda c: scores[c])
        if scores[column] < best + LEAST_GAIN:
            break
        chosen, best = (*chosen, column), scores[column]
        left = sorted(left, key=lambda c: -scores[c])[: MOST_TRIED + 1]
        left.remove(column)
    return _effects(fitting, target, chosen) if best >= LEAST_EXPLAINED else None


def _explained(fitted: Fitting, judged: Fitting, target: int, given: tuple[int, ...]) -> float:
    """The share of a number's variance among `judged` rows that the table of `fitted` rows explains."""
    usable = judged.knows((target, *given))
    actual = judged.values[usable, target]
    rest = actual - _effects(fitted, target, given, least_seen=1).of([judged.bins[c][usable] for c in given])
    told = ~np.isnan(rest)
    if told.sum() < LEAST_TOLD * len(judged.values) or (variance := actual[told].var()) == 0:
        return 0.0
    return float(1 - (rest[told] ** 2).mean() / variance)


def _effects(fitting: Fitting, target: int, given: tuple[int, ...], least_seen: int = LEAST_SEEN) -> Effects:
    """Backfitting: each table in turn takes the mean of what the others leave over, shrunk where rows are few."""
    usable = fitting.knows((target, *given))
    actual = fitting.values[usable, target]
    level = float(actual.mean()) if len(actual) else 0.0
    places = [fitting.bins[column][usable] - 1 for column in given]
    tables = [np.zeros(fitting.sizes[column] - 1) for column in given]
    seen = [np.bincount(p, minlength=len(t)) for p, t in zip(places, tables, strict=True)]
    rest = actual - level
    for _ in range(SWEEPS if len(given) > 1 else 1):
        for place, table, count in zip(places, tables, seen, strict=True):
            rest += table[place]
            table[:] = np.bincount(place, rest, len(table)) / (count + PRIOR_ROWS)
            rest -= table[place]
    for table, count in zip(tables, seen, strict=True):
        table[count < least_seen] = np.nan
    return Effects(level, given, tuple(tables))


def _described(fitting: Fitting, target: int, found: Effects) -> dict[str, Any]:
    usable = fitting.knows((target, *found.given))
    distances = fitting.values[usable, target] - found.of([fitting.bins[c][usable] for c in found.given])
    distances = distances[~np.isnan(distances)]
    return {
        "field": fitting.names[target],
        "log": bool(fitting.is_log[target]),
        "level": round(found.level, 6),
        "effects": {
            fitting.names[c]: [None if np.isnan(e) else round(e, 5) for e in t.tolist()]
            for c, t in zip(found.given, found.tables, strict=True)
        },
        "limits": [0.0, 0.0],
        "bins": _rounded(np.unique(_rounded(edges_of(distances.astype(np.float32))))),
    }


def _set_box(raw: dict[str, Any], contract: Contract, earlier: Numeric, later: tuple[Numeric, Categorical]) -> None:
    """The widest tails that are cut off within the box's share of false alarms."""
    for tail in TAILS:
        raw["box"] = {
            f.name: _between(c[~np.isnan(c)], tail, f) for f, c in zip(contract.numeric, earlier.T, strict=True)
        }
        low, high = np.array(list(raw["box"].values())).T
        if ((later[0] < low) | (later[0] > high)).any(axis=1).mean() <= FALSE_ALARMS * BOX_SHARE:
            return


def _between(known: NDArray[np.float32], tail: float, f: Field) -> list[float]:
    if not known.size:
        return [f.minimum, f.maximum]
    return [float(np.quantile(known, tail, method="lower")), float(np.quantile(known, 1 - tail, method="higher"))]


def _set_distances(
    raw: dict[str, Any],
    contract: Contract,
    earlier: tuple[Numeric, Categorical],
    later: tuple[Numeric, Categorical],
) -> None:
    """Each expectation by itself: the narrowest limits that keep to its part of the false alarms among the later rows."""
    unlimited = Ranges.read(encode(raw), contract)
    distances = (unlimited.bins(*rows)[1] for rows in (earlier, later))
    allowed = FALSE_ALARMS * DISTANCE_SHARE / max(1, len(raw["expectations"]))
    for expectation, first, then in zip(raw["expectations"], *(d.T for d in distances), strict=True):
        expectation["limits"] = _ends(first[~np.isnan(first)], then, allowed)


def _ends(known: Floats, later: Floats, allowed: float) -> list[float]:
    """Tails are cut off; where even the ends of the earlier rows are too narrow for the later ones, they are moved apart."""
    if not known.size:
        return [0.0, 0.0]
    widths = [(tail, 1.0) for tail in TAILS] + [(0.0, wider) for wider in WIDER]
    for tail, wider in widths:
        low, high = wider * np.quantile(known, [tail, 1 - tail])
        # Outward, so that a value that is exactly as expected is never far from it by rounding.
        low, high = np.floor(low * 1e4) / 1e4, np.ceil(high * 1e4) / 1e4
        if ((later < low) | (later > high)).mean() <= allowed:
            break
    return [float(low), float(high)]


def _set_pairs(
    raw: dict[str, Any],
    contract: Contract,
    earlier: tuple[Numeric, Categorical],
    later: tuple[Numeric, Categorical],
) -> None:
    """The lowest limit of surprise that keeps to the false alarms in all; pairs that cannot reach it are dropped."""
    half = Ranges.read(encode(raw), contract)
    bins, flagged = half.bins(*earlier)[0], half.flags(*later).any
    sizes = [len(raw["bins"][f.name]) + 2 for f in contract.numeric]
    sizes += [len(f.values) + 1 for f in contract.categorical]
    sizes += [len(e["bins"]) + 2 for e in raw["expectations"]]
    tables = {pair: surprise(bins, pair, sizes) for pair in between(contract, half.columns, raw["expectations"])}
    raw["pairs"] |= _encoded(tables, half.columns)
    highest = _highest(Ranges.read(encode(raw), contract), later)[~flagged]
    expected = FALSE_ALARMS * len(flagged)
    allowed = int(expected - np.sqrt(expected)) - int(flagged.sum())  # a few rows may have been lucky
    # Everything above the limit is an alarm, so the limit is the highest surprise that must not be one.
    allowed = max(0, allowed)
    limit = int(np.sort(highest)[::-1][allowed]) if len(highest) > allowed else LARGEST
    limit = max(1, limit)
    raw["pairs"] |= _encoded({p: t for p, t in tables.items() if t.max() > limit}, half.columns) | {"limit": limit}


def _encoded(tables: Mapping[tuple[int, int], NDArray[np.uint8]], columns: Sequence[str]) -> dict[str, Any]:
    flat = [table.ravel() for table in tables.values()]
    return {
        "between": [[columns[a], columns[b]] for a, b in tables],
        "tables": tables_text(np.concatenate(flat) if flat else np.zeros(0, np.uint8)),
    }


def _highest(ranges: Ranges, rows: tuple[Numeric, Categorical]) -> NDArray[np.uint8]:
    parts = [
        ranges.pairs.surprises(ranges.bins(rows[0][i : i + 4096], rows[1][i : i + 4096])[0]).max(axis=1, initial=0)
        for i in range(0, len(rows[0]), 4096)
    ]
    return np.concatenate(parts)


def between(contract: Contract, columns: Sequence[str], found: Sequence[Mapping[str, Any]]) -> list[tuple[int, int]]:
    """The pairs of columns to look at: every number with every number and short list, each expectation with its own fields."""
    numbers = range(len(contract.numeric))
    lists = [len(numbers) + i for i, f in enumerate(contract.categorical) if len(f.values) <= LONG_LIST]
    pairs = [(a, b) for a in numbers for b in (*range(a + 1, len(numbers)), *lists)]
    place = {name: i for i, name in enumerate(columns)}
    plain = {*numbers, *lists}
    for r, expectation in enumerate(found):
        own = [place[name] for name in (expectation["field"], *expectation["effects"])]
        pairs += [(len(columns) - len(found) + r, column) for column in own if column in plain]
    return pairs


def surprise(bins: Bins, pair: tuple[int, int], sizes: Sequence[int]) -> NDArray[np.uint8]:
    """The table of a pair, uint8[sizes] in units of `UNIT`: log((expected + 1) / (seen + 1)), 0 where that is negative or not known."""
    first, second = pair
    shape = sizes[first], sizes[second]
    at = bins[:, first] * shape[1] + bins[:, second]
    seen = np.bincount(at, minlength=shape[0] * shape[1]).reshape(shape)[1:, 1:].astype(np.float64)
    expected = seen.sum(axis=1, keepdims=True) * seen.sum(axis=0, keepdims=True) / max(1.0, seen.sum())
    table = np.zeros(shape, np.uint8)
    table[1:, 1:] = np.clip(np.log((expected + 1) / (seen + 1)) / UNIT, 0, LARGEST).round()
    return table


def _rounded(values: Floats) -> list[float]:
    return [float(f"{v:.7g}") for v in np.asarray(values, np.float64)]
