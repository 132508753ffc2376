"""Protobuf's wire format: which fields does a message hold, and how are numbers written?

Every reader raises `BadTensor` on truncated or malformed bytes, and none allocates more than a small multiple of them.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

VARINT: Final = 0
FIXED64: Final = 1
BYTES: Final = 2
FIXED32: Final = 5

_FIXED: Final = {FIXED64: 8, FIXED32: 4}
_MAX_VARINT: Final = 10  # bytes: 70 bits of room for 64
_WORD: Final = (1 << 64) - 1
_SIGN: Final = 1 << 63

Value = int | memoryview


class BadTensor(ValueError):
    """The bytes are not the message they should be, or a tensor's shape does not match its values."""


def read_varint(view: memoryview, at: int) -> tuple[int, int]:
    """The number that starts at `at`, unsigned in 64 bits, and where the next field begins."""
    if at < len(view) and (first := view[at]) < 0x80:  # nearly every key and most lengths are one byte
        return first, at + 1
    value = shift = 0
    for position in range(at, min(at + _MAX_VARINT, len(view))):
        byte = view[position]
        if byte < 0x80:  # no continuation bit: the last byte
            return (value | byte << shift) & _WORD, position + 1
        value |= (byte & 0x7F) << shift
        shift += 7
    raise BadTensor("a number is cut off or longer than ten bytes")


def read_fields(view: memoryview) -> Iterator[tuple[int, int, Value]]:
    """(number, wire type, value) of each field in order; a value is an int (VARINT) or the bytes, not copied."""
    at, end = 0, len(view)
    while at < end:
        tag, at = read_varint(view, at)
        number, kind = tag >> 3, tag & 7
        if number == 0 or tag > 0xFFFFFFFF:
            raise BadTensor(f"no such field number: {number}")
        if kind == VARINT:
            value, at = read_varint(view, at)
            yield number, kind, value
            continue
        if kind == BYTES:
            size, at = read_varint(view, at)
        elif kind in _FIXED:
            size = _FIXED[kind]
        else:
            raise BadTensor(f"unknown wire type {kind}")
        if size > end - at:
            raise BadTensor(f"field {number} needs {size} bytes, {end - at} are left")
        yield number, kind, view[at : at + size]
        at += size


def chunk(value: Value) -> memoryview:
    """The bytes of a length-delimited field. Raises `BadTensor` if the field came as a number."""
    if isinstance(value, int):
        raise BadTensor("a number where a message, text or list was expected")
    return value


def number(value: Value) -> int:
    """The value of a varint field. Raises `BadTensor` if the field came as bytes."""
    if isinstance(value, int):
        return value
    raise BadTensor("bytes where a number was expected")


def signed(value: int) -> int:
    """A 64-bit varint as int64."""
    return value - (1 << 64) if value & _SIGN else value


def text(value: Value) -> str:
    """A string field; proto3 strings are UTF-8."""
    try:
        return str(chunk(value), "utf-8")
    except UnicodeDecodeError as error:
        raise BadTensor("a name is not UTF-8") from error


def read_varints(view: memoryview) -> NDArray[np.uint64]:
    """All the numbers of a packed field at once, uint64[n]."""
    raw = np.frombuffer(view, np.uint8)
    ends = np.flatnonzero(raw < 0x80)
    if len(raw) == 0:
        return np.empty(0, np.uint64)
    if len(ends) == 0 or ends[-1] != len(raw) - 1:
        raise BadTensor("the last number of a list is cut off")
    if len(ends) == len(raw):  # small numbers only: one byte each
        return raw.astype(np.uint64)
    starts = np.concatenate(([0], ends[:-1] + 1))
    lengths = ends - starts + 1
    if lengths.max() > _MAX_VARINT:
        raise BadTensor("a number is longer than ten bytes")
    place = np.arange(len(raw)) - np.repeat(starts, lengths)
    digits = (raw & 0x7F).astype(np.uint64) << (7 * place).astype(np.uint64)
    return np.add.reduceat(digits, starts, dtype=np.uint64)


def varint(value: int) -> bytes:
    """One number, negative ones as two's complement in 64 bits (ten bytes)."""
    if 0 <= value < 0x80:
        return bytes((value,))
    value &= _WORD
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def varints(values: NDArray[np.uint64]) -> bytes:
    """A packed list of numbers, of all at once; signed ones as their 64 bits."""
    rest = np.ascontiguousarray(values)
    if len(rest) == 0 or rest.max() < 0x80:
        return rest.astype(np.uint8).tobytes()
    digits = rest[:, None] >> np.arange(0, 7 * _MAX_VARINT, 7, dtype=np.uint64)
    used = digits != 0
    used[:, 0] = True  # zero, too, takes a byte
    out = (digits & np.uint64(0x7F)).astype(np.uint8)
    out[:, :-1] |= used[:, 1:].astype(np.uint8) << 7
    packed: NDArray[np.uint8] = out[used]
    return packed.tobytes()


def tag(number: int, kind: int) -> bytes:
    """The key that stands before a field."""
    return varint(number << 3 | kind)


def sized(number: int, *parts: bytes | memoryview) -> list[bytes | memoryview]:
    """A length-delimited field as its parts, to be joined once at the end."""
    return [tag(number, BYTES) + varint(sum(len(part) for part in parts)), *parts]
