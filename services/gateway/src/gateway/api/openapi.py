"""What does this API promise? An OpenAPI 3.1 document, made from the contract and from the tables that the service itself runs on."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import orjson

from gateway.api import answer_examples, calls, examples
from gateway.api.answer_schemas import Schema, ref
from gateway.api.encode import COLUMNS, ROWS
from gateway.api.exchange import BUDGET_HEADER
from gateway.api.problems import MEDIA_TYPE, Code, Refusal, Wrong
from gateway.api.schemas import schemas
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


def _header(about: str, **schema: Any) -> Schema:
    return {"description": about, "required": True, "schema": schema}


def _sometimes(header: Schema) -> Schema:
    return header | {"required": False}


SECONDS: Final = {"type": "integer", "minimum": 1}
EVERYWHERE: Final[dict[str, Schema]] = {
    "X-Request-Id": _header("The caller's own, or one made here.", type="string", pattern="^[A-Za-z0-9._-]{1,64}$"),
    "Cache-Control": _header("An answer is for this request only.", const="no-store"),
    "X-Content-Type-Options": _header("The body is what it says it is.", const="nosniff"),
    "Referrer-Policy": _header("No address leaves with a link.", const="no-referrer"),
    "Content-Security-Policy": _header("Nothing in an answer is to be run.", type="string"),
}
TIMING: Final[Mapping[str, Schema]] = {
    "X-Budget-Left-Ms": _header("What was left of the budget.", type="integer", minimum=0),
    "Server-Timing": _header("Milliseconds by stage.", type="string"),
}
OF_REFUSALS: Final = EVERYWHERE | {name: _sometimes(header) for name, header in TIMING.items()}
LATER: Final = _header("Seconds to wait before the next try.", **SECONDS)
OF_STATUS: Final[Mapping[int, Mapping[str, Schema]]] = {
    401: {"WWW-Authenticate": _header("How to show a key.", type="string")},
    429: {
        "Retry-After": LATER,
        "RateLimit-Limit": _header("What the key's quota is, in requests a minute.", **SECONDS),
        "RateLimit-Remaining": _header("What is left of it.", type="integer", minimum=0),
        "RateLimit-Reset": _header("Seconds until there is more.", **SECONDS),
    },
    503: {"Retry-After": LATER},
}
"""What an answer of such a status has beside the others."""

REQUEST_ID: Final = {
    "name": "X-Request-Id",
    "in": "header",
    "description": "An id for both sides' logs: up to 64 letters, digits, dots, hyphens and underscores. Anything else is replaced.",
    "schema": {"type": "string"},
}
BUDGET: Final = {
    "name": BUDGET_HEADER,
    "in": "header",
    "description": "How long the answer is worth waiting for, in milliseconds; held to 5..2000.",
    "schema": {"type": "integer", "minimum": 0, "maximum": 10**15 - 1, "default": 150},
}
LAYOUTS: Final = {ROWS: "QuotesAnswer", COLUMNS: "QuotesColumnsAnswer"}
LAYOUT: Final = {
    "name": "layout",
    "in": "query",
    "description": "Insurers as a list of objects, or as an object of lists with the same values.",
    "schema": {"type": "string", "enum": list(LAYOUTS), "default": ROWS},
    # For generators of clients: which of the answer's schemas comes with which value.
    "x-answers": LAYOUTS,
}


def document(contract: Contract, serving: Serving | None = None) -> dict[str, Any]:
    """The OpenAPI document; without a bundle its examples are the contract's alone, and everything else is the same."""
    quotes = _operation(
        "quotes",
        "Per insurer: will it quote, and at what price?",
        {"oneOf": [ref(name) for name in LAYOUTS.values()]},
        answer_examples.QUOTES,
        WITH_BODY,
        parameters=[LAYOUT],
        body=("QuotesRequest", examples.quotes_examples(contract, serving)),
    )
    ballpark = _operation(
        "ballpark",
        "The panel's best price from few answers, with a band, and which question to ask next.",
        ref("BallparkAnswer"),
        answer_examples.BALLPARK,
        WITH_BODY,
        body=("BallparkRequest", examples.ballpark_examples(contract, serving)),
    )
    fields = _operation(
        "contract",
        "The fields and why each is needed.",
        ref("Contract"),
        answer_examples.contract_examples(contract),
        ALWAYS,
    )
    models = _operation("models", "The bundle in force, with its cards.", ref("Models"), answer_examples.MODELS, ALWAYS)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Ballpark",
            "version": VERSION,
            "description": f"Which insurers will quote, and at what price: {contract.line}, contract {contract.short_fingerprint}. "
            "Requests are taken exactly as described, whole numbers without a decimal point. An answer may get more fields and more words in its lists: pass over those that "
            "you do not know.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"key": []}],
        "paths": {
            calls.QUOTES: {"post": quotes},
            calls.BALLPARK: {"post": ballpark},
            calls.CONTRACT: {"get": fields},
            calls.MODELS: {"get": models},
        },
        "components": {
            "schemas": schemas(contract),
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }


def encoded(contract: Contract, serving: Serving | None = None) -> bytes:
    """The document as it is served."""
    return orjson.dumps(document(contract, serving), option=orjson.OPT_NON_STR_KEYS)


def readable(contract: Contract) -> bytes:
    """The document as it is kept in the repository: a line for every value, so that a change can be read."""
    return orjson.dumps(
        document(contract), option=orjson.OPT_NON_STR_KEYS | orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
    )


def _operation(
    name: str,
    summary: str,
    answer: Schema,
    shown: Mapping[str, Any],
    codes: Iterable[Code],
    *,
    parameters: Iterable[Schema] = (),
    body: tuple[str, Mapping[str, Any]] | None = None,
) -> Schema:
    content = {"application/json": {"schema": answer, "examples": _examples(shown)}}
    found: Schema = {
        "operationId": name,
        "summary": summary,
        "parameters": [*parameters, BUDGET, REQUEST_ID],
        "responses": {"200": {"description": "The answer.", "headers": {**EVERYWHERE, **TIMING}, "content": content}}
        | _problems(codes),
    }
    if body is not None:
        schema, bodies = body
        sent = {"application/json": {"schema": ref(schema), "examples": _examples(bodies)}}
        found["requestBody"] = {"required": True, "content": sent}
    return found


def _examples(shown: Mapping[str, Any]) -> Schema:
    return {
        title.replace(" ", "_").replace(",", ""): {"summary": title, "value": value} for title, value in shown.items()
    }


def _problems(codes: Iterable[Code]) -> Schema:
    by_status: dict[int, list[Code]] = {}
    for code in codes:
        by_status.setdefault(code.status, []).append(code)
    return {str(status): _problem(status, group) for status, group in sorted(by_status.items())}


def _problem(status: int, codes: list[Code]) -> Schema:
    wrong = (Wrong("risk.driver.age", "must be a whole number from 17 to 99"),) if Code.BAD_REQUEST in codes else ()
    shown = {
        code.name.lower(): {"value": orjson.loads(Refusal(code, f"{code.title}.", wrong).encode("0198c2b4"))}
        for code in codes
    }
    return {
        "description": "; ".join(code.title for code in codes) + ".",
        "headers": {**OF_REFUSALS, **OF_STATUS.get(status, {})},
        "content": {MEDIA_TYPE.decode(): {"schema": ref("Problem"), "examples": shown}},
    }
