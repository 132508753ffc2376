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
UPPER_BITS = 0x2AAAAAAAAAAAAAAA


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


def is_always_known(field: Field) -> bool:
    """Whether no request leaves the field open: it is required, or has an assumed value."""
    return field.required or field.assumed is not None


def answered(contract: Contract, numeric: Numeric, categorical: Categorical) -> NDArray[np.int64]:
    """How much of each group of questions is answered, int64[B]: bits 2i and 2i + 1 are the band of group i.

    0 nothing, 1 less than half, 2 half or more, 3 all of the group's fields; what is always known does not count. Calibration tables
    are kept by this key: an interval for a driver who said four things is not that of one who said forty, nor of one who said all
    but two.
    """
    in_numeric, in_categorical, least, weight = _bands(contract)
    known = ~np.isnan(numeric) @ in_numeric + (categorical != UNKNOWN_CODE) @ in_categorical
    key: NDArray[np.int64] = (known >= least) @ weight
    return key


def half_answered(keys: NDArray[np.int64]) -> NDArray[np.int64]:
    """The coarser key, int64[B]: of each group's two bits only the upper one, whether at least half of it is answered."""
    return keys & UPPER_BITS


@lru_cache(maxsize=8)
def _bands(
    contract: Contract,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]:
    """Each group three times, once for each band above 0: which columns count, 0/1 [N, 3G] and [M, 3G]; how many of them the band
    needs, [3G]; and what it adds to the key, [3G].
    """
    groups = [group.name for group in contract.groups]
    in_numeric, in_categorical = (
        np.array([[f.group == g and not is_always_known(f) for g in groups] for f in fields], np.int64)
        for fields in (contract.numeric, contract.categorical)
    )
    size = in_numeric.sum(0) + in_categorical.sum(0)
    least = np.concatenate([np.ones(len(size)), size / 2, size])
    return np.tile(in_numeric, 3), np.tile(in_categorical, 3), least, np.tile(4 ** np.arange(len(size)), 3)
