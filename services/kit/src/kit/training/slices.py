"""One slice of the wrangled enquiries as arrays."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from kit.contract import Contract
from kit.rows import Categorical, Numeric, pack_columns
from kit.stage import BadInput
from kit.training.masking import Mask, hide


@dataclass(frozen=True)
class Rows:
    """B enquiries: packed inputs [B, N] and [B, M], and their answers [B, K]: `quoted` int8 (1, 0, -1 none), `premium` float32 (NaN none)."""

    ids: NDArray[np.int64]
    numeric: Numeric
    categorical: Categorical
    quoted: NDArray[np.int8]
    premium: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, which: Any) -> "Rows":
        """Some of the rows, by anything that NumPy indexes with."""
        return Rows(
            self.ids[which], self.numeric[which], self.categorical[which], self.quoted[which], self.premium[which]
        )

    def mixed(self, seed: int) -> "Rows":
        """The rows with each input column shuffled by itself, so that no row is a person's; the answers no longer belong to them."""
        return Rows(self.ids, *mixed(self.numeric, self.categorical, seed), self.quoted, self.premium)

    def hidden(self, known: Mask) -> "Rows":
        """The rows with fields hidden."""
        return Rows(self.ids, *hide(self.numeric, self.categorical, known), self.quoted, self.premium)


def mixed(numeric: Numeric, categorical: Categorical, seed: int) -> tuple[Numeric, Categorical]:
    """Packed rows with each column shuffled by itself: every value is a real one, but no row is a person's."""
    rng = np.random.default_rng(seed)
    return rng.permuted(numeric, axis=0), rng.permuted(categorical, axis=0)


def stack(parts: Sequence[Rows]) -> Rows:
    """Several sets of rows as one."""
    arrays = [[getattr(p, name) for p in parts] for name in ("ids", "numeric", "categorical", "quoted", "premium")]
    return Rows(*(np.concatenate(a) for a in arrays))


def read(path: Path, contract: Contract, insurers: int) -> Rows:
    """Read a wrangled slice. Raises `BadInput` when it is not one."""
    try:
        table = pq.read_table(path)
        quoted, premium = (_matrix(table[name], insurers) for name in ("quoted", "premium"))
        ids = table["enquiry_id"].to_numpy()
    except (OSError, KeyError, ValueError, pa.ArrowException) as error:
        raise BadInput(f"{path} is not a wrangled slice: {error}") from error
    return Rows(
        ids.astype(np.int64),
        *pack_columns(contract, columns(table, contract)),
        quoted.astype(np.int8),
        premium.astype(np.float32),
    )


def columns(table: pa.Table, contract: Contract) -> dict[str, NDArray[Any]]:
    """The contract's columns of a table as `kit.rows.pack_columns` wants them: float32 with NaN, strings with None."""
    found: dict[str, NDArray[Any]] = {}
    for field in contract.fields:
        if field.name in table.column_names:
            column = table[field.name]
            if field.is_numeric:
                found[field.name] = pc.cast(column, pa.float32()).to_numpy()
            else:
                found[field.name] = np.array(pc.cast(column, pa.string()).to_numpy(zero_copy_only=False), object)
    return found


def _matrix(column: pa.ChunkedArray, width: int) -> NDArray[Any]:
    flat = pc.list_flatten(column).to_numpy()
    return np.asarray(flat).reshape(len(column), width)


def panel_prices(premium: NDArray[np.float32], count: int = 5) -> NDArray[np.float32]:
    """Of premiums [B, K] with NaN: the cheapest, and the mean of the `count` cheapest, [B, 2]; NaN where so many were not quoted."""
    lowest = np.sort(np.where(np.isnan(premium), np.inf, premium), axis=1)[:, :count]
    if lowest.shape[1] < count:
        lowest = np.pad(lowest, ((0, 0), (0, count - lowest.shape[1])), constant_values=np.inf)
    prices = np.stack([lowest[:, 0], lowest.mean(axis=1)], axis=1)
    return np.where(np.isinf(prices), np.nan, prices).astype(np.float32)
