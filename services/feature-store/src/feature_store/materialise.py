"""How do the tables of cars and areas get into the store? Read, check, pack, write in batches; again as often as you like.

A run replaces what it finds under the same keys, so it may be repeated, interrupted and repeated. A key lives somewhat longer than its
content may be used (the contract's hard limit, spread by a fifth so that a whole table does not expire in one second): freshness lies in
the value, the expiry only clears away what nobody writes any more.
"""

import difflib
import json
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from redis import Redis

from feature_store.codec import Value, encode
from feature_store.keys import key
from feature_store.layout import Layout
from kit.contract import Contract, Entity
from kit.files import sha256_of
from kit.rows import pack_columns
from kit.stage import BadInput, Progress

FILES: Final = {"vehicle": "vehicles.parquet", "area": "areas.parquet"}
MANIFEST: Final = "manifest.json"
BATCH: Final = 2_000


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
    tables = [read(folder, contract, name) for name in FILES]
    for rows in tables:
        with progress.task(f"{rows.entity.name} → store", len(rows.ids)) as task:
            left = packed(rows, contract, event_time_s)
            while some := list(islice(left, batch)):
                _write(redis, some)
                task.advance(len(some))
    return {rows.entity.name: len(rows.ids) for rows in tables}


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
        table = pq.read_table(path, columns=wanted)
    except FileNotFoundError as error:
        raise BadInput(f"{path}: no such file") from error
    except (OSError, pa.ArrowInvalid) as error:
        raise BadInput(f"{path}: not a Parquet file") from error
    ids = [str(i) for i in table[kind.id].to_pylist()]
    fits = re.compile(kind.pattern).fullmatch
    if wrong := [row for row, entity_id in enumerate(ids) if not fits(entity_id)]:
        raise BadInput(f"{path}: row {wrong[0]}: {kind.id} must look like {kind.pattern}")
    if len(set(ids)) != len(ids):
        raise BadInput(f"{path}: {kind.id} must be unique")
    return Rows(kind, layout, ids, table)


def packed(rows: Rows, contract: Contract, event_time_s: float) -> Iterator[tuple[str, bytes, int]]:
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
    for i, entity_id in enumerate(rows.ids):
        value = Value(event_time_s, present[i], numeric[i], categorical[i])
        stored_at = key(contract.short_fingerprint, layout.entity, entity_id)
        yield stored_at, encode(layout, entity_id, value), time_to_live_s(rows.entity, entity_id)


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
