"""The JSON Schemas of what goes in, made from the shape and the contract, and of what comes out."""

from collections.abc import Mapping
from typing import Any, Final

from gateway.api.shape import (
    INSURER,
    Choice,
    Flag,
    Many,
    Node,
    Number,
    Record,
    Text,
    Whole,
    ballpark_request,
    quotes_request,
)
from gateway.domain.reasons import Reason
from kit.contract import Contract

Schema = dict[str, Any]

REF: Final = "#/components/schemas/"


def schemas(contract: Contract) -> dict[str, Schema]:
    """Every named schema of the document."""
    found: dict[str, Schema] = {}
    _collect(quotes_request(contract), found)
    _collect(ballpark_request(contract), found)
    for group in contract.groups:
        entity = next((e for e in contract.entities if e.id == group.entity), None)
        if entity is not None:  # the id or the fields that it stands for, not both
            instead = {field.name: False for field in contract.fields_of(entity.name)}
            found[group.name.capitalize()]["dependentSchemas"] = {entity.id: {"properties": instead}}
    return found | _ANSWERS


def ref(name: str) -> Schema:
    """A reference to a named schema."""
    return {"$ref": REF + name}


def _collect(record: Record, found: dict[str, Schema]) -> None:
    for node in record.fields.values():
        if isinstance(node, Record):
            _collect(node, found)
    found[record.name] = {
        "type": "object",
        "properties": {name: _schema(node) for name, node in record.fields.items()},
        "required": sorted(record.required),
        "additionalProperties": False,
    } | _described(record.about)


def _schema(node: Node) -> Schema:  # noqa: PLR0911 -- one for each kind
    match node:
        case Record():
            return ref(node.name)
        case Whole():
            return {"type": "integer", "minimum": node.minimum, "maximum": node.maximum} | _described(node.about)
        case Number():
            return {"type": "number", "minimum": node.minimum, "maximum": node.maximum} | _described(node.about)
        case Flag():
            return ({"const": True} if node.must else {"type": "boolean"}) | _described(node.about)
        case Choice():
            return {"type": "string", "enum": list(node.values)} | _described(node.about)
        case Text():
            return {"type": "string", "pattern": node.pattern} | _described(node.about)
        case Many():
            items = {"type": "array", "items": _schema(node.item), "minItems": 1, "maxItems": node.most}
            return items | {"uniqueItems": True} | _described(node.about)


def _described(about: str) -> Schema:
    return {"description": about} if about else {}


def _object(about: str = "", **properties: Schema) -> Schema:
    shape = {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}
    return shape | _described(about)


def _list(items: Schema, about: str = "") -> Schema:
    return {"type": "array", "items": items} | _described(about)


def _or_null(schema: Schema, about: str = "") -> Schema:
    return {"anyOf": [schema, {"type": "null"}]} | _described(about)


_TEXT: Final[Schema] = {"type": "string"}
_PRICE: Final[Schema] = {"type": "number", "minimum": 0}
_COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
_INSURER: Final[Schema] = {"type": "string", "pattern": INSURER}
_STATUS: Final[Schema] = {"enum": ["likely", "unlikely", "unknown"]}
_PROBABILITY: Final = _or_null(
    {"type": "number", "minimum": 0, "maximum": 1}, "That it quotes; null without the classifier."
)
_MAYBE_PRICE: Final = _or_null(_PRICE, "Pounds a year, gross; null without the regressor.")
_END: Final = _or_null(
    _PRICE,
    "An end of the calibrated interval; null without the regressor, or when the risk is out of range: see `out_of_range`.",
)
_COUNT_END: Final = _or_null(
    _COUNT,
    "The lowest or highest whole number in the calibrated band, which `expected`, being none, may miss by less than one; null when "
    "the risk is out of range: see `out_of_range`.",
)

_CAVEATS: Final[Mapping[str, Schema]] = {
    "complete": {"type": "boolean", "description": "Whether both models answered."},
    "degraded": _list({"enum": [reason.value for reason in Reason]}, "Why the answer is less than it could be."),
    "assumed": {
        "type": "object",
        "additionalProperties": {"type": ["string", "number", "boolean"]},
        "description": "What was assumed because nothing was sent, by path. Show it with the price.",
    },
    "out_of_range": _list(
        _TEXT,
        "Paths of what the training data did not have. A code that nobody has seen is treated as not known. A number outside its usual "
        "range, or answers that hardly ever go together (a slip of a unit, two fields in each other's place), void the calibration: "
        "then every `low` and `high` is null, and this list says why. An unseen code alone leaves every interval in place.",
    ),
}

_ANSWERS: Final[dict[str, Schema]] = {
    "Band": _object(
        "A yearly gross price in pounds, and its calibrated interval.", premium=_PRICE, low=_END, high=_END
    ),
    "InsurerRow": _object(
        insurer=_INSURER,
        status=_STATUS,
        probability=_PROBABILITY,
        premium=_MAYBE_PRICE,
        low=_END,
        high=_END,
    ),
    "InsurerColumns": _object(
        "The same values as the rows, one list for each.",
        insurer=_list(_INSURER),
        status=_list(_STATUS),
        probability=_list(_PROBABILITY),
        premium=_list(_MAYBE_PRICE),
        low=_list(_END),
        high=_list(_END),
    ),
    "Panel": _object(
        "Figures over the insurers that will likely quote; null where they cannot be said.",
        likely=_or_null(_COUNT),
        cheapest=_or_null(_object(insurer=_INSURER, premium=_PRICE, low=_END, high=_END)),
        mean_of_five_cheapest=_or_null(_PRICE),
    ),
    "QuotesAnswer": _object(
        "An estimate, not an offer.",
        quote_id=_TEXT,
        bundle={"type": "string", "description": "The models that answered: see /v1/models."},
        currency={"const": "GBP"},
        level={"type": "number", "description": "The share of intervals `low`..`high` that hold the true price."},
        **_CAVEATS,
        panel=ref("Panel"),
        insurers={"oneOf": [_list(ref("InsurerRow")), ref("InsurerColumns")]},
    ),
    "BallparkAnswer": _object(
        "An estimate, not an offer.",
        bundle=_TEXT,
        level={"type": "number"},
        **_CAVEATS,
        cheapest=_or_null(ref("Band")),
        mean_of_five_cheapest=_or_null(ref("Band")),
        likely_insurers=_or_null(_object(expected={"type": "number"}, low=_COUNT_END, high=_COUNT_END)),
        answered=_list(_TEXT, "What was sent, by path."),
        next_questions=_or_null(
            _list(_object(field=_TEXT, narrows_band_by={"type": "number", "exclusiveMinimum": 0, "maximum": 1})),
            "What to ask next, best first; empty when nothing narrows the band, null when it was not computed: without the regressor, "
            "without time, or when the risk is out of range, since then there is no band to narrow.",
        ),
    ),
    "Contract": {"type": "object", "description": "Groups, fields with their purposes, and what cannot be together."},
    "Models": {"type": "object", "description": "The bundle in force, with the cards of its models."},
    "Problem": _object(
        "RFC 9457. Never holds a value that was sent.",
        type={"type": "string", "pattern": "^urn:ballpark:error:"},
        title=_TEXT,
        status={"type": "integer"},
        detail=_TEXT,
        request_id=_TEXT,
        errors=_list(_object(loc=_TEXT, message=_TEXT)),
    ),
}
