"""What lies in the store? For a person at a terminal: slow, complete and without the reader's shortcuts."""

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from statistics import median
from typing import Any, Final, cast

from redis import Redis

from feature_store.codec import Flaw, Value, decode
from feature_store.keys import FEATURES, id_of, key, pattern, table_key, writing_key
from feature_store.layout import Layout
from feature_store.reader import Outcome
from feature_store.tables import Table
from kit.contract import Contract
from kit.stage import Progress

SAMPLE: Final = 200
SCAN: Final = 5_000
MOST_SHOWN: Final = 3


def table_in_force(redis: Redis, contract: Contract, entity: str) -> Table | None:
    """What the entity's table is read from at the moment, None when nothing is."""
    return Table.decode(cast("bytes | None", redis.get(table_key(contract.short_fingerprint, entity))))


def get(redis: Redis, contract: Contract, entity: str, entity_id: str) -> Mapping[str, Any] | None:
    """One entity in words: outcome, age, and every field by name with its unit (value None: not given). None when the table has none.

    Raises KeyError when the contract has no such entity. Bytes that are no value are said to be so under "flaw".
    """
    layout, table = Layout.of(contract, entity), table_in_force(redis, contract, entity)
    if table is None:
        return None
    stored_at = key(contract.short_fingerprint, entity, table.generation, entity_id)
    data = cast("bytes | None", redis.get(stored_at))
    if data is None:
        return None
    value = decode(layout, entity_id, data)
    about = {"entity": entity, "id": entity_id, "key": stored_at, "bytes": len(data)}
    if isinstance(value, Flaw):
        return about | {"outcome": str(Outcome.MISS), "flaw": str(value)}
    limit, age_s = contract.entity(entity), time.time() - value.event_time_s
    late = age_s > limit.soft_limit_s and (Outcome.EXPIRED if age_s > limit.hard_limit_s else Outcome.STALE)
    return about | {
        "outcome": str(late or Outcome.HIT),
        "event_time": _moment(value.event_time_s),
        "age_s": round(age_s, 1),
        "fields": fields(layout, value),
    }


def fields(layout: Layout, value: Value) -> dict[str, dict[str, Any]]:
    """Every field by name as the contract spells it; None when it was not given, "?" when the contract does not know it."""
    numbers = [float(v) for v in value.numeric]
    words = [f.values[c] if c >= 0 else "?" for f, c in zip(layout.categorical, value.categorical, strict=True)]
    return {
        f.name: {"value": v if value.present >> bit & 1 else None, "unit": f.unit}
        for bit, (f, v) in enumerate(zip(layout.fields, [*numbers, *words], strict=True))
    }


def stats(redis: Redis, contract: Contract) -> Mapping[str, Any]:
    """Each entity's table in force and what a sample of it is like, what else lies about, and how the server is."""
    keys = Counter(
        tuple(found.decode().split(":")[1:4]) for found in redis.scan_iter(match=f"{FEATURES}:*", count=SCAN)
    )
    ours = {(contract.short_fingerprint, e.name) for e in contract.entities}
    return {
        "contract": contract.short_fingerprint,
        "entities": {e.name: _entity_stats(redis, contract, e.name, keys) for e in contract.entities},
        "keys_of_other_contracts": sum(count for at, count in keys.items() if at[:2] not in ours),
        "server": _server_stats(redis),
    }


def _server_stats(redis: Redis) -> Mapping[str, Any]:
    """How full and how busy the server is; of a cluster, each node by its address."""
    said = cast("Mapping[str, Any]", redis.info())
    if said and all(isinstance(node, Mapping) for node in said.values()):
        return {name: _figures(node) for name, node in said.items()}
    return _figures(said)


def _figures(said: Mapping[str, Any]) -> Mapping[str, Any]:
    asked = said["keyspace_hits"] + said["keyspace_misses"]
    return {
        "memory": said["used_memory_human"],
        "most_memory": said["maxmemory_human"],
        "when_full": said["maxmemory_policy"],
        "evicted_keys": said["evicted_keys"],
        "hits": said["keyspace_hits"],
        "hit_share": round(said["keyspace_hits"] / asked, 4) if asked else None,
        "clients": said["connected_clients"],
    }


def _entity_stats(redis: Redis, contract: Contract, entity: str, keys: Mapping[tuple[str, ...], int]) -> dict[str, Any]:
    of = {at[2]: count for at, count in keys.items() if at[:2] == (contract.short_fingerprint, entity)}
    table = table_in_force(redis, contract, entity)
    left = Table.decode(cast("bytes | None", redis.get(writing_key(contract.short_fingerprint, entity))))
    other = {generation: count for generation, count in of.items() if table is None or generation != table.generation}
    about: dict[str, Any] = {
        "generation": table and table.generation,
        "rows": of.get(table.generation, 0) if table else 0,
        "other_generations": other,
        "being_written": left and {"generation": left.generation, "rows": left.rows},
    }
    if table is None:
        return about
    found = redis.scan_iter(match=pattern(contract.short_fingerprint, entity, table.generation), count=SCAN)
    ids = [id_of(stored_at.decode()) for stored_at in islice(found, SAMPLE)]
    values = read_values(redis, contract, Layout.of(contract, entity), table, ids)
    ages = [time.time() - value.event_time_s for value in values if isinstance(value, Value)]
    return about | {
        "rows_written": table.rows,
        "in_force_since": _moment(table.written_at_s),
        "source": table.source,
        "sample": len(ids),
        "flaws": dict(Counter(str(value) for value in values if isinstance(value, Flaw))),
        "age_s": {"youngest": min(ages), "median": median(ages), "oldest": max(ages)} if ages else None,
    }


def read_values(
    redis: Redis, contract: Contract, layout: Layout, table: Table, ids: Sequence[str]
) -> list[Value | Flaw | None]:
    """What the table holds for each id, in one round trip; None where it holds nothing."""
    if not ids:
        return []
    pipeline = redis.pipeline(transaction=False)
    for entity_id in ids:
        pipeline.get(key(contract.short_fingerprint, layout.entity, table.generation, entity_id))
    found: list[bytes | None] = pipeline.execute()
    return [data if data is None else decode(layout, i, data) for i, data in zip(ids, found, strict=True)]


def verify(
    redis: Redis,
    contract: Contract,
    entity: str,
    expected: Mapping[str, Value],
    source: str,
    *,
    batch: int,
    progress: Progress,
) -> list[str]:
    """What is wrong with the entity's table in force, in sentences: it must hold `expected`, by id, and nothing else.

    `source` is the sha256 of the file that `expected` was read from. Event times are those of the table, not of `expected`.
    """
    table = table_in_force(redis, contract, entity)
    if table is None:
        return [f"{entity}: no table is in force"]
    faults: dict[str, list[str]] = {}
    layout, ids = Layout.of(contract, entity), list(expected)
    with progress.task(f"{entity} ✓ store", len(ids)) as task:
        for begin in range(0, len(ids), batch):
            some = ids[begin : begin + batch]
            for entity_id, value in zip(some, read_values(redis, contract, layout, table, some), strict=True):
                if (fault := _fault(expected[entity_id], value, table)) is not None:
                    faults.setdefault(fault, []).append(entity_id)
            task.advance(len(some))
    said = [f"{entity}: {len(wrong)} {fault}, {_shown(wrong)}" for fault, wrong in faults.items()]
    if table.source != source:
        said.insert(0, f"{entity}: the table in force was made of another file, sha256 {table.source[:12]}")
    return said


def strangers(redis: Redis, contract: Contract, entity: str, known: set[str]) -> list[str]:
    """What is wrong with the ids in the entity's table in force: those that are not known."""
    table = table_in_force(redis, contract, entity)
    if table is None:
        return []
    found = redis.scan_iter(match=pattern(contract.short_fingerprint, entity, table.generation), count=SCAN)
    strange = sorted({id_of(stored_at.decode()) for stored_at in found} - known)
    return [f"{entity}: {len(strange)} in the store and not in the file, {_shown(strange)}"] if strange else []


def _fault(expected: Value, value: Value | Flaw | None, table: Table) -> str | None:
    if value is None:
        return "missing"
    if isinstance(value, Flaw):
        return f"damaged ({value})"
    if value.event_time_s != table.event_time_s:
        return "of another event time"
    same = (
        value.present == expected.present
        and value.numeric.tobytes() == expected.numeric.tobytes()
        and value.categorical.tobytes() == expected.categorical.tobytes()
    )
    return None if same else "different"


def in_words(found: Mapping[str, Any], indent: str = "") -> Iterator[str]:
    """Nested figures as lines for a terminal."""
    width = max((len(name) for name in found), default=0)
    for name, value in found.items():
        if isinstance(value, Mapping) and set(value) == {"value", "unit"}:
            yield f"{indent}{name:<{width}}  {_word(value['value'], 'not given')} {value['unit']}".rstrip()
        elif isinstance(value, Mapping) and value:
            yield f"{indent}{name}"
            yield from in_words(value, indent + "  ")
        else:
            yield f"{indent}{name:<{width}}  {_word(value, 'none')}"


def _word(value: object, nothing: str) -> str:
    if value is None or value == {}:
        return nothing
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _moment(time_s: float) -> str:
    return datetime.fromtimestamp(time_s, UTC).isoformat(timespec="seconds")


def _shown(ids: Sequence[str]) -> str:
    return ", ".join(ids[:MOST_SHOWN]) + (" ..." if len(ids) > MOST_SHOWN else "")
