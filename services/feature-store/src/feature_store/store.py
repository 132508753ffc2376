"""How are bytes fetched from Redis? One command, every time explicit, nothing retried.

redis-py would wait 5 s to connect, 5 s to read and try ten bounds. Here a call may live for `read_s` at most, and it lives that long
only in the background: whoever asked has gone on long before. The protocol is pinned to 2, so that a server from 7.0 on is spoken to
in one way, without a greeting, and a new connection costs one round trip to the kernel and none to the server.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol, cast

from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

BAD_REPLY: Final = "BadReply"


class StoreDown(Exception):
    """The store gave no usable answer; the text names the kind of failure and never the address or a password."""


class Store(Protocol):
    """What the reader needs of a server."""

    async def mget(self, keys: Sequence[str]) -> list[bytes | None]:
        """The values of the keys in order, None where there is none. Raises `StoreDown`, and nothing of Redis's."""
        ...

    async def close(self) -> None:
        """Give the connections back."""
        ...


@dataclass(frozen=True, slots=True)
class Bounds:
    """Seconds that a connection attempt and a call may last at most; how many calls, each with a connection of its own, may be
    out at once, and how many of them without anybody who waits.

    A read makes one call at most, so `calls` must be more than the requests that a gateway lets in at once (its `max_in_flight`,
    128) and the orphans together: else a burst would be answered without a healthy store's values.
    """

    connect_s: float = 0.1
    read_s: float = 0.5
    calls: int = 256
    orphans: int = 8


class RedisStore:
    """A pool of connections to one Redis or Valkey server; `redis_url` is redis://, rediss:// or unix://."""

    def __init__(self, redis_url: str, bounds: Bounds) -> None:
        self._pool = ConnectionPool.from_url(
            redis_url,
            protocol=2,
            socket_connect_timeout=bounds.connect_s,
            socket_timeout=bounds.read_s,
            retry=Retry(NoBackoff(), 0),
            max_connections=bounds.calls,
            driver_info=None,  # would cost every new connection two commands
        )
        self._redis = Redis(connection_pool=self._pool)

    async def mget(self, keys: Sequence[str]) -> list[bytes | None]:
        """One MGET. Raises `StoreDown`, also for a reply that is not one string or nothing for each key."""
        try:
            values = await self._redis.execute_command("MGET", *keys)  # type: ignore[no-untyped-call]
        except (RedisError, OSError) as error:
            raise StoreDown(type(error).__name__) from error
        if (
            not isinstance(values, list)
            or len(values) != len(keys)
            or not all(value is None or isinstance(value, bytes) for value in values)
        ):
            raise StoreDown(BAD_REPLY)
        return cast("list[bytes | None]", values)

    async def close(self) -> None:
        """Close every connection."""
        await self._redis.aclose()
        await self._pool.aclose()
