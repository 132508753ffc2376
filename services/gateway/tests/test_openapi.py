"""The document is valid, and everything that it shows is true."""

import re
from typing import Any

import orjson
import pytest
from httpx2 import AsyncClient
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from support import BY_IDS, MOTOR, World, classifier, client, regressor, serving

from gateway.api import openapi
from gateway.api.problems import Code
from gateway.api.shape import quotes_request

DOCUMENT = orjson.loads(openapi.encoded(MOTOR, serving()))
EXAMPLES = [
    (path, example["value"])
    for path, methods in DOCUMENT["paths"].items()
    for example in methods.get("post", {})
    .get("requestBody", {})
    .get("content", {})
    .get("application/json", {})
    .get("examples", {})
    .values()
]


def validator(name: str) -> Draft202012Validator:
    """A validator of one of the document's schemas."""
    return Draft202012Validator({"$ref": f"#/components/schemas/{name}", "components": DOCUMENT["components"]})


def test_the_document_is_valid() -> None:
    """OpenAPI 3.1, and it says so."""
    OpenAPIV31SpecValidator(DOCUMENT).validate()

    assert "3.1.0" == DOCUMENT["openapi"]


@pytest.mark.parametrize(("path", "body"), EXAMPLES)
async def test_every_example_is_answered_as_described(path: str, body: Any) -> None:
    """An example that does not work is worse than none."""
    operation = DOCUMENT["paths"][path]["post"]
    name = operation["responses"]["200"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
    async with client() as ask:
        answer = await ask.post(path, json=body)

    assert 200 == answer.status_code, answer.text
    validator(name).validate(answer.json())


@pytest.mark.parametrize("path", ["/v1/quotes", "/v1/quotes?layout=columns", "/v1/ballpark"])
@pytest.mark.parametrize("broken", ["classifier", "regressor"])
async def test_a_partial_answer_is_as_described(path: str, broken: str) -> None:
    """What is missing is null, and the schema says that it may be."""
    world = World(
        classifier("error" if broken == "classifier" else "ok"), regressor("error" if broken == "regressor" else "ok")
    )
    async with client(world) as ask:
        answer = await ask.post(path, json=BY_IDS)

    validator("QuotesAnswer" if "quotes" in path else "BallparkAnswer").validate(answer.json())


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
