"""Under which key does the store keep an entity?

`f:<short fingerprint>:<entity>:{<id>}`. The contract's fingerprint stands in the key, so that a value written under another
contract is not found instead of misread, and two contracts can be in force while a release goes from one to the other.

The braces are Redis Cluster's hash tag: only the id decides the slot, so that later groups of one entity lie together and are
read with one MGET. A read of *several* entities (a car and an area) is one MGET on a single server only: a cluster answers it
with CROSSSLOT, and needs one MGET for each slot, sent at once.
"""

from typing import Final

PREFIX: Final = "f"


def key(short_fingerprint: str, entity: str, entity_id: str) -> str:
    """The key of one entity, for example `f:0123456789ab:vehicle:{v-00123}`."""
    return f"{PREFIX}:{short_fingerprint}:{entity}:{{{entity_id}}}"


def pattern(short_fingerprint: str, entity: str) -> str:
    """What SCAN matches to find every key of an entity."""
    return f"{PREFIX}:{short_fingerprint}:{entity}:*"
