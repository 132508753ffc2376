"""The document is valid, it is the one that is promised, and everything that it shows is true."""

import asyncio
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from httpx2 import AsyncClient, Response
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from support import ALL, BY_IDS, MOTOR, World, classifier, client, ranges_file, regressor, serving, until
from test_protocol import GET, listening, said

from gateway.api import examples, openapi
from gateway.api.breaking import breaking
from gateway.api.problems import Code
from gateway.api.shape import quotes_request
from gateway.domain.keys import Quota
from kit.ranges import Ranges

DOCUMENT = orjson.loads(openapi.encoded(MOTOR, serving()))
PROMISED = Path(__file__).resolve().parents[3] / "docs" / "openapi.json"
OPERATIONS = [
    (path, method, operation) for path, methods in DOCUMENT["paths"].items() for method, operation in methods.items()
]
BODIES = [
    (path, example["value"])
    for path, _, operation in OPERATIONS
    if "requestBody" in operation
    for example in operation["requestBody"]["content"]["application/json"]["examples"].values()
]
ANSWERS = [
    (content["schema"], example["value"])
    for _, _, operation in OPERATIONS
    for answer in operation["responses"].values()
    for content in answer["content"].values()
    for example in content["examples"].values()
]
PROBLEMS = [
    (path, method, name)
    for path, method, operation in OPERATIONS
    for answer in operation["responses"].values()
    for name in answer["content"].get("application/problem+json", {}).get("examples", {})
]


def validator(schema: Any) -> Draft202012Validator:
    """A validator of one of the document's schemas, by its name or itself."""
    schema = {"$ref": f"#/components/schemas/{schema}"} if isinstance(schema, str) else schema
    return Draft202012Validator(schema | {"components": DOCUMENT["components"]})


def assert_as_described(operation: Any, answer: Response) -> None:
    """The status is documented, and the body and every header are what the document says of it."""
    described = operation["responses"][str(answer.status_code)]
    media = answer.headers["content-type"]
    validator(described["content"][media]["schema"]).validate(answer.json())
    for name, header in described["headers"].items():
        if header["required"]:
            assert name in answer.headers
        if name in answer.headers:
            value = answer.headers[name]
            is_number = header["schema"].get("type") == "integer"
            validator(header["schema"]).validate(int(value) if is_number else value)


def test_the_document_is_valid() -> None:
    """OpenAPI 3.1, and it says so."""
    OpenAPIV31SpecValidator(DOCUMENT).validate()

    assert "3.1.0" == DOCUMENT["openapi"]


def test_the_document_is_the_one_that_is_promised() -> None:
    """docs/openapi.json is what `make openapi` makes of the code: a change of the API is seen as one."""
    promised = orjson.loads(PROMISED.read_bytes())
    made = orjson.loads(openapi.encoded(MOTOR))

    assert [] == breaking(promised, made), (
        "callers would lose this; if that is meant: make openapi OPENAPI_ARGS=--accept-breaking"
    )
    assert promised == made, "run: make openapi"


def test_a_bundle_changes_nothing_but_examples() -> None:
    """So one document is true of every deployment."""
    served, promised = orjson.loads(openapi.encoded(MOTOR, serving())), orjson.loads(openapi.encoded(MOTOR))
    for document in (served, promised):
        for path in {path for path, _ in BODIES}:
            document["paths"][path]["post"]["requestBody"]["content"]["application/json"].pop("examples")

    assert promised == served


@pytest.mark.parametrize(("path", "body"), BODIES)
async def test_every_example_is_answered_as_described(path: str, body: Any) -> None:
    """An example that does not work is worse than none."""
    async with client() as ask:
        answer = await ask.post(path, json=body)

    assert 200 == answer.status_code, answer.text
    assert_as_described(DOCUMENT["paths"][path]["post"], answer)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        *examples.quotes_examples(MOTOR, None).items(),
        *examples.ballpark_examples(MOTOR, None).items(),
    ],
)
async def test_the_examples_of_the_contract_alone_are_answered(path: str, body: Any) -> None:
    """Those of docs/openapi.json work against any bundle, as far as its panel has their insurers."""
    async with client() as ask:
        answer = await ask.post("/v1/quotes", json=body)

    assert 200 == answer.status_code, f"{path}: {answer.text}"


@pytest.mark.parametrize("path", ["/v1/contract", "/v1/models"])
async def test_what_is_in_force_is_as_described(path: str) -> None:
    """All of it, not only its beginning."""
    async with client() as ask:
        answer = await ask.get(path)

    assert_as_described(DOCUMENT["paths"][path]["get"], answer)


@pytest.mark.parametrize(("schema", "value"), ANSWERS)
def test_every_answer_that_is_shown_is_as_described(schema: Any, value: Any) -> None:
    """Those of the partial kinds and of the refusals, too."""
    validator(schema).validate(value)


def world_of(name: str) -> World:
    """One in which a right request meets such a problem."""
    world = World()
    match name:
        case "quota":
            world.keys = (replace(ALL, quota=Quota(1, 1)),)
        case "no_scope":
            world.keys = (replace(ALL, scopes=frozenset()),)
        case "shed":
            world.limits = replace(world.limits, max_in_flight=1)
            world.classifier = classifier("slow")
        case "no_branch":
            world.classifier, world.regressor = classifier("error"), regressor("error")
        case "budget_ended":
            world.classifier, world.regressor = classifier("slow"), regressor("slow")
        case "internal":
            world.classifier = classifier("bug")
    return world


WIRE = {"bad_http": b"NONSENSE\r\n\r\n", "head_too_large": GET + b"X-Large: " + b"a" * 40_000}


@pytest.mark.parametrize("name", WIRE)
async def test_every_problem_below_the_calls_happens(name: str) -> None:
    """What is refused before it is a request has a problem and its headers, too."""
    async with listening() as (_, _, port):
        head, _, body = (await said(port, WIRE[name])).decode().partition("\r\n\r\n")
    first, *lines = head.split("\r\n")
    headers = {name: value for name, _, value in (line.partition(": ") for line in lines)}
    answer = Response(int(first.split()[1]), headers=headers, text=body)

    assert f"urn:ballpark:error:{name}" == answer.json()["type"]
    assert_as_described(DOCUMENT["paths"]["/v1/quotes"]["post"], answer)


async def is_asked(world: World) -> bool:
    """Whether the classifier has been called."""
    return bool(world.classifier.timeouts)


def request_of(name: str) -> dict[str, Any]:
    """What differs from a right request so that it meets such a problem."""
    json = {"Content-Type": "application/json"}
    found: dict[str, dict[str, Any]] = {
        "no_key": {"headers": {"Authorization": "Bearer none"}},
        "not_acceptable": {"headers": {"Accept": "text/html"}},
        "bad_header": {"headers": {"X-Request-Timeout-Ms": "soon"}},
        "bad_request": {"params": {"unknown": "1"}},
        "bad_json": {"content": b"{", "headers": json},
        "too_large": {"content": b" " * 70_000, "headers": json},
        "not_json": {"content": b"{}", "headers": {"Content-Type": "text/plain"}},
    }
    return found.get(name, {})


@pytest.mark.parametrize(
    ("path", "method", "name"),
    [
        (path, method, name)
        for path, method, name in PROBLEMS
        if name not in WIRE  # no request comes of them
        and not (name == "internal" and method == "get")  # made at the start: nothing can break in them
    ],
)
async def test_every_problem_that_is_shown_happens(path: str, method: str, name: str) -> None:
    """With the status, type and title of its example, and with the headers of its status."""
    operation = DOCUMENT["paths"][path][method]
    request: dict[str, Any] = {"json": BY_IDS} if method == "post" and "content" not in request_of(name) else {}
    world = world_of(name)
    async with client(world) as ask:
        if name == "shed":  # somebody else is being answered
            first = asyncio.create_task(ask.post("/v1/quotes", json=BY_IDS, headers={"X-Request-Timeout-Ms": "500"}))
            await until(lambda: is_asked(world), within=5)
        for _ in range(2 if name == "quota" else 1):
            answer = await ask.request(method, path, **request, **request_of(name))
        if name == "shed":
            await first

    shown = operation["responses"][str(answer.status_code)]["content"]["application/problem+json"]["examples"][name]
    assert_as_described(operation, answer)
    told = answer.json()
    assert [shown["value"][word] for word in ("type", "title", "status")] == [
        told["type"],
        told["title"],
        told["status"],
    ]


@pytest.mark.parametrize("path", ["/v1/quotes", "/v1/quotes?layout=columns", "/v1/ballpark"])
@pytest.mark.parametrize("broken", ["classifier", "regressor"])
async def test_a_partial_answer_is_as_described(path: str, broken: str) -> None:
    """What is missing is null, and the schema says that it may be."""
    world = World(
        classifier("error" if broken == "classifier" else "ok"), regressor("error" if broken == "regressor" else "ok")
    )
    async with client(world) as ask:
        answer = await ask.post(path, json=BY_IDS)

    assert_as_described(DOCUMENT["paths"][path.partition("?")[0]]["post"], answer)


def named(name: str, value: Any) -> Iterator[Any]:
    """What stands under a name anywhere in an answer, columns one by one."""
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    if isinstance(value, dict) and name in value:
        yield from value[name] if isinstance(value[name], list) else [value[name]]
    for part in inside:
        yield from named(name, part)


@pytest.mark.parametrize("path", ["/v1/quotes", "/v1/quotes?layout=columns", "/v1/ballpark"])
async def test_an_answer_out_of_range_is_as_described(path: str) -> None:
    """Every end is null beside its price, and the list says why."""
    narrow = Ranges.read(ranges_file(box={"age": [20, 30]}), MOTOR)
    async with client(World(serving=serving(ranges=narrow))) as ask:
        answer = await ask.post(path, json=BY_IDS)

    assert_as_described(DOCUMENT["paths"][path.partition("?")[0]]["post"], answer)
    assert ["driver.age"] == answer.json()["out_of_range"]
    assert {None} == {*named("low", answer.json()), *named("high", answer.json())}
    assert all(premium > 0 for premium in named("premium", answer.json()))


async def test_a_problem_is_as_described() -> None:
    """Refusals have a schema, too."""
    async with client() as ask:
        answer = await ask.post("/v1/quotes", json={"risk": {"driver": {"age": 12}}})

    validator("Problem").validate(answer.json())


@pytest.mark.parametrize(
    "risk",
    [
        {"driver": {"age": 12}},
        {"driver": {"age": 30, "sex": "f"}},
        {"driver": {"age": 30}, "vehicle": {"vehicle_id": "v-00001", "make": "mk-01"}},
        {"driver": {"age": 30}, "history": {"points": 3}},
    ],
)
async def test_what_the_schema_refuses_is_refused(risk: Any) -> None:
    """A client that validates before it sends learns the same."""
    body = {"risk": risk}
    async with client() as ask:
        answer = await ask.post("/v1/quotes", json=body)

    assert (422, False) == (answer.status_code, validator("QuotesRequest").is_valid(body))


def test_every_field_is_described_with_its_purpose() -> None:
    """The document is how the contract becomes known."""
    for field in MOTOR.fields:
        shown = DOCUMENT["components"]["schemas"][field.group.capitalize()]["properties"][field.name]
        assert field.purpose in shown["description"]


def test_every_status_is_documented() -> None:
    """What can happen to a quote is in its responses; what no call can answer (404, 405) needs no place there."""
    statuses = {int(status) for status in DOCUMENT["paths"]["/v1/quotes"]["post"]["responses"]}

    assert {code.status for code in Code} | {200} == statuses | {404, 405}
    assert {"risk", "quote_id", "subject", "insurers", "ipt_rate"} == quotes_request(MOTOR).fields.keys()


async def test_the_pages_are_served_without_a_key() -> None:
    """Documentation is no secret; it needs nothing from elsewhere, and its policy allows nothing else."""
    async with client() as ask:
        del ask.headers["Authorization"]
        document, page = await ask.get("/openapi.json"), await ask.get("/docs")

    assert DOCUMENT == document.json()
    assert (200, "text/html; charset=utf-8") == (page.status_code, page.headers["content-type"])
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert not re.search(r"(src|href)=\"(https?:)?//", page.text)
    assert all(field.name in page.text for field in MOTOR.fields)


async def test_nothing_else_is_served_without_a_key() -> None:
    """The two pages are the only ones."""
    async with client() as ask:
        del ask.headers["Authorization"]
        assert {401} == {await status(ask, path) for path in ("/v1/contract", "/v1/models", "/v1/quotes")} - {405}


async def status(ask: AsyncClient, path: str) -> int:
    """The status of a GET."""
    return (await ask.get(path)).status_code
