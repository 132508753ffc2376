"""What is sent, how an answer is read, and when there is a second attempt: without a network and without a clock."""

import json
from typing import Any

import pytest
from fake import API, KEY, RISK, shown
from hypothesis import given, strategies as st

from ballpark_client import (
    BadCall,
    BallparkError,
    Broken,
    Busy,
    NoAnswer,
    NotAllowed,
    QuotaUsed,
    TimedOut,
    TooLate,
    Unreachable,
    Unreadable,
    api,
)
from ballpark_client.core import LEAST_BUDGET_S, Outcome, Reply, Send, Wait, checked_key, effort, read
from ballpark_client.operation import Operation

GIVEN = {"body": {"risk": RISK, "quote_id": None, "ipt_rate": 0.2}}
FINE = Reply(200, {}, json.dumps(shown("/v1/quotes")).encode())
UNREACHABLE = Unreachable("refused")


def busy(retry_after: str | None) -> Reply:
    """A 503."""
    headers = {} if retry_after is None else {"retry-after": retry_after}
    return Reply(503, headers, json.dumps(shown("/v1/quotes", "503")).encode())


class Drive:
    """Runs an effort; every attempt takes `takes_s` and ends as told."""

    def __init__(self, *outcomes: Reply | NoAnswer, takes_s: float = 0.001, budget_s: float = 0.15) -> None:
        self.outcomes, self.takes_s = list(outcomes), takes_s
        self.now = 100.0
        self.steps: list[Send | Wait] = []
        self.began: list[float] = []
        self.result: object = None
        steps = effort(api.QUOTES, GIVEN, budget_s=budget_s, slack_s=0.05, clock=lambda: self.now)
        outcome: Outcome = None
        try:
            while True:
                outcome = self.take(steps.send(outcome))
        except StopIteration as done:
            self.result = done.value
        except BallparkError as error:
            self.result = error

    def take(self, step: Send | Wait) -> Outcome:
        """Do a step."""
        self.steps.append(step)
        if isinstance(step, Wait):
            self.now += step.seconds
            return None
        self.began.append(self.now)
        self.now += self.takes_s
        return self.outcomes.pop(0)

    @property
    def sent(self) -> list[Send]:
        """The attempts."""
        return [step for step in self.steps if isinstance(step, Send)]


def test_a_request_is_what_the_document_says() -> None:
    """What was left out is not sent, and a quote id is made where there is none."""
    sent = Drive(FINE).sent[0]
    body = json.loads(sent.body or b"")

    assert ("POST", "/v1/quotes") == (sent.method, sent.target)
    assert {"X-Request-Timeout-Ms": "150", "Content-Type": "application/json"} == sent.headers
    assert {"risk": RISK, "ipt_rate": 0.2, "quote_id": body["quote_id"]} == body
    assert 32 == len(body["quote_id"])
    assert 0.15 + 0.05 == sent.within_s


def test_places_and_queries_are_escaped() -> None:
    """Whatever stands in them stays in them."""
    operation = Operation("DELETE", "/v1/subjects/{subject}", api.Models)
    steps = effort(
        operation,
        {"path": {"subject": "a/b?c"}, "query": {"x": "1&2", "y": None}},
        budget_s=1,
        slack_s=0,
        clock=lambda: 0.0,
    )
    step = next(steps)

    assert isinstance(step, Send)
    assert ("/v1/subjects/a%2Fb%3Fc?x=1%262", None) == (step.target, step.body)


@pytest.mark.parametrize(
    ("outcomes", "attempts", "waits"),
    [
        ([FINE], 1, []),
        ([UNREACHABLE, FINE], 2, []),
        ([UNREACHABLE, UNREACHABLE], 2, []),
        ([busy("0"), FINE], 2, []),
        ([busy(None)], 1, []),
        ([busy("1")], 1, []),
        ([busy("soon")], 1, []),
        ([TimedOut("late")], 1, []),
        ([Unreadable("broke off")], 1, []),
        ([Reply(200, {}, b"{}")], 1, []),
        ([Reply(429, {"retry-after": "0"}, b"")], 1, []),
        ([Reply(500, {"retry-after": "0"}, b"")], 1, []),
        ([Reply(504, {"retry-after": "0"}, b"")], 1, []),
    ],
)
def test_a_second_attempt_only_where_it_cannot_hurt(
    outcomes: list[Reply | NoAnswer], attempts: int, waits: list[float]
) -> None:
    """Nothing had come, or a 503 says when to come back and that is soon enough."""
    drive = Drive(*outcomes)

    assert attempts == len(drive.sent)
    assert waits == [step.seconds for step in drive.steps if isinstance(step, Wait)]


def test_a_long_budget_waits_as_told() -> None:
    """The second attempt has what is left, the same body and so the same quote id."""
    drive = Drive(busy("1"), FINE, budget_s=1.5)
    first, second = drive.sent

    assert [Wait(1.0)] == [step for step in drive.steps if isinstance(step, Wait)]
    assert first.body == second.body
    assert "499" == second.headers["X-Request-Timeout-Ms"]
    assert isinstance(drive.result, api.QuotesAnswer)


def test_there_is_no_attempt_after_the_budget() -> None:
    """The first failure is what the caller learns."""
    drive = Drive(UNREACHABLE, FINE, takes_s=0.2)

    assert [UNREACHABLE] == [drive.result]
    assert 1 == len(drive.sent)


OUTCOMES = st.sampled_from([FINE, UNREACHABLE, TimedOut("late"), Unreadable("x"), Reply(500, {}, b"")]) | st.builds(
    busy, st.none() | st.integers(0, 3).map(str)
)


@given(st.lists(OUTCOMES, min_size=2, max_size=2), st.floats(0, 0.5), st.floats(0.005, 2))
def test_an_effort_keeps_its_budget(outcomes: list[Reply | NoAnswer], takes_s: float, budget_s: float) -> None:
    """At most two attempts with one body, none begun with less than the gateway takes, none promised more than is left."""
    drive = Drive(*outcomes, takes_s=takes_s, budget_s=budget_s)
    ends = 100.0 + budget_s

    assert len(drive.sent) <= 2
    assert 1 == len({sent.body for sent in drive.sent})
    for began, sent in zip(drive.began, drive.sent, strict=True):
        assert began <= ends - LEAST_BUDGET_S + 1e-9
        assert int(sent.headers["X-Request-Timeout-Ms"]) <= (ends - began) * 1000 + 1e-5
        assert sent.within_s <= ends - began + 0.05 + 1e-9


@pytest.mark.parametrize("budget_s", [0, 0.0049, 2.1, -1, float("nan")])
def test_a_budget_that_cannot_be_is_refused(budget_s: float) -> None:
    """Before anything is sent."""
    with pytest.raises(ValueError, match="budget_s"):
        Drive(FINE, budget_s=budget_s)


@pytest.mark.parametrize("key", ["", "a b", "a\r\nX: y", "schlüssel", "x" * 513])
def test_a_key_that_cannot_be_is_refused(key: str) -> None:
    """Without a word of it."""
    with pytest.raises(ValueError, match="the key must be") as caught:
        checked_key(key)
    assert KEY == checked_key(KEY)
    assert not key or key not in str(caught.value)


@pytest.mark.parametrize(
    ("path", "name", "operation"),
    [
        (path, name, operation)
        for path, operation in [
            ("/v1/quotes", api.QUOTES),
            ("/v1/ballpark", api.BALLPARK),
            ("/v1/contract", api.CONTRACT),
            ("/v1/models", api.MODELS),
        ]
        for name in next(iter(API["paths"][path].values()))["responses"]["200"]["content"]["application/json"][
            "examples"
        ]
    ],
)
def test_every_answer_that_the_document_shows_is_read(path: str, name: str, operation: Operation[Any]) -> None:
    """Partial ones, too."""
    operation = api.QUOTES_COLUMNS if name == "as_columns" else operation
    answer = read(operation, Reply(200, {}, json.dumps(shown(path, "200", name)).encode()))

    assert isinstance(answer, operation.answer)


def test_words_and_fields_that_are_new_are_passed_over() -> None:
    """A gateway may be newer than its client."""
    newer = shown("/v1/quotes") | {"degraded": ["moon_phase"], "rank": 1}
    answer = read(api.QUOTES, Reply(200, {}, json.dumps(newer).encode()))

    assert ("moon_phase",) == answer.degraded


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, BadCall), (401, NotAllowed), (403, NotAllowed), (404, BadCall), (406, BadCall), (413, BadCall), (415, BadCall),
        (422, BadCall), (429, QuotaUsed), (431, BadCall), (500, Broken), (502, Broken), (503, Busy), (504, TooLate), (302, Broken),
    ],
)  # fmt: skip
def test_a_problem_is_its_error(status: int, kind: type[BallparkError]) -> None:
    """By what the caller can do about it; every status of the document is one of them."""
    problem = shown("/v1/quotes", "422") | {"status": status}
    with pytest.raises(BallparkError) as caught:
        read(api.QUOTES, Reply(status, {"retry-after": "2"}, json.dumps(problem).encode()))

    assert kind is type(caught.value)


def test_every_documented_status_is_tried_above() -> None:
    """A status that the document gets makes the table longer."""
    documented = {int(s) for methods in API["paths"].values() for o in methods.values() for s in o["responses"]}

    assert set() == documented - {200, 400, 401, 403, 406, 413, 415, 422, 429, 431, 500, 503, 504}


def test_an_error_says_what_is_wrong() -> None:
    """Every place, the code, and the id for the other side's logs."""
    with pytest.raises(BadCall) as caught:
        read(api.QUOTES, Reply(422, {}, json.dumps(shown("/v1/quotes", "422")).encode()))

    assert ("bad_request", 422) == (caught.value.code, caught.value.status)
    assert "risk.driver.age must be a whole number from 17 to 99" in str(caught.value)
    assert "0198c2b4" in str(caught.value)


@pytest.mark.parametrize("body", [b"<html>", b"", b"\xff", b"[" * 100_000, b'{"type": 1}'])
@pytest.mark.parametrize(("status", "kind"), [(200, Unreadable), (502, Broken)])
def test_rubbish_is_an_error_of_ours(status: int, kind: type[BallparkError], body: bytes) -> None:
    """A proxy's page is not a problem+json, and never another exception."""
    with pytest.raises(kind):
        read(api.QUOTES, Reply(status, {"x-request-id": "r-1"}, body))


@given(st.integers(100, 599), st.binary(max_size=60) | st.sampled_from([FINE.body, b"{}"]), st.text(max_size=5))
def test_whatever_comes_is_an_answer_or_an_error_of_ours(status: int, body: bytes, retry_after: str) -> None:
    """Nothing else comes out."""
    try:
        answer: object = read(api.QUOTES, Reply(status, {"retry-after": retry_after}, body))
    except BallparkError:
        return
    assert isinstance(answer, api.QuotesAnswer)
