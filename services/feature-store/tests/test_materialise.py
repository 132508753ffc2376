"""The job, from its command line to what a reader then reads."""

import asyncio
import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import AREAS, CARS, Open, Server
from redis import Redis
from redis.client import Pipeline

from feature_store import contents
from feature_store.__main__ import main
from feature_store.cache import Limits
from feature_store.keys import key, writing_key
from feature_store.materialise import TakenOver, materialise, time_to_live_s
from feature_store.reader import Outcome
from feature_store.tables import Table
from kit.contract import Contract
from kit.stage import Quiet

Change = Callable[[dict[str, Any]], dict[str, Any]]


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
            seen.append({k: redis.get(k) for k in redis.scan_iter(match="f:*")})

    assert 3 == len(seen[0])
    assert seen[0] == seen[1]


class Killed(Exception):
    """What ends a run in the middle, as a kill would."""


class KilledAfter(Redis):
    """A client of a process that dies after so many batches."""

    batches = 1

    def pipeline(self, transaction: bool = True, shard_hint: Any = None) -> Pipeline:
        if not transaction:
            if self.batches == 0:
                raise Killed
            self.batches -= 1
        return super().pipeline(transaction, shard_hint)


def put(folder: Path, redis: Redis, contract: Contract, now: float, event_time_s: float | None = None) -> list[str]:
    """Materialise one row a batch; what was said."""
    said: list[str] = []
    materialise(
        folder, redis, contract, event_time_s=event_time_s, now=now, batch=1, progress=Quiet(), say=said.append
    )  # fmt: skip
    return said


def die_after_a_batch(folder: Path, server: Server, contract: Contract, now: float) -> None:
    with KilledAfter.from_url(server.url, protocol=2, driver_info=None) as redis, pytest.raises(Killed):
        put(folder, redis, contract, now)


def change(folder: Path, contract: Contract, **columns: Any) -> None:
    """Other cars in the folder, listed in its manifest."""
    pq.write_table(pa.table(CARS | columns), folder / "vehicles.parquet")
    (folder / "manifest.json").write_text(json.dumps({"contract": contract.fingerprint}))


async def test_a_run_that_was_cut_off_is_no_half_table(
    folder: Path, server: Server, contract: Contract, opened: Open
) -> None:
    """Until a run has come to its end, every read is of the table before; afterwards every read is of the new one."""
    cars = [("vehicle", "v-00001"), ("vehicle", "v-00002")]
    with server.client() as redis:
        put(folder, redis, contract, time.time() - 100)
        change(folder, contract, vehicle_value=pa.array([8_000.0, 32_000.0], pa.float32()))
        die_after_a_batch(folder, server, contract, time.time())
        async with opened(server.url) as reader:
            before = [float(e.numeric[2]) for e in (await reader.read(cars, timeout=1.0)).values()]
        said = put(folder, redis, contract, time.time())
        async with opened(server.url) as reader:
            after = [float(e.numeric[2]) for e in (await reader.read(cars, timeout=1.0)).values()]

    assert ([7_500.0, 31_000.0], [8_000.0, 32_000.0]) == (before, after)
    assert "vehicle: a run was cut off, going on at row 1 of 2" in said


def test_a_run_goes_on_as_of_the_time_of_the_one_before(folder: Path, server: Server, contract: Contract) -> None:
    """One table has one event time, that of the run that began it; what was written is not written again."""
    with server.client() as redis:
        begun = time.time() - 3600
        die_after_a_batch(folder, server, contract, begun)
        redis.config_resetstat()
        put(folder, redis, contract, time.time())
        found = contents.stats(redis, contract)["entities"]
        writes: Any = redis.info("commandstats")

    assert (2, {}, None) == tuple(found["vehicle"][name] for name in ("rows", "other_generations", "being_written"))
    assert 3600 == pytest.approx(found["vehicle"]["age_s"]["oldest"], abs=60)
    # one car and one area; for each row and each table's beginning a note of how far it is; two tables put in force
    assert 2 + (2 + 2) + 2 == writes["cmdstat_set"]["calls"]


@pytest.mark.parametrize("what", ["other tables", "another event time", "long ago"])
def test_a_run_of_something_else_begins_anew(folder: Path, server: Server, contract: Contract, what: str) -> None:
    """Other tables, another time that is asked for, or a run of the day before yesterday: nothing of it is used, and it is cleared away."""
    die_after_a_batch(folder, server, contract, time.time() - (48 * 3600 if what == "long ago" else 10))
    if what == "other tables":
        change(folder, contract, vehicle_group=pa.array([22, None], pa.int32()))

    with server.client() as redis:
        said = put(folder, redis, contract, time.time(), 1_000_000.0 if what == "another event time" else None)
        found = contents.stats(redis, contract)["entities"]["vehicle"]

    assert ["vehicle: 1 rows of earlier versions cleared away"] == said
    assert (2, {}) == (found["rows"], found["other_generations"])


def test_what_is_no_longer_in_force_is_left_to_readers_for_a_while(
    folder: Path, server: Server, contract: Contract
) -> None:
    """The table before stays until a later run, and until nobody can be reading it any more."""
    with server.client() as redis:
        others = []
        for event_time_s in (1.0, 2.0, 3.0):
            put(folder, redis, contract, time.time(), event_time_s)
            others.append(sum(contents.stats(redis, contract)["entities"]["vehicle"]["other_generations"].values()))
        put(folder, redis, contract, time.time() + 61, 4.0)
        others.append(sum(contents.stats(redis, contract)["entities"]["vehicle"]["other_generations"].values()))

    assert [0, 2, 4, 2] == others


def test_the_run_that_began_last_wins(folder: Path, server: Server, contract: Contract) -> None:
    """A run that finds another one at work stops before it puts anything in force."""
    other = Table.of("vehicle", "other", 0.0, now=time.time())

    class Overtaken(Redis):
        def pipeline(self, transaction: bool = True, shard_hint: Any = None) -> Pipeline:
            if not transaction:
                self.set(writing_key(contract.short_fingerprint, "vehicle"), other.encode())
            return super().pipeline(transaction, shard_hint)

    with Overtaken.from_url(server.url, protocol=2, driver_info=None) as redis, pytest.raises(TakenOver):
        put(folder, redis, contract, time.time())
    with server.client() as redis:
        assert contents.table_in_force(redis, contract, "vehicle") is None


async def test_nobody_notices_a_swap(folder: Path, server: Server, contract: Contract, opened: Open) -> None:
    """Reads go on while tables are written, put in force and cleared away: all hit, and both cars of a read are of the same table."""
    cars, begun = [("vehicle", "v-00001"), ("vehicle", "v-00002")], time.time() - 1000
    seen: set[tuple[float | None, float | None]] = set()
    with server.client() as redis:
        put(folder, redis, contract, time.time(), begun)
        async with opened(server.url, limits=Limits(hit_s=0.0, miss_s=0.0)) as reader:

            async def read_until(event_time_s: float) -> None:
                async with asyncio.timeout(10):
                    while (event_time_s, event_time_s) not in seen:
                        one, two = (await reader.read(cars, timeout=5.0)).values()
                        assert {Outcome.HIT} == {one.outcome, two.outcome}
                        seen.add((one.event_time_s, two.event_time_s))

            for i in range(1, 5):
                reading = asyncio.create_task(read_until(begun + 100 * i))
                await asyncio.to_thread(put, folder, redis, contract, time.time() + 100 * i, begun + 100 * i)
                await reading
            assert 4 == len(set(redis.scan_iter(match="f:*:vehicle:*")))  # the table in force and the one before

    assert {(begun + 100 * i, begun + 100 * i) for i in range(5)} == seen


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
    """Codes are spelt out, numbers have their unit, blanks are null."""
    fill(folder, server)
    capsys.readouterr()

    assert 0 == main(["get", "vehicle", "v-00002", "--redis", server.url, "--json"])
    said = json.loads(capsys.readouterr().out)
    assert ("hit", "v-00002") == (said["outcome"], said["id"])
    assert {"value": 31_000.0, "unit": "GBP"} == said["fields"]["vehicle_value"]
    assert [None, None, "electric"] == [said["fields"][name]["value"] for name in ("vehicle_group", "make", "fuel")]


def test_get_is_for_people_too(folder: Path, server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    """Without --json it is a line for each thing."""
    fill(folder, server)
    capsys.readouterr()

    assert 0 == main(["get", "vehicle", "v-00002", "--redis", server.url])
    assert re.search(r"(?s)outcome +hit.*vehicle_value +31000 GBP.*make +not given", capsys.readouterr().out)


@pytest.mark.parametrize(
    ("argv", "code", "message"),
    [
        (["get", "vehicel", "v-00002"], 2, "did you mean vehicle"),
        (["get", "vehicle", "v-3"], 2, "a vehicle looks like"),
        (["get", "vehicle", "v-00003"], 1, "no vehicle 'v-00003'"),
        (["materialize"], 2, "did you mean materialise?"),
        (["stats", "--jsn"], 2, "did you mean --json?"),
    ],
)
def test_what_is_wrong_is_said(
    server: Server, capsys: pytest.CaptureFixture[str], argv: list[str], code: int, message: str
) -> None:
    """A misspelt word is bad input, and the right spelling is named; an id that is not there is not found."""
    try:
        ended: int | str | None = main([*argv, "--redis", server.url])
    except SystemExit as stopped:
        ended = stopped.code

    assert code == ended
    assert message in capsys.readouterr().err


def test_stats_count_rows_by_entity(folder: Path, server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    """Rows of this contract by entity, and keys of any other apart."""
    fill(folder, server)
    with server.client() as redis:
        redis.set("f:000000000000:vehicle:89abcdef:{v-00001}", b"old")
    capsys.readouterr()

    assert 0 == main(["stats", "--redis", server.url, "--json"])
    said = json.loads(capsys.readouterr().out)
    assert {"vehicle": 2, "area": 1} == {name: entity["rows"] for name, entity in said["entities"].items()}
    assert 1 == said["keys_of_other_contracts"]
    assert 0 == main(["stats", "--redis", server.url])
    assert "when_full" in capsys.readouterr().out


def verify(folder: Path, server: Server, *more: str) -> int:
    return main(["verify", "--data", str(folder), "--redis", server.url, "--quiet", *more])


def test_a_store_like_its_files_is_verified(folder: Path, server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    """Everything is there and the same: exit 0; a sample says how many it was."""
    fill(folder, server)
    capsys.readouterr()

    assert (0, 0) == (verify(folder, server), verify(folder, server, "--sample", "1"))
    assert "3 entities looked at: as in the files\n2 entities looked at: as in the files\n" == capsys.readouterr().out


def test_verify_finds_what_is_wrong(
    folder: Path, server: Server, contract: Contract, capsys: pytest.CaptureFixture[str]
) -> None:
    """A missing car, a damaged one, a stranger, another file: each is named, and the exit code is 1."""
    fill(folder, server)
    with server.client() as redis:
        table = contents.table_in_force(redis, contract, "vehicle")
        assert table is not None
        first, second, third = (
            key(contract.short_fingerprint, "vehicle", table.generation, f"v-0000{i}") for i in (1, 2, 3)
        )
        redis.delete(first)
        redis.set(third, redis.get(second))
        redis.setrange(second, 40, b"?")
    change(folder, contract)
    pq.write_table(pa.table(CARS), folder / "vehicles.parquet", compression="gzip")
    capsys.readouterr()

    assert 1 == verify(folder, server)
    said = capsys.readouterr().out
    for fault in ("vehicle: the table in force was made of another file", "1 missing, v-00001", "1 damaged (checksum), v-00002",
                  "1 in the store and not in the file, v-00003", "3 entities looked at: 4 faults"):  # fmt: skip
        assert fault in said


def test_verify_of_an_empty_store_is_a_fault(folder: Path, server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    """Where no table is in force, that is what it says."""
    assert 1 == verify(folder, server)
    assert "vehicle: no table is in force" in capsys.readouterr().out


@pytest.mark.parametrize("moment", ["yesterday", "2999-01-01", "-5"])
def test_an_impossible_event_time_is_refused(folder: Path, server: Server, moment: str) -> None:
    """A time that is none, or in the future, would make every value look fresh."""
    with pytest.raises(SystemExit) as stopped:
        fill(folder, server, f"--event-time={moment}")

    assert 2 == stopped.value.code
