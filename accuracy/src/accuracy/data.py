"""The held-out enquiries, and what the models answered to them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from numpy.typing import NDArray

from kit.contract import Contract
from kit.stage import BadInput

Floats = NDArray[np.float64]
Quoted = NDArray[np.int8]
Ids = NDArray[np.int64]

ID: Final = "enquiry_id"
INSURER: Final = "insurer"


@dataclass(frozen=True, slots=True)
class Models:
    """What the two models answered, [B, K]: probability of a quote; premium, low and high in pounds."""

    probability: Floats
    premium: Floats
    low: Floats
    high: Floats


def risks_of(slice_file: Path, to: Path, contract: Contract) -> int:
    """Write the enquiries of a wrangled slice without their answers, as a website would have asked; the number of rows."""
    table = pq.read_table(slice_file, columns=[ID, *(f.name for f in contract.fields)])
    to.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, to)
    return len(table)


def scored(classifier: Path, regressor: Path, ids: Ids, insurers: Sequence[str]) -> Models:
    """What `score` wrote, in the order of `ids` and `insurers`. Raises `BadInput` when it is of other enquiries or insurers."""
    return Models(
        *matrices(pq.read_table(classifier), ("probability",), ids, insurers),
        *matrices(pq.read_table(regressor), ("premium", "low", "high"), ids, insurers),
    )


def matrices(table: pa.Table, names: Sequence[str], ids: Ids, insurers: Sequence[str]) -> tuple[Floats, ...]:
    """Columns of a table with one row per enquiry and insurer, float64[B, K] each; rows of other enquiries or insurers are left out.

    Raises `BadInput` when a cell is missing.
    """
    order = np.argsort(ids)
    asked = table[ID].to_numpy()
    place = np.minimum(np.searchsorted(ids[order], asked), len(ids) - 1)
    column = _columns(table[INSURER], insurers)
    ours = (ids[order][place] == asked) & (column >= 0)
    cells = order[place[ours]] * len(insurers) + column[ours]
    found = []
    for name in names:
        matrix = np.full(len(ids) * len(insurers), np.nan)
        matrix[cells] = table[name].to_numpy()[ours]
        if len(cells) != len(matrix) or np.isnan(matrix).any():
            raise BadInput(f"`{name}` is not known of every one of {len(ids)} enquiries and {len(insurers)} insurers")
        found.append(matrix.reshape(len(ids), len(insurers)))
    return tuple(found)


def _columns(names: Any, insurers: Sequence[str]) -> NDArray[np.int64]:
    wanted = pa.array(insurers, pa.string())
    found: Any = pc.index_in(pc.cast(names, pa.string()), value_set=wanted)
    return np.asarray(found.fill_null(-1).to_numpy(), np.int64)


def of_enquiries(folder: Path, columns: Sequence[str], ids: Ids) -> pa.Table:
    """The rows of a folder of Parquet files that are about these enquiries."""
    wanted: Any = pc.field(ID).isin(pa.array(np.sort(ids)))
    return ds.dataset(folder, format="parquet").to_table(columns=[ID, *columns], filter=wanted)
