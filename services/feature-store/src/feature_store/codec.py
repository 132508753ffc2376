"""How does an entity become bytes, and how do bytes that cannot be trusted become a miss?

A value is a header and two arrays, all little-endian:

    crc32       uint32    over the entity's id and then every byte that follows this one
    schema      8 bytes   contract, entity and format (`layout.schema_id`)
    event_time  float64   seconds since 1970: when the content was true, whenever it was written
    present     uint64    bit i is set when field i was given
    numeric     float32   one for each numeric field, NaN when not given
    categorical int32     one for each categorical field, -1 when not given or not in the contract's vocabulary

The checksum begins with the id, so that a value that reaches the wrong reader is a miss and not somebody else's car.
"""

import math
import struct
import zlib
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from feature_store.layout import Layout

Numeric = NDArray[np.float32]
Categorical = NDArray[np.int32]

_CRC: Final = struct.Struct("<I")
_HEADER: Final = struct.Struct("<I8sdQ")
_FLOATS: Final = np.dtype("<f4")
_INTS: Final = np.dtype("<i4")


class Flaw(StrEnum):
    """Why bytes are not a value."""

    TRUNCATED = "truncated"
    SCHEMA = "schema"
    CHECKSUM = "checksum"


@dataclass(frozen=True, slots=True, eq=False)
class Value:
    """What the store knows of one entity: read-only arrays in the layout's order, and since when it is so."""

    event_time_s: float
    present: int
    numeric: Numeric
    categorical: Categorical


def size(layout: Layout) -> int:
    """Bytes of a value."""
    return _HEADER.size + 4 * (len(layout.numeric) + len(layout.categorical))


def encode(layout: Layout, entity_id: str, value: Value) -> bytes:
    """Pack a value. Raises ValueError when an array has another length or the event time is not a finite number."""
    if len(value.numeric) != len(layout.numeric) or len(value.categorical) != len(layout.categorical):
        raise ValueError(
            f"{layout.entity}: {len(layout.numeric)} numbers and {len(layout.categorical)} codes make a value"
        )
    if not math.isfinite(value.event_time_s):
        raise ValueError(f"{layout.entity}: the event time must be a finite number of seconds")
    head = _HEADER.pack(0, layout.schema, value.event_time_s, value.present)
    rest = head[_CRC.size :] + value.numeric.astype(_FLOATS).tobytes() + value.categorical.astype(_INTS).tobytes()
    return _CRC.pack(_checksum(entity_id, rest)) + rest


def decode(layout: Layout, entity_id: str, data: bytes) -> Value | Flaw:
    """Read a value back, or say why these bytes are none. Never raises and never guesses."""
    if len(data) < _HEADER.size:
        return Flaw.TRUNCATED
    crc, schema, event_time_s, present = _HEADER.unpack_from(data)
    if schema != layout.schema:
        return Flaw.SCHEMA
    if len(data) != size(layout):
        return Flaw.TRUNCATED
    if crc != _checksum(entity_id, memoryview(data)[_CRC.size :]) or not math.isfinite(event_time_s):
        return Flaw.CHECKSUM
    numeric = np.frombuffer(data, _FLOATS, len(layout.numeric), _HEADER.size)
    categorical = np.frombuffer(data, _INTS, len(layout.categorical), _HEADER.size + numeric.nbytes)
    return Value(event_time_s, present, numeric, categorical)


def _checksum(entity_id: str, rest: bytes | memoryview) -> int:
    return zlib.crc32(rest, zlib.crc32(entity_id.encode()))
