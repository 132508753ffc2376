"""Is a row like those that the models have learnt from? Tables fitted in training (`ranges.json`), applied with NumPy only.

Three kinds of limits, each with its own small share of false alarms:

box           each number by itself: outside the narrow tails of training, or, where training knew a handful of values, not one of them.
expectations  a number given others: its distance from an additive table of two or three other answers (the value of a car given its
              age and its group, the urbanity of a place given its sector) is far in the tails of training.
pairs         every pair of answers: both values are common, but together they came far more rarely than by chance. The surprise of a
              cell is log((expected + 1) / (seen + 1)), in nats, with what chance would have put there as `expected`: a cell that has
              too few rows to say anything surprises nobody.

A limit counts only when all its fields are known, so that any set of answers can be checked, and leaving an answer open never raises
an alarm: the share of false alarms among whole rows bounds that of every showroom's few questions.
"""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from kit.contract import Contract
from kit.rows import Categorical, Numeric

Floats = NDArray[np.float64]
Bins = NDArray[np.intp]

FILE: Final = "ranges.json"
VERSION: Final = 2
LARGEST: Final = 254  # surprise in a table; a limit of 255 would never be broken
MOST_FIELDS: Final = 6
CHUNK: Final = 4096  # rows; bounds the memory of a batch


class BadRanges(ValueError):
    """The tables cannot be used; the message says why."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why a row is out of range, as field names: `box` are those whose own value is, `joint` those that, beside them, do not go together."""

    box: tuple[str, ...]
    joint: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.box or self.joint)


@dataclass(frozen=True, slots=True)
class Flags:
    """Which of B rows are out of range, and by which kind of limit, bool[B] each."""

    box: NDArray[np.bool_]
    joint: NDArray[np.bool_]

    @property
    def any(self) -> NDArray[np.bool_]:
        """Either of them."""
        return self.box | self.joint


@dataclass(frozen=True, eq=False)
class Expectations:
    """R additive tables in one array: `effects` float64[E], where entry `base[r, j] + bin` belongs to the j-th given column of r.

    Bin 0, "not known", holds NaN, and so does what too few training rows had. Columns count numbers first, then categories. A place of `given` that is not used points at a zero.
    """

    target: NDArray[np.intp]
    is_log: NDArray[np.bool_]
    level: Floats
    given: NDArray[np.intp]
    base: NDArray[np.intp]
    effects: Floats
    low: Floats
    high: Floats

    def distances(self, numeric: Floats, bins: Bins) -> Floats:
        """How far each number lies from what is expected, [B, R]; NaN where something is not known."""
        found: Floats = numeric.take(self.target, axis=1)
        np.log1p(found, out=found, where=self.is_log)
        found -= self.level
        found -= self.effects.take(bins.take(self.given, axis=1) + self.base).sum(axis=2)
        return found

    def are_far(self, distances: Floats) -> NDArray[np.bool_]:
        """Which distances [B, R] are outside their limits; NaN is not."""
        far: NDArray[np.bool_] = (distances < self.low) | (distances > self.high)
        return far


@dataclass(frozen=True, eq=False)
class Pairs:
    """P tables in one array, uint8[T] in units of `unit` nats: entry `base[p] + bin[first] * width[p] + bin[second]`."""

    first: NDArray[np.intp]
    second: NDArray[np.intp]
    base: NDArray[np.intp]
    width: NDArray[np.intp]
    tables: NDArray[np.uint8]
    limit: int

    def surprises(self, bins: Bins) -> NDArray[np.uint8]:
        """Each pair's entry, [B, P]; 0 where one of the two is not known."""
        at = bins.take(self.first, axis=1) * self.width
        at += self.base
        at += bins.take(self.second, axis=1)
        return self.tables.take(at)


@dataclass(frozen=True, eq=False)
class Ranges:
    """All limits of a model. `columns` are the names of numbers, then categories, then expectations, as `bins` counts them."""

    columns: tuple[str, ...]
    low: Floats
    high: Floats
    lists: Mapping[int, frozenset[float]]
    edges: Floats
    distance_edges: Floats
    expectations: Expectations
    members: tuple[tuple[str, ...], ...]
    pairs: Pairs

    @classmethod
    def read(cls, text: str | bytes, contract: Contract) -> Self:
        """Make it of a ranges.json. Raises `BadRanges`."""
        try:
            raw = json.loads(text, parse_constant=_refuse)
            _check(raw["version"] == VERSION, f"has version {raw['version']!r}, this code reads {VERSION}")
            _check(raw["contract"] == contract.fingerprint, f"was made for contract {str(raw['contract'])[:12]}")
            return cls(**_read(raw, contract))
        except BadRanges:
            raise
        except (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            raise BadRanges(f"{FILE} cannot be read: {type(error).__name__} at {error}") from error

    def check(self, numeric: Numeric, categorical: Categorical) -> Verdict | None:
        """Why one packed row ([1, N], [1, M]) is out of range; None when it is not."""
        outside, distances, surprises = self._limits(numeric, categorical)
        far = self.expectations.are_far(distances)
        if not (outside.any() or far.any() or surprises.max(initial=0) > self.pairs.limit):
            return None
        box = tuple(self.columns[i] for i in np.flatnonzero(outside[0]))
        return Verdict(box, self._joint(far[0], surprises[0], explained=set(box)))

    def flags(self, numeric: Numeric, categorical: Categorical) -> Flags:
        """Which of B packed rows ([B, N], [B, M]) are out of range."""
        box, joint = np.zeros(len(numeric), bool), np.zeros(len(numeric), bool)
        for i in range(0, len(numeric), CHUNK):
            part = slice(i, i + CHUNK)
            outside, distances, surprises = self._limits(numeric[part], categorical[part])
            far = self.expectations.are_far(distances)
            box[part] = outside.any(axis=1)
            joint[part] = far.any(axis=1) | (surprises > self.pairs.limit).any(axis=1)
        return Flags(box, joint)

    def bins(self, numeric: Numeric, categorical: Categorical) -> tuple[Bins, Floats]:
        """Where each value lies, int[B, N + M + R] with 0 for "not known", and the distances from what is expected, [B, R]."""
        values = numeric.astype(np.float64)
        known = np.concatenate([_bins(values, self.edges), categorical + 1], axis=1)
        distances = self.expectations.distances(values, known)
        return np.concatenate([known, _bins(distances, self.distance_edges)], axis=1), distances

    def _limits(
        self, numeric: Numeric, categorical: Categorical
    ) -> tuple[NDArray[np.bool_], Floats, NDArray[np.uint8]]:
        outside = (numeric < self.low) | (numeric > self.high)
        for column, values in self.lists.items():
            outside[:, column] = [v == v and v not in values for v in numeric[:, column].tolist()]  # noqa: PLR0124 -- not NaN
        bins, distances = self.bins(numeric, categorical)
        return outside, distances, self.pairs.surprises(bins)

    def _joint(self, far: NDArray[np.bool_], surprises: NDArray[np.uint8], explained: set[str]) -> tuple[str, ...]:
        """The fewest fields that, beside those `explained`, are in every broken limit; those that are in the same ones are all named."""
        broken = [(self.members[r], 1.0) for r in np.flatnonzero(far)]
        for p in np.flatnonzero(surprises > self.pairs.limit):
            names = (*self._names(self.pairs.first[p]), *self._names(self.pairs.second[p]))
            broken.append((tuple(dict.fromkeys(names)), float(surprises[p]) / self.pairs.limit))
        named: list[str] = []
        broken = [entry for entry in broken if not explained & set(entry[0])]
        while broken and len(named) < MOST_FIELDS:
            weight: dict[str, float] = {}
            for names, excess in broken:
                for name in names:
                    weight[name] = weight.get(name, 0.0) + excess
            most = max(weight.values())
            chosen = [name for name, sum_ in weight.items() if sum_ == most]
            named += chosen
            broken = [entry for entry in broken if not set(chosen) & set(entry[0])]
        return tuple(named)

    def _names(self, column: int) -> tuple[str, ...]:
        plain = len(self.columns) - len(self.members)
        return (self.columns[column],) if column < plain else self.members[column - plain]


def _check(holds: bool, otherwise: str) -> None:
    if not holds:
        raise BadRanges(f"{FILE} {otherwise}")


def _refuse(number: str) -> float:
    raise BadRanges(f"{FILE} has {number}, which is no number")


def _numbers(values: Any, name: str) -> Floats:
    """Finite ones. Raises `BadRanges`."""
    found = np.array(values, np.float64)
    _check(bool(np.isfinite(found).all()), f"needs finite numbers: {name}")
    return found


def _between(ends: Sequence[Any], name: str) -> Floats:
    """A lowest and a highest number of each, [C, 2]. Raises `BadRanges`."""
    found = _numbers(ends, name).reshape(len(ends), 2)
    _check(bool((found[:, 0] <= found[:, 1]).all()), f"needs a lowest number that is not above the highest: {name}")
    return found


def _place(name: str, among: Mapping[str, int], what: str) -> int:
    _check(name in among, f"has `{name}` in {what}, which is none of the contract's fields for that")
    return among[name]


def _bins(values: Floats, edges: Floats) -> Bins:
    """How many of a column's edges [C, E] each value [B, C] has reached; the first edge is minus infinity, and NaN reaches none."""
    found: Bins = (values[:, :, np.newaxis] >= edges).sum(axis=2)
    return found


def encode(raw: Mapping[str, Any]) -> bytes:
    """ranges.json of its content; arrays become lists of rounded numbers, the tables of pairs base64."""
    return json.dumps(raw, separators=(",", ":"), allow_nan=False).encode() + b"\n"


def tables_text(tables: NDArray[np.uint8]) -> str:
    """How the tables of all pairs are written."""
    return base64.b64encode(tables.tobytes()).decode("ascii")


def _read(raw: Mapping[str, Any], contract: Contract) -> dict[str, Any]:
    numbers = [f.name for f in contract.numeric]
    categories = [f.name for f in contract.categorical]
    numeric = {name: i for i, name in enumerate(numbers)}
    bins = _padded([raw["bins"][name] for name in numbers])
    sizes = [len(raw["bins"][name]) + 2 for name in numbers] + [len(f.values) + 1 for f in contract.categorical]
    expectations = raw["expectations"]
    columns = (*numbers, *categories, *(f"expectation {r}" for r in range(len(expectations))))
    sizes += [len(e["bins"]) + 2 for e in expectations]
    place = {name: i for i, name in enumerate(columns)}
    box = _between([raw["box"][name] for name in numbers], "the box")
    return {
        "columns": columns,
        "low": box[:, 0],
        "high": box[:, 1],
        "lists": {
            _place(name, numeric, "its lists"): frozenset(_numbers(values, f"the list of {name}").tolist())
            for name, values in raw["lists"].items()
        },
        "edges": bins,
        "distance_edges": _padded([e["bins"] for e in expectations]),
        "expectations": _expectations(expectations, numeric, categories, sizes),
        "members": tuple((e["field"], *e["effects"]) for e in expectations),
        "pairs": _pairs(raw["pairs"], place, sizes),
    }


def _padded(edges: Sequence[Sequence[float]]) -> Floats:
    """Rows of edges with minus infinity before and, to one length, NaN after them, which nothing reaches."""
    most = max((len(row) for row in edges), default=0)
    padded = np.full((len(edges), most + 1), np.nan)
    padded[:, 0] = -np.inf
    for i, row in enumerate(edges):
        values = _numbers(row, "the bins")
        _check(bool((np.diff(values) > 0).all()), "needs bins that are increasing")
        padded[i, 1 : len(row) + 1] = values
    return padded


def _expectations(
    raw: Sequence[Mapping[str, Any]], numeric: Mapping[str, int], categories: Sequence[str], sizes: Sequence[int]
) -> Expectations:
    fields = {**numeric, **{name: len(numeric) + i for i, name in enumerate(categories)}}
    most = max((len(e["effects"]) for e in raw), default=1)
    given, base = np.zeros((len(raw), most), np.intp), np.zeros((len(raw), most), np.intp)
    # A place that is not used looks up the first column's bin among these zeros.
    parts, length = [np.zeros(sizes[0])], sizes[0]
    for r, expectation in enumerate(raw):
        for j, (name, effects) in enumerate(expectation["effects"].items()):
            column, told = _place(name, fields, "its effects"), f"`{expectation['field']}` given `{name}`"
            _check(len(effects) == sizes[column] - 1, f"needs one effect for each bin: {told}")
            given[r, j], base[r, j] = column, length
            parts.append(np.array([np.nan, *effects], np.float64))
            _check(not np.isinf(parts[-1]).any(), f"needs finite numbers: {told}")
            length += len(parts[-1])
    limits = _between([e["limits"] for e in raw], "the limits of expectations")
    return Expectations(
        target=np.array([_place(e["field"], numeric, "its expectations") for e in raw], np.intp),
        is_log=np.array([e["log"] for e in raw], bool),
        level=_numbers([e["level"] for e in raw], "the levels of expectations"),
        given=given,
        base=base,
        effects=np.concatenate(parts),
        low=limits[:, 0],
        high=limits[:, 1],
    )


def _pairs(raw: Mapping[str, Any], place: Mapping[str, int], sizes: Sequence[int]) -> Pairs:
    first = np.array([place[a] for a, _ in raw["between"]], np.intp)
    second = np.array([place[b] for _, b in raw["between"]], np.intp)
    size = np.array(sizes, np.intp)
    length = size[first] * size[second]
    tables = np.frombuffer(base64.b64decode(raw["tables"], validate=True), np.uint8)
    _check(len(tables) == length.sum(), f"has {len(tables)} entries in the tables of pairs, not {length.sum()}")
    limit = raw["limit"]
    _check(type(limit) is int and 1 <= limit <= LARGEST, f"needs a limit of pairs from 1 to {LARGEST}")
    return Pairs(first, second, np.cumsum(length) - length, size[second], tables, limit)
