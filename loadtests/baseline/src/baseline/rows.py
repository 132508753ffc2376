"""How do answers become packed rows? The contract's order, and a table of cars and areas in memory where the fleet has Redis."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from kit import rows
from kit.contract import Contract
from kit.rows import Categorical, Numeric

FILES: Final = {"vehicle": "vehicles.parquet", "area": "areas.parquet"}


@dataclass(frozen=True, eq=False)
class Table:
    """All rows of one entity, and where their values belong in the packed row."""

    id: str
    place_of: Mapping[str, int]
    numeric: Numeric
    categorical: Categorical
    numeric_at: NDArray[np.intp]
    categorical_at: NDArray[np.intp]

    @classmethod
    def read(cls, market: Path, contract: Contract, entity: str) -> "Table":
        """Of the market's Parquet file. Raises OSError or pyarrow's errors."""
        fields, entity_id = contract.fields_of(entity), contract.entity(entity).id
        read = pq.read_table(market / FILES[entity], columns=[entity_id, *(f.name for f in fields)])
        columns = {
            f.name: (read[f.name] if f.is_numeric else read[f.name].cast(pa.string())).to_numpy() for f in fields
        }
        numeric, categorical = rows.pack_columns(contract, columns)
        names = {f.name for f in fields}
        numeric_at, categorical_at = (
            np.array([i for i, f in enumerate(part) if f.name in names], np.intp)
            for part in (contract.numeric, contract.categorical)
        )
        ids = {str(name): place for place, name in enumerate(read[entity_id].to_pylist())}
        return cls(entity_id, ids, numeric[:, numeric_at], categorical[:, categorical_at], numeric_at, categorical_at)


class Packer:
    """Packs rows of one contract."""

    def __init__(self, contract: Contract, tables: Sequence[Table]) -> None:
        self._contract, self._tables = contract, tables
        self._assumed = {f.name: f.assumed for f in contract.fields if f.assumed is not None}

    def pack(self, values: Mapping[str, Any]) -> tuple[Numeric, Categorical]:
        """One row (float32[N], int32[M]); what nobody answered is assumed where the contract says so, and else not known."""
        numeric, categorical = rows.pack(self._contract, {**self._assumed, **values})
        for table in self._tables:
            place = table.place_of.get(values.get(table.id, ""))
            if place is not None:
                numeric[table.numeric_at] = table.numeric[place]
                categorical[table.categorical_at] = table.categorical[place]
        return numeric, categorical
