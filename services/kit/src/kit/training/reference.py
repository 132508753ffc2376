"""What would the answer to a question that was not asked typically be? A few values of each field with their weights.

`reference.json` is {field: [[value, weight], ...]}; the weights of a field sum to 1. `next_questions` tries them one after the other.
"""

import json
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from kit.contract import Contract, Field
from kit.rows import UNKNOWN_CODE
from kit.training.slices import Rows

VALUES: Final = 5


def encode(contract: Contract, rows: Rows) -> bytes:
    """reference.json of some rows; a field that is never known has no values."""
    found = {f.name: of_number(f, rows.numeric[:, i]) for i, f in enumerate(contract.numeric)}
    found |= {f.name: of_code(f, rows.categorical[:, i]) for i, f in enumerate(contract.categorical)}
    return json.dumps(found, indent=1).encode() + b"\n"


def of_number(field: Field, column: NDArray[np.float32]) -> list[list[Any]]:
    """The distinct values when there are few, else the middles of five equally common parts."""
    known = column[~np.isnan(column)]
    values, counts = np.unique(known, return_counts=True)
    if len(values) > VALUES:
        values = np.quantile(known, (np.arange(VALUES) + 0.5) / VALUES, method="nearest")
        values, counts = np.unique(values, return_counts=True)
    spell = {"bool": bool, "int": int}.get(field.kind, float)
    return [[spell(v), float(c / counts.sum())] for v, c in zip(values, counts, strict=True)]


def of_code(field: Field, column: NDArray[np.int32]) -> list[list[Any]]:
    """The five most common values."""
    codes, counts = np.unique(column[column != UNKNOWN_CODE], return_counts=True)
    first = np.argsort(-counts, kind="stable")[:VALUES]
    return [[field.values[codes[i]], float(counts[i] / counts[first].sum())] for i in first]
