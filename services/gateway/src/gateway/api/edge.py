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
from gateway.api.admission import Admission
from gateway.api.exchange import JSON, NO_CONTENT_BUT_DATA, Exchange, Gone
from gateway.api.health import Health
from gateway.api.metrics import Metrics
from gateway.api.problems import OF_ERRORS, RETRY_SOON, SHED, Code, Refusal
from gateway.domain.errors import NoAnswer
from gateway.domain.keys import Scope
from gateway.domain.limiter import Limit
from gateway.domain.reasons import CallOutcome
from gateway.domain.thinning import Thinning
from gateway.domain.trace import Trace
from kit import logs

Clock = Callable[[], float]

JSON_HEADERS: Final = ((b"content-type", JSON), NO_CONTENT_BUT_DATA)
OTHER: Final = "other"  # the route's label of whatever is not a call
HUNG_UP: Final = 499
REFUSED_LINES_A_SECOND: Final = 10
KEY_CODES: Final = frozenset({Code.NO_KEY, Code.NO_SCOPE, Code.QUOTA})


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
        self._calls, self._access = calls, access
        self.health, self.budget_ms = health, limits.budget_ms
        self._metrics = metrics
        self._clock, self._new_id = clock, new_id
        self._refused_lines = Thinning(REFUSED_LINES_A_SECOND)
        budget_s = limits.budget_ms / 1000
        limit = Limit.full(most=limits.max_in_flight, budget_s=budget_s)
        self.admission = Admission(access, limit, metrics, budget_s=budget_s, clock=clock)
        self.routes = {path.encode(): path for path in calls}  # as they stand in a request that asks for one of them

    async def handle(self, app: ASGIApp, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request; `app` answers what is not a call of the API.

        The server may have let it in already, and says when its head was whole (`api.protocol`).
        """
        path, state, now = scope["path"], scope["state"], self._clock()
        arrived: float = state.get("arrived", now)
        exchange = Exchange(
            scope, receive, send, self.health, new_id=self._new_id, budget_ms=self.budget_ms, started=arrived
        )
        call = self._calls.get(path)
        if call is None:
            state["exchange"] = exchange
            await app(scope, receive, exchange.passing(now))
            self._metrics.record(OTHER, exchange.status, self._clock() - arrived, exchange.trace)
            return
        if not state.get("is_in_flight") and not self.admission.enter(scope["headers"], path, now=now):
            await exchange.refuse(SHED, now=now)
            return
        try:
            if not self.admission.bears(arrived, scope["headers"], path, now=now):
                await exchange.refuse(SHED, now=now)
                return
            await self._handle(call, exchange)
        finally:
            self.admission.leave()
        took = self._clock() - arrived
        self._metrics.record(path, exchange.status, took, exchange.trace)
        if tells_of_load(exchange.trace):
            self.admission.learn(took, exchange.deadline.at - arrived)

    async def _handle(self, call: Call, exchange: Exchange) -> None:
        try:
            body = await self._answer(call, exchange)
        except Gone:
            exchange.status = HUNG_UP
            return
        except Exception as error:  # noqa: BLE001 -- the one place: whatever happened, the caller gets an answer
            refusal = _as_refusal(error)
            self._log(exchange, call, refusal, error)
            if refusal.code in KEY_CODES:
                self._metrics.key_refusals.add(refusal.code.name.lower())
            await exchange.refuse(refusal, now=self._clock())
            return
        await exchange.answer(200, body, JSON_HEADERS, now=self._clock())

    def _answer(self, call: Call, exchange: Exchange) -> Awaitable[bytes]:
        if exchange.scope["method"] != call.method:
            allow = ((b"allow", call.method.encode()),)
            raise Refusal(Code.BAD_METHOD, f"Use {call.method}.", headers=allow)
        now = self._clock()
        key = self._access.identify(exchange.headers.get(b"authorization"), now=now)
        self.admission.asked(key.priority, now=now)
        self._access.admit(key, call.scope, now=now)
        exchange.check_budget()
        exchange.check_media(has_body=call.method == "POST")
        exchange.trace.stages["admit"] = self._clock() - exchange.started
        return call.answer(exchange)

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


def tells_of_load(trace: Trace) -> bool:
    """Whether how long a request took says something about how much we take on.

    Not when it never came to a model; nor when one model answered and the other one hangs: that is its breaker's matter.
    """
    outcomes = [call.outcome for call in trace.calls]
    return bool(outcomes) and not (CallOutcome.TIMEOUT in outcomes and CallOutcome.OK in outcomes)


def _as_refusal(error: Exception) -> Refusal:
    if isinstance(error, Refusal):
        return error
    if isinstance(error, NoAnswer):
        code = OF_ERRORS[type(error)]
        return Refusal(code, f"{code.title}.", headers=RETRY_SOON if code is Code.NO_BRANCH else ())
    return Refusal(Code.INTERNAL, "The request was understood, and then something broke.")
