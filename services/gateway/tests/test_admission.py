"""Who comes in, and what a refusal before the body looks like on a real connection."""

import asyncio
import json
import time

import httpx2
import pytest
from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from starlette.types import ASGIApp, Receive, Scope as AsgiScope, Send
from support import HEADERS, QUOTE, SECRET, World, until
from test_protocol import BODY, GET, POST, head_of, listening, said

from gateway.api.access import Access, hash_key
from gateway.api.admission import Admission
from gateway.api.edge import Api, tells_of_load
from gateway.api.metrics import Metrics
from gateway.app import Server, create_app
from gateway.domain.keys import Key, Priority, Scope
from gateway.domain.limiter import Limit
from gateway.domain.reasons import Branch, CallOutcome
from gateway.domain.trace import Call, Trace

SAME = ("content-type", "content-security-policy", "cache-control", "retry-after", "x-request-id", "x-budget-left-ms")
WHOLE = POST + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY


def admission(registry: CollectorRegistry | None = None, *, most: int = 4) -> Admission:
    """One whose clock is in the hands of the test, with a key of each priority."""
    keys = [Key(p.value, (hash_key(p.value.encode(), SECRET),), frozenset(Scope), p) for p in Priority]
    metrics = Metrics.register(registry or CollectorRegistry())
    limit = Limit.full(most=most, budget_s=0.15)
    return Admission(Access(keys, SECRET), limit, metrics, budget_s=0.15, clock=lambda: 0.0)


def headers(priority: str) -> list[tuple[bytes, bytes]]:
    """Of a request with a key of that priority."""
    return [(b"authorization", b"Bearer " + priority.encode())]


def test_the_least_important_is_refused_first() -> None:
    """Four may be in flight: once interactive requests come, one of a load test, two with a batch, and strangers are last."""
    registry = CollectorRegistry()
    door = admission(registry)
    door.asked(Priority.INTERACTIVE, now=0.0)
    door.adapt(0.1)
    asked = ["interactive", "nobody", "loadtest", "batch", "batch", "interactive", "interactive", "interactive"]
    let_in = [door.enter(headers(who), "/v1/quotes", now=0.1) for who in asked]

    assert [True, False, False, True, False, True, True, False] == let_in
    shed = [registry.get_sample_value("ballpark_shed_total", {"reason": "full", "priority": p}) for p in Priority]
    assert ([1.0, 1.0, 2.0], 4.0, 4.0) == (
        shed,
        registry.get_sample_value("ballpark_in_flight"),
        registry.get_sample_value("ballpark_requests_total", {"route": "/v1/quotes", "outcome": "503"}),
    )


def test_a_late_loop_sheds() -> None:
    """Two late probes of twenty halve what is taken on, and the refusals name them."""
    registry = CollectorRegistry()
    door = admission(registry, most=64)
    for _ in range(2):
        door.probed(0.03)
    let_in = sum(door.enter(headers("interactive"), "/v1/quotes", now=0.0) for _ in range(64))
    for tenth in range(1, 30):
        door.adapt(tenth * 1.0)

    assert (64, 32.0) == (let_in, registry.get_sample_value("ballpark_limit"))
    assert not door.enter(headers("interactive"), "/v1/quotes", now=30.0)
    assert 1 == registry.get_sample_value("ballpark_shed_total", {"reason": "lag", "priority": "interactive"})
    assert 2 == registry.get_sample_value("ballpark_loop_lag_seconds_count")


@pytest.mark.parametrize(("budget_s", "limit"), [(0.005, 64.0), (0.15, 57.0), (2.0, 64.0)])
def test_a_short_budget_slows_nobody_else(budget_s: float, limit: float) -> None:
    """100 ms are late in a budget of 150; who set one of 5 ms on purpose is late by nature, and one of 2 s is far from over."""
    registry = CollectorRegistry()
    door = admission(registry, most=64)
    for _ in range(64):
        door.enter(headers("interactive"), "/v1/quotes", now=0.0)
    for tenth in (1, 2):
        for _ in range(100):
            door.learn(0.005 if budget_s < 0.15 else 0.1, budget_s)
        door.adapt(tenth / 10)

    assert limit == registry.get_sample_value("ballpark_limit")


@pytest.mark.parametrize(
    ("outcomes", "tells"),
    [
        ((CallOutcome.OK, CallOutcome.OK), True),
        ((CallOutcome.TIMEOUT, CallOutcome.TIMEOUT), True),
        ((CallOutcome.OK, CallOutcome.TIMEOUT), False),
        ((), False),
    ],
)
def test_a_hanging_model_is_no_overload(outcomes: tuple[CallOutcome, ...], tells: bool) -> None:
    """One answers and one hangs: such a request takes all of its time, and says nothing of what can be taken on."""
    trace = Trace(calls=[Call(branch, outcome, 0.1) for branch, outcome in zip(Branch, outcomes, strict=False)])

    assert tells == tells_of_load(trace)


def api_of(server: Server) -> Api:
    """What the lifespan of a server has put together."""
    api: Api = server.lifespan.state["api"]
    return api


def behind_asgi(app: FastAPI, server: Server) -> ASGIApp:
    """The app of a running server, without its protocol."""

    async def started(scope: AsgiScope, receive: Receive, send: Send) -> None:
        await app({**scope, "state": dict(server.lifespan.state)}, receive, send)

    return started


async def answers(reader: asyncio.StreamReader, number: int) -> list[tuple[int, dict[str, str], bytes]]:
    """Status, headers and body of the next answers of a connection."""
    found = []
    for _ in range(number):
        head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)).decode()
        first, *lines = head.split("\r\n")[:-2]
        fields = dict(line.split(": ", 1) for line in lines)
        found.append((int(first.split()[1]), fields, await reader.readexactly(int(fields["content-length"]))))
    return found


async def test_a_shed_request_is_a_problem_like_every_other() -> None:
    """Before there is a task for it: the same headers and the same body as behind ASGI, and the caller's id in both."""
    world = World()
    app = create_app(world.parts())
    async with listening(app) as (server, _, port):
        api_of(server).admission.in_flight = 1000
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(WHOLE.replace(b"Host: gateway", b"Host: gateway\r\nX-Request-Id: mine-1"))
        [(status, fields, body)] = await answers(reader, 1)
        writer.close()
        transport = httpx2.ASGITransport(behind_asgi(app, server))
        async with httpx2.AsyncClient(transport=transport, base_url="http://gateway") as ask:
            behind = await ask.post("/v1/quotes", json=QUOTE, headers={"X-Request-Id": "mine-1"} | HEADERS)

    assert (503, 503) == (status, behind.status_code)
    assert json.loads(body) == behind.json()
    assert set(behind.headers) | {"date"} == set(fields)
    assert {n: behind.headers[n] for n in SAME} == {n: fields[n] for n in SAME}
    assert 2 == world.count("ballpark_requests_total", route="/v1/quotes", outcome="503")


async def test_a_connection_lives_on_after_a_refusal() -> None:
    """Also when the shed request's body comes late or in pieces, and when more requests are in the same packet."""
    async with listening() as (server, _, port):
        door = api_of(server).admission
        door.in_flight = 1000
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(WHOLE + WHOLE[:-10])
        shed = await answers(reader, 2)
        door.in_flight = 0
        writer.write(WHOLE[-10:] + WHOLE + WHOLE + WHOLE)
        served = await answers(reader, 3)
        in_flight = door.in_flight
        writer.close()

    assert [503, 503, 200, 200, 200] == [status for status, *_ in shed + served]
    assert 0 == in_flight


@pytest.mark.parametrize("last", [b"Connection: close\r\n", b"HTTP/1.0"])
async def test_the_last_request_of_a_connection_can_be_shed(last: bytes) -> None:
    """It says so, and ends it once the body has come."""
    whole = (
        WHOLE.replace(b"HTTP/1.1", last) if last == b"HTTP/1.0" else WHOLE.replace(b"Content-L", last + b"Content-L")
    )
    async with listening() as (server, _, port):
        api_of(server).admission.in_flight = 1000
        status, head = head_of(await said(port, whole[:-10], whole[-10:]))

    assert (503, True) == (status, b"connection: close" in head)


async def test_a_head_is_answered_without_a_body() -> None:
    """Also when it is shed; and a page is no call, so nothing refuses it."""
    async with listening() as (server, _, port):
        api_of(server).admission.in_flight = 1000
        head = await said(port, GET.replace(b"GET", b"HEAD") + b"Connection: close\r\n\r\n")
        page, _ = head_of(await said(port, GET.replace(b"/v1/contract", b"/docs") + b"Connection: close\r\n\r\n"))

    assert (503, b"", 200) == (head_of(head)[0], head.partition(b"\r\n\r\n")[2], page)


async def test_nobody_stays_in_flight() -> None:
    """Not whoever hangs up in the middle of a body, nor behind another request, nor whoever sends something that is no HTTP."""
    async with listening() as (server, _, port):
        door = api_of(server).admission

        async def is_empty() -> bool:
            return door.in_flight == 0

        for sent in (WHOLE[:-10], WHOLE + WHOLE + WHOLE[:-10], WHOLE + b"nonsense\r\n\r\n"):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(sent)
            await writer.drain()
            writer.close()
        await until(is_empty, within=5)


async def test_a_request_that_waited_too_long_is_refused() -> None:
    """Its time counts from its head: with the loop blocked for longer than anybody is borne, the answer is 503, and quick."""
    world = World()
    async with listening(create_app(world.parts())) as (server, _, port):
        api = api_of(server)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        arrivals = iter([time.monotonic() - 0.12])
        real = api.admission.clock
        api.admission.clock = lambda: next(arrivals, None) or real()
        writer.write(WHOLE + WHOLE)
        statuses = [(status, int(fields["x-budget-left-ms"])) for status, fields, _ in await answers(reader, 2)]
        writer.close()

    assert [503, 200] == [status for status, _ in statuses]
    assert statuses[0][1] <= 30
    assert 1 == world.count("ballpark_shed_total", reason="waited", priority="interactive")
