"""How does a body become a request? Fast when it is right; when it is not, the slow path says everything that is wrong with it."""

from collections.abc import Callable, Mapping
from typing import Any, Final, Generic, TypeVar

import msgspec
from msgspec import UNSET

from gateway.api import explain, json_text
from gateway.api.contradictions import Contradictions
from gateway.api.problems import Code, Refusal, Wrong
from gateway.api.shape import Record, ballpark_request, quotes_request
from gateway.api.structs import struct_of
from gateway.domain.risk import STANDARD_IPT_RATE, BallparkRequest, QuoteRequest, Risk, Value
from kit.contract import Contract

Groups = dict[str, dict[str, Value]]
T = TypeVar("T")

ABSENT: Final = -1
DISAGREEMENT: Final = "is not as the API describes it"


class Reader(Generic[T]):
    """Reads one kind of body; `build(top, groups)` makes the request of what was decoded."""

    def __init__(self, contract: Contract, shape: Record, build: Callable[[Any, Groups], T]) -> None:
        self._shape, self._build, self._contradictions = shape, build, Contradictions(contract)
        self._decode = msgspec.json.Decoder(struct_of(shape)).decode
        self._top = tuple(name for name in shape.fields if name != "risk")
        risk = shape.fields["risk"]
        assert isinstance(risk, Record)  # noqa: S101 -- the shape is ours
        self._groups = {name: tuple(node.fields) for name, node in risk.fields.items() if isinstance(node, Record)}
        self._consents = tuple(g.name for g in contract.groups if g.consent)

    def read(self, body: bytes) -> T:
        """The request. Raises `Refusal`: 400 when it is not acceptable JSON, 422 when it is outside the contract."""
        try:
            decoded = self._decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise self._explained(body) from None
        groups = self._collect(decoded)
        keys = 1 + sum(getattr(decoded, name) is not UNSET for name in self._top) + len(groups)
        if json_text.has_other_keys(body, keys + sum(map(len, groups.values()))):
            json_text.parse(body)  # a key was escaped, or stands twice: then this raises
        if self._contradictions.find(groups) or not self._consented(groups):
            raise self._explained(body)
        return self._build(decoded, groups)

    def _collect(self, decoded: Any) -> Groups:
        groups: Groups = {}
        for name, fields in self._groups.items():
            group = getattr(decoded.risk, name)
            if group is not UNSET:
                groups[name] = {field: value for field in fields if (value := getattr(group, field)) is not UNSET}
        return groups

    def _consented(self, groups: Groups) -> bool:
        return all(groups[name][explain.CONSENT] for name in self._consents if name in groups)

    def _explained(self, body: bytes) -> Refusal:
        value = json_text.parse(body)
        wrong = explain.problems(self._shape, value)
        if not wrong:
            wrong = self._contradictions.find(value["risk"])
        wrong = wrong or [Wrong("body", DISAGREEMENT)]
        return refused(wrong)


def refused(wrong: list[Wrong]) -> Refusal:
    """422 with everything that is wrong."""
    return Refusal(Code.BAD_REQUEST, f"{len(wrong)} field(s) are outside the contract.", tuple(wrong))


def quotes_reader(contract: Contract, position: Mapping[str, int], new_id: Callable[[], str]) -> Reader[QuoteRequest]:
    """For `POST /v1/quotes`; `position` is each insurer's place in the panel."""
    to_risk = _risk_of(contract)

    def build(top: Any, groups: Groups) -> QuoteRequest:
        is_named = top.quote_id is not UNSET
        quote_id = top.quote_id if is_named else new_id()
        chosen = None if top.insurers is UNSET else _places(top.insurers, position)
        return QuoteRequest(to_risk(groups), quote_id, chosen, _or_standard(top.ipt_rate), is_named)

    return Reader(contract, quotes_request(contract), build)


def ballpark_reader(contract: Contract) -> Reader[BallparkRequest]:
    """For `POST /v1/ballpark`."""
    to_risk = _risk_of(contract)

    def build(top: Any, groups: Groups) -> BallparkRequest:
        return BallparkRequest(to_risk(groups), _or_standard(top.ipt_rate))

    return Reader(contract, ballpark_request(contract), build)


def _or_standard(rate: Any) -> float:
    return STANDARD_IPT_RATE if rate is UNSET else float(rate)


def _places(insurers: list[str], position: Mapping[str, int]) -> tuple[int, ...]:
    places = tuple(position.get(insurer, ABSENT) for insurer in insurers)
    if ABSENT not in places and len(set(places)) == len(places):
        return places
    strangers = [Wrong(f"insurers[{i}]", "is not on the panel") for i, place in enumerate(places) if place == ABSENT]
    raise refused(strangers or [Wrong("insurers", "must not name an insurer twice")])


def _risk_of(contract: Contract) -> Callable[[Groups], Risk]:
    entities = [(g.name, e.id, e.name) for g in contract.groups for e in contract.entities if e.id == g.entity]
    names = frozenset(contract.by_name)

    def risk(groups: Groups) -> Risk:
        values = {name: value for group in groups.values() for name, value in group.items() if name in names}
        found = {
            entity: str(groups[group][entity_id])
            for group, entity_id, entity in entities
            if group in groups and entity_id in groups[group]
        }
        return Risk(values, found)

    return risk
