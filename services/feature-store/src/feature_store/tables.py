"""Which version of an entity's table is in force? Two small records beside the values.

A run writes a new version under keys of its own (its *generation*) while readers go on with the old one, and then puts it in force
with one SET of the record `Table`: between two reads everything is new, and no read ever sees half of each. A reader learns it from a
key more in an MGET that it sends anyway, once in `reader.LOOK_EVERY_S`; no read is dearer for it, and none makes a second round trip
but the first of a process, and one that finds its generation cleared away. The old generation stays where it is until the next run,
or until it expires.

A version under the *same* keys would need none of this and half the memory. But a run takes seconds, in which a car would be read from
the old table and its area from the new one, and rows that the new table lacks would stay for months.
"""

import hashlib
import json
import re
from dataclasses import asdict, dataclass
from typing import Any, Final, Self

from feature_store.layout import FORMAT

GENERATION: Final = re.compile("[0-9a-f]{8}")


@dataclass(frozen=True, slots=True)
class Table:
    """A table in the store. `source` is the sha256 of the file it came from; times are seconds since 1970.

    `rows` have been written: of the table in force all of them, of the one that is being written as many as are safely there.
    """

    generation: str
    source: str
    event_time_s: float
    rows: int
    written_at_s: float

    @classmethod
    def of(cls, entity: str, source: str, event_time_s: float, *, now: float) -> Self:
        """A table of which nothing is written yet. The same file at the same event time is the same generation."""
        name = hashlib.sha256(f"{FORMAT}:{entity}:{source}:{event_time_s!r}".encode()).hexdigest()[:8]
        return cls(name, source, event_time_s, 0, now)

    def encode(self) -> bytes:
        """As it lies in the store."""
        return json.dumps(asdict(self), separators=(",", ":")).encode()

    @classmethod
    def decode(cls, data: bytes | None) -> Self | None:
        """Read it back; None for nothing, and for bytes that are no such record. Never raises."""
        try:
            said: Any = json.loads(data or b"")
            found = cls(
                str(said["generation"]), str(said["source"]), float(said["event_time_s"]), int(said["rows"]), float(said["written_at_s"])
            )  # fmt: skip
        except (ValueError, KeyError, TypeError, RecursionError, OverflowError):
            return None
        return found if GENERATION.fullmatch(found.generation) else None
