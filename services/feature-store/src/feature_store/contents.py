"""What lies in the store? For a person at a terminal: slow, complete and without the reader's shortcuts."""

import time
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final, cast

from redis import Redis

from feature_store.codec import Flaw, Value, decode
from feature_store.keys import PREFIX, key, pattern
from feature_store.layout import Layout
from kit.contract import Contract

SAMPLE: Final = 200


def get(redis: Redis, contract: Contract, entity: str, entity_id: str) -> Mapping[str, Any] | None:
    """One entity in words: age, limits passed, and every field by name (None: not given). None when the store has none.

    Raises KeyError when the contract has no such entity. Bytes that are no value are said to be so under "flaw".
    """
    layout = Layout.of(contract, entity)
    data = cast("bytes | None", redis.get(key(contract.short_fingerprint, entity, entity_id)))
    if data is None:
        return None
    value = decode(layout, entity_id, data)
    about = {"entity": entity, "id": entity_id, "bytes": len(data)}
    if isinstance(value, Flaw):
        return about | {"flaw": str(value)}
    limit, age_s = contract.entity(entity), time.time() - value.event_time_s
    late = "expired" if age_s > limit.hard_limit_s else "stale" if age_s > limit.soft_limit_s else "fresh"
    return about | {"age_s": round(age_s, 1), "freshness": late, "fields": fields(layout, value)}


def fields(layout: Layout, value: Value) -> dict[str, Any]:
    """Every field by name as the contract spells it; None when it was not given, "?" when the contract does not know it."""
    numbers = [float(v) for v in value.numeric]
    words = [f.values[c] if c >= 0 else "?" for f, c in zip(layout.categorical, value.categorical, strict=True)]
    return {
        f.name: v if value.present >> bit & 1 else None
        for bit, (f, v) in enumerate(zip(layout.fields, [*numbers, *words], strict=True))
    }


def stats(redis: Redis, contract: Contract) -> Mapping[str, Any]:
    """How many rows of each entity under this contract, what a sample of them is like, and how many keys of other contracts."""
    total = _count(redis, f"{PREFIX}:*")
    entities = {e.name: _entity_stats(redis, contract, e.name) for e in contract.entities}
    memory = cast("Mapping[str, Any]", redis.info("memory"))
    return {
        "contract": contract.short_fingerprint,
        "entities": entities,
        "keys_of_other_contracts": total - sum(e["rows"] for e in entities.values()),
        "server_memory": memory["used_memory_human"],
    }


def _entity_stats(redis: Redis, contract: Contract, entity: str) -> dict[str, Any]:
    layout, ids, rows = Layout.of(contract, entity), list[str](), 0
    for found in redis.scan_iter(match=pattern(contract.short_fingerprint, entity), count=5_000):
        rows += 1
        if len(ids) < SAMPLE:
            ids.append(found.decode().rpartition("{")[2].removesuffix("}"))
    keys = [key(contract.short_fingerprint, entity, i) for i in ids]
    values = cast("list[bytes | None]", redis.mget(keys)) if keys else []
    decoded = [decode(layout, i, v) for i, v in zip(ids, values, strict=True) if v is not None]
    ages = [time.time() - v.event_time_s for v in decoded if isinstance(v, Value)]
    return {
        "rows": rows,
        "sample": len(decoded),
        "flaws": dict(Counter(str(v) for v in decoded if isinstance(v, Flaw))),
        "oldest_age_s": round(max(ages), 1) if ages else None,
    }


def _count(redis: Redis, match: str) -> int:
    return sum(1 for _ in redis.scan_iter(match=match, count=5_000))
