"""How does a call go, without a socket? Requests are built and answers are read here; `effort` says what to do next.

An effort is a generator: it yields what is to be sent or how long to wait, and is told what came of it. So the synchronous and the
asynchronous client are two short loops around the same decisions, and a test needs neither a network nor a clock.

**One retry, when it cannot hurt**: nothing of an answer had come (refused, or reset before an answer began), or the gateway said that it
could not (503) and when to come back (`Retry-After`). It carries the same quote id, so the price is the same, and it never begins
after the budget, nor with less of it than the gateway takes.
"""

import re
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar
from urllib.parse import quote, urlencode
from uuid import uuid4

import msgspec

from ballpark_client.api import Problem
from ballpark_client.errors import BallparkError, Busy, NoAnswer, Unreachable, Unreadable, of_status
from ballpark_client.operation import Operation

A = TypeVar("A")

LEAST_BUDGET_S: Final = 0.005  # what the gateway makes of less
MOST_BUDGET_S: Final = 2.0  # and of more
MOST_ANSWER: Final = 4 * 1024 * 1024  # bytes; 500 insurers take a tenth of a megabyte
ATTEMPTS: Final = 2
ROUNDING: Final = 1e-6  # 0.57 s are 570 ms, whatever binary fractions make of them
BUDGET_HEADER: Final = "X-Request-Timeout-Ms"

_SECONDS: Final = re.compile(r"[0-9]{1,6}")


@dataclass(frozen=True, slots=True)
class Send:
    """Send this, and take an answer until `within_s` from now."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes | None
    within_s: float

    def __repr__(self) -> str:
        return f"Send({self.method} {self.target.partition('?')[0]}, within_s={self.within_s:.3f})"


@dataclass(frozen=True, slots=True)
class Wait:
    """Do nothing for so long."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer as it came; names of headers in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


Step = Send | Wait
Outcome = Reply | NoAnswer | None
Given = Mapping[str, Mapping[str, object]]


def effort(
    operation: Operation[A], given: Given, *, budget_s: float, slack_s: float, clock: Callable[[], float]
) -> Generator[Step, Outcome, A]:
    """All of one call; its value is the answer. `given` has the `path`, `query` and `body` by name, None where left out.

    After `Send` it is told a `Reply` or a `NoAnswer`, after `Wait` nothing. Raises `BallparkError`, and ValueError for a wrong budget.
    """
    if not LEAST_BUDGET_S <= budget_s <= MOST_BUDGET_S:
        raise ValueError(f"budget_s must be from {LEAST_BUDGET_S} to {MOST_BUDGET_S} seconds")
    target, body = _target(operation, given), _body(operation, given.get("body", {}))
    ends = clock() + budget_s
    left_s = budget_s
    for attempt in range(1, ATTEMPTS + 1):
        headers = {BUDGET_HEADER: str(int(left_s * 1000 + ROUNDING))} | (
            {"Content-Type": "application/json"} if body else {}
        )
        outcome = yield Send(operation.method, target, headers, body, left_s + slack_s)
        try:
            return read(operation, outcome)
        except BallparkError as error:
            wait_s = again(error, attempt=attempt, left_s=ends - clock())
            if wait_s is None:
                raise
        if wait_s:
            yield Wait(wait_s)
        left_s = max(LEAST_BUDGET_S, ends - clock())
    raise AssertionError("the last attempt answers or raises")


def again(error: BallparkError, *, attempt: int, left_s: float) -> float | None:
    """How many seconds to wait before another attempt; None when there must be none."""
    match error:
        case Unreachable():
            wait_s = 0.0
        case Busy(retry_after_s=float() | int() as seconds):
            wait_s = seconds
        case _:
            return None
    return wait_s if attempt < ATTEMPTS and wait_s + LEAST_BUDGET_S <= left_s else None


def read(operation: Operation[A], outcome: Outcome) -> A:
    """The answer. Raises `BallparkError` when there is none."""
    match outcome:
        case Reply(200, _, body):
            try:
                return msgspec.json.decode(body, type=operation.answer)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                raise Unreadable(f"the answer is not as described: {error}") from None
        case Reply(status, headers, body):
            raise of_status(status)(status, _problem(status, headers, body), _retry_after_s(headers))
        case NoAnswer():
            raise outcome
        case _:
            raise AssertionError("whatever was sent is answered or not")


def checked_key(key: str) -> str:
    """The key. Raises ValueError, which does not repeat it, when it cannot stand in a header."""
    if not re.fullmatch(r"[\x21-\x7e]{1,512}", key):
        raise ValueError("the key must be 1 to 512 printable ASCII characters without blanks")
    return key


def _target(operation: Operation[Any], given: Given) -> str:
    places = {name: quote(str(value), safe="") for name, value in given.get("path", {}).items()}
    query = {name: value for name, value in given.get("query", {}).items() if value is not None}
    return operation.path.format_map(places) + (f"?{urlencode(query)}" if query else "")


def _body(operation: Operation[Any], given: Mapping[str, object]) -> bytes | None:
    if not operation.has_body:
        return None
    made = {name: value for name, value in given.items() if value is not None}
    if operation.has_quote_id:
        made.setdefault("quote_id", uuid4().hex)
    return msgspec.json.encode(made)


def _problem(status: int, headers: Mapping[str, str], body: bytes) -> Problem:
    try:
        return msgspec.json.decode(body, type=Problem)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):  # a proxy's page
        text = f"HTTP {status}"
        return Problem("about:blank", text, status, "no problem came with it", headers.get("x-request-id", "none"), ())


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    text = headers.get("retry-after", "")
    return float(text) if _SECONDS.fullmatch(text) else None
