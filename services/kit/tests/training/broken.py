"""Changes that break a good set of data in one way each."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

PART = "part-00000.parquet"

Change = Callable[[pa.Table], pa.Table]


def changed(market: Path, to: Path, **changes: Change) -> Path:
    """A copy of a market in which some tables are changed."""
    for name in ("risks", "answers"):
        (to / name).mkdir(parents=True)
        content = pq.read_table(market / name / PART)
        pq.write_table(changes[name](content) if name in changes else content, to / name / PART)
    return to


def column(name: str, values: Any) -> Change:
    """A column replaced by another one."""
    return lambda table: table.set_column(table.column_names.index(name), name, pa.array(values))


def plain(table: pa.Table, name: str) -> pa.DataType:
    """A column's type, without its dictionary."""
    kind = table.schema.field(name).type
    return pa.string() if pa.types.is_dictionary(kind) else kind


def replaced(name: str, rows: Any, value: Any) -> Change:
    """Some rows' value of a column replaced."""

    def change(table: pa.Table) -> pa.Table:
        values = table[name].to_pylist()
        for row in rows:
            values[row] = value
        return table.set_column(table.column_names.index(name), name, pa.array(values, plain(table, name)))

    return change


def added(name: str, value: Any) -> Change:
    """One more column."""
    return lambda table: table.append_column(name, pa.array([value] * len(table)))


def of_insurer(insurer: str, name: str, edit: Callable[[Any, int], Any]) -> Change:
    """A column of one insurer's answers edited: `edit(value, enquiry_id)`."""

    def change(table: pa.Table) -> pa.Table:
        rows = zip(table[name].to_pylist(), table["insurer"].to_pylist(), table["enquiry_id"].to_pylist(), strict=True)
        values = [edit(v, e) if i == insurer else v for v, i, e in rows]
        return table.set_column(table.column_names.index(name), name, pa.array(values, plain(table, name)))

    return change


def cheapest(market: Path) -> NDArray[np.float64]:
    """Each enquiry's cheapest premium, float64[B]; nobody's is £5,000."""
    answers = pq.read_table(market / "answers" / PART).group_by("enquiry_id").aggregate([("premium", "min")])
    found = answers.sort_by("enquiry_id")["premium_min"].to_pylist()
    return np.array([p or 5000.0 for p in found])


def without(insurer: str, after: int = -1) -> Change:
    """The answers without one insurer's to enquiries after this one."""
    return lambda table: table.filter(
        pc.or_(pc.not_equal(table["insurer"], insurer), pc.less_equal(table["enquiry_id"], after))
    )


def at(*when: int) -> datetime:
    """A time of that year, month and day."""
    return datetime(*when, tzinfo=UTC)  # type: ignore[misc,arg-type]


def younger(table: pa.Table) -> pa.Table:
    """Twenty years younger, all of them."""
    ages = np.maximum(table["age"].to_numpy() - 20, 17).astype(np.int32)
    return column("age", ages)(table)
