"""What would the answer to a question that was not asked typically be? A few values of each field with their weights, and a typical row.

`reference.json` is {field: [[value, weight], ...], "row": {field: value}}; the weights of a field sum to 1. `next_questions` tries them
one after the other, and explanations compare a driver with the row. It is nobody's: each value is the commonest, or the middle one, by
itself; only what a row of the feature store knows is taken together, given the commonest car and place, so that these can be.
"""

import json
from collections.abc import Callable, Collection
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from kit.contract import Contract, Entity, Field
from kit.rows import UNKNOWN_CODE
from kit.training.data.slices import Rows

VALUES: Final = 5
ROW: Final = "row"


def encode(contract: Contract, rows: Rows) -> bytes:
    """reference.json of some rows; a field that is never known has no values."""
    found: dict[str, Any] = {f.name: of_number(f, rows.numeric[:, i]) for i, f in enumerate(contract.numeric)}
    found |= {f.name: of_code(f, rows.categorical[:, i]) for i, f in enumerate(contract.categorical)}
    found[ROW] = typical_row(contract, rows)
    return json.dumps(found, indent=1).encode() + b"\n"


def typical_row(contract: Contract, rows: Rows) -> dict[str, Any]:
    """A typical value of each field that is ever known."""
    found: dict[str, Any] = {}
    for entity in contract.entities:
        found |= _typical_of(contract, rows, entity)
    others = {f.name for f in contract.fields} - set(found)
    found |= _middle(contract, rows, others)
    return {f.name: found[f.name] for f in contract.fields if f.name in found}


def _typical_of(contract: Contract, rows: Rows, entity: Entity) -> dict[str, Any]:
    """What the store knows of the commonest value of the entity's longest list, and that value."""
    own = [f for f in contract.fields if f.entity == entity.name or f.name == entity.id]
    lists = [i for i, f in enumerate(contract.categorical) if f in own]
    if not lists:
        return {}
    longest = max(lists, key=lambda i: len(contract.categorical[i].values))
    codes = rows.categorical[:, longest]
    known, counts = np.unique(codes[codes != UNKNOWN_CODE], return_counts=True)
    if not len(known):
        return {}
    return _middle(contract, rows.take(codes == known[counts.argmax()]), {f.name for f in own})


def _middle(contract: Contract, rows: Rows, names: Collection[str]) -> dict[str, Any]:
    """The middle value of each number, the commonest of each boolean and code, of those that are ever known."""
    found: dict[str, Any] = {}
    for i, field in enumerate(contract.numeric):
        known = rows.numeric[~np.isnan(rows.numeric[:, i]), i]
        if field.name in names and len(known):
            found[field.name] = _spell(field)(np.quantile(known, 0.5, method="nearest"))
    for i, field in enumerate(contract.categorical):
        if field.name in names and (values := of_code(field, rows.categorical[:, i])):
            found[field.name] = values[0][0]
    return found


def _spell(field: Field) -> Callable[[Any], Any]:
    return {"bool": bool, "int": int}.get(field.kind, lambda value: float(f"{value:.7g}"))


def of_number(field: Field, column: NDArray[np.float32]) -> list[list[Any]]:
    """The distinct values when there are few, else the middles of five equally common parts."""
    known = column[~np.isnan(column)]
    values, counts = np.unique(known, return_counts=True)
    if len(values) > VALUES:
        values = np.quantile(known, (np.arange(VALUES) + 0.5) / VALUES, method="nearest")
        values, counts = np.unique(values, return_counts=True)
    spell = _spell(field)
    return [[spell(v), float(c / counts.sum())] for v, c in zip(values, counts, strict=True)]


def of_code(field: Field, column: NDArray[np.int32]) -> list[list[Any]]:
    """The five most common values."""
    codes, counts = np.unique(column[column != UNKNOWN_CODE], return_counts=True)
    first = np.argsort(-counts, kind="stable")[:VALUES]
    return [[field.values[codes[i]], float(counts[i] / counts[first].sum())] for i in first]
