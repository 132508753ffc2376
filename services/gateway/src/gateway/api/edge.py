"""What does every request go through? Admission, key, limits; then its call; then one answer, whatever happened.

The calls of the API are answered right here, by a look-up in a table: on the hot path no router, no exception wrapper and no
framework's response object stands between the socket and the service. Everything else (docs, unknown routes) goes on to the app.
"""

import traceback
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

from starlette.types import ASGIApp, Receive, Scope as AsgiScope, Send

from gateway.api.access import Access
from gateway.api.exchange import JSON, NO_CONTENT_BUT_DATA, Exchange, Gone
from gateway.api.health import Health
from gateway.api.metrics import Metrics
from gateway.api.problems import OF_ERRORS, Code, Refusal
from gateway.domain.errors import NoAnswer
from gateway.domain.keys import Scope
from gateway.domain.thinning import Thinning
from kit import logs

Clock = Callable[[], float]

RETRY_SOON: Final = ((b"retry-after", b"1"),)
JSON_HEADERS: Final = ((b"content-type", JSON), NO_CONTENT_BUT_DATA)
OTHER: Final = "other"  # the route's label of whatever is not a call
HUNG_UP: Final = 499
REFUSED_LINES_A_SECOND: Final = 10


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the API: `answer` gives the body of a 200."""

    method: str
    scope: Scope | None
    answer: Callable[[Exchange], Awaitable[bytes]]


@dataclass(frozen=True, slots=True)
class Limits:
    """What one process takes on at once, and the budget of a request that names none."""

    max_in_flight: int
    budget_ms: int


class Api:
    """Everything that a request meets, put together once at the start."""

    def __init__(
        self,
        calls: Mapping[str, Call],
        access: Access,
        limits: Limits,
        health: Health,
        metrics: Metrics,
        *,
        clock: Clock,
        new_id: Callable[[], str],
    ) -> None:
        self._calls, self._access, self._limits = calls, access, limits
        self._health, self._metrics = health, metrics
        self._clock, self._new_id = clock, new_id
        self._in_flight = 0
        self._refused_lines = Thinning(REFUSED_LINES_A_SECOND)
        metrics.in_flight.set_function(lambda: self._in_flight)

    async def handle(self, app: ASGIApp, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request; `app` answers what is not a call of the API."""
        started = self._clock()
        exchange = Exchange(
            scope,
            receive,
            send,
            self._health,
            request_id=self._new_id(),
            budget_ms=self._limits.budget_ms,
            now=started,
        )
        call = self._calls.get(scope["path"])
        if call is None:
            scope["state"]["exchange"] = exchange
            await app(scope, receive, exchange.passing(started))
            route = OTHER
        else:
            self._in_flight += 1
            try:
                await self._handle(call, exchange)
            finally:
                self._in_flight -= 1
            route = scope["path"]
        self._metrics.record(route, exchange.status, self._clock() - started, exchange.trace)

    async def _handle(self, call: Call, exchange: Exchange) -> None:
        try:
            body = await self._answer(call, exchange)
        except Gone:
            exchange.status = HUNG_UP
            return
        except Exception as error:  # noqa: BLE001 -- the one place: whatever happened, the caller gets an answer
            refusal = _as_refusal(error)
            self._log(exchange, call, refusal, error)
            await exchange.refuse(refusal, now=self._clock())
            return
        await exchange.answer(200, body, JSON_HEADERS, now=self._clock())

    async def _answer(self, call: Call, exchange: Exchange) -> bytes:
        self._shed()
        if exchange.scope["method"] != call.method:
            allow = ((b"allow", call.method.encode()),)
            raise Refusal(Code.BAD_METHOD, f"Use {call.method}.", headers=allow)
        self._access.admit(
            self._access.identify(exchange.headers.get(b"authorization")), call.scope, now=exchange.started
        )
        exchange.set_budget()
        exchange.check_media(has_body=call.method == "POST")
        exchange.trace.stages["admit"] = self._clock() - exchange.started
        return await call.answer(exchange)

    def _shed(self) -> None:
        """Refuse before anything of the request has cost more than its head. Raises `Refusal` with 503."""
        if self._in_flight > self._limits.max_in_flight:
            self._metrics.shed.labels("full").inc()
            raise Refusal(Code.SHED, "Ask again soon.", headers=RETRY_SOON)

    def _log(self, exchange: Exchange, call: Call, refusal: Refusal, error: Exception) -> None:
        """One line, with nothing of what was sent."""
        fields = {
            "route": exchange.scope["path"],  # one of the calls' own: nothing else comes here
            "method": call.method,
            "code": refusal.code.name.lower(),
            "status": refusal.code.status,
            "request_id": exchange.request_id,
        }
        if refusal.code is Code.INTERNAL:
            frames = traceback.extract_tb(error.__traceback__)
            places = [f"{frame.name}:{frame.lineno}" for frame in frames[-5:]]
            logs.get().error("request_failed", **fields, error=type(error).__name__, at=places)
        elif refusal.code.status >= 500:
            logs.get().warning(
                "request_failed", **fields, calls=[f"{c.branch}:{c.outcome}" for c in exchange.trace.calls]
            )
        elif (suppressed := self._refused_lines.take(now=self._clock())) is not None:
            logs.get().info("request_refused", **fields, suppressed=suppressed)


def _as_refusal(error: Exception) -> Refusal:
    if isinstance(error, Refusal):
        return error
    if isinstance(error, NoAnswer):
        code = OF_ERRORS[type(error)]
        return Refusal(code, f"{code.title}.", headers=RETRY_SOON if code is Code.NO_BRANCH else ())
    return Refusal(Code.INTERNAL, "The request was understood, and then something broke.")


class Edge:
    """The pure ASGI middleware that hands HTTP requests to the `Api` which the lifespan has put together."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] == "http":
            api: Api = scope["state"]["api"]
            await api.handle(self._app, scope, receive, send)
        else:
            await self._app(scope, receive, send)
