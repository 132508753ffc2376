"""Are enquiries and answers joined rightly, split by time, and refused when they are wrong?"""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from kit.contract import Contract
from kit.stage import BadInput, Quiet
from kit.training import slices
from kit.training.params import SplitParams
from kit.training.wrangle import SLICES, Wrangled, wrangle

SPLIT = SplitParams(0.8, 0.1)
PART = "part-00000.parquet"

Change = Callable[[pa.Table], pa.Table]


@pytest.fixture(scope="module")
def wrangled(market: Path, contract: Contract, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The market's slices."""
    out = tmp_path_factory.mktemp("wrangled")
    wrangle(market, out, contract, SPLIT, Quiet())
    return out


def changed(market: Path, to: Path, table: str, change: Change) -> Path:
    """A copy of the market with one table changed."""
    for name in ("risks", "answers"):
        (to / name).mkdir()
        content = pq.read_table(market / name / PART)
        pq.write_table(change(content) if name == table else content, to / name / PART)
    return to


def replaced(column: str, rows: list[int], value: Any) -> Change:
    """A change of some rows' value of a column."""

    def change(table: pa.Table) -> pa.Table:
        values = table[column].to_pylist()
        for row in rows:
            values[row] = value
        kind = table.schema.field(column).type
        plain = pa.string() if pa.types.is_dictionary(kind) else kind
        return table.set_column(table.column_names.index(column), column, pa.array(values, plain))

    return change


def test_no_enquiry_of_a_later_slice_is_older_than_one_of_an_earlier_slice(wrangled: Path) -> None:
    """The split is by time: what is tested on lies after what was trained on, and no enquiry is in two slices."""
    tables = [pq.read_table(wrangled / f"{name}.parquet") for name in SLICES]
    times = [(pc.min(t["asked_at"]).as_py(), pc.max(t["asked_at"]).as_py()) for t in tables]

    assert [320, 40, 40] == [len(t) for t in tables]
    assert times[0][1] < times[1][0]
    assert times[1][1] < times[2][0]
    assert 400 == len({i for t in tables for i in t["enquiry_id"].to_pylist()})


def test_the_split_does_not_depend_on_the_order_of_the_file(
    market: Path, contract: Contract, wrangled: Path, tmp_path: Path
) -> None:
    """A file whose rows are shuffled gives the same slices."""
    shuffled = changed(market, tmp_path, "risks", lambda t: t.take(np.random.default_rng(0).permutation(len(t))))
    out = tmp_path / "out"
    out.mkdir()

    wrangle(shuffled, out, contract, SPLIT, Quiet())

    for name in SLICES:
        expected, found = (asdict(slices.read(folder / f"{name}.parquet", contract, 6)) for folder in (wrangled, out))
        np.testing.assert_equal(expected, found)


def test_the_lists_hold_every_insurers_answer(market: Path, contract: Contract, wrangled: Path) -> None:
    """Outcome and premium of an enquiry stand at its insurer's place, in the order of the ids."""
    rows = slices.read(wrangled / "test.parquet", contract, 6)
    answers = pq.read_table(market / "answers" / PART).to_pandas()
    codes = answers.outcome.map({"quote": 1, "decline": 0, "no_response": -1}).astype(int)
    expected = (
        answers.assign(code=codes)
        .pivot_table(index="enquiry_id", columns="insurer", values="code", observed=True)
        .loc[rows.ids]
    )
    premium = answers.pivot_table(
        index="enquiry_id", columns="insurer", values="premium", dropna=False, observed=True
    ).loc[rows.ids]

    assert (expected.to_numpy() == rows.quoted).all()
    np.testing.assert_allclose(premium.to_numpy(), rows.premium, rtol=1e-6)


def test_an_insurer_without_a_row_did_not_answer(market: Path, contract: Contract, tmp_path: Path) -> None:
    """A missing row of `answers` means the same as `no_response`."""
    sparse = changed(
        market,
        tmp_path,
        "answers",
        lambda t: t.filter(pc.not_equal(t["enquiry_id"], 399)).append_column("x", pa.nulls(len(t) - 6)),
    )
    with pq.ParquetWriter(sparse / "answers" / "part-00001.parquet", pq.read_schema(market / "answers" / PART)) as more:
        more.write_table(pq.read_table(market / "answers" / PART).slice(399 * 6, 1))
    out = tmp_path / "out"
    out.mkdir()

    wrangle(sparse, out, contract, SPLIT, Quiet())

    assert [-1] * 5 == slices.read(out / "test.parquet", contract, 6).quoted[-1, 1:].tolist()


@pytest.mark.parametrize(
    ("table", "change", "message"),
    [
        ("risks", lambda t: t.append_column("sex", pa.nulls(len(t), pa.string())), "column `sex` may not be used"),
        ("risks", lambda t: t.rename_columns({"ncd_years": "ncd_year"}), "no column `ncd_years`; is `ncd_year` it?"),
        ("risks", lambda t: t.set_column(3, "age", t["age"].cast(pa.string())), "`age` must be a number"),
        ("risks", replaced("age", [3, 4], 12), "`age` is outside the contract in 2 rows; it must be 17 to 99 years"),
        ("risks", replaced("cover", [0], "third"), "it must be one of comprehensive, tpft, tpo"),
        ("risks", replaced("enquiry_id", [1], 0), "`enquiry_id` must be unique and not null, 1 rows are not"),
        ("risks", replaced("asked_at", [1], None), "`asked_at` is null in 1 rows"),
        ("risks", lambda t: t.slice(0, 50), "50 enquiries are too few"),
        ("answers", lambda t: t.drop_columns("premium"), "no column `premium`"),
        ("answers", replaced("outcome", [5], "refer"), "`outcome` must be one of quote, decline, no_response; 1 rows"),
        ("answers", lambda t: t.set_column(3, "premium", pa.array([0.0] * len(t))), "have no `premium` above zero"),
        ("answers", lambda t: pa.concat_tables([t, t.slice(0, 2)]), "2 rows repeat an `enquiry_id` and `insurer`"),
        ("answers", replaced("enquiry_id", [0], 10**6), "1 rows have an `enquiry_id` that is not in risks"),
    ],
)
def test_wrong_data_is_refused(
    market: Path, contract: Contract, tmp_path: Path, table: str, change: Change, message: str
) -> None:
    """The refusal names the file, the column, and what would be right."""
    wrong = changed(market, tmp_path, table, change)

    with pytest.raises(BadInput) as refused:
        wrangle(wrong, tmp_path, contract, SPLIT, Quiet())

    assert message in str(refused.value)
    assert str(refused.value).startswith(f"{table}: ")


def test_an_unseen_code_is_allowed(market: Path, contract: Contract, tmp_path: Path) -> None:
    """A car's model that the vocabulary lacks is "not known", not an error: next year there are new ones."""
    out = tmp_path / "out"
    out.mkdir()

    wrangle(changed(market, tmp_path, "risks", replaced("model", [399], "md-999")), out, contract, SPLIT, Quiet())

    column = [f.name for f in contract.categorical].index("model")
    assert -1 == slices.read(out / "test.parquet", contract, 6).categorical[-1, column]


def test_the_manifest_says_what_the_data_were(wrangled: Path, market: Path, contract: Contract, tmp_path: Path) -> None:
    """Other data have another fingerprint, the same data the same one."""
    manifest = Wrangled.read(wrangled, contract)
    again, other = tmp_path / "again", tmp_path / "other"
    for folder in (again, other):
        folder.mkdir()
    changed(market, other, "risks", replaced("age", [0], 40))

    assert manifest == wrangle(market, again, contract, SPLIT, Quiet())
    assert manifest.data != wrangle(other, again, contract, SPLIT, Quiet()).data
    assert tuple(f"i-{k:04d}" for k in range(1, 7)) == manifest.insurers


def test_a_folder_that_wrangle_did_not_write_is_refused(contract: Contract, tmp_path: Path) -> None:
    """The next stage says which stage is missing."""
    with pytest.raises(BadInput, match="is not what `wrangle` or `train` writes"):
        Wrangled.read(tmp_path, contract)


def test_panel_prices_are_nan_where_too_few_quoted() -> None:
    """The mean of the five cheapest needs five, the cheapest needs one."""
    premium = np.array([[500, 100, 300, 200, 400, 900], [100, np.nan, 300, 200, 400, np.nan], [np.nan] * 6], np.float32)

    np.testing.assert_equal(
        np.array([[100, 300], [100, np.nan], [np.nan, np.nan]], np.float32), slices.panel_prices(premium)
    )
