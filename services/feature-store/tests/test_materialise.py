"""The job, from its command line to what a reader then reads."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import Open, Server

from feature_store.__main__ import main
from feature_store.materialise import time_to_live_s
from feature_store.reader import Outcome
from kit.contract import Contract
from kit.files import sha256_of

Change = Callable[[dict[str, Any]], dict[str, Any]]

CARS: dict[str, Any] = {
    "vehicle_id": ["v-00001", "v-00002"],
    "make": pa.array(["mk-03", None]).dictionary_encode(),
    "model": pa.array(["md-010", "md-299"]).dictionary_encode(),
    "fuel": pa.array(["diesel", "electric"]).dictionary_encode(),
    "vehicle_group": pa.array([21, None], pa.int32()),
    "vehicle_age": pa.array([4, 0], pa.int32()),
    "vehicle_value": pa.array([7_500.0, 31_000.0], pa.float32()),
}
AREAS: dict[str, Any] = {
    "sector": ["R07-0012"],
    "region": ["R07"],
    "urbanity": [0.5],
    "deprivation": [0.25],
    "theft_index": [0.75],
    "homes": [7_000],
}


@pytest.fixture
def folder(tmp_path: Path, contract: Contract) -> Path:
    """A data folder with two cars and an area."""
    pq.write_table(pa.table(CARS), tmp_path / "vehicles.parquet")
    pq.write_table(pa.table(AREAS), tmp_path / "areas.parquet")
    files = {p.name: sha256_of(p) for p in tmp_path.glob("*.parquet")}
    (tmp_path / "manifest.json").write_text(json.dumps({"contract": contract.fingerprint, "files": files}))
    return tmp_path


def fill(folder: Path, server: Server, *more: str) -> int:
    return main(["materialise", "--data", str(folder), "--redis", server.url, "--quiet", *more])


async def test_what_is_written_is_read(folder: Path, server: Server, contract: Contract, opened: Open) -> None:
    """Numbers, codes and blanks arrive in the packed row's terms."""
    wanted = [("vehicle", "v-00001"), ("vehicle", "v-00002"), ("area", "R07-0012")]

    code = fill(folder, server)
    async with opened(server.url) as reader:
        car, other, area = (await reader.read(wanted, timeout=1.0)).values()

    make, model, fuel = (contract.field(name).code_of for name in ("make", "model", "fuel"))
    nan = float("nan")
    assert 0 == code
    assert {Outcome.HIT} == {car.outcome, other.outcome, area.outcome}
    np.testing.assert_array_equal([21, 4, 7_500], car.numeric)
    np.testing.assert_array_equal([nan, 0, 31_000], other.numeric)
    np.testing.assert_array_equal([make["mk-03"], model["md-010"], fuel["diesel"]], car.categorical)
    np.testing.assert_array_equal([-1, model["md-299"], fuel["electric"]], other.categorical)
    np.testing.assert_array_equal([0.5, 0.25, 0.75], area.numeric)


def test_a_second_run_changes_nothing(folder: Path, server: Server) -> None:
    """The same tables at the same event time are the same bytes under the same keys."""
    seen = []
    for _ in range(2):
        fill(folder, server, "--event-time", "2026-01-31T12:00:00Z", "--batch", "1")
        with server.client() as redis:
            seen.append({k: redis.get(k) for k in redis.scan_iter()})

    assert 3 == len(seen[0])
    assert seen[0] == seen[1]


def test_keys_expire_after_their_content(contract: Contract) -> None:
    """A key outlives the hard limit by up to a fifth, and a whole table does not expire at once."""
    entity = contract.entity("vehicle")

    lives = {time_to_live_s(entity, f"v-{i:05d}") for i in range(1_000)}

    assert entity.hard_limit_s <= min(lives)
    assert max(lives) <= 1.2 * entity.hard_limit_s
    assert len(lives) > 500


def many(table: dict[str, Any], **columns: list[Any]) -> dict[str, Any]:
    """The columns, each with an id of its own, beside the table's first row."""
    (rows,) = {len(column) for column in columns.values()}
    ids = {"vehicle_id": [f"v-{i:05d}" for i in range(rows)]}
    return {name: [column[0]] * rows for name, column in table.items()} | ids | columns


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("vehicles.parquet", lambda t: {**{k: v for k, v in t.items() if k != "fuel"}, "fuell": t["fuel"]}, "no column 'fuel'.*'fuell'"),
        ("vehicles.parquet", lambda t: t | {"vehicle_id": ["v-00001", "AB12 CDE"]}, r"row 1: vehicle_id must look like"),
        ("vehicles.parquet", lambda t: t | {"vehicle_id": ["v-00001", "v-00001"]}, "row 1: vehicle_id must be unique"),
        ("areas.parquet", lambda t: t | {"sector": [None]}, "row 0: sector must look like"),
        ("areas.parquet", lambda t: {name: column[:0] for name, column in t.items()}, "no rows"),
        ("areas.parquet", lambda t: t | {"urbanity": ["high"]}, "column 'urbanity' must be a number, not string"),
        ("areas.parquet", lambda t: t | {"urbanity": [[0.5]]}, "column 'urbanity' must be a number, not list"),
        ("areas.parquet", lambda t: t | {"urbanity": [float("nan")]}, "row 0: urbanity must be a number from 0 to 1 share"),
        ("areas.parquet", lambda t: t | {"urbanity": [float("inf")]}, "row 0: urbanity must be a number from 0 to 1"),
        ("areas.parquet", lambda t: t | {"urbanity": [-0.01]}, "row 0: urbanity must be a number from 0 to 1"),
        ("areas.parquet", lambda t: t | {"region": [7]}, "column 'region' must be text, not int64"),
        ("areas.parquet", lambda t: t | {"region": ["R99"]}, r"row 0: region must be one of the contract's 19 values \(R01, R02"),
        ("vehicles.parquet", lambda t: t | {"vehicle_group": [51, 0]}, "rows 0, 1: vehicle_group must be a whole number from 1 to 50"),
        ("vehicles.parquet", lambda t: t | {"vehicle_group": [1.5, None]}, "row 0: vehicle_group must be a whole number"),
        ("vehicles.parquet", lambda t: t | {"vehicle_age": [True, False]}, "column 'vehicle_age' must be a whole number, not bool"),
        ("vehicles.parquet", lambda t: t | {"make": ["mk-03", "mk-3"]}, "row 1: make must be one of the contract's 20 values"),
        ("vehicles.parquet", lambda t: t | {"make": [b"mk-03", None]}, "column 'make' must be text, not binary"),
        ("vehicles.parquet", lambda t: many(t, vehicle_value=[99.0] * 9), "rows 0, 1, 2 and 6 more: vehicle_value must be a number from 100"),
    ],
)  # fmt: skip
def test_a_bad_table_is_refused_whole(
    folder: Path, server: Server, capsys: pytest.CaptureFixture[str], file: str, change: Change, message: str
) -> None:
    """The message names file and column or row, and nothing is written, not even the good table."""
    pq.write_table(pa.table(change(CARS if file == "vehicles.parquet" else AREAS)), folder / file)
    (folder / "manifest.json").write_text(
        json.dumps({"contract": json.loads((folder / "manifest.json").read_text())["contract"]})
    )

    assert 2 == fill(folder, server)
    assert re.search(f"{file}: {message}", capsys.readouterr().err)
    with server.client() as redis:
        assert 0 == redis.dbsize()


@pytest.mark.parametrize(
    ("manifest", "message"),
    [
        ([1], "manifest.json: not a manifest"),
        ({"files": [1]}, "manifest.json: not a manifest"),
        ({"contract": "f" * 64}, "made for contract ffffffffffff"),
        ({}, "made for contract None"),
        (None, "market generate"),
    ],
)
def test_a_folder_of_another_contract_is_refused(
    folder: Path, server: Server, capsys: pytest.CaptureFixture[str], manifest: object, message: str
) -> None:
    """Without the right fingerprint in its manifest, a folder is not read."""
    (folder / "manifest.json").unlink()
    if manifest is not None:
        (folder / "manifest.json").write_text(json.dumps(manifest))

    assert 2 == fill(folder, server)
    assert message in capsys.readouterr().err


def test_a_table_changed_after_it_was_listed_is_refused(
    folder: Path, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    """The manifest's sha256 is believed, the file is not."""
    pq.write_table(pa.table(AREAS | {"urbanity": [0.9]}), folder / "areas.parquet")

    assert 2 == fill(folder, server)
    assert "areas.parquet: not the file that manifest.json lists" in capsys.readouterr().err


def test_no_redis_is_said_clearly(folder: Path, server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    """The address is named, the password is not, and the exit code says that another try may help."""
    server.kill()

    code = main(["materialise", "--data", str(folder), "--redis", server.url.replace("//", "//:secret@")])
    said = capsys.readouterr().err

    assert 1 == code
    assert f"Redis at {server.url}" in said
    assert "secret" not in said


def test_get_speaks_the_contracts_words(folder: Path, server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    """Codes are spelt out, blanks are null, and what the contract does not know is a question mark."""
    fill(folder, server)
    capsys.readouterr()

    assert 0 == main(["get", "vehicle", "v-00002", "--redis", server.url])
    said = json.loads(capsys.readouterr().out)
    assert "fresh" == said["freshness"]
    assert {"vehicle_group": None, "make": None, "fuel": "electric"}.items() <= said["fields"].items()


@pytest.mark.parametrize(
    ("argv", "code", "message"),
    [
        (["get", "vehicel", "v-00002"], 2, "did you mean vehicle"),
        (["get", "vehicle", "v-00003"], 1, "no vehicle 'v-00003'"),
    ],
)
def test_get_says_what_is_missing(
    server: Server, capsys: pytest.CaptureFixture[str], argv: list[str], code: int, message: str
) -> None:
    """A misspelt entity is bad input with the right spelling; an id that is not there is not found."""
    assert code == main([*argv, "--redis", server.url])
    assert message in capsys.readouterr().err


def test_stats_count_rows_by_entity(folder: Path, server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    """Rows of this contract by entity, and keys of any other apart."""
    fill(folder, server)
    with server.client() as redis:
        redis.set("f:000000000000:vehicle:{v-00001}", b"old")
    capsys.readouterr()

    assert 0 == main(["stats", "--redis", server.url])
    said = json.loads(capsys.readouterr().out)
    assert {"vehicle": 2, "area": 1} == {name: entity["rows"] for name, entity in said["entities"].items()}
    assert 1 == said["keys_of_other_contracts"]


@pytest.mark.parametrize("time", ["yesterday", "2999-01-01", "-5"])
def test_an_impossible_event_time_is_refused(folder: Path, server: Server, time: str) -> None:
    """A time that is none, or in the future, would make every value look fresh."""
    with pytest.raises(SystemExit) as stopped:
        fill(folder, server, f"--event-time={time}")

    assert 2 == stopped.value.code
