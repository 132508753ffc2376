"""Which answers may Ballpark use, in which form, and why: the feature contract, read from data.

The contract is `motor.toml` beside this file. Everything that must agree on the fields (request schema, packed row, feature
store, training columns, docs) is made from the `Contract` value, and whatever is stored carries its fingerprint, so that
training/serving skew is a refused start instead of a wrong premium.
"""

import hashlib
import json
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import resources
from types import MappingProxyType
from typing import Any, Final, Literal, get_args

Kind = Literal["int", "float", "bool", "enum", "code"]

NUMERIC_KINDS: Final = frozenset({"int", "float", "bool"})


class BadContract(ValueError):
    """The contract's own data contradicts itself; the message names the field."""


@dataclass(frozen=True, slots=True)
class Group:
    """A block of questions. `entity` names the request's id for a row of the store; `consent` must be given apart."""

    name: str
    title: str
    entity: str | None = None
    consent: bool = False


@dataclass(frozen=True, slots=True)
class Entity:
    """A kind of row in the feature store, and how old (seconds) it may be: stale above soft, missing above hard."""

    name: str
    id: str
    pattern: str
    soft_limit_s: float
    hard_limit_s: float


@dataclass(frozen=True)
class Field:
    """One answer. Numeric kinds (int, float, bool) have a range, categorical ones (enum, code) have values."""

    name: str
    group: str
    kind: Kind
    source: str
    title: str
    purpose: str
    unit: str = ""
    minimum: float = 0.0
    maximum: float = 1.0
    values: tuple[str, ...] = ()
    pattern: str | None = None
    assumed: str | float | None = None
    required: bool = False

    @property
    def path(self) -> str:
        """Where it stands in a request: `driver.age`."""
        return f"{self.group}.{self.name}"

    @property
    def is_numeric(self) -> bool:
        """Whether it lies in the packed row's float32 part."""
        return self.kind in NUMERIC_KINDS

    @property
    def entity(self) -> str | None:
        """The store's entity that knows it, or None when only the request does."""
        return self.source.removeprefix("store:") if self.source.startswith("store:") else None

    @cached_property
    def code_of(self) -> Mapping[str, int]:
        """Value to its index in `values`: the packed row's int32."""
        return MappingProxyType({value: code for code, value in enumerate(self.values)})


@dataclass(frozen=True, slots=True)
class Order:
    """A contradiction to refuse: `least` + `gap` may not exceed `most` when both are known."""

    least: str
    gap: float
    most: str
    message: str


@dataclass(frozen=True)
class Contract:
    """A line of business as data. Field order is the packed row's order."""

    line: str
    version: int
    groups: tuple[Group, ...]
    entities: tuple[Entity, ...]
    fields: tuple[Field, ...]
    orders: tuple[Order, ...]
    fingerprint: str

    def __hash__(self) -> int:
        """By its fingerprint: hashing four thousand sectors for each look-up would cost more than what is looked up."""
        return hash(self.fingerprint)

    @property
    def short_fingerprint(self) -> str:
        """The first 12 hex digits: enough for a Redis key."""
        return self.fingerprint[:12]

    @cached_property
    def numeric(self) -> tuple[Field, ...]:
        """The packed row's float32 columns, in order."""
        return tuple(f for f in self.fields if f.is_numeric)

    @cached_property
    def categorical(self) -> tuple[Field, ...]:
        """The packed row's int32 columns, in order."""
        return tuple(f for f in self.fields if not f.is_numeric)

    @cached_property
    def by_name(self) -> Mapping[str, Field]:
        """Every field by its unique name."""
        return MappingProxyType({f.name: f for f in self.fields})

    def field(self, name: str) -> Field:
        """The field of that name. Raises KeyError."""
        return self.by_name[name]

    def entity(self, name: str) -> Entity:
        """The entity of that name. Raises KeyError."""
        return {e.name: e for e in self.entities}[name]

    def group(self, name: str) -> Group:
        """The group of that name. Raises KeyError."""
        return {g.name: g for g in self.groups}[name]

    def fields_of(self, entity: str) -> tuple[Field, ...]:
        """What a row of the feature store holds, in the contract's order."""
        return tuple(f for f in self.fields if f.entity == entity)


@cache
def load(name: str = "motor") -> Contract:
    """Read a contract that is shipped with this package. Raises `BadContract` when its data contradicts itself."""
    folder = resources.files(__name__)
    text = (folder / f"{name}.toml").read_text(encoding="utf-8")
    return parse(text, lambda file: (folder / file).read_text(encoding="utf-8"))


def parse(text: str, read: Callable[[str], str]) -> Contract:
    """Make a contract of TOML text; `read(file)` gives the text of a `values_file`. Raises `BadContract`."""
    raw = tomllib.loads(text)
    fields = tuple(_field(f, read) for f in raw["field"])
    contract = Contract(
        line=raw["line"],
        version=raw["version"],
        groups=tuple(Group(**g) for g in raw["group"]),
        entities=tuple(Entity(**e) for e in raw.get("entity", [])),
        fields=fields,
        orders=tuple(Order(**o) for o in raw.get("order", [])),
        fingerprint=_fingerprint(raw, fields),
    )
    _check(contract)
    return contract


def _field(raw: Mapping[str, Any], read: Callable[[str], str]) -> Field:
    known = {
        "name",
        "group",
        "type",
        "source",
        "title",
        "purpose",
        "unit",
        "range",
        "values",
        "values_file",
        "pattern",
        "assumed",
        "required",
    }
    if strange := set(raw) - known:
        raise BadContract(f"{raw.get('name')}: unknown key {sorted(strange)}")
    if raw["type"] not in get_args(Kind):
        raise BadContract(f"{raw['name']}: type must be one of {get_args(Kind)}")
    values = tuple(read(raw["values_file"]).split()) if "values_file" in raw else tuple(raw.get("values", ()))
    minimum, maximum = raw.get("range", (0, 1))
    return Field(
        name=raw["name"],
        group=raw["group"],
        kind=raw["type"],
        source=raw["source"],
        title=raw["title"],
        purpose=raw["purpose"],
        unit=raw.get("unit", ""),
        minimum=float(minimum),
        maximum=float(maximum),
        values=values,
        pattern=raw.get("pattern"),
        assumed=raw.get("assumed"),
        required=raw.get("required", False),
    )


def _fingerprint(raw: Mapping[str, Any], fields: tuple[Field, ...]) -> str:
    """sha256 of what changes a number: titles, purposes and messages may be reworded without a new model."""
    meaning = {
        "line": raw["line"],
        "version": raw["version"],
        "entities": [[e["name"], e["id"]] for e in raw.get("entity", [])],
        "fields": [
            [f.name, f.group, f.kind, f.unit, f.minimum, f.maximum, f.values, f.source, f.assumed] for f in fields
        ],
    }
    return hashlib.sha256(json.dumps(meaning, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _check(contract: Contract) -> None:
    names = [f.name for f in contract.fields]
    if repeated := {n for n in names if names.count(n) > 1}:
        raise BadContract(f"field names must be unique over all groups: {sorted(repeated)}")
    groups, entities = {g.name for g in contract.groups}, {e.name for e in contract.entities}
    for field in contract.fields:
        if field.group not in groups:
            raise BadContract(f"{field.name}: no group {field.group!r}")
        if field.source != "request" and field.entity not in entities:
            raise BadContract(
                f"{field.name}: source must be `request` or `store:<entity>`, with one of {sorted(entities)}"
            )
        if not field.is_numeric and not field.values:
            raise BadContract(f"{field.name}: an {field.kind} needs values")
        if field.kind == "code" and field.pattern is None:
            raise BadContract(f"{field.name}: a code needs a pattern")
        if len(set(field.values)) != len(field.values):
            raise BadContract(f"{field.name}: a value stands twice")
    for order in contract.orders:
        if strangers := {order.least, order.most} - set(names):
            raise BadContract(f"order: no field {sorted(strangers)}")
