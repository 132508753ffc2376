"""Has this question been answered before? The same question to the same bundle has the same answer for as long as it holds.

Whichever gateway answers first is remembered, and the others repeat it, byte by byte. Nobody waits for the store: what it does not say
in time is not known, and what it does not take is not remembered.

A remembered answer is a checksum over key and content, a byte that says how it is packed, and the content, deflated when it is long: the
JSON of 120 insurers then takes a quarter of its memory, for some 80 µs of CPU; what is already compact costs 3 µs and is kept as it is.
Bytes that are none are as good as nothing.
"""

import asyncio
import struct
import time
import zlib
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from feature_store.guarded import Guarded
from feature_store.keys import answer_key
from feature_store.store import BAD_REPLY, Store, StoreDown, value
from kit.breaker import Breaker

MOST_CALLS: Final = 64
MOST_BYTES: Final = 1 << 20  # of an answer; a longer one is not remembered
DEFLATE_FROM: Final = 4096
LEVEL: Final = 1  # the next ones cost more and save a tenth

_CRC: Final = struct.Struct("<I")
_PLAIN, _DEFLATED = b"\0", b"\1"


class Remembered:
    """Answers of one bundle, shared by every gateway on the same store."""

    def __init__(
        self,
        store: Store,
        bundle: str,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        breaker: Breaker | None = None,
    ) -> None:
        self._guarded = Guarded(store, "answers", calls=MOST_CALLS, monotonic=monotonic, breaker=breaker)
        self._bundle = bundle

    @property
    def fault(self) -> str | None:
        """The kind of the store's last failure, None since it answered."""
        return self._guarded.fault

    def recall(self, digest: str, *, timeout: float) -> asyncio.Future[bytes | None]:
        """Ask at once, in one write with everything else that is asked in this turn of the loop; await it when it is needed.

        The answer, or None: there is none, it did not come within `timeout` seconds, or its bytes are damaged. Never raises.
        """
        loop = asyncio.get_running_loop()
        recalled: asyncio.Future[bytes | None] = loop.create_future()
        stored_at = answer_key(self._bundle, digest)
        call = self._guarded.ask(("GET", stored_at), value) if timeout > 0 else None
        if call is None:
            recalled.set_result(None)
            return recalled
        timer = loop.call_later(timeout, _settle, recalled, None)
        call.add_done_callback(partial(_arrived, recalled, timer, stored_at))
        return recalled

    def remember(self, digest: str, body: bytes, *, seconds: int) -> bool:
        """Keep an answer for so long, unless another gateway was first; whether it is on its way. Awaits nothing, raises nothing."""
        if len(body) > MOST_BYTES or seconds < 1 or not self._guarded.may_ask:
            return False
        stored_at = answer_key(self._bundle, digest)
        command = ("SET", stored_at, encode(stored_at, body), "NX", "EX", seconds)
        return self._guarded.ask(command, _taken, urgent=False) is not None

    async def close(self) -> None:
        """End the calls that are out; the store is closed by whoever opened it."""
        await self._guarded.close()


def encode(stored_at: str, body: bytes) -> bytes:
    """An answer as it lies under its key."""
    packed = _PLAIN + body if len(body) < DEFLATE_FROM else _DEFLATED + zlib.compress(body, LEVEL)
    return _CRC.pack(zlib.crc32(packed, zlib.crc32(stored_at.encode()))) + packed


def decode(stored_at: str, data: bytes | None) -> bytes | None:
    """The answer again; None for nothing, and for bytes that are none of this key's. Never raises, and never unpacks without end."""
    if data is None or len(data) <= _CRC.size:
        return None
    packed = data[_CRC.size :]
    if _CRC.unpack_from(data)[0] != zlib.crc32(packed, zlib.crc32(stored_at.encode())):
        return None
    if packed[:1] == _PLAIN:
        return packed[1:]
    unpacker = zlib.decompressobj()
    try:
        body = unpacker.decompress(packed[1:], MOST_BYTES)
    except zlib.error:
        return None
    return body if packed[:1] == _DEFLATED and unpacker.eof else None


def _arrived(
    recalled: asyncio.Future[bytes | None],
    timer: asyncio.TimerHandle,
    stored_at: str,
    call: asyncio.Future[bytes | None],
) -> None:
    timer.cancel()
    is_there = not call.cancelled() and call.exception() is None
    _settle(recalled, decode(stored_at, call.result()) if is_there else None)


def _settle(recalled: asyncio.Future[bytes | None], body: bytes | None) -> None:
    if not recalled.done():
        recalled.set_result(body)


def _taken(reply: Any) -> None:
    """Reads the reply to a SET NX: taken, or nothing when there is one already."""
    if reply not in (b"OK", None):
        raise StoreDown(BAD_REPLY)
