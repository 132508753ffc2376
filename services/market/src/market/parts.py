"""What can a tariff or a rule say? Four kinds of price part and one of condition, as data.

Insurers are data: a tariff is a sum of parts, a rule is a list of conditions. The engine knows these kinds and no insurer. In JSON each is
an object with its `kind`; categories stand by name, and are turned into the contract's codes when they are read.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, cast

import numpy as np

from kit.contract import Contract
from market.columns import Bools, Columns, Floats

DECIMALS: Final = 5
"""Of a log price in the definitions: a hundred-thousandth moves a premium of 1,000 by a penny."""


class BadDefinition(ValueError):
    """A definition of an insurer contradicts the contract or itself; the message names the field."""


class Part(Protocol):
    """A summand of a log price, of one field."""

    @property
    def field(self) -> str:
        """The contract's field."""
        ...

    def log(self, columns: Columns) -> Floats:
        """The summand of each row, float64[B]."""
        ...

    def to_json(self, contract: Contract) -> dict[str, Any]:
        """As it stands in the definitions."""
        ...


@dataclass(frozen=True, slots=True)
class Curve:
    """Straight lines between knots, level beyond them."""

    field: str
    at: tuple[float, ...]
    logs: tuple[float, ...]

    def log(self, columns: Columns) -> Floats:
        """The summand of each row, float64[B]."""
        return np.interp(columns[self.field], self.at, self.logs)

    def to_json(self, contract: Contract) -> dict[str, Any]:  # noqa: ARG002
        """As it stands in the definitions."""
        return {"kind": "curve", "field": self.field, "at": list(self.at), "logs": list(self.logs)}


@dataclass(frozen=True, slots=True)
class Steps:
    """Level from each edge to the next: one more level than edges."""

    field: str
    edges: tuple[float, ...]
    logs: tuple[float, ...]

    def log(self, columns: Columns) -> Floats:
        """The summand of each row, float64[B]."""
        column = columns[self.field]
        log = np.full(len(column), self.logs[0])
        for edge, level in zip(self.edges, self.logs[1:], strict=True):  # for a few edges quicker than a search
            log[column >= edge] = level
        return log

    def to_json(self, contract: Contract) -> dict[str, Any]:  # noqa: ARG002
        """As it stands in the definitions."""
        return {"kind": "steps", "field": self.field, "edges": list(self.edges), "logs": list(self.logs)}


@dataclass(frozen=True, slots=True)
class Power:
    """slope * ln(x / scale)."""

    field: str
    slope: float
    scale: float

    def log(self, columns: Columns) -> Floats:
        """The summand of each row, float64[B]."""
        return self.slope * np.log(columns[self.field].astype(np.float64) / self.scale)

    def to_json(self, contract: Contract) -> dict[str, Any]:  # noqa: ARG002
        """As it stands in the definitions."""
        return {"kind": "power", "field": self.field, "slope": self.slope, "scale": self.scale}


@dataclass(frozen=True, slots=True)
class Table:
    """A level per category, [values of the field]; a category that is not named has 0."""

    field: str
    logs: Floats

    def log(self, columns: Columns) -> Floats:
        """The summand of each row, float64[B]."""
        return self.logs[columns[self.field]]

    def to_json(self, contract: Contract) -> dict[str, Any]:
        """As it stands in the definitions."""
        logs = zip(contract.field(self.field).values, self.logs.tolist(), strict=True)
        return {"kind": "table", "field": self.field, "logs": {value: log for value, log in logs if log}}


@dataclass(frozen=True, slots=True)
class Condition:
    """A claim about one field: `below` or `above` a number (strictly), `within` a first and a last value, `one_of` some values."""

    field: str
    is_: str
    values: tuple[float, ...]
    """Numbers, or codes of categories."""

    def holds(self, columns: Columns) -> Bools:
        """Whether it is so in each row, bool[B]."""
        column = columns[self.field]
        if self.is_ == "below":
            return np.asarray(column < self.values[0])
        if self.is_ == "above":
            return np.asarray(column > self.values[0])
        if self.is_ == "within":
            return np.asarray((column >= self.values[0]) & (column <= self.values[1]))
        return np.isin(column, self.values)

    def to_json(self, contract: Contract) -> dict[str, Any]:
        """As it stands in the definitions."""
        field = contract.field(self.field)
        values = list(self.values) if field.is_numeric else [field.values[int(v)] for v in self.values]
        return {"field": self.field, "is": self.is_, "values": values}


@dataclass(frozen=True, slots=True)
class Term:
    """A log price for the rows in which all its conditions hold: an archetype's tilt, an interaction."""

    when: tuple[Condition, ...]
    log: float


@dataclass(frozen=True, slots=True)
class Rule:
    """Rows in which all its conditions hold are declined, for this reason."""

    reason: str
    when: tuple[Condition, ...]


IS: Final = ("below", "above", "within", "one_of")


def all_hold(when: Sequence[Condition], columns: Columns) -> Bools:
    """Whether every condition holds in each row, bool[B]."""
    held = when[0].holds(columns)
    for condition in when[1:]:
        held = held & condition.holds(columns)
    return held


def condition(contract: Contract, field: str, is_: str, *values: object) -> Condition:
    """A condition with categories by name. Raises `BadDefinition`."""
    known = _field(contract, field)
    if is_ not in IS or (not known.is_numeric and is_ in {"below", "above"}):
        raise BadDefinition(f"{field}: `is` must be one of {IS}, and a category is neither below nor above")
    if len(values) != {"below": 1, "above": 1, "within": 2}.get(is_, len(values)) or not values:
        raise BadDefinition(f"{field}: `{is_}` has {len(values)} values")
    if known.is_numeric:
        return Condition(field, is_, tuple(float(cast("float", v)) for v in values))
    return Condition(field, is_, tuple(_code(contract, field, v) for v in values))


def table(contract: Contract, field: str, logs: Mapping[str, float]) -> Table:
    """A table with categories by name. Raises `BadDefinition`."""
    levels = np.zeros(len(_field(contract, field).values))
    for value, log in logs.items():
        levels[_code(contract, field, value)] = log
    return Table(field, levels)


def part(contract: Contract, raw: Mapping[str, Any]) -> Part:
    """Read a part as it stands in the definitions. Raises `BadDefinition`."""
    field = raw["field"]
    _field(contract, field)
    match raw["kind"]:
        case "curve":
            return Curve(field, tuple(raw["at"]), tuple(raw["logs"]))
        case "steps":
            return Steps(field, tuple(raw["edges"]), tuple(raw["logs"]))
        case "power":
            return Power(field, raw["slope"], raw["scale"])
        case "table":
            return table(contract, field, raw["logs"])
        case other:
            raise BadDefinition(f"{field}: no kind of part {other!r}")


def _field(contract: Contract, name: str) -> Any:
    if name not in contract.by_name:
        raise BadDefinition(f"the contract has no field {name!r}")
    return contract.field(name)


def _code(contract: Contract, field: str, value: object) -> int:
    code = contract.field(field).code_of.get(str(value))
    if code is None:
        raise BadDefinition(f"{field}: the contract has no value {value!r}")
    return code
