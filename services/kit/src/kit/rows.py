"""How do a driver's answers become the two arrays that a model reads?

The packed row is `numeric` float32[N] and `categorical` int32[M] in the contract's order. A number that is not known is NaN,
a category that is not known, or was never seen, is -1. Both models read the same row, and the feature store keeps parts of it.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.contract import Contract, Field

Numeric = NDArray[np.float32]
Categorical = NDArray[np.int32]

UNKNOWN_CODE = -1


def pack(contract: Contract, values: Mapping[str, Any]) -> tuple[Numeric, Categorical]:
    """Pack one row (float32[N], int32[M]) of answers by field name; what is absent or None is not known."""
    nan = float("nan")
    get = values.get
    numeric = np.array([nan if (v := get(f.name)) is None else v for f in contract.numeric], np.float32)
    categorical = np.array(
        [UNKNOWN_CODE if (v := get(f.name)) is None else f.code_of.get(v, UNKNOWN_CODE) for f in contract.categorical],
        np.int32,
    )
    return numeric, categorical


def pack_columns(contract: Contract, columns: Mapping[str, NDArray[Any]]) -> tuple[Numeric, Categorical]:
    """Pack B rows at once ([B, N], [B, M]): a column per field; a field without a column is not known in any row.

    Numeric columns hold numbers or bools with NaN (or None) for "not known", categorical ones hold strings with None or "".
    Raises ValueError when columns differ in length.
    """
    lengths = {len(c) for name, c in columns.items() if name in contract.by_name}
    if len(lengths) != 1:
        raise ValueError(f"columns must have one length, not {sorted(lengths)}")
    (rows,) = lengths
    numeric = np.full((rows, len(contract.numeric)), np.nan, np.float32)
    for i, field in enumerate(contract.numeric):
        if field.name in columns:
            numeric[:, i] = columns[field.name].astype(np.float32)
    categorical = np.full((rows, len(contract.categorical)), UNKNOWN_CODE, np.int32)
    for i, field in enumerate(contract.categorical):
        if field.name in columns:
            categorical[:, i] = codes(field, columns[field.name])
    return numeric, categorical


def codes(field: Field, column: NDArray[Any]) -> Categorical:
    """The codes (int32[B]) of a column of strings; None, "" and what the contract does not know are -1."""
    distinct, where = np.unique(np.array(["" if v is None else v for v in column], dtype=object), return_inverse=True)
    known = np.array([field.code_of.get(v, UNKNOWN_CODE) for v in distinct], np.int32)
    return known[where]


def answered(contract: Contract, numeric: Numeric, categorical: Categorical) -> NDArray[np.int64]:
    """Which groups of questions are answered, int64[B]: bit i is set when at least half of group i's fields are known.

    Calibration tables are kept by this key: an interval for a driver who said four things is not that of one who said forty.
    """
    in_numeric, in_categorical, half = _membership(contract)
    known = ~np.isnan(numeric) @ in_numeric + (categorical != UNKNOWN_CODE) @ in_categorical
    key: NDArray[np.int64] = (known >= half) @ (1 << np.arange(len(half)))
    return key


@lru_cache(maxsize=8)
def _membership(contract: Contract) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Which column belongs to which group: 0/1 [N, G] and [M, G], and half of each group's size."""
    groups = [group.name for group in contract.groups]
    in_numeric = np.array([[f.group == g for g in groups] for f in contract.numeric], np.int64)
    in_categorical = np.array([[f.group == g for g in groups] for f in contract.categorical], np.int64)
    return in_numeric, in_categorical, (in_numeric.sum(0) + in_categorical.sum(0)) / 2
