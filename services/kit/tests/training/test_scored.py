"""Are batches answered in their order, with what a request would be completed with, and are bad ones named?"""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.testing import assert_array_equal
from numpy.typing import NDArray

from kit.contract import Contract
from kit.rows import Categorical, Numeric, is_always_known, pack
from kit.stage import BadInput
from kit.training.scoring import scored
from kit.training.scoring.scored import Scorer

INSURERS = ("i-0001", "i-0002", "i-0003")


class Ages:
    """A model that answers the age, times the insurer's place."""

    def __init__(self, contract: Contract) -> None:
        self._column = [f.name for f in contract.numeric].index("age")

    def packed(self, numeric: Numeric, _: Categorical) -> NDArray[np.float32]:
        """[B, K]."""
        return np.outer(numeric[:, self._column], np.arange(1, 4)).astype(np.float32)


class Uncalibrated:
    """Tables that have nothing to say, and the branch that reads them."""

    def cells(self, numeric: Numeric, _: Categorical) -> int:
        """How many rows there are."""
        return len(numeric)

    def answer(self, raw: Any, cells: int, _: Any) -> dict[str, Any]:
        """The raw output, and in double precision how many rows came together."""
        return {"figure": raw, "together": np.full(raw.shape, cells, np.float64)}


@pytest.fixture
def scorer(contract: Contract) -> Scorer:
    """Of fakes."""
    plain: Any = Uncalibrated()
    served: Any = Ages(contract)
    return Scorer(contract, plain, served, plain, INSURERS)


def test_each_enquiry_has_a_row_per_insurer(scorer: Scorer) -> None:
    """Ids of any type and insurers as a dictionary, figures as float32, and nothing else of the input."""
    batch = pa.record_batch({"note": ["x", "y"], "age": [30, 40], "enquiry_id": ["a", "b"]})

    found = scorer.answers(batch)

    assert ["enquiry_id", "insurer", "figure", "together"] == found.schema.names
    assert ["a"] * 3 + ["b"] * 3 == found["enquiry_id"].to_pylist()
    assert list(INSURERS) * 2 == found["insurer"].to_pylist()
    assert [30, 60, 90, 40, 80, 120] == found["figure"].to_pylist()
    assert [pa.string(), pa.dictionary(pa.int32(), pa.string()), pa.float32(), pa.float32()] == found.schema.types


def test_many_files_are_answered_in_order(
    scorer: Scorer, contract: Contract, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many threads work on them, and wherever batches and groups of rows end."""
    monkeypatch.setattr(scored, "BATCH", 7)
    ages = np.random.default_rng(3).integers(17, 90, 250)
    for i, begin in enumerate(range(0, 250, 50)):
        part = pa.table({"enquiry_id": np.arange(begin, begin + 50), "age": ages[begin : begin + 50]})
        pq.write_table(part, tmp_path / f"part-{i}.parquet", row_group_size=16)

    files = sorted(tmp_path.iterdir())
    found = pa.Table.from_batches(scored.in_order(scorer.answers, scored.batches(files, contract)))

    assert_array_equal(np.repeat(np.arange(250), 3), found["enquiry_id"].to_numpy())
    assert_array_equal((ages[:, None] * np.arange(1, 4)).ravel(), found["figure"].to_numpy())
    assert 7 == found["together"].to_numpy().max()


def test_a_failure_in_one_batch_ends_the_others(scorer: Scorer) -> None:
    """And is the stage's own."""
    batches = [pa.record_batch({"enquiry_id": [1], "age": pa.array([age])}) for age in (30, None, 40)]

    with pytest.raises(BadInput, match="`age` is required, and not given in 1 of 1 rows"):
        list(scored.in_order(scorer.answers, batches))


def test_a_batch_is_completed_as_a_request_is(contract: Contract) -> None:
    """Null and "" are assumed where there is something to assume; a value that the contract does not know is not."""
    ages, regions = [30, 40, 50], ["nowhere", "", None]
    fields = [f for f in contract.fields if f.assumed is not None]
    gaps = {f.name: pa.array([None] * 3 if f.is_numeric else [None, "", "never heard of"]) for f in fields}

    numeric, categorical = scored.packed(contract, pa.record_batch({"age": ages, "region": regions} | gaps))

    assumed = {f.name: f.assumed for f in fields}
    for i, age in enumerate(ages):
        strange = {f.name: "never heard of" for f in fields if not f.is_numeric} if i == 2 else {}
        expected = pack(contract, {"age": age, **assumed, **strange})
        assert_array_equal(expected[0], numeric[i])
        assert_array_equal(expected[1], categorical[i])


def test_a_column_of_the_wrong_type_is_named(contract: Contract) -> None:
    """With Arrow's words for what it found."""
    with pytest.raises(BadInput, match=r"risks: `age`: .*parse"):
        scored.packed(contract, pa.record_batch({"age": ["thirty"]}))


def test_what_is_required_is_what_a_request_must_have(contract: Contract) -> None:
    """Without any column the first required field is named."""
    first = next(f.name for f in (*contract.numeric, *contract.categorical) if is_always_known(f) and f.assumed is None)

    with pytest.raises(BadInput, match=f"`{first}` is required, and not given in 2 of 2 rows"):
        scored.packed(contract, pa.record_batch({"enquiry_id": [1, 2]}))
