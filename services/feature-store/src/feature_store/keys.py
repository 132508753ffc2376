"""Under which key does the store keep what?

    f:<short fingerprint>:<entity>:<generation>:{<id>}   the values of one entity
    t:<short fingerprint>:{<entity>}                      the entity's table: which generation is in force (`tables.Table`)
    t:<short fingerprint>:{<entity>}:writing              the generation that a run is writing, and how far it has come
    q:{<key id>}                                          what a caller has used of its quota (`quotas`)
    a:{<bundle>:<digest>}                                 an answer that was given before (`remembered`)

The contract's fingerprint stands in the key, so that a value written under another contract is not found instead of misread, and two
contracts can be in force while a release goes from one to the other. The generation stands in it so that a new table is written beside
the old one and comes into force with one small SET.

The braces are Redis Cluster's hash tag: only what is within decides the slot. An entity's pointer lies in a slot of its own.
"""

from typing import Final

FEATURES: Final = "f"
TABLES: Final = "t"
QUOTAS: Final = "q"
ANSWERS: Final = "a"


def key(short_fingerprint: str, entity: str, generation: str, entity_id: str) -> str:
    """The key of one entity, for example `f:0123456789ab:vehicle:89abcdef:{v-00123}`."""
    return f"{FEATURES}:{short_fingerprint}:{entity}:{generation}:{{{entity_id}}}"


def table_key(short_fingerprint: str, entity: str) -> str:
    """Where it says which generation of the entity's table is in force."""
    return f"{TABLES}:{short_fingerprint}:{{{entity}}}"


def writing_key(short_fingerprint: str, entity: str) -> str:
    """Where a run says which generation it writes, and how far it has come."""
    return f"{table_key(short_fingerprint, entity)}:writing"


def pattern(short_fingerprint: str, entity: str, generation: str = "*") -> str:
    """What SCAN matches to find every key of an entity, of one generation or of all."""
    return f"{FEATURES}:{short_fingerprint}:{entity}:{generation}:{{*"


def id_of(stored_at: str) -> str:
    """The id in the key of an entity."""
    return stored_at.rpartition("{")[2].removesuffix("}")


def generation_of(stored_at: str) -> str:
    """The generation in the key of an entity."""
    return stored_at.rpartition(":{")[0].rpartition(":")[2]


def quota_key(key_id: str) -> str:
    """Where a caller's use is counted."""
    return f"{QUOTAS}:{{{key_id}}}"


def answer_key(bundle: str, digest: str) -> str:
    """Where an answer is remembered."""
    return f"{ANSWERS}:{{{bundle}:{digest}}}"
