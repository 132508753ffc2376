"""How do two tables become arrays? The engine sorts and joins by Ibis expressions, and what comes back is put in place, batch by batch.

An answer's place is its enquiry's position in time and its insurer's column, so 60 million answers need neither a sort nor a list in the
engine, and one that is repeated shows itself.
"""

from dataclasses import dataclass
from typing import Final

import ibis
import ibis.expr.types as ir
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from kit.contract import Contract
from kit.training.data.engines import Engine

OUTCOMES: Final = {"quote": 1, "decline": 0, "no_response": -1}
NO_ROW: Final = -2  # in the making: an insurer without a row; afterwards it did not answer
ARROW: Final = {
    "int": pa.int32(),
    "float": pa.float32(),
    "bool": pa.bool_(),
    "enum": pa.dictionary(pa.int32(), pa.string()),
    "code": pa.dictionary(pa.int32(), pa.string()),
}


@dataclass(frozen=True)
class Joined:
    """B enquiries in the order of time (`table`: enquiry_id, asked_at and a column per field), and their answers [B, K]."""

    table: pa.Table
    insurers: tuple[str, ...]
    quoted: NDArray[np.int8]  # 1, 0, -1 none
    premium: NDArray[np.float32]  # pounds, NaN where there is no quote
    repeated: int  # answers that another one of the same enquiry and insurer already gave
    orphans: int  # answers to enquiries that are not there


def join(engine: Engine, risks: ir.Table, answers: ir.Table, contract: Contract) -> Joined:
    """The enquiries in the order of time with their answers; an insurer without a row did not answer."""
    ranked = engine.keep(
        risks.select("enquiry_id", position=ibis.row_number().over(order_by=["asked_at", "enquiry_id"]))
    )
    table = _enquiries(engine, risks, contract)
    named = answers.filter(answers.insurer.notnull())
    insurers = tuple(sorted(r["insurer"] for r in engine.rows(named.select("insurer").distinct())))
    places = engine.put(pa.table({"insurer": insurers, "place": np.arange(len(insurers), dtype=np.int64)}))
    cells = named.inner_join(places, "insurer").left_join(ranked, "enquiry_id")
    cells = cells.select(
        "position",
        place=cells.place.cast("int32"),
        code=cells.outcome.cases(*OUTCOMES.items(), else_=OUTCOMES["no_response"]).cast("int8"),
        premium=cells.premium.cast("float64"),
    )
    quoted = np.full((len(table), len(insurers)), NO_ROW, np.int8)
    premium = np.full(quoted.shape, np.nan, np.float32)
    rows = orphans = 0
    for batch in engine.batches(cells):
        position = pc.fill_null(batch["position"], -1).to_numpy(zero_copy_only=False)
        known = position >= 0
        where = (position * len(insurers) + batch["place"].to_numpy(zero_copy_only=False))[known]
        code = batch["code"].to_numpy(zero_copy_only=False)[known]
        price = pc.fill_null(batch["premium"], np.nan).to_numpy(zero_copy_only=False)[known].astype(np.float32)
        quoted.ravel()[where] = code
        premium.ravel()[where] = np.where((code == 1) & (price > 0), price, np.float32(np.nan))
        rows += len(batch)
        orphans += int((~known).sum())
    repeated = rows - orphans - int((quoted != NO_ROW).sum())
    np.maximum(quoted, OUTCOMES["no_response"], out=quoted)
    return Joined(table, insurers, quoted, premium, repeated, orphans)


def _enquiries(engine: Engine, risks: ir.Table, contract: Contract) -> pa.Table:
    """The risks in the order of time, each column of one type whatever the engine and the files use."""
    schema = pa.schema(
        [
            pa.field("enquiry_id", pa.int64()),
            pa.field("asked_at", pa.timestamp("us", "UTC")),
            *(pa.field(f.name, ARROW[f.kind]) for f in contract.fields),
        ]
    )
    batches = [_typed(batch, schema) for batch in engine.batches(risks.select(*schema.names))]
    table = pa.Table.from_batches(batches, schema)
    return table.take(pc.sort_indices(table, [("asked_at", "ascending"), ("enquiry_id", "ascending")]))


def _typed(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Numbers that do not fit (a fraction for a whole number, not a number) become what is nearest, or null."""
    return pa.record_batch([_column(batch[f.name], f.type) for f in schema], schema)


def _column(column: pa.Array, kind: pa.DataType) -> pa.Array:
    if pa.types.is_dictionary(kind):
        return pc.cast(column, pa.string()).dictionary_encode()
    if pa.types.is_int32(kind) and pa.types.is_floating(column.type):
        column = pc.if_else(pc.is_finite(column), column, pa.scalar(None, column.type))
    return pc.cast(column, kind, safe=False)


def lists(cells: NDArray[np.int8] | NDArray[np.float32]) -> pa.ListArray:
    """An array [B, K] as a column of lists."""
    rows, width = cells.shape
    return pa.ListArray.from_arrays(np.arange(rows + 1, dtype=np.int32) * np.int32(width), pa.array(cells.ravel()))


def spelt(table: pa.Table) -> pa.Table:
    """A table with its codes as plain strings: which code a string has depends on the order in which an engine hands out its rows."""
    plain = pa.schema([f.with_type(pa.string()) if pa.types.is_dictionary(f.type) else f for f in table.schema])
    return table.cast(plain)
