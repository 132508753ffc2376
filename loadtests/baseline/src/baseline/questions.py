"""What may a request hold? pydantic models made from the contract, as FastAPI's own examples have them by hand."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field as Limits, create_model, model_validator

from kit.contract import Contract, Field

STANDARD_IPT_RATE: Final = 0.12  # insurance premium tax in the prices that the models have learnt
MOST_IPT_RATE: Final = 0.5


class Strict(BaseModel):
    """Nothing but what is described, and no text where a number belongs."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Question(Strict):
    """The body of `POST /v1/quotes`; `of_contract` gives the class whose `risk` has the contract's groups."""

    risk: Any
    quote_id: Annotated[str, Limits(pattern="^[A-Za-z0-9_-]{1,64}$")] | None = None
    ipt_rate: Annotated[float, Limits(ge=0, le=MOST_IPT_RATE)] = STANDARD_IPT_RATE

    def values(self) -> dict[str, Any]:
        """What was answered, by field name and by entity id."""
        groups: Iterable[Mapping[str, Any]] = self.risk.model_dump(exclude_none=True).values()
        return {name: value for group in groups for name, value in group.items()}


def of_contract(contract: Contract) -> type[Question]:
    """The request model of a contract."""
    groups: dict[str, Any] = {}
    for group in contract.groups:
        members = [f for f in contract.fields if f.group == group.name]
        fields: dict[str, Any] = {f.name: _typed(f) for f in members}
        for entity in contract.entities:
            if entity.id == group.entity:
                fields[entity.id] = (Annotated[str, Limits(pattern=entity.pattern)] | None, None)
        if group.consent:
            fields["consent"] = (Literal[True], ...)
        is_needed = any(f.required for f in members)
        made = create_model(group.name.capitalize(), __base__=Strict, **fields)
        groups[group.name] = (made, ...) if is_needed else (made | None, None)
    orders = [(o.least, o.gap, o.most, o.message) for o in contract.orders]
    given = {e.id: {f.name for f in contract.fields_of(e.name)} for e in contract.entities}

    class Whole(Question):
        """A question whose answers do not contradict each other."""

        @model_validator(mode="after")
        def agrees(self) -> Self:
            values = self.values()
            for least, gap, most, message in orders:
                if least in values and most in values and values[least] + gap > values[most]:
                    raise ValueError(f"{least} contradicts {most}: {message}")
            for entity_id, fields in given.items():
                if entity_id in values and fields & values.keys():
                    raise ValueError(f"{entity_id}: send the id or the fields, not both")
            return self

    return create_model("Question", __base__=Whole, risk=(create_model("Risk", __base__=Strict, **groups), ...))


def _typed(field: Field) -> tuple[Any, Any]:
    match field.kind:
        case "int":
            kind: Any = Annotated[int, Limits(ge=int(field.minimum), le=int(field.maximum))]
        case "float":
            kind = Annotated[float, Limits(ge=field.minimum, le=field.maximum)]
        case "bool":
            kind = bool
        case "enum":
            kind = Literal[field.values]
        case "code":
            kind = Annotated[str, Limits(pattern=field.pattern)]
    return (kind, ...) if field.required else (kind | None, None)
