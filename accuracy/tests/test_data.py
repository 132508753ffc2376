"""Do answers find their enquiry and their insurer, in whatever order they come?"""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, strategies as st

from accuracy import data
from kit.contract import Contract
from kit.stage import BadInput

IDS = np.array([30, 10, 20])
INSURERS = ("i-1", "i-2")


def cells(order: list[int]) -> pa.Table:
    """Each enquiry and insurer once, with a value that names both, in some order; and a stranger."""
    rows = [(i, k, 100.0 * i + k) for i in (30, 10, 20) for k in (1, 2)]
    some = [*(rows[o] for o in order), (99, 1, 0.0), (10, 9, 0.0)]
    return pa.table(
        {
            "enquiry_id": [i for i, _, _ in some],
            "insurer": pa.array([f"i-{k}" for _, k, _ in some]).dictionary_encode(),
            "premium": [v for _, _, v in some],
        }
    )


@given(st.permutations(range(6)))
def test_every_cell_finds_its_place(order: list[int]) -> None:
    """The order of a file does not matter, and other enquiries and insurers are left out."""
    (found,) = data.matrices(cells(order), ("premium",), IDS, INSURERS)

    assert [[3001, 3002], [1001, 1002], [2001, 2002]] == found.tolist()


def test_a_missing_cell_is_an_error() -> None:
    """Half an answer is not compared."""
    with pytest.raises(BadInput, match="`premium` is not known of every one of 3 enquiries and 2 insurers"):
        data.matrices(cells([0, 1, 2, 3, 4]), ("premium",), IDS, INSURERS)


def test_the_models_are_asked_without_the_answers(of: Contract, tmp_path: Path) -> None:
    """What is scored has the contract's fields and no column more."""
    fields = {f.name: [1.0] if f.is_numeric else ["x"] for f in of.fields}
    pq.write_table(
        pa.table({"enquiry_id": [1], "quoted": [[1]], "premium": [[2.0]], **fields}), tmp_path / "test.parquet"
    )

    assert 1 == data.risks_of(tmp_path / "test.parquet", tmp_path / "work" / "asked.parquet", of)
    assert {"enquiry_id", *fields} == set(pq.read_schema(tmp_path / "work" / "asked.parquet").names)
