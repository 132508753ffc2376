"""One slice of the wrangled enquiries as arrays."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from kit.contract import Contract, Field
from kit.rows import UNKNOWN_CODE, Categorical, Numeric
from kit.stage import BadInput
from kit.training.nets.masking import Mask, hide

READ_ROWS: Final = 65_536
NOT_GIVEN: Final = -2  # of `given_codes`: null or "", where -1 is a value that the contract does not know


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


def read(path: Path, contract: Contract, insurers: int) -> Rows:
    """Read a wrangled slice, one group of its rows after the other, so that few of them are in memory twice.

    Raises `BadInput` when it is not one.
    """
    try:
        file = pq.ParquetFile(path, read_dictionary=texts(pq.read_schema(path)))
        count = file.metadata.num_rows
        rows = Rows(
            np.empty(count, np.int64),
            np.empty((count, len(contract.numeric)), np.float32),
            np.empty((count, len(contract.categorical)), np.int32),
            np.empty((count, insurers), np.int8),
            np.empty((count, insurers), np.float32),
        )
        begin = 0
        for batch in file.iter_batches(READ_ROWS):
            here = slice(begin, begin + len(batch))
            rows.ids[here] = batch["enquiry_id"].to_numpy()
            rows.numeric[here], rows.categorical[here] = pack(batch, contract)
            rows.quoted[here] = _matrix(batch["quoted"], insurers)
            rows.premium[here] = _matrix(batch["premium"], insurers)
            begin = here.stop
    except (OSError, KeyError, ValueError, pa.ArrowException) as error:
        raise BadInput(f"{path} is not a wrangled slice: {error}") from error
    return rows


def texts(schema: pa.Schema) -> list[str]:
    """The columns of strings, which Parquet can hand out as codes."""
    kinds = (pa.types.is_string, pa.types.is_large_string)
    return [f.name for f in schema if any(is_one(f.type) for is_one in kinds)]


def pack(batch: pa.RecordBatch, contract: Contract) -> tuple[Numeric, Categorical]:
    """The packed rows (float32[B, N], int32[B, M]) of a batch with a column per field; without one a field is not known in any row.

    Equal to `kit.rows.pack_columns` of the same values. Raises `pyarrow.ArrowException` when a column cannot be read as its field.
    """
    numeric = np.full((len(batch), len(contract.numeric)), np.nan, np.float32)
    categorical = np.full((len(batch), len(contract.categorical)), UNKNOWN_CODE, np.int32)
    for i, field in enumerate(contract.numeric):
        if field.name in batch.schema.names:
            numeric[:, i] = numbers(batch[field.name])
    for i, field in enumerate(contract.categorical):
        if field.name in batch.schema.names:
            categorical[:, i] = given_codes(field, batch[field.name])
    return numeric, np.maximum(categorical, UNKNOWN_CODE, out=categorical)


def numbers(column: pa.Array) -> NDArray[np.float32]:
    """A column of numbers or bools as float32[B], null as NaN."""
    found: NDArray[np.float32] = pc.cast(column, pa.float32()).to_numpy(zero_copy_only=False)
    return found


def given_codes(field: Field, column: pa.Array) -> Categorical:
    """The codes int32[B] of a column of strings: -1 what the contract does not know, `NOT_GIVEN` for null and "".

    Each distinct string is looked up once, and not each row.
    """
    if not pa.types.is_dictionary(column.type):
        column = pc.cast(column, pa.string()).dictionary_encode()
    spelt = pc.cast(column.dictionary, pa.string()).to_pylist()
    code_of = np.array([*(field.code_of.get(v, UNKNOWN_CODE) if v else NOT_GIVEN for v in spelt), NOT_GIVEN], np.int32)
    codes: Categorical = code_of[pc.fill_null(pc.cast(column.indices, pa.int32()), len(spelt)).to_numpy()]
    return codes


def _matrix(column: pa.Array, width: int) -> NDArray[Any]:
    return np.asarray(pc.list_flatten(column).to_numpy(zero_copy_only=False)).reshape(len(column), width)


def quotes_of_all(quoted: NDArray[np.int8]) -> NDArray[np.float64]:
    """How many of all K insurers quoted, float64[B] whole numbers, from who did, int8[B, K]; NaN where none answered.

    Those that did not answer (-1) are taken to quote as often as those that did: a model counts all insurers, and not who happened to answer.
    """
    answered = (quoted >= 0).sum(axis=1)
    share = (quoted == 1).sum(axis=1) / np.maximum(answered, 1)
    return np.where(answered > 0, np.round(share * quoted.shape[1]), np.nan)


def panel_prices(premium: NDArray[np.float32], count: int = 5) -> NDArray[np.float32]:
    """Of premiums [B, K] with NaN: the cheapest, and the mean of the `count` cheapest, [B, 2]; NaN where so many were not quoted."""
    lowest = np.sort(np.where(np.isnan(premium), np.inf, premium), axis=1)[:, :count]
    if lowest.shape[1] < count:
        lowest = np.pad(lowest, ((0, 0), (0, count - lowest.shape[1])), constant_values=np.inf)
    prices = np.stack([lowest[:, 0], lowest.mean(axis=1)], axis=1)
    return np.where(np.isinf(prices), np.nan, prices).astype(np.float32)
