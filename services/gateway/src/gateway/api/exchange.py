"""One request and its answer on ASGI: what was sent, and the headers that every answer has."""

import asyncio
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Final, Protocol
from urllib.parse import parse_qsl

from starlette.types import Message, Receive, Scope, Send

from gateway.api.health import Health
from gateway.api.problems import MEDIA_TYPE, Code, Refusal, Wrong
from gateway.domain.deadline import Deadline
from gateway.domain.errors import BudgetEnded
from gateway.domain.trace import Trace

MOST_BODY: Final = 64 * 1024
MOST_DISCARDED: Final = 1024 * 1024  # a client that is told 413 while it still sends would see a reset, not the answer
JSON: Final = b"application/json"
BUDGET_HEADER: Final = "X-Request-Timeout-Ms"
LEAST_BUDGET_MS: Final = 5
MOST_BUDGET_MS: Final = 2000

Headers = tuple[tuple[bytes, bytes], ...]

SAFE: Final = (
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)
CLOSE: Final = (b"connection", b"close")
NO_CONTENT_BUT_DATA: Final = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")

LONGEST_KEPT: Final = 256  # bytes of a header whose meaning is remembered: strangers choose them

_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_WHOLE: Final = re.compile(rb"[0-9]+")
LONGEST_BUDGET: Final = 15  # digits


class Gone(Exception):
    """The caller hung up before it had sent its request."""


class Wire(Protocol):
    """The connection below ASGI, where the server lends it: what is there already needs no waiting, and an answer no messages."""

    @property
    def is_ready(self) -> bool:
        """Whether an answer can be written at once."""
        ...

    def body(self) -> bytes | None:
        """All of the body, when it is there already."""
        ...

    def answer(self, status: int, head: bytes, body: bytes, *, close: bool) -> None:
        """Write a whole answer; `head` is its headers, each with its end of line."""
        ...


class Exchange:
    """A request as it is answered. `headers` has lower-case names; a header that was sent twice counts once.

    `started` is when its head was whole, in seconds.
    """

    __slots__ = (
        "_asked_ms",
        "_health",
        "_receive",
        "_send",
        "_wire",
        "deadline",
        "headers",
        "request_id",
        "scope",
        "started",
        "status",
        "trace",
    )

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        health: Health,
        *,
        new_id: Callable[[], str],
        budget_ms: int,
        started: float,
    ) -> None:
        self.scope, self._receive, self._send, self._health = scope, receive, send, health
        self._wire: Wire | None = scope["state"].pop(
            "wire", None
        )  # taken out: else request and connection would hold each other
        self.headers: Mapping[bytes, bytes] = dict(scope["headers"])
        self.request_id = given_id(self.headers.get(b"x-request-id")) or new_id()
        self.trace = Trace()
        self.started = started
        self._asked_ms = asked_budget_ms(self.headers.get(b"x-request-timeout-ms"))
        self.deadline = Deadline.after((self._asked_ms or budget_ms) / 1000, now=started)
        self.status = 0

    def check_budget(self) -> None:
        """Raises `Refusal` with 400 when a budget is asked for that is none."""
        if self._asked_ms == 0:
            wrong = Wrong(f"header.{BUDGET_HEADER}", "must be a whole number of milliseconds")
            raise Refusal(Code.BAD_HEADER, f"{BUDGET_HEADER} is malformed.", (wrong,))

    def check_media(self, *, has_body: bool) -> None:
        """Raises `Refusal` with 406 or 415 when the caller speaks something other than JSON."""
        if not accepts_json(self.headers.get(b"accept", b"*/*")):
            raise Refusal(Code.NOT_ACCEPTABLE, "The answer is JSON; `Accept` must allow application/json.")
        if has_body and (not is_json(self.headers.get(b"content-type", b"")) or b"content-encoding" in self.headers):
            raise Refusal(Code.NOT_JSON, "Send `Content-Type: application/json`, without a content encoding.")

    def query(self, known: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
        """The query's parameters, of which only `known` ones with these values may be there. Raises `Refusal` with 422."""
        text = self.scope["query_string"]
        if not text:
            return {}
        pairs = parse_qsl(text.decode("latin-1"), keep_blank_values=True)
        found = dict(pairs)
        wrong = [
            Wrong(f"query.{name}", f"must be one of {', '.join(known[name])}")
            for name, value in found.items()
            if name in known and value not in known[name]
        ]
        if not found.keys() <= known.keys():
            wrong.append(Wrong("query", f"knows only {', '.join(known)}" if known else "must be empty"))
        if len(found) < len(pairs):
            wrong.append(Wrong("query", "has a parameter twice"))
        if wrong:
            raise Refusal(Code.BAD_REQUEST, "The query is outside the contract.", tuple(wrong))
        return found

    async def body(self, *, now: float) -> bytes:
        """All of the body. Raises `Refusal` with 413, `BudgetEnded` when it does not come in time, `Gone`."""
        whole = None if self._wire is None else self._wire.body()
        if whole is None:
            try:
                async with asyncio.timeout(self.deadline.left(now=now)):
                    return await self._read()
            except TimeoutError:
                raise BudgetEnded from None
        if len(whole) > MOST_BODY:
            raise _too_large()
        return whole

    async def _read(self) -> bytes:
        parts: list[bytes] = []
        size, more = 0, True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise Gone
            part, more = message.get("body", b""), message.get("more_body", False)
            size += len(part)
            if size <= MOST_BODY:
                parts.append(part)
            elif size > MOST_DISCARDED:
                break
        if size > MOST_BODY:
            raise _too_large()
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def refuse(self, refusal: Refusal, *, now: float) -> None:
        """Answer with a problem."""
        headers = ((b"content-type", MEDIA_TYPE), NO_CONTENT_BUT_DATA, *refusal.headers)
        await self.answer(refusal.code.status, refusal.encode(self.request_id), headers, now=now)

    async def answer(self, status: int, body: bytes, headers: Headers, *, now: float) -> None:
        """Answer at once and whole."""
        self.status = status
        if self._health.draining and CLOSE not in headers:
            headers = (*headers, CLOSE)
        own = self._own(now)
        if self._wire is not None and self._wire.is_ready:
            head = _fixed_lines(headers) + _OWN_LINES % (len(body), *own)
            self._wire.answer(status, head, body, close=CLOSE in headers)
            return
        length = (b"content-length", b"%d" % len(body))
        start = [*headers, length, *SAFE, *zip(_OWN_NAMES, own, strict=True)]
        await self._send({"type": "http.response.start", "status": status, "headers": start})
        await self._send({"type": "http.response.body", "body": body})

    def passing(self, now: float) -> Send:
        """A `send` for a page that another app answers: adds the common headers."""

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.status = message["status"]
                closing = (CLOSE,) if self._health.draining else ()
                own = zip(_OWN_NAMES, self._own(now), strict=True)
                message = {**message, "headers": [*message["headers"], *closing, *SAFE, *own]}
            await self._send(message)

        return send

    def _own(self, now: float) -> tuple[bytes, bytes, bytes]:
        """The values of the headers that differ from answer to answer, in the order of `_OWN_NAMES`."""
        stages = self.trace.stages
        timing = _timing(tuple(stages)) % tuple([1000 * seconds for seconds in stages.values()])
        return self.request_id.encode(), b"%d" % (1000 * self.deadline.left(now=now)), timing


_OWN_NAMES: Final = (b"x-request-id", b"x-budget-left-ms", b"server-timing")
_OWN_LINES: Final = b"content-length: %d\r\n" + b"".join(name + b": %b\r\n" for name in _OWN_NAMES)


def lines(headers: Headers) -> bytes:
    """Headers as they stand in an answer."""
    return b"".join([b"%b: %b\r\n" % header for header in headers])


@lru_cache(maxsize=64)
def _fixed_lines(headers: Headers) -> bytes:
    return lines((*headers, *SAFE))


@lru_cache(maxsize=64)
def _timing(stages: tuple[str, ...]) -> bytes:
    return ", ".join(f"{stage};dur=%.2f" for stage in stages).encode()


def given_id(text: bytes | None) -> str | None:
    """The id that a caller gave its request, when it is one."""
    return text.decode() if text is not None and _REQUEST_ID.fullmatch(text) else None


def _too_large() -> Refusal:
    return Refusal(Code.TOO_LARGE, f"A body may have at most {MOST_BODY} bytes.", headers=(CLOSE,))


def asked_budget_ms(text: bytes | None) -> int | None:
    """The budget of its header, held to its limits; None without one, and 0 for what is no whole number."""
    if text is None:
        return None
    return _asked_budget_ms(text) if len(text) <= LONGEST_BUDGET else 0


@lru_cache(maxsize=256)
def _asked_budget_ms(text: bytes) -> int:
    return min(max(int(text), LEAST_BUDGET_MS), MOST_BUDGET_MS) if _WHOLE.fullmatch(text) else 0


def accepts_json(accept: bytes) -> bool:
    """Whether an `Accept` header allows application/json."""
    return (_accepts_json if len(accept) <= LONGEST_KEPT else _accepts_json.__wrapped__)(accept)


def is_json(content_type: bytes) -> bool:
    """Whether a `Content-Type` header says application/json, in UTF-8."""
    return (_is_json if len(content_type) <= LONGEST_KEPT else _is_json.__wrapped__)(content_type)


@lru_cache(maxsize=256)
def _accepts_json(accept: bytes) -> bool:
    allowed: dict[str, bool] = {}
    for part in accept.decode("latin-1").lower().split(","):
        media, *parameters = (piece.strip() for piece in part.split(";"))
        allowed[media] = not any(re.fullmatch(r"q=0(\.0*)?", parameter) for parameter in parameters)
    for media in ("application/json", "application/*", "*/*"):  # the most exact one decides
        if media in allowed:
            return allowed[media]
    return False


@lru_cache(maxsize=256)
def _is_json(content_type: bytes) -> bool:
    media, *parameters = (piece.strip() for piece in content_type.decode("latin-1").lower().split(";"))
    charsets = [p.removeprefix("charset=").strip('"') for p in parameters if p.startswith("charset=")]
    return media == JSON.decode() and all(charset in ("utf-8", "utf8", "us-ascii") for charset in charsets)
