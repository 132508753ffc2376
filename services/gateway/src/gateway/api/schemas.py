"""The JSON Schemas of what goes in, made from the shape and the contract, beside those of what comes out."""

from gateway.api.answer_schemas import ANSWERS, Schema, described, ref
from gateway.api.shape import (
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
from kit.contract import Contract


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
    return {**found, **ANSWERS}


def _collect(record: Record, found: dict[str, Schema]) -> None:
    for node in record.fields.values():
        if isinstance(node, Record):
            _collect(node, found)
    found[record.name] = {
        "type": "object",
        "properties": {name: _schema(node) for name, node in record.fields.items()},
        "required": sorted(record.required),
        "additionalProperties": False,
    } | described(record.about)


def _schema(node: Node) -> Schema:  # noqa: PLR0911 -- one for each kind
    match node:
        case Record():
            return ref(node.name)
        case Whole():
            return {"type": "integer", "minimum": node.minimum, "maximum": node.maximum} | described(node.about)
        case Number():
            return {"type": "number", "minimum": node.minimum, "maximum": node.maximum} | described(node.about)
        case Flag():
            return ({"const": True} if node.must else {"type": "boolean"}) | described(node.about)
        case Choice():
            return {"type": "string", "enum": list(node.values)} | described(node.about)
        case Text():
            return {"type": "string", "pattern": node.pattern} | described(node.about)
        case Many():
            items = {"type": "array", "items": _schema(node.item), "minItems": 1, "maxItems": node.most}
            return items | {"uniqueItems": True} | described(node.about)
