"""How does a block of enquiries lie in memory? One array per field of the contract, and a code instead of a category."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from kit.contract import Contract, Field

Column = NDArray[Any]
Columns = Mapping[str, Column]
"""By field name: int32, float32, bool, and int16 codes (indices in the field's `values`) for enum and code."""
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

DTYPES: Final[Mapping[str, type[np.generic]]] = {
    "int": np.int32,
    "float": np.float32,
    "bool": np.bool_,
    "enum": np.int16,
    "code": np.int16,
}


def cast_to(field: Field, values: Column) -> Column:
    """The column as the contract wants it: its kind's dtype, and numbers inside the range."""
    if field.kind in {"int", "float"}:
        values = np.clip(values, field.minimum, field.maximum)
    return values.astype(DTYPES[field.kind])


def in_contract(contract: Contract, columns: Columns) -> Columns:
    """The contract's fields in its order and its types. Raises KeyError for a field that is not there."""
    return {field.name: cast_to(field, columns[field.name]) for field in contract.fields}
