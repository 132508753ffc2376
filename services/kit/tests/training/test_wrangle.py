"""Are enquiries and answers joined rightly, split by time, and refused when they are wrong?"""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from broken import PART, changed, replaced

from kit.artefacts import Manifest, Store, now
from kit.contract import Contract
from kit.stage import BadInput, Quiet
from kit.training.data import slices
from kit.training.data.profile import PROFILE
from kit.training.data.wrangle import SLICES, How, Wrangled, last_profile, wrangle
from kit.training.params import DataParams, SplitParams

SPLIT = SplitParams(0.8, 0.1)


@pytest.fixture(scope="module")
def wrangled(market: Path, contract: Contract, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The market's slices."""
    out = tmp_path_factory.mktemp("wrangled")
    wrangle(market, out, contract, SPLIT, Quiet())
    return out


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
    shuffled = changed(market, tmp_path, risks=lambda t: t.take(np.random.default_rng(0).permutation(len(t))))
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
        answers=lambda t: t.filter(pc.not_equal(t["enquiry_id"], 399)).append_column("x", pa.nulls(len(t) - 6)),
    )
    with pq.ParquetWriter(sparse / "answers" / "part-00001.parquet", pq.read_schema(market / "answers" / PART)) as more:
        more.write_table(pq.read_table(market / "answers" / PART).slice(399 * 6, 1))
    out = tmp_path / "out"
    out.mkdir()

    wrangle(sparse, out, contract, SPLIT, Quiet())

    assert [-1] * 5 == slices.read(out / "test.parquet", contract, 6).quoted[-1, 1:].tolist()


def test_an_unseen_code_is_allowed(market: Path, contract: Contract, tmp_path: Path) -> None:
    """A car's model that the vocabulary lacks is "not known", not an error: next year there are new ones."""
    out = tmp_path / "out"
    out.mkdir()

    wrangle(changed(market, tmp_path, risks=replaced("model", [399], "md-999")), out, contract, SPLIT, Quiet())

    column = [f.name for f in contract.categorical].index("model")
    assert -1 == slices.read(out / "test.parquet", contract, 6).categorical[-1, column]


def test_the_manifest_says_what_the_data_were(wrangled: Path, market: Path, contract: Contract, tmp_path: Path) -> None:
    """Other data have another fingerprint, the same data the same one."""
    manifest = Wrangled.read(wrangled, contract)
    again, other = tmp_path / "again", tmp_path / "other"
    again.mkdir()
    changed(market, other, risks=replaced("age", [0], 40))

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


def test_the_profile_says_what_the_data_look_like(wrangled: Path, market: Path, contract: Contract) -> None:
    """Shares of every field sum to one, and an insurer's entry is what its answers say."""
    page = json.loads((wrangled / PROFILE).read_bytes())
    answers = pq.read_table(market / "answers" / PART).to_pandas()
    theirs = answers[(answers.insurer == "i-0003") & (answers.outcome != "no_response")]

    assert {f.name for f in contract.fields} == set(page["fields"])
    for field in page["fields"].values():
        shares = field["shares"] if "edges" in field else [*field["shares"].values(), field["other"], field["unknown"]]
        assert 1.0 == pytest.approx(field["null"] + sum(shares))
    assert 400 == page["enquiries"]
    assert (
        pytest.approx(
            {
                "answered": len(theirs) / 400,
                "quoted": (theirs.outcome == "quote").mean(),
                "median_premium": theirs.premium.median(),
            }
        )
        == page["insurers"]["i-0003"]
    )


def test_archetypes_come_from_insurers_json(market: Path, contract: Contract, tmp_path: Path) -> None:
    """Of the insurers that answered; without the file nobody has one, and another form of it is refused."""
    source, out = changed(market, tmp_path / "in"), tmp_path / "out"
    out.mkdir()
    (source / "insurers.json").write_text('{"insurers": [], "archetypes": {"i-0001": "direct", "i-9999": "gone"}}')

    assert {"i-0001": "direct"} == wrangle(source, out, contract, SPLIT, Quiet()).archetypes
    assert {"i-0001": "direct"} == Wrangled.read(out, contract).archetypes
    (source / "insurers.json").write_text('{"archetypes": ["direct"]}')
    with pytest.raises(BadInput, match=r"insurers\.json: must be "):
        wrangle(source, out, contract, SPLIT, Quiet())


def test_row_groups_are_what_a_reader_holds_at_once(
    market: Path, contract: Contract, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slice is written in groups of rows, not as one."""
    monkeypatch.setattr("kit.training.data.wrangle.ROW_GROUP", 100)

    wrangle(market, tmp_path, contract, SPLIT, Quiet())

    assert 4 == pq.ParquetFile(tmp_path / "train.parquet").metadata.num_row_groups


def test_without_a_release_drift_is_skipped_aloud(tmp_path: Path) -> None:
    """A line says why: no store, no release, or one without a profile."""
    store, said = Store(str(tmp_path / "store")), list[str]()
    folder = tmp_path / "artefact"
    folder.mkdir()

    assert last_profile(None, "a", said.append) is None
    assert last_profile(store.url, "a", said.append) is None
    store.publish(folder, Manifest("a", 0, now(), "none", "c", "d", ()))
    assert last_profile(store.url, "a", said.append) is None
    (folder / PROFILE).write_text('{"enquiries": 3}')
    store.publish(folder, Manifest("a", 0, now(), "none", "c", "d", ()))
    assert {"enquiries": 3} == last_profile(store.url, "a", said.append)
    assert ["no --store: drift", "no release of a in", "a/1 has no profile.json"] == [
        start
        for line, start in zip(
            said, ("no --store: drift", "no release of a in", "a/1 has no profile.json"), strict=True
        )
        if line.startswith(start)
    ]


def test_a_field_that_nobody_has_is_a_column_of_nulls(market: Path, contract: Contract, tmp_path: Path) -> None:
    """Whatever its kind, also when it was written without a type, as soon as params.toml allows it."""
    absent = ("fuel", "theft_index", "home_owner")

    def without(table: pa.Table) -> pa.Table:
        for name in absent:
            table = table.set_column(table.column_names.index(name), name, pa.nulls(len(table)))
        return table

    source, out = changed(market, tmp_path / "in", risks=without), tmp_path / "out"
    out.mkdir()

    wrangle(source, out, contract, SPLIT, Quiet(), How(DataParams(nulls=dict.fromkeys(absent, 1.0))))

    rows = slices.read(out / "train.parquet", contract, 6)
    assert np.isnan(rows.numeric[:, [f.name for f in contract.numeric].index("theft_index")]).all()
    assert np.isnan(rows.numeric[:, [f.name for f in contract.numeric].index("home_owner")]).all()
    assert {-1} == set(rows.categorical[:, [f.name for f in contract.categorical].index("fuel")])
