"""How are bytes fetched from Redis in time? Over one connection that everybody shares, and that no late answer closes.

A pool lends a connection to each call. A caller who gives up in the middle leaves an answer in it that would go to the next, so
redis-py closes it: a slow moment of Redis becomes a storm of new connections exactly then. Here the commands of all callers follow one
another on one connection and the answers come back in the same order, so giving up costs nothing: the answer is taken off and the next
one is the next caller's. What is asked in one turn of the event loop leaves in one write. And it is cheap: beside the same MGET through
redis-py's pool it takes a third of the CPU (`benchmarks/read.py`).

hiredis packs and parses; redis-py itself is left to the job, which saves the gateway 8 MB and a tenth of a second at its start. RESP2 is spoken (no HELLO is sent), which every server from 6.0 on understands. Nothing is retried. The time
of a call is bounded twice: whoever asked has gone on long before `Bounds.read_s`; then the connection counts as dead, everything
that is out fails at once, and the next call opens a new one.
"""

import asyncio
import ssl
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Self, TypeVar, cast
from urllib.parse import parse_qs, unquote, urlsplit

import hiredis

from feature_store.store import BAD_REPLY, CONNECTION, FULL, TIMEOUT, Bounds, Parse, Part, StoreDown, done

T = TypeVar("T")

PATIENCE_S: Final = 0.002  # how long a command that is not urgent waits for company
ACCESS_CODES: Final = frozenset({"WRONGPASS", "NOAUTH"})
SCHEMES: Final = ("redis", "rediss", "unix")
TLS_OPTIONS: Final = {"ssl_ca_certs", "ssl_certfile", "ssl_keyfile"}


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server is: host and port or a Unix socket's path, what to greet it with, and how to know it."""

    host: str
    port: int
    path: str | None
    greeting: tuple[tuple[Part, ...], ...]
    tls: ssl.SSLContext | None = None
    is_cluster: bool = False

    @classmethod
    def of(cls, url: str) -> Self:
        """From redis://, rediss:// or unix://. Raises ValueError for what is none, and for an option that is not known."""
        parts = urlsplit(url)
        if parts.scheme not in SCHEMES:
            raise ValueError(f"the store's address must begin with one of {', '.join(f'{s}://' for s in SCHEMES)}")
        options = {name: words[-1] for name, words in parse_qs(parts.query, keep_blank_values=True).items()}
        path, last = (parts.path, "") if parts.scheme == "unix" else (None, parts.path.strip("/"))
        db = options.pop("db", last or "0")
        if not db.isdecimal():
            raise ValueError(f"the store's database must be a whole number, not {db!r}")
        tls = (
            _tls({name: options.pop(name) for name in TLS_OPTIONS & set(options)}) if parts.scheme == "rediss" else None
        )
        is_cluster = options.pop("cluster", "false")
        if is_cluster not in ("true", "false"):
            raise ValueError(f"the store's option cluster is true or false, not {is_cluster!r}")
        if options:
            known = ", ".join(sorted({"cluster", "db", *(TLS_OPTIONS if tls else ())}))
            raise ValueError(f"the store's address has no option {min(options)!r}, there are: {known}")
        greeting: list[tuple[Part, ...]] = []
        if parts.password:
            name = (unquote(parts.username),) if parts.username else ()
            greeting.append(("AUTH", *name, unquote(parts.password)))
        if int(db):
            greeting.append(("SELECT", int(db)))
        host, port = parts.hostname or "localhost", parts.port or 6379
        return cls(host, port, path and unquote(path), tuple(greeting), tls, is_cluster == "true")


def _tls(files: Mapping[str, str]) -> ssl.SSLContext:
    """TLS that checks the server's name, by the system's authorities or by a file of them."""
    context = ssl.create_default_context(cafile=files.get("ssl_ca_certs"))
    if "ssl_certfile" in files:
        context.load_cert_chain(files["ssl_certfile"], files.get("ssl_keyfile"))
    return context


class Wire:
    """The one connection to a Redis or Valkey server. Opens nothing until it is asked; lives in one event loop."""

    def __init__(self, address: Address | str, bounds: Bounds) -> None:
        self._address = Address.of(address) if isinstance(address, str) else address
        self._bounds = bounds
        self._line: _Line | None = None

    def ask(self, command: tuple[Part, ...], parse: Parse[T], *, urgent: bool = True) -> asyncio.Future[T]:
        """As `Store.ask`. The future may be cancelled: the answer is then dropped, and the connection does not notice."""
        line = self._line
        if line is None or line.is_closed:
            line = self._line = _Line(self._address, self._bounds)
        return line.send(command, parse, urgent=urgent)

    async def close(self) -> None:
        """Close the connection."""
        if self._line is not None:
            await self._line.close()


class _Asked(NamedTuple):
    """A command whose answer is still to come."""

    deadline: float
    parse: Parse[Any]
    future: asyncio.Future[Any]


class _Line(asyncio.Protocol):
    """One connection from its attempt to its end."""

    def __init__(self, address: Address, bounds: Bounds) -> None:
        self.is_closed = False
        self._bounds = bounds
        self._loop = asyncio.get_running_loop()
        self._replies = hiredis.Reader()
        self._asked: deque[_Asked] = deque()
        self._unsent: list[bytes] = []
        self._transport: asyncio.Transport | None = None
        self._flush_at: asyncio.Handle | None = None
        self._will_flush = False
        self._greeting = len(address.greeting)  # answers to wait for before anything else is sent
        self._watch: asyncio.Handle | None = None
        for command in address.greeting:
            self._queue(command, done)
        self._hello, self._unsent = self._unsent, []
        self._opening = self._loop.create_task(self._open(address))

    def send(self, command: tuple[Part, ...], parse: Parse[T], *, urgent: bool) -> asyncio.Future[T]:
        """Queue a command to leave at the end of this turn of the loop, or in a moment."""
        if len(self._asked) >= self._bounds.calls:
            refusal: asyncio.Future[T] = self._loop.create_future()
            _end(refusal, StoreDown(FULL))
            return refusal
        future = self._queue(command, parse)
        if self._greeting == 0 and self._transport is not None and not self._will_flush:
            if urgent:
                self._will_flush = True
                self._loop.call_soon(self._flush)
            elif self._flush_at is None:
                self._flush_at = self._loop.call_later(PATIENCE_S, self._flush)
        return future

    async def close(self) -> None:
        self._fail(CONNECTION)
        self._opening.cancel()
        with suppress(asyncio.CancelledError):
            await self._opening

    def _queue(self, command: tuple[Part, ...], parse: Parse[T]) -> asyncio.Future[T]:
        future: asyncio.Future[T] = self._loop.create_future()
        self._unsent.append(hiredis.pack_command(cast("tuple[str]", command)))  # its stub knows tuples of one only
        self._asked.append(_Asked(time.monotonic() + self._bounds.read_s, parse, future))
        if self._watch is None:
            self._watch = self._loop.call_later(self._bounds.read_s, self._check)
        return future

    async def _open(self, address: Address) -> None:
        try:
            async with asyncio.timeout(self._bounds.connect_s):
                if address.path is not None:
                    await self._loop.create_unix_connection(lambda: self, address.path)
                else:
                    await self._loop.create_connection(lambda: self, address.host, address.port, ssl=address.tls)
        except TimeoutError:
            self._fail(TIMEOUT)
        except ssl.SSLError:
            self._fail(ssl.SSLError.__name__)
        except OSError:
            self._fail(CONNECTION)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # what create_connection makes
        if self.is_closed:
            self._transport.abort()
            return
        if self._greeting:
            self._transport.write(b"".join(self._hello))
        else:
            self._flush()

    def data_received(self, data: bytes) -> None:
        try:
            self._replies.feed(data)
            while (reply := self._replies.gets()) is not False and not self.is_closed:
                self._take(reply)
        except hiredis.ProtocolError:
            self._fail("InvalidResponse")

    def connection_lost(self, _: Exception | None) -> None:
        self._fail(CONNECTION)

    def _take(self, reply: Any) -> None:
        if not self._asked:  # an answer to nothing: what follows could not be trusted to be anybody's
            self._fail(BAD_REPLY)
            return
        asked = self._asked.popleft()
        try:
            if isinstance(reply, hiredis.ReplyError):
                raise refused(reply)
            meaning = asked.parse(reply)
        except StoreDown as down:
            _end(asked.future, down)
            if self._greeting or str(down) == BAD_REPLY:
                self._fail(str(down))
            return
        if not asked.future.done():
            asked.future.set_result(meaning)
        if self._greeting:
            self._greeting -= 1
            if not self._greeting:
                self._flush()

    def _flush(self) -> None:
        self._will_flush = False
        if self._flush_at is not None:
            self._flush_at.cancel()
            self._flush_at = None
        if self._unsent and self._transport is not None:
            data = self._unsent[0] if len(self._unsent) == 1 else b"".join(self._unsent)
            self._unsent.clear()
            self._transport.write(data)

    def _check(self) -> None:
        """The oldest call is answered, or has its time still, or the connection is dead."""
        self._watch = None
        if not self._asked:
            return
        left = self._asked[0].deadline - time.monotonic()
        if left <= 0:
            self._fail(TIMEOUT)
        else:
            self._watch = self._loop.call_later(left, self._check)

    def _fail(self, fault: str) -> None:
        """The end, for everybody who is still waiting."""
        self.is_closed = True
        for handle in (self._watch, self._flush_at):
            if handle is not None:
                handle.cancel()
        if self._transport is not None:
            self._transport.abort()
        self._unsent.clear()
        while self._asked:
            _end(self._asked.popleft().future, StoreDown(fault))


def _end(future: asyncio.Future[Any], down: StoreDown) -> None:
    """Tell whoever waits; that nobody does is no news for the loop's log."""
    if not future.done():
        future.set_exception(down)
        future.exception()


def refused(error: Exception) -> StoreDown:
    """What the server's complaint means; its text may hold what was sent, so only the first word is kept."""
    code = str(error).partition(" ")[0]
    if code in ACCESS_CODES:
        return StoreDown("AuthenticationError", code)
    return StoreDown("NoPermissionError" if code == "NOPERM" else "ResponseError", code)
