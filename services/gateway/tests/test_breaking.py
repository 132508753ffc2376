"""A document that takes something away from a caller is told from one that only gives more."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from support import MOTOR

from gateway.__main__ import main
from gateway.api.breaking import breaking
from gateway.api.openapi import encoded

Change = Callable[[dict[str, Any]], object]


def changed(change: Change) -> list[str]:
    """What a change of today's document breaks."""
    old, new = (orjson.loads(encoded(MOTOR)) for _ in range(2))
    change(new)
    return breaking(old, new)


def quotes(made: dict[str, Any]) -> Any:
    """The operation of `POST /v1/quotes`."""
    return made["paths"]["/v1/quotes"]["post"]


def schema(made: dict[str, Any], name: str) -> Any:
    """A named schema."""
    return made["components"]["schemas"][name]


def field(made: dict[str, Any], name: str, of: str) -> Any:
    """A property of a named schema."""
    return schema(made, name)["properties"][of]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: d["paths"].pop("/v1/models"), ["GET /v1/models: is gone"]),
        (lambda d: quotes(d).update(operationId="quote"), ["POST /v1/quotes: its name quotes became quote"]),
        (lambda d: quotes(d)["parameters"].pop(0), ["POST /v1/quotes query layout: is gone"]),
        (lambda d: quotes(d)["parameters"][1].update(required=True), [
            "POST /v1/quotes header X-Request-Timeout-Ms: is required"
        ]),
        (lambda d: quotes(d)["parameters"][0]["schema"]["enum"].remove("columns"), [
            "POST /v1/quotes query layout: no longer columns"
        ]),
        (lambda d: schema(d, "Driver")["properties"].pop("employment"), ["Driver.employment: is gone"]),
        (lambda d: schema(d, "Driver")["required"].append("employment"), ["Driver.employment: is required"]),
        (lambda d: field(d, "Driver", "age").update(minimum=18), ["Driver.age: minimum rose to 18"]),
        (lambda d: field(d, "Driver", "age").update(maximum=90), ["Driver.age: maximum fell to 90"]),
        (lambda d: field(d, "Driver", "age").update(type="string"), ["Driver.age: integer became string"]),
        (lambda d: field(d, "Driver", "licence_type")["enum"].remove("eu"), ["Driver.licence_type: no longer eu"]),
        (lambda d: field(d, "Driver", "home_owner").update(const=True), ["Driver.home_owner: another const"]),
        (lambda d: field(d, "QuotesRequest", "insurers").update(maxItems=5), [
            "QuotesRequest.insurers: maxItems fell to 5"
        ]),
        (lambda d: field(d, "QuotesRequest", "insurers")["items"].update(pattern="x"), [
            "QuotesRequest.insurers[]: another pattern"
        ]),
        (lambda d: quotes(d)["responses"].pop("200"), ["POST /v1/quotes: no longer answers 200"]),
        (lambda d: quotes(d)["responses"]["429"]["headers"].pop("Retry-After"), [
            "POST /v1/quotes 429 header Retry-After: is no longer promised"
        ]),
        (lambda d: schema(d, "InsurerRow")["properties"].pop("low"), ["InsurerRow.low: is gone"]),
        (lambda d: schema(d, "InsurerRow")["required"].remove("low"), ["InsurerRow.low: is no longer always there"]),
        (lambda d: field(d, "Band", "premium").update(type=["number", "null"]), [
            "Band.premium: number became null or number"
        ]),
        (lambda d: field(d, "QuotesAnswer", "assumed")["additionalProperties"]["type"].append("null"), [
            "QuotesAnswer.assumed.*: boolean or number or string became boolean or null or number or string"
        ]),
        (lambda d: field(d, "QuotesAnswer", "panel").update({"$ref": "#/components/schemas/Band"}), [
            "Panel.likely: is gone", "Panel.cheapest: is gone", "Panel.mean_of_five_cheapest: is gone"
        ]),
    ],
)  # fmt: skip
def test_a_removal_or_narrowing_is_named(change: Change, said: list[str]) -> None:
    """Where, and what."""
    assert said == changed(change)


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d["info"].update(title="another"),
        lambda d: d["paths"].update({"/v1/shortlist": {"post": quotes(d)}}),
        lambda d: field(d, "Driver", "age").update(minimum=16, description="another"),
        lambda d: schema(d, "Driver")["properties"].update({"pets": {"type": "integer"}}),
        lambda d: field(d, "Driver", "licence_type")["enum"].append("martian"),
        lambda d: schema(d, "QuotesRequest").update(required=[]),
        lambda d: schema(d, "InsurerRow")["properties"].update({"rank": {"type": "integer"}}),
        lambda d: field(d, "InsurerRow", "status")["enum"].append("perhaps"),
        lambda d: field(d, "InsurerRow", "low").update({"type": "number"}),
        lambda d: quotes(d)["responses"].pop("431"),
    ],
)
def test_more_is_always_allowed(change: Change) -> None:
    """Nobody has to change a client for it."""
    assert [] == changed(change)


def test_the_command_refuses_a_loss(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 3, the loss by name, and the file as it was; accepted, it is replaced."""
    out = tmp_path / "openapi.json"
    promised = orjson.loads(encoded(MOTOR))
    field(promised, "InsurerRow", "premium")["pattern"] = "x"
    out.write_bytes(orjson.dumps(promised))

    assert 3 == main(["openapi", "--out", str(out)])
    assert "would be lost: InsurerRow.premium: another pattern\n" == capsys.readouterr().err
    assert promised == orjson.loads(out.read_bytes())
    assert 0 == main(["openapi", "--out", str(out), "--accept-breaking"])
    assert 0 == main(["openapi", "--out", str(out)])
    assert orjson.loads(encoded(MOTOR)) == orjson.loads(out.read_bytes())


def test_the_command_prints_without_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    """For a look, or a pipe."""
    assert 0 == main(["openapi"])
    assert orjson.loads(encoded(MOTOR)) == orjson.loads(capsys.readouterr().out)


def test_the_command_knows_a_stranger(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that is something else is left alone."""
    out = tmp_path / "openapi.json"
    out.write_text("{")

    assert 2 == main(["openapi", "--out", str(out)])
    assert "is no OpenAPI document of this API" in capsys.readouterr().err
    assert "{" == out.read_text()
