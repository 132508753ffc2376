"""How far may a model's answer be off, and what is its probability worth? Tables fitted offline, applied with NumPy only.

Intervals are conformalised quantile regression (Romano, Patterson, Candès 2019), each end for itself: what is added to the low and to
the high log quantile is the sum of what the *key* needs (`kit.rows.answered`: how much of each group of questions was answered), what
each *band* of the risk needs (age, points, region: which ones is data, in the file) and what the *insurer* needs. Probabilities go
through beta calibration (Kull, Silva Filho, Flach 2017) by key, with an offset for each band and insurer. Applying either is one
look-up of a row and a handful of additions. `kit.training.judging.conformal` fits the tables, on a slice of time that training did not see.

calibration.json:

    {"scheme": 2,
     "model": the sha256 of `fingerprint`: the tables belong to one SavedModel,
     "level": the share that intervals promise to hold,
     "bands": [{"field": "age", "edges": [21, 25, ...]}, {"field": "region"}],  a field of codes has a band for each code
     "probabilities": TABLE, "likely_insurers": TABLE                            the classifier's
     "intervals": TABLE, "panel": {figure: TABLE}}                               the regressor's

    TABLE = {"numbers": ["low", "high"], "pooled": ROW, "half": {half key: ROW}, "keys": {key: ROW}}
    ROW = {"add": [a number each], "bands": {field: [[numbers] for "not known" and for each band]}, "insurers": [[numbers] each],
           "rows": enquiries it was fitted on}

A key takes its own row, else the row of its half key (`kit.rows.half_answered`), else the pooled one. A row without `bands` or
`insurers` has those of the row that would be next; a field left out of `bands` adds nothing. Effects of bands and insurers move the
last of the numbers: both ends of an interval, the intercept of a probability.

The promise is kept on average over enquiries like those of the slice: in each key with a row of its own, in each band and for each
insurer taken one at a time, not for every combination of them; over cells of one enquiry, which are not independent; and over the
mixture of questions left open that the slice was repeated with. It must be watched with outcomes.
"""

import hashlib
import json
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from kit.contract import Contract
from kit.rows import UPPER_BITS, Categorical, Numeric, answered, half_answered

Floats = NDArray[np.floating[Any]]

FILE: Final = "calibration.json"
SCHEME: Final = 2
POOLED, HALF, KEYS = "pooled", "half", "keys"
BANDS, INSURERS, PANEL = "bands", "insurers", "panel"
SMALLEST_P: Final = 1e-6
INTERVAL: Final = ("low", "high")
BETA: Final = ("a", "b", "c")
MOST_PLACES: Final = 100  # of a field's bands; each row of a table holds all places of all fields
MOST_PLACES_IN_ALL: Final = 400
LARGEST_IN_LOG: Final = 20.0  # of a price's margin with all effects: beyond it pounds are no numbers any more
LARGEST: Final = {"probabilities": 1e6, "likely_insurers": 1e6}  # which are bounded again where they are applied
EFFECTS: Final = {INTERVAL: 2, BETA: 1}  # how many of the numbers, the last ones, bands and insurers move


class BadCalibration(ValueError):
    """The tables cannot be used; the message says why."""


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """Where B rows look: `keys` int64[B], and `places` int64[B, F], the column of each field's band in a table."""

    keys: NDArray[np.int64]
    places: NDArray[np.intp]


@dataclass(frozen=True)
class Bands:
    """The fields by which risks are told apart, in bands: place 0 of a field is "not known", then come its bands, lowest first."""

    contract: Contract
    edges: Mapping[str, tuple[float, ...] | None]  # by field; None for a field of codes

    @classmethod
    def read(cls, raw: Any, contract: Contract) -> Self:
        """Of `[{"field": name, "edges": [...]}]`. Raises `BadCalibration` for what is no field, or has no ascending edges."""
        try:
            found = {str(b["field"]): b.get("edges") for b in raw}
            edges = {name: None if e is None else tuple(float(edge) for edge in e) for name, e in found.items()}
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise BadCalibration("`bands` must be a list of tables with `field`, and `edges` for a number") from error
        return cls.of(contract, edges)

    @classmethod
    def of(cls, contract: Contract, edges: Mapping[str, Sequence[float] | None]) -> Self:
        """Of edges by field; None, or none at all, for a field of codes. Raises `BadCalibration`."""
        made: dict[str, tuple[float, ...] | None] = {}
        for name, given in edges.items():
            if name not in contract.by_name:
                raise BadCalibration(f"`bands`: no field `{name}` in the contract")
            numeric, ascending = contract.by_name[name].is_numeric, tuple(given or ())
            if numeric and (not ascending or not all(a < b for a, b in pairwise(ascending))):
                raise BadCalibration(f"`bands`: `{name}` needs ascending `edges`")
            if ascending and not (numeric and np.isfinite(ascending).all()):
                raise BadCalibration(f"`bands`: `{name}` cannot have such `edges`")
            made[name] = ascending if numeric else None
        found = cls(contract, made)
        for name, size in zip(made, found.sizes, strict=True):
            if size > MOST_PLACES:
                raise BadCalibration(f"`bands`: `{name}` has {size} places, and a field may have {MOST_PLACES}")
        if (size := sum(found.sizes)) > MOST_PLACES_IN_ALL:
            raise BadCalibration(f"`bands` has {size} places, and all fields may have {MOST_PLACES_IN_ALL}")
        return found

    @property
    def raw(self) -> list[dict[str, Any]]:
        """As calibration.json has them."""
        return [{"field": name} | ({} if e is None else {"edges": list(e)}) for name, e in self.edges.items()]

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """How many places each field has."""
        by_name = self.contract.by_name
        return tuple(len(by_name[n].values) + 1 if e is None else len(e) + 2 for n, e in self.edges.items())

    @cached_property
    def begins(self) -> NDArray[np.intp]:
        """The first place of each field, and after the last, intp[F + 1]."""
        return np.concatenate([[0], np.cumsum(self.sizes, dtype=np.intp)]).astype(np.intp)

    def cells(self, numeric: Numeric, categorical: Categorical) -> Cells:
        """Where packed rows float32[B, N], int32[B, M] look."""
        return Cells(answered(self.contract, numeric, categorical), self.places(numeric, categorical))

    def places(self, numeric: Numeric, categorical: Categorical) -> NDArray[np.intp]:
        """The place of each row in each field, intp[B, F], counted on from field to field."""
        if len(numeric) == 1:  # a request: a few microseconds in place of twenty
            return np.array([[self._place(field, numeric, categorical) for field in self._fields]], np.intp)
        found = np.empty((len(numeric), len(self._fields)), np.intp)
        for i, (begin, column, edges, last) in enumerate(self._fields):
            if edges is not None:
                number = numeric[:, column]
                found[:, i] = begin + np.where(np.isnan(number), 0, 1 + np.searchsorted(edges, number, side="right"))
            else:
                found[:, i] = begin + 1 + np.clip(categorical[:, column], -1, last)
        return found

    @staticmethod
    def _place(field: "_Field", numeric: Numeric, categorical: Categorical) -> int:
        begin, column, edges, last = field
        if edges is None:
            return begin + 1 + min(max(int(categorical[0, column]), -1), last)
        number = float(numeric[0, column])
        return begin if number != number else begin + 1 + bisect_right(edges, number)  # noqa: PLR0124 -- NaN

    @cached_property
    def _fields(self) -> tuple["_Field", ...]:
        column = {f.name: i for part in (self.contract.numeric, self.contract.categorical) for i, f in enumerate(part)}
        return tuple(
            (int(begin), column[name], edges, len(self.contract.by_name[name].values) - 1)
            for begin, (name, edges) in zip(self.begins, self.edges.items(), strict=False)
        )


_Field = tuple[int, int, tuple[float, ...] | None, int]  # first place, column, edges, last code


@dataclass(frozen=True, eq=False)
class Table:
    """R rows of numbers, ready to be looked up: row 0 is the pooled one.

    `first` [R, P - E] are the numbers that nothing moves, `last` [R, E, K] those that differ by insurer (K is 1 where they do not), and
    `bands` [R, W, E] what each of W places adds to the last.
    """

    by_key: Mapping[int, int]  # the row of a key
    by_half: Mapping[int, int]  # the row of a half key
    first: Floats
    last: Floats
    bands: Floats

    @classmethod
    def constant(cls, *numbers: float, effects: int = 2) -> Self:
        """The same numbers for every row; the last `effects` of them could be moved."""
        fixed = len(numbers) - effects
        row = np.array(numbers, np.float64)
        return cls({}, {}, row[None, :fixed], row[None, fixed:, None], np.zeros((1, 0, effects)))

    @classmethod
    def read(
        cls, raw: Any, numbers: tuple[str, ...], bands: Bands, insurers: int, largest: float = LARGEST_IN_LOG
    ) -> Self:
        """Make it of a TABLE that has these numbers, with all effects at most `largest` in size. Raises `BadCalibration`."""
        try:
            if tuple(raw["numbers"]) != numbers:
                raise BadCalibration(f"a table of {', '.join(numbers)} is needed, not of {', '.join(raw['numbers'])}")
            pooled = _Row.read(raw[POOLED], None, numbers, bands, insurers)
            halves = {
                _key(name, bands.contract, UPPER_BITS): _Row.read(row, pooled, numbers, bands, insurers)
                for name, row in raw[HALF].items()
            }
            keys = {}
            for name, row in raw[KEYS].items():
                key = _key(name, bands.contract)
                keys[key] = _Row.read(row, halves.get(half_of(key), pooled), numbers, bands, insurers)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            if isinstance(error, BadCalibration):
                raise
            raise BadCalibration(
                f"a table needs `add` with {', '.join(numbers)} for `{POOLED}`, each of `{HALF}` and each of `{KEYS}`"
            ) from error
        rows = [pooled, *halves.values(), *keys.values()]
        if not all(np.isfinite(part).all() for row in rows for part in (row.add, row.bands, row.insurers)):
            raise BadCalibration(f"{', '.join(numbers)} must be finite")
        if (found := max(row.largest(bands) for row in rows)) > largest:
            raise BadCalibration(f"{', '.join(numbers)} with all effects must be within {largest:g}, not {found:.3g}")
        fixed = len(numbers) - EFFECTS[numbers]
        add = np.array([row.add for row in rows])
        return cls(
            by_key={key: 1 + len(halves) + i for i, key in enumerate(keys)},
            by_half={half: 1 + i for i, half in enumerate(halves)},
            first=add[:, :fixed],
            last=add[:, fixed:, None] + np.array([row.insurers.T for row in rows]),
            bands=np.array([row.bands for row in rows]),
        )

    def rows(self, keys: NDArray[np.int64]) -> NDArray[np.intp]:
        """The row of each key, intp[B]."""
        by_key, by_half = self.by_key, self.by_half
        if len(keys) == 1:
            key = int(keys[0])
            row = by_key.get(key)
            return np.array([by_half.get(half_of(key), 0) if row is None else row], np.intp)
        distinct, where = np.unique(keys, return_inverse=True)
        found = [by_key.get(k, by_half.get(h, 0)) for k, h in zip(*_listed(distinct), strict=True)]
        return np.array(found, np.intp)[where]

    def look_up(self, cells: Cells) -> tuple[Floats, Floats]:
        """What nothing moves, [B, P - E], and the rest, [B, E, K] (K is 1 where insurers do not differ)."""
        rows = self.rows(cells.keys)
        last = self.last[rows]
        if self.bands.shape[1]:
            one = len(rows) == 1  # a request, which a sum along an axis costs more than it adds
            moved = (
                np.add.reduce(self.bands[int(rows[0])][cells.places[0]], axis=0)[None]
                if one
                else self.bands[rows[:, None], cells.places].sum(axis=1)
            )
            last += moved[:, :, None]
        return self.first[rows], last


@dataclass(frozen=True)
class _Row:
    """One ROW: the numbers [P], what places add [W, E] and what insurers add [K, E] (or [1, E])."""

    add: Floats
    bands: Floats
    insurers: Floats

    @classmethod
    def read(cls, raw: Any, after: "_Row | None", numbers: tuple[str, ...], bands: Bands, insurers: int) -> Self:
        effects = EFFECTS[numbers]
        add = np.array(raw["add"], np.float64)
        if add.shape != (len(numbers),):
            raise ValueError("add")
        moved: Floats = np.zeros((int(bands.begins[-1]), effects))
        if BANDS in raw:
            places = dict(zip(bands.edges, zip(bands.begins, bands.sizes, strict=False), strict=True))
            for name, values in raw[BANDS].items():
                if name not in places:
                    raise BadCalibration(f"a table has `{name}` in its bands, which is not among the file's")
                begin, size = places[name]
                moved[begin : begin + size] = _matrix(values, (size, effects), f"bands.{name}")
        elif after is not None:
            moved = after.bands
        if INSURERS in raw:
            own = _matrix(raw[INSURERS], (insurers, effects), INSURERS)
        else:
            own = np.zeros((insurers, effects)) if after is None else after.insurers
        return cls(add, moved, own)

    def largest(self, bands: Bands) -> float:
        """The largest size that a number may have with an effect of every field and of an insurer."""
        of_bands = np.abs(self.bands)
        effects = sum((of_bands[b : b + s].max(axis=0) for b, s in zip(bands.begins, bands.sizes, strict=False)), 0.0)
        moved = np.abs(self.insurers).max(axis=0) + effects
        moves = np.concatenate([np.zeros(len(self.add) - len(moved)), moved])
        return float((np.abs(self.add) + moves).max())


def _matrix(values: Any, shape: tuple[int, int], name: str) -> Floats:
    found = np.array(values, np.float64)
    if found.shape != shape:
        raise BadCalibration(f"`{name}` of a table must have {shape[0]} entries of {shape[1]}")
    return found


def _key(name: str, contract: Contract, bits: int = -1) -> int:
    """A key of these bits that `kit.rows.answered` can give: two bits for each group."""
    key = int(name)
    if not 0 <= key < 4 ** len(contract.groups) or key & ~bits:
        raise BadCalibration(f"has key {name!r:.20}, which no answers have")
    return key


def half_of(key: int) -> int:
    """`kit.rows.half_answered` of one key."""
    return key & UPPER_BITS


def _listed(keys: NDArray[np.int64]) -> tuple[list[int], list[int]]:
    return keys.tolist(), half_answered(keys).tolist()


@dataclass(frozen=True)
class Intervals:
    """Additions to the low and the high quantile."""

    table: Table

    def apply(self, quantiles: Floats, cells: Cells) -> tuple[Floats, Floats, Floats]:
        """From quantiles [B, K, 3] (low, middle, high) to low, middle, high [B, K], never crossing."""
        _, add = self.table.look_up(cells)
        middle = quantiles[..., 1]
        low = np.minimum(quantiles[..., 0] + add[:, 0], middle)
        high = np.maximum(quantiles[..., 2] + add[:, 1], middle)
        return low, middle, high


@dataclass(frozen=True)
class Probabilities:
    """Beta calibration: the logit becomes a log p - b log(1 - p) + c."""

    table: Table

    def apply(self, p: Floats, cells: Cells) -> Floats:
        """Calibrated probabilities [B, K] of a model's [B, K]."""
        slopes, intercept = self.table.look_up(cells)
        clipped = np.clip(p, SMALLEST_P, 1 - SMALLEST_P)
        logit = slopes[:, :1] * np.log(clipped) - slopes[:, 1:] * np.log1p(-clipped) + intercept[:, 0]
        calibrated: Floats = 1.0 / (1.0 + np.exp(-logit))
        return calibrated


@dataclass(frozen=True)
class Counts:
    """How far the number of quotes strays from its expectation, in units of `count_scale`."""

    table: Table

    def apply(self, p: Floats, cells: Cells) -> tuple[Floats, Floats, Floats]:
        """Low, expected and high number of quotes, [B], of calibrated probabilities [B, K]."""
        _, strays = self.table.look_up(cells)
        expected, scale = p.sum(axis=1), count_scale(p)
        low, high = (np.clip(expected + scale * strays[:, end, 0], 0, p.shape[1]) for end in (0, 1))
        return np.minimum(low, expected), expected, np.maximum(high, expected)


def count_scale(p: Floats) -> Floats:
    """The standard deviation that the number of quotes would have if insurers decided independently, [B]; at least 0.1."""
    scale: Floats = np.sqrt(np.maximum((p * (1 - p)).sum(axis=1), 0.01))
    return scale


@dataclass(frozen=True)
class Calibration:
    """A calibration.json, read and checked. Tables have their path as their name: `intervals`, `panel.cheapest`."""

    level: float
    model: str
    bands: Bands
    tables: Mapping[str, Table]

    def cells(self, numeric: Numeric, categorical: Categorical) -> Cells:
        """Where packed rows float32[B, N], int32[B, M] look."""
        return self.bands.cells(numeric, categorical)

    def intervals(self, name: str = "intervals") -> Intervals:
        """Raises `BadCalibration` when there is no such table."""
        return Intervals(self._table(name))

    def probabilities(self) -> Probabilities:
        """Raises `BadCalibration` when there are none."""
        return Probabilities(self._table("probabilities"))

    def counts(self) -> Counts:
        """Raises `BadCalibration` when there are none."""
        return Counts(self._table("likely_insurers"))

    def check_model(self, files: Mapping[str, str]) -> None:
        """Raises `BadCalibration` unless the tables were fitted to the SavedModel among an artefact's files {name: sha256}."""
        if self.model != (model := fingerprint(files)):
            raise BadCalibration(f"{FILE} was fitted to model {self.model[:12]}, this is {model[:12]}")

    def _table(self, name: str) -> Table:
        if name not in self.tables:
            raise BadCalibration(f"{FILE} has no `{name}`")
        return self.tables[name]


def read(text: str | bytes, contract: Contract, insurers: int) -> Calibration:
    """A calibration.json, for K insurers. Raises `BadCalibration`."""
    raw = _object(text)
    if (scheme := raw.get("scheme")) != SCHEME:
        raise BadCalibration(
            f"{FILE} has scheme {scheme}, this program reads {SCHEME}: run the model's test stage again"
        )
    level, model = raw.get("level"), raw.get("model")
    if not isinstance(level, int | float) or isinstance(level, bool) or not 0 < level < 1:
        raise BadCalibration(f"`level` of {FILE} must be a number between 0 and 1")
    if not isinstance(model, str):
        raise BadCalibration(f"{FILE} has no `model`")
    bands = Bands.read(raw.get("bands", []), contract)
    panel = raw.get(PANEL, {})
    if not isinstance(panel, dict):
        raise BadCalibration(f"`{PANEL}` must be a table")
    sections = {
        name: (numbers, size)
        for name, numbers, size in (
            ("probabilities", BETA, insurers),
            ("likely_insurers", INTERVAL, 1),
            ("intervals", INTERVAL, insurers),
        )
        if name in raw
    }
    tables = {name: _named(name, raw[name], numbers, bands, size) for name, (numbers, size) in sections.items()}
    tables |= {f"{PANEL}.{name}": _named(f"{PANEL}.{name}", t, INTERVAL, bands, 1) for name, t in panel.items()}
    return Calibration(float(level), model, bands, tables)


def encode(raw: Mapping[str, Any]) -> bytes:
    """calibration.json of its content: compact, since it is made of many short lists."""
    return json.dumps(raw, separators=(",", ":"), allow_nan=False).encode() + b"\n"


def fingerprint(files: Mapping[str, str] | Iterable[tuple[str, str]]) -> str:
    """The sha256 of a SavedModel, from the sha256 of files by name as a manifest has them: saved_model.pb and variables/* count."""
    own = sorted((n, s) for n, s in dict(files).items() if n == "saved_model.pb" or n.startswith("variables/"))
    return hashlib.sha256("".join(f"{name} {sha256}\n" for name, sha256 in own).encode()).hexdigest()


def _named(name: str, raw: Any, numbers: tuple[str, ...], bands: Bands, insurers: int) -> Table:
    try:
        largest = LARGEST.get(name.removeprefix(f"{PANEL}."), LARGEST_IN_LOG)
        return Table.read(raw, numbers, bands, insurers, largest)
    except BadCalibration as error:
        raise BadCalibration(f"{FILE}: `{name}`: {error}") from error


def _object(text: str | bytes) -> dict[str, Any]:
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadCalibration(f"{FILE} is not JSON") from error
    if not isinstance(raw, dict):
        raise BadCalibration(f"{FILE} must be a table")
    return raw
