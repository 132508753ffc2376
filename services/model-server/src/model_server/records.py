"""Reads a TFRecord file: length, its checksum, data, its checksum, again and again."""

import struct
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

from model_server.errors import Code, ServingError

_POLYNOMIAL: Final = 0x82F63B78  # CRC-32C, reflected
_MASK: Final = 0xA282EAD8
_HEAD: Final = struct.Struct("<QI")
_FOOT: Final = struct.Struct("<I")


def read(path: Path) -> Iterator[bytes]:
    """The records in order. Raises DATA_LOSS at the first one that is damaged or cut off, OSError if there is no file."""
    whole = memoryview(path.read_bytes())
    at = 0
    while at < len(whole):
        if len(whole) - at < _HEAD.size:
            raise _lost(f"truncated record at {at}")
        length, check = _HEAD.unpack_from(whole, at)
        if masked_crc(whole[at : at + 8]) != check:
            raise _lost(f"corrupted record at {at}")
        begun, end = at + _HEAD.size, at + _HEAD.size + length
        if end + _FOOT.size > len(whole):
            raise _lost(f"truncated record at {at}' failed with Read less bytes than requested")
        record = whole[begun:end]
        if masked_crc(record) != _FOOT.unpack_from(whole, end)[0]:
            raise _lost(f"corrupted record at {begun}")
        yield bytes(record)
        at = end + _FOOT.size


def masked_crc(data: memoryview) -> int:
    """CRC-32C as the format stores it: rotated, and moved by a constant."""
    table = _table()
    crc = 0xFFFFFFFF
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + _MASK) & 0xFFFFFFFF


@cache
def _table() -> tuple[int, ...]:
    def entry(value: int) -> int:
        for _ in range(8):
            value = value >> 1 ^ _POLYNOMIAL if value & 1 else value >> 1
        return value

    return tuple(entry(byte) for byte in range(256))


def _lost(message: str) -> ServingError:
    return ServingError(Code.DATA_LOSS, message)
