"""What is in force, for people and for clients that build themselves: the contract's fields and the bundle's models."""

from dataclasses import asdict
from typing import Any

import orjson

from gateway.domain.serving import Model, Serving
from kit.contract import Contract, Field


def contract_view(contract: Contract) -> bytes:
    """The body of an answer to `GET /v1/contract`."""
    body = {
        "line": contract.line,
        "version": contract.version,
        "fingerprint": contract.fingerprint,
        "groups": [
            {"name": g.name, "title": g.title, "entity": g.entity, "consent": g.consent} for g in contract.groups
        ],
        "entities": [asdict(entity) for entity in contract.entities],
        "fields": [_field(field) for field in contract.fields],
        "orders": [asdict(order) for order in contract.orders],
    }
    return orjson.dumps(body)


def models_view(serving: Serving) -> bytes:
    """The body of an answer to `GET /v1/models`."""
    body = {
        "bundle": serving.bundle,
        "contract": serving.contract,
        "created": serving.created,
        "level": serving.level,
        "insurers": serving.insurers,
        "models": {"classifier": _model(serving.classifier), "regressor": _model(serving.regressor)},
    }
    return orjson.dumps(body)


def _model(model: Model) -> dict[str, Any]:
    return asdict(model)


def _field(field: Field) -> dict[str, Any]:
    """A field as it may be sent; a code's list is long and opaque, so its pattern stands for it."""
    return {
        "path": field.path,
        "kind": field.kind,
        "title": field.title,
        "purpose": field.purpose,
        "unit": field.unit or None,
        "minimum": field.minimum if field.kind in ("int", "float") else None,
        "maximum": field.maximum if field.kind in ("int", "float") else None,
        "values": field.values if field.kind == "enum" else None,
        "pattern": field.pattern,
        "source": field.source,
        "assumed": field.assumed,
        "required": field.required,
    }
