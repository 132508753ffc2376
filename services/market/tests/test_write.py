"""Folders on disk: the same bytes for the same arguments, whole or not there, and the truth apart."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kit.contract import Contract
from kit.files import sha256_of
from kit.stage import BadInput, Quiet, Task
from market import schema, write
from market.enquiries import Plan
from market.write import MANIFEST, How, Wanted, generate

SMALL = Wanted(Plan(seed=3, enquiries=10, weeks=2), insurers=30, market_seed=3)
WANTED = Wanted(Plan(seed=3, enquiries=9000, weeks=2), insurers=30, market_seed=3)


@pytest.fixture(scope="module")
def made(contract: Contract, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished market of 9,000 enquiries and 30 insurers, in `market` and `truth`."""
    home = tmp_path_factory.mktemp("home")
    assert generate(contract, WANTED, home / "market", home / "truth", How(), Quiet())
    return home


def _digests(folder: Path) -> dict[str, str]:
    return {p.relative_to(folder).as_posix(): sha256_of(p) for p in sorted(folder.rglob("*")) if p.is_file()}


def _read(folder: Path, table: str) -> pa.Table:
    return pq.read_table(folder / table)


def test_chunks_change_no_byte(contract: Contract, made: Path, tmp_path: Path) -> None:
    """Every file, the manifests too, is the same at any chunk size."""
    generate(contract, WANTED, tmp_path / "market", tmp_path / "truth", How(chunk=1_000_000), Quiet())

    assert _digests(made / "market") == _digests(tmp_path / "market")
    assert _digests(made / "truth") == _digests(tmp_path / "truth")


def test_risks_have_the_contracts_columns(contract: Contract, made: Path) -> None:
    """Names, order and types are the contract's, and there is one row per enquiry."""
    table = _read(made / "market", "risks")

    assert schema.risks_schema(contract) == table.schema
    assert ["enquiry_id", "asked_at", "vehicle_id", *(f.name for f in contract.fields)] == table.column_names
    assert WANTED.plan.enquiries == table.num_rows
    assert 0 == sum(column.null_count for column in table.columns)


def test_answers_have_one_row_per_enquiry_and_insurer(made: Path) -> None:
    """A premium is null unless quoted, and every pair occurs once."""
    table = _read(made / "market", "answers")

    assert schema.ANSWERS == table.schema
    assert WANTED.plan.enquiries * WANTED.insurers == table.num_rows
    quoted = np.array([o == "quote" for o in table["outcome"].to_pylist()])
    np.testing.assert_array_equal(quoted, table["premium"].is_valid().to_numpy())


def test_the_truth_is_in_its_own_folder(made: Path) -> None:
    """Nothing below the market names a latent variable, a true price, a reason or a tariff."""
    hidden = {"sex", "risk", "hidden_score", "market_weight", "log_price", "decline_reason", "week"}
    columns = {n for path in (made / "market").rglob("*.parquet") for n in pq.read_schema(path).names}
    listed = json.loads((made / "market" / "insurers.json").read_text())

    assert set() == hidden & columns
    assert [f"i-{n:04d}" for n in range(1, 31)] == listed["insurers"] == list(listed["archetypes"])
    assert hidden - {"week"} <= {n for p in (made / "truth").rglob("*.parquet") for n in pq.read_schema(p).names}


def test_the_truth_explains_the_answers(made: Path) -> None:
    """Row by row: a decline has a reason, a quote has none, and its true price is near what was asked."""
    answers, truth = _read(made / "market", "answers"), _read(made / "truth", "answers")
    assert answers["enquiry_id"] == truth["enquiry_id"]
    assert answers["insurer"] == truth["insurer"]

    outcome = np.array(answers["outcome"].to_pylist())
    reasoned = truth["decline_reason"].is_valid().to_numpy()
    premium, true = answers["premium"].to_numpy(), truth["log_price"].to_numpy()
    error = np.log(premium[outcome == "quote"]) - true[outcome == "quote"]

    assert reasoned[outcome == "decline"].all()
    assert not reasoned[outcome == "quote"].any()
    assert np.abs(error).max() < 0.7


def test_the_stores_tables_are_whole(contract: Contract, made: Path) -> None:
    """78,000 cars and 4,000 sectors, with exactly the fields that the contract takes from the store."""
    cars, areas = _read(made / "market", "vehicles.parquet"), _read(made / "market", "areas.parquet")

    assert ["vehicle_id", *(f.name for f in contract.fields_of("vehicle"))] == cars.column_names
    assert ["sector", *(f.name for f in contract.fields_of("area"))] == areas.column_names
    assert (78_000, 4_000) == (cars.num_rows, areas.num_rows)
    assert list(contract.field("sector").values) == areas["sector"].to_pylist()


def test_a_risk_repeats_its_rows_of_the_store(contract: Contract, made: Path) -> None:
    """What the store says of a driver's car and sector is what the risk says."""
    risks = _read(made / "market", "risks").slice(0, 500)

    for file, key, entity in (("vehicles", "vehicle_id", "vehicle"), ("areas", "sector", "area")):
        stored = {row[key]: row for row in _read(made / "market", f"{file}.parquet").to_pylist()}
        for row in risks.to_pylist():
            known = stored[row[key]]
            assert {f.name: known[f.name] for f in contract.fields_of(entity)} == {
                f.name: row[f.name] for f in contract.fields_of(entity)
            }


def test_the_manifest_lists_every_file(contract: Contract, made: Path) -> None:
    """Arguments, counts, the contract and the sha256 of all files but itself."""
    for folder in (made / "market", made / "truth"):
        manifest = json.loads((folder / MANIFEST).read_text())
        assert contract.fingerprint == manifest["contract"]
        assert 9000 == manifest["counts"]["risks"]
        assert _digests(folder) == manifest["files"] | {MANIFEST: sha256_of(folder / MANIFEST)}


def test_what_is_there_is_kept(contract: Contract, made: Path) -> None:
    """The same arguments again do no work and touch no file."""
    before = (made / "market" / MANIFEST).stat().st_mtime_ns

    assert not generate(contract, WANTED, made / "market", made / "truth", How(), Quiet())
    assert before == (made / "market" / MANIFEST).stat().st_mtime_ns


@pytest.mark.parametrize("truth", ["market", "market/truth", ".", "market/../market/deep/truth"])
def test_the_truth_may_not_lie_with_the_market(truth: str, contract: Contract, tmp_path: Path) -> None:
    """Neither inside the other, however the path is written; nothing is written."""
    with pytest.raises(BadInput, match="lies in"):
        generate(contract, WANTED, tmp_path / "market", tmp_path / truth, How(), Quiet())

    assert [] == list(tmp_path.iterdir())


def test_another_market_is_not_overwritten(contract: Contract, made: Path, tmp_path: Path) -> None:
    """Other arguments in the same place are refused, and the message says in what they differ."""
    other = Wanted(Plan(seed=4, enquiries=9000, weeks=2), insurers=30, market_seed=3)

    with pytest.raises(BadInput, match="seed 3, not 4"):
        generate(contract, other, made / "market", tmp_path / "truth", How(), Quiet())


def test_foreign_files_are_not_overwritten(contract: Contract, tmp_path: Path) -> None:
    """A folder with anything else in it is refused before any work."""
    (tmp_path / "market").mkdir()
    (tmp_path / "market" / "thesis.txt").write_text("years of work")

    with pytest.raises(BadInput, match="not empty"):
        generate(contract, WANTED, tmp_path / "market", tmp_path / "truth", How(), Quiet())

    assert "years of work" == (tmp_path / "market" / "thesis.txt").read_text()


def test_a_damaged_file_is_found(contract: Contract, tmp_path: Path) -> None:
    """A market whose file is not the one that its manifest lists is not taken for whole."""
    generate(contract, SMALL, tmp_path / "market", tmp_path / "truth", How(), Quiet())
    with (tmp_path / "market" / "areas.parquet").open("ab") as file:
        file.write(b"!")

    with pytest.raises(BadInput, match=r"areas\.parquet"):
        generate(contract, SMALL, tmp_path / "market", tmp_path / "truth", How(), Quiet())


class _Interrupted(Quiet):
    """Progress that is interrupted at a block, as by Ctrl-C."""

    def __init__(self, after: int = 0) -> None:
        self._left = after

    @contextmanager
    def task(self, text: str, total: float) -> Iterator[Task]:  # noqa: ARG002
        yield self

    def advance(self, steps: float = 1, note: str = "") -> None:  # noqa: ARG002
        if steps > 1:
            self._left -= 1
            if self._left < 0:
                raise KeyboardInterrupt


def test_a_run_that_was_cut_off_goes_on(contract: Contract, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After Ctrl-C nothing looks finished; the same arguments keep the parts that were, and the bytes are those of one run."""
    monkeypatch.setattr(schema, "PART", 4096)
    cut_off, at_once = tmp_path / "cut off", tmp_path / "at once"
    with pytest.raises(KeyboardInterrupt):
        generate(contract, WANTED, cut_off / "market", cut_off / "truth", How(), _Interrupted(after=2))
    (kept,) = cut_off.glob(".market.*.partial")
    part = kept / "risks" / "part-00000.parquet"
    before = part.stat().st_mtime_ns
    (kept / "risks" / "part-00001.999.unfinished").write_text("of a process that was killed")
    assert not (cut_off / "market").exists()
    assert not (cut_off / "truth").exists()

    assert generate(contract, WANTED, cut_off / "market", cut_off / "truth", How(), Quiet())
    assert generate(contract, WANTED, at_once / "market", at_once / "truth", How(), Quiet())

    assert before == (cut_off / "market" / "risks" / "part-00000.parquet").stat().st_mtime_ns
    assert _digests(at_once) == _digests(cut_off)


def test_what_others_began_is_swept(contract: Contract, tmp_path: Path) -> None:
    """A folder that was begun from other arguments is removed; one that somebody is at is not."""
    left, held = (tmp_path / f".market.{n * 12}.partial" for n in "ab")
    left.mkdir()
    held.mkdir()
    handle = os.open(held, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)

    generate(contract, SMALL, tmp_path / "market", tmp_path / "truth", How(), Quiet())
    os.close(handle)

    assert {"market", "truth", held.name} == {p.name for p in tmp_path.iterdir()}


def test_two_at_once_are_refused(contract: Contract, tmp_path: Path) -> None:
    """While somebody makes this very market, nobody else does."""
    with pytest.raises(KeyboardInterrupt):
        generate(contract, WANTED, tmp_path / "market", tmp_path / "truth", How(), _Interrupted())
    (begun,) = tmp_path.glob(".market.*.partial")
    handle = os.open(begun, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)

    with pytest.raises(BadInput, match="at this moment"):
        generate(contract, WANTED, tmp_path / "market", tmp_path / "truth", How(), Quiet())
    os.close(handle)


def test_workers_change_no_byte(contract: Contract, tmp_path: Path) -> None:
    """Two processes write what one writes."""
    one, two = tmp_path / "one", tmp_path / "two"
    larger = replace(
        WANTED, plan=Plan(seed=3, enquiries=2 * schema.PART, weeks=2), first=schema.PART - 900, last=schema.PART + 900
    )
    generate(contract, larger, one / "market", one / "truth", How(workers=1), Quiet())
    generate(contract, larger, two / "market", two / "truth", How(workers=2), Quiet())

    assert 2 == len(list((two / "market" / "risks").iterdir()))
    assert _digests(one) == _digests(two)


def test_a_range_alone_is_its_slice(contract: Contract, made: Path, tmp_path: Path) -> None:
    """Enquiries 4,000 to 5,000 written alone are the rows of the whole."""
    alone = replace(WANTED, first=4000, last=5000)
    generate(contract, alone, tmp_path / "market", tmp_path / "truth", How(), Quiet())

    for folder in ("market", "truth"):
        for table in ("risks", "answers", "renewals") if folder == "market" else ("risks", "answers"):
            whole, part = (pq.read_table(home / folder / table) for home in (made, tmp_path))
            ids = whole["enquiry_id"].to_numpy()
            assert whole.filter((ids >= 4000) & (ids < 5000)).equals(part), table


def test_a_renewal_is_never_above_the_price_of_a_new_customer(made: Path) -> None:
    """The regulator's rule holds in every row, and the price for a new customer is the one that was quoted."""
    offers, answers = _read(made / "market", "renewals"), _read(made / "market", "answers")
    last, enbp, renewal = (offers[name].to_numpy() for name in ("last_premium", "enbp", "renewal"))
    quoted = {
        (row["enquiry_id"], row["insurer"]): row["premium"] for row in answers.to_pylist() if row["outcome"] == "quote"
    }

    assert (renewal <= enbp).all()
    assert 0.5 < len(offers) / 9000 < 0.75
    assert 0.95 < np.median(last / enbp) < 1.05
    for row in offers.slice(0, 300).to_pylist():
        assert row["enbp"] == quoted.get((row["enquiry_id"], row["insurer"]), row["enbp"])


def test_a_missing_truth_is_made_again(contract: Contract, tmp_path: Path) -> None:
    """With the market there and the truth lost, the same truth is written and the market is left alone."""
    generate(contract, SMALL, tmp_path / "market", tmp_path / "truth", How(), Quiet())
    expected = _digests(tmp_path / "truth")
    (tmp_path / "truth").rename(tmp_path / "lost")

    assert generate(contract, SMALL, tmp_path / "market", tmp_path / "truth", How(), Quiet())
    assert expected == _digests(tmp_path / "truth")


def test_files_are_cut_at_parts(contract: Contract, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A large market lies in several files, in the order of the ids, with a row group per block."""
    monkeypatch.setattr(schema, "PART", 4096)
    generate(contract, WANTED, tmp_path / "market", tmp_path / "truth", How(chunk=8192), Quiet())

    parts = sorted((tmp_path / "market" / "risks").iterdir())
    assert [f"part-{n:05d}.parquet" for n in range(3)] == [p.name for p in parts]
    ids = np.concatenate([pq.read_table(p)["enquiry_id"].to_numpy() for p in parts])
    np.testing.assert_array_equal(np.arange(9000), ids)


def test_names_in_the_manifest_are_arguments() -> None:
    """What a market was made from is what its command line says, and which generator made it."""
    assert {
        "enquiries": 9000,
        "insurers": 30,
        "seed": 3,
        "market_seed": 3,
        "weeks": 2,
        "scenario": "steady",
        "preset": "standard",
        "van": False,
        "from": 0,
        "to": 9000,
        "generator": write.GENERATOR,
    } == WANTED.parameters()
