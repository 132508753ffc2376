"""Both clients over a real socket: the same calls, the same errors, the same patience."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fake import (
    KEY,
    RISK,
    Behaviour,
    Server,
    answering,
    breaking_off,
    flooding,
    free_port,
    gateway,
    hanging,
    hanging_up,
    resetting,
    shown,
    trickling,
)

from ballpark_client import AsyncClient, BallparkError, Busy, Client, TimedOut, Unreachable, Unreadable

Ask = Callable[..., Any]
PATIENT_S = 2  # other work on the machine is no failure of ours
EXAMPLES = sorted((Path(__file__).resolve().parents[1] / "examples").glob("*.py"))


def ask_sync(url: str, name: str, *arguments: Any, **named: Any) -> Any:
    """One call of the synchronous client."""
    with Client(url, KEY, budget_s=PATIENT_S) as client:
        return getattr(client, name)(*arguments, **named)


def ask_async(url: str, name: str, *arguments: Any, **named: Any) -> Any:
    """One call of the asynchronous client."""

    async def ask() -> Any:
        async with AsyncClient(url, KEY, budget_s=PATIENT_S) as client:
            return await getattr(client, name)(*arguments, **named)

    return asyncio.run(ask())


both = pytest.mark.parametrize("ask", [ask_sync, ask_async])


@both
def test_quotes_come_typed(ask: Ask) -> None:
    """With the key, the budget and the quote id in place."""
    with gateway() as server:
        answer = ask(server.url, "quotes", RISK, quote_id="q-1", budget_s=PATIENT_S)
    asked = server.asked[0]

    assert ("likely", 431.02) == (answer.insurers[0].status, answer.insurers[0].premium)
    assert ("POST", "/v1/quotes", {"risk": RISK, "quote_id": "q-1"}) == (asked.method, asked.target, asked.body)
    assert (f"Bearer {KEY}", "2000") == (asked.headers["Authorization"], asked.headers["X-Request-Timeout-Ms"])


@both
def test_every_call_is_answered(ask: Ask) -> None:
    """One method each."""
    with gateway() as server:
        columns = ask(server.url, "quotes_columns", RISK)
        band = ask(server.url, "ballpark", RISK)
        contract, models = ask(server.url, "contract"), ask(server.url, "models")

    assert ("i-0001", "i-0002") == columns.insurers.insurer
    assert (810.0, "driver.ncd_years") == (band.cheapest.premium, band.next_questions[0].field)
    assert "driver.age" == contract.fields[0].path
    assert "quote-classifier" == models.models.classifier.project
    assert "/v1/quotes?layout=columns" == server.asked[0].target


@both
@pytest.mark.parametrize("first", [resetting, hanging_up, answering(503, Retry_After="0")])
def test_one_retry_with_the_same_quote_id(ask: Ask, first: Behaviour) -> None:
    """A connection that broke before an answer, or a 503 that says "at once": the caller notices nothing."""
    with gateway(first) as server:
        answer = ask(server.url, "quotes", RISK, budget_s=PATIENT_S)

    assert answer.complete
    assert 2 == len(server.asked)
    assert 1 == len({asked.body["quote_id"] for asked in server.asked})


@both
@pytest.mark.parametrize(
    ("behaviour", "error", "attempts"),
    [
        (resetting, Unreachable, 2),
        (answering(503, Retry_After="0"), Busy, 2),
        (answering(503, Retry_After="3"), Busy, 1),
        (breaking_off, Unreadable, 1),
        (flooding, Unreadable, 1),
        (answering(200, b"<html>"), Unreadable, 1),
    ],
)
def test_what_cannot_be_helped_is_raised(
    ask: Ask, behaviour: Behaviour, error: type[BallparkError], attempts: int
) -> None:
    """After at most one retry."""
    with gateway(behaviour, behaviour, behaviour) as server, pytest.raises(error):
        ask(server.url, "quotes", RISK, budget_s=PATIENT_S)

    assert attempts == len(server.asked)


@both
def test_a_refused_connection_is_said(ask: Ask) -> None:
    """Nobody listens."""
    with pytest.raises(Unreachable, match="ConnectError"):
        ask(f"http://127.0.0.1:{free_port()}", "models")


@both
@pytest.mark.parametrize("behaviour", [hanging, trickling])
def test_no_call_outlives_its_budget(ask: Ask, behaviour: Behaviour) -> None:
    """Neither for silence nor for a trickle, and there is no retry."""
    with gateway(behaviour) as server:
        began = time.monotonic()
        with pytest.raises(TimedOut):
            ask(server.url, "quotes", RISK, budget_s=0.5)
        took_s = time.monotonic() - began

    assert len(server.asked) <= 1  # none, where the machine took the time before a connection was made
    assert took_s < 20  # the gateway would hang for 30


def test_a_connection_is_used_again() -> None:
    """A call does not cost a handshake."""
    seen: set[int] = set()

    def noting(handler: Any) -> None:
        seen.add(handler.client_address[1])
        answering()(handler)

    with gateway(noting, noting, noting) as server, Client(server.url, KEY, budget_s=PATIENT_S) as client:
        for _ in range(3):
            client.models()

    assert 1 == len(seen)


async def test_a_cancelled_call_leaves_nothing_behind() -> None:
    """The connection goes, and the client goes on."""
    with gateway(hanging) as server:
        async with AsyncClient(server.url, KEY, connections=1) as client:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await client.quotes(RISK, budget_s=PATIENT_S)
            answer = await client.quotes(RISK, budget_s=PATIENT_S)

    assert answer.complete


def test_the_key_is_never_shown() -> None:
    """Neither by the client nor by an error."""
    with gateway(answering(401)) as server, Client(server.url, KEY) as client:
        with pytest.raises(BallparkError) as caught:
            client.quotes(RISK, budget_s=PATIENT_S)
        told = repr(client) + repr(AsyncClient(server.url, KEY)) + repr(caught.value) + repr(vars(client))

    assert f"Client('{server.url}', budget_s=0.15)" in told
    assert KEY not in told


@pytest.mark.parametrize("url", ["gateway:8080", "ftp://gateway", "http://", "http://user:word@gateway"])
def test_an_address_that_cannot_be_is_refused(url: str) -> None:
    """At once, not at the first call."""
    with pytest.raises(ValueError, match="base_url"):
        Client(url, KEY)


def run(example: Path, server: Server) -> subprocess.CompletedProcess[str]:
    """An example as a person runs it."""
    known = {"BALLPARK_URL": server.url, "BALLPARK_KEY": KEY}
    command = [sys.executable, "-W", "error", str(example)]
    return subprocess.run(command, env=os.environ | known, capture_output=True, text=True, timeout=50, check=False)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_the_examples_run(example: Path) -> None:
    """They print an answer and nothing else."""
    with gateway() as server:
        done = run(example, server)

    assert (0, "") == (done.returncode, done.stderr)
    assert "£" in done.stdout


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_the_examples_say_what_went_wrong(example: Path) -> None:
    """In a sentence, with exit code 1."""
    bad = answering(422, shown("/v1/quotes", "422"))
    with gateway(*[bad] * 9) as server:
        done = run(example, server)

    assert 1 == done.returncode
    assert "must be a whole number from 17 to 99" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_readme_runs() -> None:
    """Its five lines are an example, too."""
    readme = (Path(__file__).resolve().parents[1] / "README.md").read_text(encoding="utf-8")
    code = readme.partition("```python\n")[2].partition("```")[0]
    with gateway() as server:
        patient = code.replace("budget_s=0.5", "budget_s=2")  # this machine may be busy
        exec(patient.replace("http://127.0.0.1:8080", server.url), {})  # noqa: S102 -- it is our own
    assert ["/v1/quotes"] == [asked.target for asked in server.asked]
