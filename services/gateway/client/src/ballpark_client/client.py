"""Where the bytes go: a synchronous and an asynchronous client, each a short loop around the same `effort`."""

import asyncio
import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import httpx2

from ballpark_client.api import AsyncCalls, Calls
from ballpark_client.core import MOST_ANSWER, Outcome, Reply, Send, Step, Wait, checked_key, effort
from ballpark_client.errors import NoAnswer, TimedOut, Unreachable, Unreadable
from ballpark_client.operation import Operation

A = TypeVar("A")

BUDGET_S: Final = 0.15  # the gateway's own default
SLACK_S: Final = 0.05  # for the way there and back, which the gateway cannot see
CONNECTIONS: Final = 100
LATE: Final = "no answer within the budget and the slack"
USER_AGENT: Final = "ballpark-client/0.1"


@dataclass(frozen=True, slots=True)
class _Settings:
    """What both clients keep. The key is not among it: it goes into a header of the transport, and nowhere else."""

    address: str
    budget_s: float
    slack_s: float

    def effort(
        self, operation: Operation[A], given: Mapping[str, Mapping[str, object]], budget_s: float | None
    ) -> Generator[Step, Outcome, A]:
        """The steps of one call."""
        budget_s = self.budget_s if budget_s is None else budget_s
        return effort(operation, given, budget_s=budget_s, slack_s=self.slack_s, clock=time.monotonic)


def _checked_address(base_url: str) -> str:
    url = httpx2.URL(base_url)
    if url.scheme not in ("http", "https") or not url.host or url.userinfo:
        raise ValueError("base_url must be http:// or https://, a host, and no user")
    return str(url)


def _of_transport(base_url: str, key: str, connections: int) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {checked_key(key)}", "Accept": "application/json", "User-Agent": USER_AGENT}
    return {
        "base_url": base_url,
        "headers": headers,
        "limits": httpx2.Limits(max_connections=connections, max_keepalive_connections=connections),
        "trust_env": False,  # a proxy between a website and its gateway would be a surprise
    }


class _Answer:
    """An answer while it comes: whether it has begun decides what a failure means."""

    def __init__(self, ends: float) -> None:
        self._ends = ends
        self._response: httpx2.Response | None = None
        self._body = bytearray()

    def begin(self, response: httpx2.Response) -> None:
        """Its head is here."""
        self._response = response

    def add(self, part: bytes) -> None:
        """A part of its body is here. Raises `NoAnswer` when that is too late or too much."""
        self._body += part
        if len(self._body) > MOST_ANSWER:
            raise Unreadable(f"the answer has more than {MOST_ANSWER} bytes")
        if time.monotonic() > self._ends:
            raise TimedOut(LATE)

    def reply(self) -> Reply:
        """All of it."""
        assert self._response is not None  # noqa: S101 -- begun, or a failure would have been raised
        return Reply(self._response.status_code, self._response.headers, bytes(self._body))

    def failure(self, error: Exception) -> NoAnswer:
        """What a failure on the way means."""
        match error:
            case NoAnswer():
                return error
            case httpx2.TimeoutException() | TimeoutError():
                return TimedOut(LATE)
            case httpx2.NetworkError() | httpx2.RemoteProtocolError() if self._response is None:
                return Unreachable(f"{type(error).__name__}: {error}")
        return Unreadable(f"the answer broke off: {type(error).__name__}")


class Client(Calls):
    """Asks from ordinary code; may be shared between threads. Use it with `with`, or call `close`.

    `key` is the text after `Bearer`. `budget_s` (0.005 to 2) is what a call may take at the gateway unless it brings its own;
    `slack_s` is added to it for the network before a call is given up: by every step of the network, should it trickle.
    `transport` is httpx2's seam: for tests, or for certificates of one's own. Raises ValueError for an address or key that cannot be.
    """

    def __init__(
        self,
        base_url: str,
        key: str,
        *,
        budget_s: float = BUDGET_S,
        slack_s: float = SLACK_S,
        connections: int = CONNECTIONS,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        self._settings = _Settings(_checked_address(base_url), budget_s, slack_s)
        self._http = httpx2.Client(transport=transport, **_of_transport(base_url, key, connections))

    def __repr__(self) -> str:
        return f"Client({self._settings.address!r}, budget_s={self._settings.budget_s})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection. Calls that are under way fail."""
        self._http.close()

    def _call(self, operation: Operation[A], given: Mapping[str, Mapping[str, object]], budget_s: float | None) -> A:
        steps = self._settings.effort(operation, given, budget_s)
        outcome: Outcome = None
        try:
            while True:
                outcome = self._take(steps.send(outcome))
        except StopIteration as done:
            answer: A = done.value
            return answer

    def _take(self, step: Step) -> Outcome:
        if isinstance(step, Wait):
            time.sleep(step.seconds)
            return None
        answer = _Answer(time.monotonic() + step.within_s)
        try:
            with self._http.stream(**_arguments(step)) as response:
                answer.begin(response)
                for part in response.iter_bytes():
                    answer.add(part)
        except (httpx2.HTTPError, NoAnswer) as error:
            return answer.failure(error)
        return answer.reply()


class AsyncClient(AsyncCalls):
    """As `Client`, for asyncio. Use it with `async with`, or call `aclose`. A call that is cancelled leaves nothing behind."""

    def __init__(
        self,
        base_url: str,
        key: str,
        *,
        budget_s: float = BUDGET_S,
        slack_s: float = SLACK_S,
        connections: int = CONNECTIONS,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        self._settings = _Settings(_checked_address(base_url), budget_s, slack_s)
        self._http = httpx2.AsyncClient(transport=transport, **_of_transport(base_url, key, connections))

    def __repr__(self) -> str:
        return f"AsyncClient({self._settings.address!r}, budget_s={self._settings.budget_s})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close every connection. Calls that are under way fail."""
        await self._http.aclose()

    async def _call(
        self, operation: Operation[A], given: Mapping[str, Mapping[str, object]], budget_s: float | None
    ) -> A:
        steps = self._settings.effort(operation, given, budget_s)
        outcome: Outcome = None
        try:
            while True:
                outcome = await self._take(steps.send(outcome))
        except StopIteration as done:
            answer: A = done.value
            return answer

    async def _take(self, step: Step) -> Outcome:
        if isinstance(step, Wait):
            await asyncio.sleep(step.seconds)
            return None
        answer = _Answer(time.monotonic() + step.within_s)
        try:
            async with asyncio.timeout(step.within_s), self._http.stream(**_arguments(step)) as response:
                answer.begin(response)
                async for part in response.aiter_bytes():
                    answer.add(part)
        except (httpx2.HTTPError, TimeoutError, NoAnswer) as error:
            return answer.failure(error)
        return answer.reply()


def _arguments(step: Send) -> dict[str, Any]:
    return {
        "method": step.method,
        "url": step.target,
        "headers": step.headers,
        "content": step.body,
        "timeout": step.within_s,
    }
