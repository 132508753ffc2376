"""Are a slice's arrays those that packing its values one by one would give?"""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.testing import assert_array_equal
from numpy.typing import NDArray

from kit.contract import Contract, Field
from kit.rows import pack_columns
from kit.stage import BadInput
from kit.training.data import slices

ROWS, INSURERS = 300, 4
TYPES = (
    pa.string(),
    pa.large_string(),
    pa.dictionary(pa.int32(), pa.string()),
    pa.dictionary(pa.int8(), pa.large_string()),
)


def values(field: Field, rng: np.random.Generator) -> NDArray[Any]:
    """Values of a field as Python objects, with nulls, and empty and unknown strings, among them."""
    if field.kind == "bool":
        drawn = rng.choice(np.array([True, False, None]), ROWS)
    elif field.is_numeric:
        drawn = rng.integers(int(field.minimum), int(field.maximum) + 1, ROWS).astype(object)
    else:
        drawn = rng.choice(np.array([*field.values[:40], "", "never heard of"], object), ROWS)
    drawn[rng.random(ROWS) < 0.1] = None
    return drawn


@pytest.fixture(scope="module")
def answers(contract: Contract) -> dict[str, NDArray[Any]]:
    """A column of Python objects per field, but for one field that nobody was asked."""
    rng = np.random.default_rng(5)
    return {f.name: values(f, rng) for f in contract.fields[1:]}


def arrow(contract: Contract, answers: dict[str, NDArray[Any]]) -> dict[str, pa.Array]:
    """The columns in Arrow, the strings in each of the types that a file may have."""
    strings = {f.name: TYPES[i % len(TYPES)] for i, f in enumerate(contract.categorical)}
    return {n: pa.array(column.tolist(), strings.get(n)) for n, column in answers.items()}


def test_a_batch_packs_as_its_values_do(contract: Contract, answers: dict[str, NDArray[Any]]) -> None:
    """Codes that Arrow looked up are those that a request's strings would get, whatever type the strings have."""
    numeric, categorical = slices.pack(pa.record_batch(arrow(contract, answers)), contract)

    expected_numeric, expected_categorical = pack_columns(contract, answers)
    assert_array_equal(expected_numeric, numeric)
    assert_array_equal(expected_categorical, categorical)
    assert ("float32", "int32") == (numeric.dtype.name, categorical.dtype.name)


def test_a_slice_is_read_group_by_group(
    contract: Contract, answers: dict[str, NDArray[Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pieces that fit neither its groups of rows nor its end give the same arrays as the whole."""
    rng = np.random.default_rng(6)
    quoted = rng.integers(-1, 2, (ROWS, INSURERS), dtype=np.int8)
    premium = np.where(quoted == 1, rng.uniform(200, 2000, quoted.shape), np.nan).astype(np.float32)
    lists = {"quoted": pa.array(list(quoted)), "premium": pa.array(list(premium))}
    table = pa.table({"enquiry_id": np.arange(ROWS) + 7} | arrow(contract, answers) | lists)
    pq.write_table(table, tmp_path / "slice.parquet", row_group_size=70)
    monkeypatch.setattr(slices, "READ_ROWS", 64)

    rows = slices.read(tmp_path / "slice.parquet", contract, INSURERS)

    expected: tuple[NDArray[Any], ...] = (np.arange(ROWS) + 7, *pack_columns(contract, answers), quoted, premium)
    found: tuple[NDArray[Any], ...] = (rows.ids, rows.numeric, rows.categorical, rows.quoted, rows.premium)
    for wanted, got in zip(expected, found, strict=True):
        assert_array_equal(wanted, got)
        assert wanted.dtype == got.dtype


def test_a_file_that_is_no_slice_is_named(contract: Contract, tmp_path: Path) -> None:
    """Too few answers to an enquiry, no answers at all, and no Parquet."""
    path = tmp_path / "slice.parquet"
    table = pa.table({"enquiry_id": [1, 2], "quoted": [[1, 0]] * 2, "premium": [[300.0, 400.0]] * 2})

    for content in (table, table.drop_columns(["quoted"])):
        pq.write_table(content, path)
        with pytest.raises(BadInput, match="is not a wrangled slice"):
            slices.read(path, contract, INSURERS)
    path.write_bytes(b"PAR")
    with pytest.raises(BadInput, match="is not a wrangled slice"):
        slices.read(path, contract, INSURERS)


def test_the_number_of_quotes_is_of_all_insurers() -> None:
    """Whoever did not answer is taken for as willing as the others, in whole numbers; of nobody's answers nothing is known."""
    quoted = np.array([[1, 1, 0, 0], [1, 1, 0, -1], [1, -1, -1, -1], [-1, -1, -1, -1]], np.int8)

    assert_array_equal([2.0, 3.0, 4.0, np.nan], slices.quotes_of_all(quoted))
