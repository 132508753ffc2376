"""The API's table of statuses, line by line: each refusal is a problem that names what is wrong."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from httpx2 import AsyncClient, Response
from starlette.types import Message
from support import ALL, BY_IDS, KEY, QUOTE, SECRET, World, classifier, client, regressor, running, until

from gateway.adapters.keys import new_key_text
from gateway.api import exchange
from gateway.api.access import hash_key
from gateway.api.edge import Limits
from gateway.api.exchange import MOST_BODY, accepts_json, is_json
from gateway.api.problems import OF_ERRORS, Code
from gateway.app import create_app
from gateway.domain.errors import NoAnswer
from gateway.domain.keys import Key, Quota, Scope
from gateway.domain.thinning import Thinning

SAFE = {"cache-control": "no-store", "x-content-type-options": "nosniff", "referrer-policy": "no-referrer"}


def assert_problem(answer: Response, code: Code, *locs: str) -> None:
    """The answer is that problem, names those places, and has what every answer has."""
    problem = answer.json()
    assert (code.status, "application/problem+json") == (answer.status_code, answer.headers["content-type"])
    assert f"urn:ballpark:error:{code.name.lower()}" == problem["type"]
    assert {"type", "title", "status", "detail", "request_id", "errors"} == problem.keys()
    assert list(locs) == [wrong["loc"] for wrong in problem["errors"]]
    assert problem["request_id"] == answer.headers["x-request-id"]
    assert SAFE.items() <= answer.headers.items()
    assert int(answer.headers["x-budget-left-ms"]) >= 0


@pytest.mark.parametrize("path", ["/v1/quotes", "/v1/ballpark"])
async def test_a_right_request_is_answered(path: str) -> None:
    """200 JSON, with the headers of every answer and the stages' times."""
    async with client() as ask:
        answer = await ask.post(path, json=BY_IDS, headers={"X-Request-Id": "mine-1"})

    assert (200, "application/json") == (answer.status_code, answer.headers["content-type"])
    assert "mine-1" == answer.headers["x-request-id"]
    assert SAFE.items() <= answer.headers.items()
    stages = {part.split(";")[0] for part in answer.headers["server-timing"].split(", ")}
    assert {"admit", "features", "classifier", "regressor", "merge"} <= stages


@pytest.mark.parametrize(
    ("body", "code", "locs"),
    [
        (b'{"risk":{"driver":{"age":NaN}}}', Code.BAD_JSON, ["risk.driver.age"]),
        (b'{"risk":', Code.BAD_JSON, []),
        (b"\xff", Code.BAD_JSON, []),
        (b"[" * 1000, Code.BAD_JSON, []),
        (b'{"risk":{"driver":{"age":30,"age":31}}}', Code.BAD_JSON, ["risk.driver.age"]),
        (b'{"risk":{"driver":{"age":30,"sex":"f"}}}', Code.BAD_REQUEST, ["risk.driver.sex"]),
        (b'{"risk":{"driver":{"age":12}}}', Code.BAD_REQUEST, ["risk.driver.age"]),
        (b'{"risk":{"driver":{"age":25,"licence_years":30}}}', Code.BAD_REQUEST, ["risk.driver.licence_years"]),
        (b'{"risk":{"driver":{"age":25}},"insurers":["i-0999"]}', Code.BAD_REQUEST, ["insurers[0]"]),
        (b"x" * (70 * 1024), Code.TOO_LARGE, []),
    ],
)
async def test_a_bad_body_is_refused(body: bytes, code: Code, locs: list[str]) -> None:
    """400, 413 and 422, before any model is asked."""
    world = World()
    async with client(world) as ask:
        answer = await ask.post("/v1/quotes", content=body, headers={"Content-Type": "application/json"})

    assert_problem(answer, code, *locs)
    assert ([], []) == (world.classifier.timeouts, world.features.timeouts)


@pytest.mark.parametrize("value", ["-1", "1e9", "abc", "", "12.5", "٣", "9" * 16])
async def test_a_malformed_budget_is_refused(value: str) -> None:
    """400: a guess at what was meant would be a wrong deadline."""
    async with client() as ask:
        answer = await ask.post("/v1/quotes", json=QUOTE, headers={b"X-Request-Timeout-Ms": value.encode()})

    assert_problem(answer, Code.BAD_HEADER, "header.X-Request-Timeout-Ms")


@pytest.mark.parametrize(("sent", "most"), [(None, 150), ("60", 60), ("1", 5), ("999999999", 2000)])
async def test_a_budget_is_held_to_its_limits(sent: str | None, most: int) -> None:
    """A model is told what is left of the budget, less what is kept for writing the answer."""
    world = World()
    async with client(world) as ask:
        answer = await ask.post("/v1/quotes", json=QUOTE, headers={"X-Request-Timeout-Ms": sent} if sent else {})

    assert int(answer.headers["x-budget-left-ms"]) <= most
    timeouts = [*world.classifier.timeouts, *world.regressor.timeouts]
    assert all(timeout < most / 1000 for timeout in timeouts)
    if most >= 60:  # of 5 ms too little may be left for a call
        assert 2 == len(timeouts)
        assert min(timeouts) > most / 1000 - 0.05


@pytest.mark.parametrize("value", ["", "Bearer", "Bearer wrong", f"Basic {KEY}", KEY])
async def test_without_a_known_key_nothing_is_answered(value: str) -> None:
    """401 with the challenge."""
    async with client() as ask:
        answer = await ask.post("/v1/quotes", json=QUOTE, headers={"Authorization": value})

    assert_problem(answer, Code.NO_KEY)
    assert "Bearer" == answer.headers["www-authenticate"]


async def test_without_a_header_nothing_is_answered() -> None:
    """401."""
    async with client() as ask:
        del ask.headers["Authorization"]
        answer = await ask.get("/v1/contract")

    assert_problem(answer, Code.NO_KEY)


async def test_a_key_is_held_to_its_scopes() -> None:
    """403, and the calls that any key may make are answered."""
    narrow = replace(ALL, scopes=frozenset({Scope.BALLPARK}))
    async with client(World(keys=(narrow,))) as ask:
        answers = [
            await ask.post("/v1/quotes", json=QUOTE),
            await ask.post("/v1/ballpark", json=QUOTE),
            await ask.get("/v1/models"),
        ]

    assert_problem(answers[0], Code.NO_SCOPE)
    assert [200, 200] == [answer.status_code for answer in answers[1:]]


async def test_two_keys_are_valid_at_once() -> None:
    """A key is exchanged without a refused request."""
    text = new_key_text()
    second = Key("second", (hash_key(text.encode(), SECRET),), frozenset({Scope.QUOTES}))
    async with client(World(keys=(ALL, second))) as ask:
        old = await ask.post("/v1/quotes", json=QUOTE)
        new = await ask.post("/v1/quotes", json=QUOTE, headers={"Authorization": f"bearer {text}"})

    assert (200, 200) == (old.status_code, new.status_code)


async def test_a_quota_ends() -> None:
    """429 with when to come back; another key is not concerned."""
    text = new_key_text()
    poor = Key("poor", (hash_key(text.encode(), SECRET),), frozenset(Scope), quota=Quota(per_minute=6, burst=2))
    async with client(World(keys=(ALL, poor))) as ask:
        answers = [await ask.get("/v1/models", headers={"Authorization": f"Bearer {text}"}) for _ in range(3)]
        other = await ask.get("/v1/models")

    assert [200, 200, 429, 200] == [answer.status_code for answer in (*answers, other)]
    assert_problem(answers[2], Code.QUOTA)
    assert ("10", "6", "0") == tuple(
        answers[2].headers[name] for name in ("retry-after", "ratelimit-limit", "ratelimit-remaining")
    )


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/quotes/", "/v1/nothing", "/metrics", "/livez", "/readyz"])
async def test_there_is_no_other_route(path: str) -> None:
    """404; the admin port's routes are not on this one."""
    async with client() as ask:
        assert_problem(await ask.get(path), Code.NO_ROUTE)


@pytest.mark.parametrize(("method", "path"), [("GET", "/v1/quotes"), ("POST", "/v1/contract"), ("PUT", "/v1/ballpark")])
async def test_a_method_is_refused(method: str, path: str) -> None:
    """405 with the one that is known."""
    async with client() as ask:
        answer = await ask.request(method, path)

    assert_problem(answer, Code.BAD_METHOD)
    assert {"GET": "POST", "POST": "GET", "PUT": "POST"}[method] == answer.headers["allow"]


@pytest.mark.parametrize("method", ["POST", "DELETE"])
async def test_a_page_is_only_read(method: str) -> None:
    """405 outside the calls, too."""
    async with client() as ask:
        assert_problem(await ask.request(method, "/docs"), Code.BAD_METHOD)


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"Accept": "text/html"}, Code.NOT_ACCEPTABLE),
        ({"Accept": "application/json;q=0, */*"}, Code.NOT_ACCEPTABLE),
        ({"Content-Type": "text/plain"}, Code.NOT_JSON),
        ({"Content-Type": ""}, Code.NOT_JSON),
        ({"Content-Type": "application/json; charset=latin-1"}, Code.NOT_JSON),
        ({"Content-Type": "application/json", "Content-Encoding": "gzip"}, Code.NOT_JSON),
    ],
)
async def test_only_json_is_spoken(headers: dict[str, str], code: Code) -> None:
    """406 and 415."""
    async with client() as ask:
        answer = await ask.post(
            "/v1/quotes", content=json.dumps(QUOTE), headers={"Content-Type": "application/json"} | headers
        )

    assert_problem(answer, code)


def test_what_strangers_send_is_not_kept() -> None:
    """A long header is understood, and forgotten."""
    pad = b";" + b" " * 1000
    kept = [cache.cache_info().currsize for cache in (exchange._accepts_json, exchange._is_json)]

    assert accepts_json(b"application/json" + pad)
    assert is_json(b"application/json" + pad)
    assert kept == [cache.cache_info().currsize for cache in (exchange._accepts_json, exchange._is_json)]


def test_json_has_more_than_one_spelling() -> None:
    """What real clients send is understood."""
    assert all(
        map(accepts_json, [b"*/*", b"application/*;q=0.1", b"text/html, application/json;q=0.9", b"APPLICATION/JSON"])
    )
    assert all(
        map(is_json, [b"application/json", b"Application/JSON; Charset=UTF-8", b'application/json;charset="utf-8"'])
    )


@pytest.mark.parametrize(
    ("query", "locs"),
    [("layout=table", ["query.layout"]), ("colour=red", ["query"]), ("layout=rows&layout=rows", ["query"])],
)
async def test_a_bad_query_is_refused(query: str, locs: list[str]) -> None:
    """422."""
    async with client() as ask:
        assert_problem(await ask.post(f"/v1/quotes?{query}", json=QUOTE), Code.BAD_REQUEST, *locs)


async def is_asked(world: World) -> bool:
    """Whether the classifier has been called."""
    return bool(world.classifier.timeouts)


async def test_too_much_at_once_is_shed() -> None:
    """503 with when to come back, before the body is read; what is in flight is answered."""
    world = World(limits=Limits(max_in_flight=1, budget_ms=2000), classifier=classifier("slow"))
    async with client(world) as ask:
        first = asyncio.create_task(ask.post("/v1/quotes", json=QUOTE, headers={"X-Request-Timeout-Ms": "500"}))
        await until(lambda: is_asked(world), within=5)
        shed = await ask.post("/v1/quotes", content=b"not even JSON")
        answered = await first

    assert_problem(shed, Code.SHED)
    assert "1" == shed.headers["retry-after"]
    assert 200 == answered.status_code
    assert 1 == world.count("ballpark_shed_total", reason="full", priority="interactive")


async def test_a_draining_gateway_still_answers() -> None:
    """Nobody is refused while balancers notice; every answer, a refusal and a page too, ends its connection."""
    world = World()
    async with client(world) as ask:
        world.health.draining = True
        answers = [
            await ask.post("/v1/quotes", json=QUOTE),
            await ask.post("/v1/quotes", json={}),
            await ask.get("/openapi.json"),
            await ask.get("/nowhere"),
        ]

    assert [(status, "close") for status in (200, 422, 200, 404)] == [
        (answer.status_code, answer.headers["connection"]) for answer in answers
    ]


async def test_a_flood_of_refusals_is_not_a_flood_of_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten a second, each with its route."""
    lines: list[dict[str, Any]] = []

    class Log:
        def info(self, event: str, **fields: Any) -> None:
            lines.append({"event": event} | fields)

    monkeypatch.setattr("gateway.api.edge.logs.get", Log)
    monkeypatch.setattr("gateway.api.edge.Thinning", lambda most: Thinning(most, began=float("inf")))
    async with client() as ask:
        for _ in range(12):
            await ask.post("/v1/quotes", json={})

    assert 10 == len(lines)
    assert {("request_refused", "/v1/quotes", "bad_request")} == {(x["event"], x["route"], x["code"]) for x in lines}


async def test_no_model_is_a_503() -> None:
    """Neither of them can answer."""
    async with client(World(classifier=classifier("error"), regressor=regressor("rubbish"))) as ask:
        assert_problem(await ask.post("/v1/quotes", json=QUOTE), Code.NO_BRANCH)


@pytest.mark.parametrize("other", ["slow", "error"])
async def test_no_time_is_a_504(other: str) -> None:
    """The budget was over before any model answered, inside the budget."""
    async with client(World(classifier=classifier("slow"), regressor=regressor(other))) as ask:
        answer = await ask.post("/v1/quotes", json=QUOTE, headers={"X-Request-Timeout-Ms": "30"})

    assert_problem(answer, Code.BUDGET_ENDED)


async def test_a_bug_is_a_500_without_a_word() -> None:
    """Nothing of what went wrong inside is told outside."""
    async with client(World(classifier=classifier("bug"))) as ask:
        answer = await ask.post("/v1/quotes", json=QUOTE)

    assert_problem(answer, Code.INTERNAL)
    assert b"secret" not in answer.content


async def test_docs_can_be_switched_off() -> None:
    """404 for both pages."""
    async with client(World(docs=False)) as ask:
        for path in ("/docs", "/openapi.json"):
            assert_problem(await ask.get(path), Code.NO_ROUTE)


def chunks(*parts: bytes, end: Message | None = None) -> Any:
    """An ASGI `receive` that gives a body in parts, and then waits for ever or ends."""
    messages: list[Message] = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
    messages += [end] if end else []

    async def receive() -> Message:
        if messages:
            return messages.pop(0)
        await asyncio.Event().wait()
        raise AssertionError

    return receive


async def raw(world: World, receive: Any, budget: bytes = b"30") -> list[Message]:
    """What the app sends to a request that comes in pieces."""
    headers = [
        (b"authorization", f"Bearer {KEY}".encode()),
        (b"content-type", b"application/json"),
        (b"x-request-timeout-ms", budget),
    ]
    scope = {"type": "http", "method": "POST", "path": "/v1/quotes", "query_string": b"", "headers": headers}
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async with running(world) as app:
        await app(scope, receive, send)
    return sent


async def test_a_body_in_pieces_is_one_body() -> None:
    """However the network cuts it."""
    body = json.dumps(QUOTE).encode()
    end = {"type": "http.request", "body": body[9:]}
    sent = await raw(World(), chunks(body[:4], body[4:9], end=end))

    assert 200 == sent[0]["status"]


async def test_a_slow_body_ends_with_the_budget() -> None:
    """504: whoever sends one byte a second holds nothing for longer than its budget."""
    sent = await raw(World(), chunks(b"{"))

    assert 504 == sent[0]["status"]


async def test_a_large_body_is_counted_while_it_comes() -> None:
    """413 whatever Content-Length says, and the endless rest is not read."""
    sent = await raw(World(), chunks(*[b"x" * MOST_BODY] * 17), b"2000")

    assert (413, (b"connection", b"close")) == (sent[0]["status"], sent[0]["headers"][2])


async def test_whoever_hangs_up_gets_nothing() -> None:
    """No answer is written to a connection that is gone."""
    world = World()
    sent = await raw(world, chunks(b"{", end={"type": "http.disconnect"}))

    assert [] == sent
    assert 1 == world.count("ballpark_requests_total", route="/v1/quotes", outcome="499")


def test_no_middleware_is_on_the_way() -> None:
    """Starlette's BaseHTTPMiddleware costs more than the rest of the edge; none is installed, for the edge stands before the app."""
    assert [] == create_app(World().parts()).user_middleware


def test_every_error_has_a_status() -> None:
    """A new error of the domain cannot reach production as a 500."""
    assert set(NoAnswer.__subclasses__()) == set(OF_ERRORS)


@pytest.fixture
async def ask() -> AsyncIterator[AsyncClient]:
    """A client of an app in which all is well."""
    async with client() as made:
        yield made


async def test_the_contract_is_shown(ask: AsyncClient) -> None:
    """Every field with its purpose."""
    contract = (await ask.get("/v1/contract")).json()

    assert all(field["purpose"] for field in contract["fields"])
    assert {"driver.age", "history.points"} <= {field["path"] for field in contract["fields"]}


async def test_the_models_are_shown(ask: AsyncClient) -> None:
    """The bundle in force, exact versions and the cards."""
    models = (await ask.get("/v1/models")).json()

    assert ("2026-01-01.1", 3, 4) == (
        models["bundle"],
        models["models"]["classifier"]["version"],
        models["models"]["regressor"]["version"],
    )
    assert models["models"]["regressor"]["card"].startswith("# Card")
