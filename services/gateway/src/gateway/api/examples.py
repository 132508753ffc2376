"""What may a request look like, shown? Examples made from the contract and from what is typical; tests send every one of them."""

import re
from collections.abc import Mapping
from typing import Any, Final

from gateway.api.contradictions import Contradictions
from gateway.domain.risk import Value
from gateway.domain.serving import Serving, Typical
from kit.contract import Contract, Entity, Field

PANEL: Final = ("i-0001", "i-0002")  # where no bundle says who is on it
_DIGITS: Final = re.compile(r"\[0-9\]\{(\d+)\}")


def quotes_examples(contract: Contract, serving: Serving | None) -> Mapping[str, Any]:
    """Bodies for `POST /v1/quotes` by a short description; without a bundle they have what the contract alone can say."""
    typical = _typical(serving)
    by_id = risk(contract, typical, by_id=True)
    return {
        "by ids of the feature store": {"risk": by_id},
        "by attributes": {"risk": risk(contract, typical, by_id=False)},
        "for two insurers, with another tax rate": {
            "risk": by_id,
            "quote_id": "0198c2b4-example",
            "subject": "caller-pseudonym-1",
            "insurers": list(PANEL if serving is None else serving.insurers[:2]),
            "ipt_rate": 0.2,
        },
    }


def ballpark_examples(contract: Contract, serving: Serving | None) -> Mapping[str, Any]:
    """Bodies for `POST /v1/ballpark` by a short description."""
    everything = risk(contract, _typical(serving), by_id=True)
    required = {f.name for f in contract.fields if f.required}
    needed = {group: {n: v for n, v in fields.items() if n in required} for group, fields in everything.items()}
    needed = {group: fields for group, fields in needed.items() if fields}
    ids = {g.name: {g.entity: everything[g.name][g.entity]} for g in contract.groups if g.entity is not None}
    return {"the least": {"risk": needed}, "a car in a place": {"risk": needed | ids}}


def risk(contract: Contract, typical: Mapping[str, tuple[Typical, ...]], *, by_id: bool) -> dict[str, dict[str, Value]]:
    """A typical risk, by the feature store's ids or by attributes, that does not contradict itself."""
    entities = {e.id: e for e in contract.entities}
    found: dict[str, dict[str, Value]] = {}
    for group in contract.groups:
        entity = entities.get(group.entity or "")
        found[group.name] = {"consent": True} if group.consent else {}
        if entity is not None and by_id:
            found[group.name][entity.id] = _id_of(contract, entity)
        for field in contract.fields:
            if field.group == group.name and not (by_id and field.entity) and (by_id or field.name not in entities):
                found[group.name].setdefault(field.name, _value(field, typical.get(field.name, ())))
    for wrong in Contradictions(contract).find(found):
        _, group_name, name = wrong.loc.split(".")
        found[group_name].pop(name, None)  # an answer may contradict two others
    return found


def _typical(serving: Serving | None) -> Mapping[str, tuple[Typical, ...]]:
    """The typical driver's own answers, so that they go together, and for any other field what is typical of it."""
    if serving is None:
        return {}
    return {**serving.typical, **{name: (Typical(value, 1.0),) for name, value in serving.typical_row.items()}}


def _id_of(contract: Contract, entity: Entity) -> str:
    if entity.id in contract.by_name:
        return contract.field(entity.id).values[0]
    return _DIGITS.sub(lambda count: "0" * (int(count[1]) - 1) + "7", entity.pattern.strip("^$"))


def _value(field: Field, typical: tuple[Typical, ...]) -> Value:
    if typical:
        return max(typical, key=lambda entry: entry.weight).value
    if field.assumed is not None:
        return field.assumed
    match field.kind:
        case "int":
            return int(field.minimum)
        case "float":
            return field.minimum
        case "bool":
            return False
        case _:
            return field.values[0]
