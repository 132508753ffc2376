"""What did the data of a release look like? A page of numbers that the next release's data are held against (`profile.json`).

    fields.<name>     `null`, the share of rows that do not know it, and
                      numbers: `edges` (inner quantiles, ascending; a bin ends at its edge, inclusive) and `shares` of len(edges) + 1 bins
                      the others: `shares` by value, of the most frequent ones, `other` of the rest, `unknown` of values outside the contract
    insurers.<id>     `answered`, the share of enquiries that it quoted or declined; `quoted`, the share of these that it quoted;
                      `median_premium` in pounds, null where it quoted none

Shares of a field are of all enquiries, and together with `null` sum to 1. Nothing in here is about one enquiry.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from kit.contract import Contract, Field
from kit.rows import UNKNOWN_CODE
from kit.training.data.slices import NOT_GIVEN, given_codes, numbers

PROFILE: Final = "profile.json"
BINS: Final = 10
NAMED_VALUES: Final = 100
FLAGS: Final = ("false", "true")

Shares = Mapping[str, Any]


def profile(
    table: pa.Table,
    quoted: NDArray[np.int8],
    premium: NDArray[np.float32],
    insurers: tuple[str, ...],
    contract: Contract,
) -> dict[str, Any]:
    """Of B enquiries (a column per field) and their answers [B, K]."""
    return {
        "enquiries": len(table),
        "fields": {f.name: of_field(f, table[f.name]) for f in contract.fields},
        "insurers": {name: of_insurer(quoted[:, k], premium[:, k]) for k, name in enumerate(insurers)},
    }


def of_field(field: Field, column: pa.ChunkedArray) -> dict[str, Any]:
    """The page's entry of one field."""
    if not field.is_numeric or field.kind == "bool":
        return of_values(field, column)
    values = known_numbers(column)
    # Quantiles that are values of the data, not means of two: the same on every machine, and whole for whole numbers.
    edges = (
        np.unique(np.quantile(values, np.arange(1, BINS) / BINS, method="inverted_cdf"))
        if len(values)
        else np.empty(0, np.float32)
    )
    return {"edges": edges.tolist()} | in_bins(values, edges, len(column))


def of_values(field: Field, column: pa.ChunkedArray) -> dict[str, Any]:
    """The page's entry of a field that has values instead of numbers."""
    counts, null, unknown = counted(field, column)
    named = sorted(counts, key=lambda v: (-counts[v], v))[:NAMED_VALUES]
    rows = max(len(column), 1)
    return {
        "null": null / rows,
        "unknown": unknown / rows,
        "shares": {v: counts[v] / rows for v in named},
        "other": sum(counts[v] for v in counts if v not in set(named)) / rows,
    }


def counted(field: Field, column: pa.ChunkedArray) -> tuple[dict[str, int], int, int]:
    """Rows of each value that occurs, rows that are null, and rows whose value the contract does not know."""
    if field.kind == "bool":
        values = known_numbers(column).astype(np.int64)
        found = np.bincount(values, minlength=2)
        return {v: int(n) for v, n in zip(FLAGS, found, strict=True) if n}, len(column) - len(values), 0
    codes = np.concatenate([given_codes(field, chunk) for chunk in column.chunks])
    found = np.bincount(codes - NOT_GIVEN, minlength=2 + len(field.values))
    counts = {v: int(n) for v, n in zip(field.values, found[2:], strict=True) if n}
    return counts, int(found[0]), int(found[UNKNOWN_CODE - NOT_GIVEN])


def known_numbers(column: pa.ChunkedArray) -> NDArray[np.float32]:
    """A column of numbers or bools without those that are not known, float32."""
    values = np.concatenate([numbers(chunk) for chunk in column.chunks])
    known: NDArray[np.float32] = values[~np.isnan(values)]
    return known


def in_bins(values: NDArray[np.float32], edges: NDArray[np.float32], rows: int) -> dict[str, Any]:
    """Shares of `rows` rows by bin; those without a value are `null`."""
    found = np.bincount(np.searchsorted(edges, values, side="left"), minlength=len(edges) + 1)
    return {"null": (rows - len(values)) / max(rows, 1), "shares": (found / max(rows, 1)).tolist()}


def of_insurer(quoted: NDArray[np.int8], premium: NDArray[np.float32]) -> dict[str, float | None]:
    """The page's entry of one insurer."""
    answered, quotes = int((quoted >= 0).sum()), int((quoted == 1).sum())
    prices = premium[~np.isnan(premium)]
    return {
        "answered": answered / max(len(quoted), 1),
        "quoted": quotes / max(answered, 1),
        "median_premium": float(np.median(prices)) if len(prices) else None,
    }


def beside(last: Shares, field: Field, column: pa.ChunkedArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Shares of an earlier page's entry, and of these data by the same bins or values; null is the first of each."""
    if "edges" in last:
        now = in_bins(known_numbers(column), np.array(last["edges"], np.float32), len(column))
        return np.array([last["null"], *last["shares"]]), np.array([now["null"], *now["shares"]])
    counts, null, unknown = counted(field, column)
    rows, named = max(len(column), 1), last["shares"]
    other = sum(n for v, n in counts.items() if v not in named)
    return (
        np.array([last["null"], last["unknown"], last["other"], *named.values()]),
        np.array([null, unknown, other, *(counts.get(v, 0) for v in named)]) / rows,
    )
