"""How do the tables of cars and areas get into the store? Read, check and pack all, then write in batches; again as often as you like.

A run replaces what it finds under the same keys, so it may be repeated, interrupted and repeated. A key lives somewhat longer than its
content may be used (the contract's hard limit, spread by a fifth so that a whole table does not expire in one second): freshness lies in
the value, the expiry only clears away what nobody writes any more.
"""

import difflib
import json
import re
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from redis import Redis

from feature_store.codec import Value, encode
from feature_store.keys import key
from feature_store.layout import Layout
from kit.contract import Contract, Entity, Field
from kit.files import sha256_of
from kit.rows import pack_columns
from kit.stage import BadInput, Progress

FILES: Final = {"vehicle": "vehicles.parquet", "area": "areas.parquet"}
MANIFEST: Final = "manifest.json"
BATCH: Final = 2_000
MOST_SHOWN: Final = 3  # rows or values that a message names

Column: TypeAlias = "pa.ChunkedArray[Any]"  # generic for mypy only


@dataclass(frozen=True, slots=True)
class Rows:
    """An entity's table, checked: its layout, its limits, and the columns."""

    entity: Entity
    layout: Layout
    ids: list[str]
    table: pa.Table


def materialise(
    folder: Path, redis: Redis, contract: Contract, *, event_time_s: float, batch: int, progress: Progress
) -> dict[str, int]:
    """Write every entity of the folder and say how many rows of each. Raises BadInput before anything is written, or RedisError."""
    check_manifest(folder, contract)
    tables = {name: packed(read(folder, contract, name), contract, event_time_s) for name in FILES}
    for name, values in tables.items():
        with progress.task(f"{name} → store", len(values)) as task:
            for begin in range(0, len(values), batch):
                some = values[begin : begin + batch]
                _write(redis, some)
                task.advance(len(some))
    return {name: len(values) for name, values in tables.items()}


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
    return Rows(kind, layout, ids, table)


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


def packed(rows: Rows, contract: Contract, event_time_s: float) -> list[tuple[str, bytes, int]]:
    """Key, value and time to live in seconds of every row, in the table's order."""
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
    return [
        (
            key(contract.short_fingerprint, layout.entity, entity_id),
            encode(layout, entity_id, Value(event_time_s, present[i], numeric[i], categorical[i])),
            time_to_live_s(rows.entity, entity_id),
        )
        for i, entity_id in enumerate(rows.ids)
    ]


def time_to_live_s(entity: Entity, entity_id: str) -> int:
    """From the hard limit up to a fifth more, always the same for the same id."""
    share = zlib.crc32(entity_id.encode()) % 1_000 / 1_000
    return int(entity.hard_limit_s * (1 + share / 5))


def _write(redis: Redis, some: list[tuple[str, bytes, int]]) -> None:
    pipeline = redis.pipeline(transaction=False)
    for stored_at, value, seconds in some:
        pipeline.set(stored_at, value, ex=seconds)
    pipeline.execute()


def _no_column(name: str, names: list[str]) -> str:
    near = difflib.get_close_matches(name, names, 1)
    return f"no column {name!r}" + (
        f" (did you mean {near[0]!r} to be it?)" if near else f", it has {', '.join(names)}"
    )
