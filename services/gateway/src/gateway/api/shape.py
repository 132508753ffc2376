"""What may a request look like? One tree, made from the contract, from which everything else is derived.

The fast decoder (`structs`), the validator that explains (`explain`) and the OpenAPI schemas (`openapi`) each walk this tree, so that
they cannot disagree about a field.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from kit.contract import Contract, Field, Group

QUOTE_ID: Final = "^[A-Za-z0-9_-]{1,64}$"
SUBJECT: Final = "^[A-Za-z0-9_.:-]{1,128}$"
INSURER: Final = "^i-[0-9]{4}$"
MOST_IPT_RATE: Final = 0.5
MOST_INSURERS: Final = 500


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number, without a decimal point."""

    minimum: int
    maximum: int
    about: str = ""


@dataclass(frozen=True, slots=True)
class Number:
    """Any finite number."""

    minimum: float
    maximum: float
    about: str = ""


@dataclass(frozen=True, slots=True)
class Flag:
    """true or false; where it `must` be true, nothing else is accepted."""

    about: str = ""
    must: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a closed list of texts."""

    values: tuple[str, ...]
    about: str = ""


@dataclass(frozen=True, slots=True)
class Text:
    """A text that matches a pattern from its first to its last character."""

    pattern: str
    about: str = ""


@dataclass(frozen=True, slots=True)
class Many:
    """A list of one or more texts, at most `most`."""

    item: Text
    most: int
    about: str = ""


@dataclass(frozen=True, slots=True)
class Record:
    """An object with these fields and no other; `required` ones must be there."""

    name: str
    fields: Mapping[str, "Node"]
    required: frozenset[str] = field(default_factory=frozenset)
    about: str = ""


Node = Whole | Number | Flag | Choice | Text | Many | Record


def risk(contract: Contract) -> Record:
    """The `risk` of a request: one record for each group of the contract."""
    groups = {group.name: _group(contract, group) for group in contract.groups}
    required = frozenset(f.group for f in contract.fields if f.required)
    return Record("Risk", groups, required, "What is known of the customer; what is left out is not known.")


def quotes_request(contract: Contract) -> Record:
    """The body of `POST /v1/quotes`."""
    fields: dict[str, Node] = {
        "risk": risk(contract),
        "quote_id": Text(QUOTE_ID, "The caller's own id of this quote; made up when it is left out."),
        "subject": _subject(),
        "insurers": Many(
            Text(INSURER), MOST_INSURERS, "Only these insurers, in this order; the whole panel when left out."
        ),
        "ipt_rate": _ipt_rate(),
    }
    return Record("QuotesRequest", fields, frozenset({"risk"}))


def ballpark_request(contract: Contract) -> Record:
    """The body of `POST /v1/ballpark`."""
    fields: dict[str, Node] = {"risk": risk(contract), "subject": _subject(), "ipt_rate": _ipt_rate()}
    return Record("BallparkRequest", fields, frozenset({"risk"}))


def _subject() -> Text:
    return Text(SUBJECT, "The caller's own pseudonym for a person, for erasure.")


def _ipt_rate() -> Number:
    return Number(0, MOST_IPT_RATE, "Insurance premium tax in the prices of the answer; 0.12 when left out.")


def _group(contract: Contract, group: Group) -> Record:
    fields: dict[str, Node] = {}
    for entity in contract.entities:
        if entity.id == group.entity and entity.id not in contract.by_name:
            fields[entity.id] = Text(
                entity.pattern, f"An id that the feature store knows, instead of the {entity.name}'s fields."
            )
    members = [f for f in contract.fields if f.group == group.name]
    fields |= {f.name: _field(f) for f in members}
    required = {f.name for f in members if f.required}
    if group.consent:
        fields["consent"] = Flag("The person's consent to the use of this group.", must=True)
        required.add("consent")
    return Record(group.name.capitalize(), fields, frozenset(required), group.title)


def _field(field: Field) -> Node:
    about = f"{field.title}{f' ({field.unit})' if field.unit else ''}. {field.purpose}"
    match field.kind:
        case "int":
            return Whole(int(field.minimum), int(field.maximum), about)
        case "float":
            return Number(field.minimum, field.maximum, about)
        case "bool":
            return Flag(about)
        case "enum":
            return Choice(field.values, about)
        case "code":
            return Text(field.pattern or "", about)
