"""How do the tables of cars and areas get into the store? Read, check and pack all, write a new version beside the old, put it in force.

A version is named after its content (`tables.Table`). A run that was killed left a record of how far it came: the next run of the same
tables goes on there, and a run of other tables clears its rows away. Two runs at once do not mix: the one that began last wins, the
other notices at its next batch and stops. What no longer is in force stays until the next run, for readers that have not noticed yet.

A key lives somewhat longer than its content may be used (the contract's hard limit, spread by a fifth so that a whole table does not
expire in one second): freshness lies in the value, the expiry only clears away what nobody writes any more.
"""

import difflib
import json
import re
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, TypeAlias, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from redis import Redis
from redis.client import Pipeline
from redis.exceptions import WatchError

from feature_store.codec import Value, encode
from feature_store.keys import generation_of, key, pattern, table_key, writing_key
from feature_store.layout import Layout
from feature_store.tables import Table
from kit.contract import Contract, Entity, Field
from kit.files import sha256_of
from kit.rows import pack_columns
from kit.stage import BadInput, Progress

FILES: Final = {"vehicle": "vehicles.parquet", "area": "areas.parquet"}
MANIFEST: Final = "manifest.json"
BATCH: Final = 2_000
RESUME_WITHIN_S: Final = 24 * 3600  # what was read longer ago is no longer "now"
RETIRED_S: Final = (
    60.0  # how long a version that is no longer in force is left to readers; far above `reader.LOOK_EVERY_S`
)
MOST_SHOWN: Final = 3  # rows or values that a message names

Column: TypeAlias = "pa.ChunkedArray[Any]"  # generic for mypy only


class TakenOver(Exception):
    """Another run has begun since; the text says on which entity."""


@dataclass(frozen=True, slots=True)
class Rows:
    """An entity's table, checked: its layout, its limits, the columns, and the sha256 of its file."""

    entity: Entity
    layout: Layout
    ids: list[str]
    table: pa.Table
    source: str


def materialise(
    folder: Path,
    redis: Redis,
    contract: Contract,
    *,
    event_time_s: float | None,
    now: float,
    batch: int,
    progress: Progress,
    say: Callable[[str], None],
) -> dict[str, int]:
    """Put every entity's table of the folder in force and say how many rows each has.

    `event_time_s` is when the tables were true, None for `now`, or for that of the run that this one goes on with.
    Raises BadInput before anything is written; RedisError or TakenOver, and then the tables that were in force still are.
    """
    check_manifest(folder, contract)
    tables = {name: read(folder, contract, name) for name in FILES}
    begun = {name: _begin(redis, contract, rows, event_time_s, now=now, say=say) for name, rows in tables.items()}
    written = {}
    for name, rows in tables.items():
        written[name] = _write(redis, contract, rows, begun[name], batch, progress)
    for name, table in written.items():
        _put_in_force(redis, contract, name, table)
    return {name: table.rows for name, table in written.items()}


def check_manifest(folder: Path, contract: Contract) -> None:
    """Raises BadInput when the folder was made for another contract, or holds other files than its manifest says."""
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_bytes())
    except OSError as error:
        raise BadInput(
            f"{path}: {error.strerror}; --data names a folder that `python -m market generate` wrote"
        ) from error
    except ValueError as error:
        raise BadInput(f"{path}: not JSON") from error
    if not isinstance(manifest, dict) or not isinstance(manifest.get("files", {}), dict):
        raise BadInput(f"{path}: not a manifest, which is an object with `contract` and `files`")
    if (found := manifest.get("contract")) != contract.fingerprint:
        raise BadInput(f"{path}: made for contract {str(found)[:12]}, this is {contract.short_fingerprint}")
    for name in FILES.values():
        expected = manifest.get("files", {}).get(name)
        if expected is not None and (folder / name).exists() and sha256_of(folder / name) != expected:
            raise BadInput(f"{folder / name}: not the file that {MANIFEST} lists")


def read(folder: Path, contract: Contract, entity: str) -> Rows:
    """An entity's table with exactly the columns it needs. Raises BadInput, which names the file and the column or the row."""
    path, layout, kind = folder / FILES[entity], Layout.of(contract, entity), contract.entity(entity)
    wanted = [kind.id, *(f.name for f in layout.fields)]
    try:
        names = pq.read_schema(path).names
        if missing := [name for name in wanted if name not in names]:
            raise BadInput(f"{path}: {_no_column(missing[0], names)}")
        if repeated := [name for name in wanted if names.count(name) > 1]:
            raise BadInput(f"{path}: column {repeated[0]!r} is there more than once")
        table = pq.read_table(path, columns=wanted)
    except FileNotFoundError as error:
        raise BadInput(f"{path}: no such file") from error
    except (OSError, pa.ArrowException) as error:
        raise BadInput(f"{path}: not a Parquet file") from error
    if table.num_rows == 0:
        raise BadInput(f"{path}: no rows")
    ids = _ids(path, kind, table[kind.id])
    for field in layout.fields:
        _check(path, field, table[field.name])
    return Rows(kind, layout, ids, table, sha256_of(path))


def _ids(path: Path, kind: Entity, column: Column) -> list[str]:
    """Every row's id. Raises BadInput unless each has the contract's form and none stands twice."""
    ids = [str(i) for i in column.to_pylist()]
    fits = re.compile(kind.pattern).fullmatch
    if wrong := [row for row, entity_id in enumerate(ids) if not fits(entity_id)]:
        raise BadInput(f"{path}: {_shown(wrong)}: {kind.id} must look like {kind.pattern}")
    if len(set(ids)) != len(ids):
        first = {entity_id: row for row, entity_id in reversed(list(enumerate(ids)))}
        repeated = [row for row, entity_id in enumerate(ids) if first[entity_id] != row]
        raise BadInput(f"{path}: {_shown(repeated)}: {kind.id} must be unique")
    return ids


def _check(path: Path, field: Field, column: Column) -> None:
    """Raises BadInput unless the column is of the field's kind and what is given in it is within the field's range or values."""
    if pa.types.is_null(column.type):
        return  # nothing is given
    is_right, must_be = _KINDS[field.kind]
    if not is_right(column.type):
        raise BadInput(f"{path}: column {field.name!r} must be {must_be}, not {column.type}")
    if field.is_numeric:
        numbers = column.cast(pa.float64()).to_numpy().astype(np.float32)  # as they will be stored
        is_wrong = ~((numbers >= np.float32(field.minimum)) & (numbers <= np.float32(field.maximum)))
        if field.kind == "int":
            is_wrong |= numbers != np.round(numbers)
        must_be = f"{must_be} from {field.minimum:g} to {field.maximum:g} {field.unit}".rstrip()
    else:
        is_wrong = np.array([word not in field.code_of for word in column.cast(pa.string()).to_pylist()])
        known = ", ".join(field.values[:MOST_SHOWN]) + (" ..." if len(field.values) > MOST_SHOWN else "")
        must_be = f"one of the contract's {len(field.values)} values ({known})"
    if (wrong := np.flatnonzero(is_wrong & column.is_valid().to_numpy()).tolist()) != []:
        raise BadInput(f"{path}: {_shown(wrong)}: {field.name} must be {must_be}")


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind)


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


_KINDS: Final[Mapping[str, tuple[Callable[[pa.DataType], bool], str]]] = {
    "int": (_is_number, "a whole number"),
    "float": (_is_number, "a number"),
    "bool": (pa.types.is_boolean, "true or false"),
    "enum": (_is_text, "text"),
    "code": (_is_text, "text"),
}


def _shown(rows: list[int]) -> str:
    """The first rows, and how many more there are."""
    named = ", ".join(map(str, rows[:MOST_SHOWN]))
    more = f" and {len(rows) - MOST_SHOWN} more" if len(rows) > MOST_SHOWN else ""
    return f"row {named}{more}" if len(rows) == 1 else f"rows {named}{more}"


def packed(rows: Rows, contract: Contract) -> list[Value]:
    """Every row's value in the table's order, its event time 0."""
    layout, columns = rows.layout, rows.table
    numeric, categorical = pack_columns(
        contract,
        {f.name: columns[f.name].to_numpy() for f in layout.numeric}
        | {f.name: columns[f.name].cast(pa.string()).to_numpy() for f in layout.categorical},
    )
    numeric, categorical = numeric[:, layout.numeric_at], categorical[:, layout.categorical_at]
    given = [
        columns[f.name].is_valid().to_numpy().astype(np.uint64) << np.uint64(i) for i, f in enumerate(layout.fields)
    ]
    present = np.bitwise_or.reduce(given).tolist()
    return [Value(0.0, present[i], numeric[i], categorical[i]) for i in range(len(rows.ids))]


def time_to_live_s(entity: Entity, entity_id: str) -> int:
    """From the hard limit up to a fifth more, always the same for the same id."""
    share = zlib.crc32(entity_id.encode()) % 1_000 / 1_000
    return int(entity.hard_limit_s * (1 + share / 5))


def _begin(
    redis: Redis,
    contract: Contract,
    rows: Rows,
    event_time_s: float | None,
    *,
    now: float,
    say: Callable[[str], None],
) -> Table:
    """The version to write, and how much of it is there: that of a run that was cut off, or a new one. Clears others away."""
    name, total = rows.entity.name, len(rows.ids)
    at = writing_key(contract.short_fingerprint, name)
    table = Table.of(name, rows.source, now if event_time_s is None else event_time_s, now=now)
    left = Table.decode(cast("bytes | None", redis.get(at)))
    if left is not None and event_time_s in (None, left.event_time_s) and _goes_on(left, rows, now=now):
        say(f"{name}: a run was cut off, going on at row {left.rows} of {total}")
        table = left
    redis.set(at, table.encode(), ex=RESUME_WITHIN_S)
    in_force = Table.decode(cast("bytes | None", redis.get(table_key(contract.short_fingerprint, name))))
    if in_force is None or now - in_force.written_at_s >= RETIRED_S:
        kept = {table.generation} | ({in_force.generation} if in_force else set())
        if cleared := _clear(redis, pattern(contract.short_fingerprint, name), kept):
            say(f"{name}: {cleared} rows of earlier versions cleared away")
    return table


def _goes_on(left: Table, rows: Rows, *, now: float) -> bool:
    """Whether a run that was cut off had the same table, and lately."""
    name = Table.of(rows.entity.name, rows.source, left.event_time_s, now=now).generation
    is_recent = now - left.written_at_s < RESUME_WITHIN_S
    return left.generation == name and 0 < left.rows <= len(rows.ids) and is_recent


def _clear(redis: Redis, match: str, kept: set[str]) -> int:
    """Delete every key that matches and is of no generation that is kept; how many."""
    old = [found for found in redis.scan_iter(match=match, count=BATCH) if generation_of(found.decode()) not in kept]
    for begin in range(0, len(old), BATCH):
        pipeline = redis.pipeline(transaction=False)
        for stored_at in old[begin : begin + BATCH]:
            pipeline.unlink(stored_at)  # each by itself: on a cluster they lie on different nodes
        pipeline.execute()
    return len(old)


def _write(redis: Redis, contract: Contract, rows: Rows, table: Table, batch: int, progress: Progress) -> Table:
    """Write what is not there yet, in batches; after each the store knows how far it is. Raises TakenOver."""
    layout, values, total = rows.layout, packed(rows, contract), len(rows.ids)
    with progress.task(f"{layout.entity} → store", total) as task:
        task.advance(table.rows)
        while table.rows < total:
            some = range(table.rows, min(total, table.rows + batch))
            pipeline = redis.pipeline(transaction=False)
            for i in some:
                entity_id = rows.ids[i]
                pipeline.set(
                    key(contract.short_fingerprint, layout.entity, table.generation, entity_id),
                    encode(layout, entity_id, replace(values[i], event_time_s=table.event_time_s)),
                    ex=time_to_live_s(rows.entity, entity_id),
                )
            pipeline.execute()
            table = replace(table, rows=some.stop)
            at = writing_key(contract.short_fingerprint, layout.entity)
            with _as_writer(redis, at, table) as transaction:
                transaction.set(at, table.encode(), ex=RESUME_WITHIN_S)
            task.advance(len(some))
    return table


def _put_in_force(redis: Redis, contract: Contract, entity: str, table: Table) -> None:
    """From here on every read is of this version. Raises TakenOver."""
    at = writing_key(contract.short_fingerprint, entity)
    with _as_writer(redis, at, table) as transaction:
        transaction.set(
            table_key(contract.short_fingerprint, entity), replace(table, written_at_s=time.time()).encode()
        )
        transaction.delete(at)


@contextmanager
def _as_writer(redis: Redis, at: str, table: Table) -> Iterator[Pipeline]:
    """What is queued within happens at once, and only if nobody else has begun to write. Raises TakenOver."""
    with redis.pipeline(transaction=True) as transaction:
        transaction.watch(at)  # type: ignore[no-untyped-call]
        said = Table.decode(cast("bytes | None", transaction.get(at)))
        if said is None or said.generation != table.generation:
            raise TakenOver(f"another run has begun to write the table of {at}")
        transaction.multi()
        yield transaction
        try:
            transaction.execute()
        except WatchError:
            raise TakenOver(f"another run has begun to write the table of {at}") from None


def _no_column(name: str, names: list[str]) -> str:
    near = difflib.get_close_matches(name, names, 1)
    return f"no column {name!r}" + (
        f" (did you mean {near[0]!r} to be it?)" if near else f", it has {', '.join(names)}"
    )
