"""What does this API promise? An OpenAPI 3.1 document, made from the contract and from the tables that the service itself runs on."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import orjson

from gateway.api import calls, examples
from gateway.api.encode import COLUMNS, ROWS
from gateway.api.exchange import BUDGET_HEADER
from gateway.api.problems import MEDIA_TYPE, Code, Refusal, Wrong
from gateway.api.schemas import Schema, ref, schemas
from gateway.domain.serving import Serving
from kit.contract import Contract

VERSION: Final = "1"

ALWAYS: Final = (
    Code.NO_KEY,
    Code.NOT_ACCEPTABLE,
    Code.BAD_HEADER,
    Code.BAD_REQUEST,
    Code.QUOTA,
    Code.SHED,
    Code.BAD_HTTP,
    Code.HEAD_TOO_LARGE,
    Code.INTERNAL,
)
WITH_BODY: Final = (
    *ALWAYS,
    Code.BAD_JSON,
    Code.NO_SCOPE,
    Code.TOO_LARGE,
    Code.NOT_JSON,
    Code.NO_BRANCH,
    Code.BUDGET_ENDED,
)

HEADERS: Final[Mapping[str, Schema]] = {
    "X-Request-Id": {"description": "The caller's own, or one made here.", "schema": {"type": "string"}},
    "X-Budget-Left-Ms": {"description": "What was left of the budget.", "schema": {"type": "integer", "minimum": 0}},
    "Server-Timing": {"description": "Milliseconds by stage.", "schema": {"type": "string"}},
}
BUDGET: Final = {
    "name": BUDGET_HEADER,
    "in": "header",
    "description": "How long the answer is worth waiting for, in milliseconds; held to 5..2000.",
    "schema": {"type": "integer", "minimum": 0, "default": 150},
}
LAYOUT: Final = {
    "name": "layout",
    "in": "query",
    "description": "Insurers as a list of objects, or as an object of lists with the same values.",
    "schema": {"enum": [ROWS, COLUMNS], "default": ROWS},
}


def document(contract: Contract, serving: Serving) -> dict[str, Any]:
    """The OpenAPI document."""
    quotes = _operation(
        "quotes",
        "Per insurer: will it quote, and at what price?",
        "QuotesAnswer",
        WITH_BODY,
        parameters=[BUDGET, LAYOUT],
        body=("QuotesRequest", examples.quotes_examples(contract, serving)),
    )
    ballpark = _operation(
        "ballpark",
        "The panel's best price from few answers, with a band, and which question to ask next.",
        "BallparkAnswer",
        WITH_BODY,
        parameters=[BUDGET],
        body=("BallparkRequest", examples.ballpark_examples(contract, serving)),
    )
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Ballpark",
            "version": VERSION,
            "description": f"Which insurers will quote, and at what price: {contract.line}, contract {contract.short_fingerprint}.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"key": []}],
        "paths": {
            calls.QUOTES: {"post": quotes},
            calls.BALLPARK: {"post": ballpark},
            calls.CONTRACT: {"get": _operation("contract", "The fields and why each is needed.", "Contract", ALWAYS)},
            calls.MODELS: {"get": _operation("models", "The bundle in force, with its cards.", "Models", ALWAYS)},
        },
        "components": {
            "schemas": schemas(contract),
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }


def encoded(contract: Contract, serving: Serving) -> bytes:
    """The document as it is served."""
    return orjson.dumps(document(contract, serving), option=orjson.OPT_NON_STR_KEYS)


def _operation(
    name: str,
    summary: str,
    answer: str,
    codes: Iterable[Code],
    *,
    parameters: Iterable[Schema] = (),
    body: tuple[str, Mapping[str, Any]] | None = None,
) -> Schema:
    fine = {"description": "The answer.", "headers": HEADERS, "content": {"application/json": {"schema": ref(answer)}}}
    found: Schema = {
        "operationId": name,
        "summary": summary,
        "parameters": list(parameters),
        "responses": {"200": fine} | _problems(codes),
    }
    if body is not None:
        schema, shown = body
        values = {
            title.replace(" ", "_").replace(",", ""): {"summary": title, "value": value}
            for title, value in shown.items()
        }
        content = {"application/json": {"schema": ref(schema), "examples": values}}
        found["requestBody"] = {"required": True, "content": content}
    return found


def _problems(codes: Iterable[Code]) -> Schema:
    by_status: dict[int, list[Code]] = {}
    for code in codes:
        by_status.setdefault(code.status, []).append(code)
    return {str(status): _problem(group) for status, group in sorted(by_status.items())}


def _problem(codes: list[Code]) -> Schema:
    wrong = (Wrong("risk.driver.age", "must be a whole number from 17 to 99"),) if Code.BAD_REQUEST in codes else ()
    shown = {
        code.name.lower(): {"value": orjson.loads(Refusal(code, f"{code.title}.", wrong).encode("0198c2b4"))}
        for code in codes
    }
    content = {MEDIA_TYPE.decode(): {"schema": ref("Problem"), "examples": shown}}
    return {"description": "; ".join(f"{code.title}" for code in codes) + ".", "headers": HEADERS, "content": content}
