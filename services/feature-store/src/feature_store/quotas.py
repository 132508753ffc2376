"""How much of a caller's quota may this process give away? Several gateways share one count, in the same Redis as the features.

The count is GCRA: one number for each caller, the time at which its bucket would be full again. Taking tokens moves it on, waiting lets
it come back, and there is nothing to clear up. A gateway does not ask for each request: it *leases* a few tokens ahead and spends
them locally. A lease is one Lua call, so two gateways can never give the same token away; it waits up to `wire.PATIENCE_S` to leave in
the same write as a read of features, and is never cancelled.

The clock is the server's: gateways need not agree on the time.
"""

import asyncio
import hashlib
import time
from collections.abc import Callable
from typing import Final, Protocol

from feature_store.guarded import Guarded
from feature_store.keys import quota_key
from feature_store.store import BAD_REPLY, LEFT_ALONE, Part, Store, StoreDown, whole_number
from kit.breaker import Breaker

MOST_CALLS: Final = 64
MINUTE_US: Final = 60_000_000

# KEYS[1] the caller; ARGV microseconds between tokens, tokens in a full bucket, tokens wanted. Returns the tokens granted.
SCRIPT: Final = b"""
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local every, burst, wanted = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local full_at = math.max(tonumber(redis.call('GET', KEYS[1]) or now), now)
local granted = math.max(0, math.min(wanted, math.floor((now + burst * every - full_at) / every)))
if granted > 0 then
  full_at = full_at + granted * every
  redis.call('SET', KEYS[1], string.format('%.0f', full_at), 'PX', math.ceil((full_at - now) / 1000) + 1000)
end
return granted
"""
DIGEST: Final = hashlib.sha1(SCRIPT, usedforsecurity=False).hexdigest()


class Quotas(Protocol):
    """What the gateway needs; a fake is a few lines."""

    async def lease(self, key_id: str, *, per_minute: int, burst: int, tokens: int) -> int:
        """Take up to so many tokens of the caller's; how many were granted. Raises StoreDown."""
        ...


class SharedQuotas:
    """Quotas that every gateway on the same store shares."""

    def __init__(
        self, store: Store, *, monotonic: Callable[[], float] = time.monotonic, breaker: Breaker | None = None
    ) -> None:
        self._guarded = Guarded(store, "quotas", calls=MOST_CALLS, monotonic=monotonic, breaker=breaker)

    async def lease(self, key_id: str, *, per_minute: int, burst: int, tokens: int) -> int:
        """Take up to `tokens` from a bucket of `burst` that gains `per_minute` a minute; how many were granted, from 0.

        Raises StoreDown when the store does not say within `Bounds.read_s`, or is left alone because it did not before, and
        ValueError for numbers below 1. Whoever gives up waiting takes the tokens all the same.
        """
        if min(per_minute, burst, tokens) < 1:
            raise ValueError("per_minute, burst and tokens must be at least 1")
        about: tuple[Part, ...] = (1, quota_key(key_id), max(1, MINUTE_US // per_minute), burst, tokens)
        try:
            granted = await self._ask(("EVALSHA", DIGEST, *about))
        except StoreDown as down:
            if down.code != "NOSCRIPT":
                raise
            granted = await self._ask(("EVAL", SCRIPT, *about))  # which also makes the server remember it
        if not 0 <= granted <= tokens:
            raise StoreDown(BAD_REPLY)
        return granted

    async def close(self) -> None:
        """End the calls that are out; the store is closed by whoever opened it."""
        await self._guarded.close()

    async def _ask(self, command: tuple[Part, ...]) -> int:
        call = self._guarded.ask(command, whole_number, urgent=False)
        if call is None:
            raise StoreDown(LEFT_ALONE)
        return await asyncio.shield(call)
