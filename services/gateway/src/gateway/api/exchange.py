"""One request and its answer on ASGI: what was sent, and the headers that every answer has."""

import asyncio
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final
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

Headers = Iterable[tuple[bytes, bytes]]

SAFE: Final = (
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)
CLOSE: Final = (b"connection", b"close")
NO_CONTENT_BUT_DATA: Final = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")

LONGEST_KEPT: Final = 256  # bytes of a header whose meaning is remembered: strangers choose them

_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_WHOLE: Final = re.compile(rb"[0-9]{1,15}")


class Gone(Exception):
    """The caller hung up before it had sent its request."""


class Exchange:
    """A request as it is answered. `headers` has lower-case names; a header that was sent twice counts once."""

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        health: Health,
        *,
        request_id: str,
        budget_ms: int,
        now: float,
    ) -> None:
        self.scope, self._receive, self._send, self._health = scope, receive, send, health
        self.headers: Mapping[bytes, bytes] = dict(scope["headers"])
        given = self.headers.get(b"x-request-id", b"")
        self.request_id = given.decode() if _REQUEST_ID.fullmatch(given) else request_id
        self.trace = Trace()
        self.started = now
        self.deadline = Deadline.after(budget_ms / 1000, now=now)
        self.status = 0

    def set_budget(self) -> None:
        """Take the budget from its header, where there is one. Raises `Refusal` with 400."""
        text = self.headers.get(b"x-request-timeout-ms")
        if text is None:
            return
        if not _WHOLE.fullmatch(text):
            wrong = Wrong(f"header.{BUDGET_HEADER}", "must be a whole number of milliseconds")
            raise Refusal(Code.BAD_HEADER, f"{BUDGET_HEADER} is malformed.", (wrong,))
        budget_ms = min(max(int(text), LEAST_BUDGET_MS), MOST_BUDGET_MS)
        self.deadline = Deadline.after(budget_ms / 1000, now=self.started)

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
        try:
            async with asyncio.timeout(self.deadline.left(now=now)):
                return await self._read()
        except TimeoutError:
            raise BudgetEnded from None

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
            raise Refusal(Code.TOO_LARGE, f"A body may have at most {MOST_BODY} bytes.", headers=(CLOSE,))
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def refuse(self, refusal: Refusal, *, now: float) -> None:
        """Answer with a problem."""
        headers = [(b"content-type", MEDIA_TYPE), NO_CONTENT_BUT_DATA, *refusal.headers]
        await self.answer(refusal.code.status, refusal.encode(self.request_id), headers, now=now)

    async def answer(self, status: int, body: bytes, headers: Headers, *, now: float) -> None:
        """Answer at once and whole."""
        self.status = status
        length = (b"content-length", b"%d" % len(body))
        await self._send(
            {"type": "http.response.start", "status": status, "headers": [*headers, length, *self._common(now)]}
        )
        await self._send({"type": "http.response.body", "body": body})

    def passing(self, now: float) -> Send:
        """A `send` for a page that another app answers: adds the common headers."""

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.status = message["status"]
                message = {**message, "headers": [*message["headers"], *self._common(now)]}
            await self._send(message)

        return send

    def _common(self, now: float) -> list[tuple[bytes, bytes]]:
        timing = ", ".join(f"{stage};dur={1000 * seconds:.2f}" for stage, seconds in self.trace.stages.items())
        return [
            *((CLOSE,) if self._health.draining else ()),
            *SAFE,
            (b"x-request-id", self.request_id.encode()),
            (b"x-budget-left-ms", b"%d" % (1000 * self.deadline.left(now=now))),
            (b"server-timing", timing.encode()),
        ]


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
