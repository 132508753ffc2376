"""What does the website ask? Varied questions with the same few cars and places again and again, and now and then rubbish."""

import json
import random
from bisect import bisect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Final

from settings import Risks

from kit.contract import Contract, Field

OK: Final = frozenset({200})


@dataclass(frozen=True, slots=True)
class Ask:
    """One request: where to, which text, which statuses are right, and which degradation the question itself gives reason for."""

    name: str
    path: str
    body: str
    expected: frozenset[int] = OK
    explains: frozenset[str] = frozenset()
    with_key: bool = True


class Zipf:
    """Draws from `items` so that the k-th most popular is drawn in proportion to k^-s; which is popular depends on the seed only."""

    def __init__(self, items: Sequence[str], exponent: float, seed: int) -> None:
        self._items = random.Random(seed).sample(items, len(items))  # noqa: S311 -- repeatable, not secret
        self._cumulative = list(accumulate((rank + 1) ** -exponent for rank in range(len(items))))

    def draw(self, chance: random.Random) -> str:
        """One item."""
        return self._items[bisect(self._cumulative, chance.random() * self._cumulative[-1])]


class Questions:
    """Makes requests from the contract's fields: the same seed, the same questions."""

    def __init__(self, contract: Contract, mix: Mapping[str, float], risks: Risks) -> None:
        self._contract, self._risks = contract, risks
        self._kinds, self._weights = list(mix), list(mix.values())
        self._vehicles = Zipf([f"v-{i:05d}" for i in range(risks.vehicles)], risks.zipf, risks.seed)
        self._sectors = Zipf(contract.field("sector").values, risks.zipf, risks.seed)

    def ask(self, chance: random.Random) -> Ask:
        """One request of the mix."""
        kind = chance.choices(self._kinds, self._weights)[0]
        return {"quotes": self.quotes, "ballpark": self.ballpark, "invalid": self.invalid}[kind](chance)

    def quotes(self, chance: random.Random) -> Ask:
        """A customer who has answered nearly everything."""
        risk, explains = self.risk(chance)
        return Ask("quotes", "/v1/quotes", _encode({"risk": risk}), explains=explains)

    def ballpark(self, chance: random.Random) -> Ask:
        """A visitor in a showroom: an age, a car, a region."""
        vehicle_id, explains = self._vehicle_id(chance)
        region = self._value(self._contract.field("region"), chance)
        age = self._value(self._contract.field("age"), chance)
        risk = {"driver": {"age": age}, "vehicle": {"vehicle_id": vehicle_id}, "area": {"region": region}}
        return Ask("ballpark", "/v1/ballpark", _encode({"risk": risk}), explains=explains)

    def invalid(self, chance: random.Random) -> Ask:
        """A question that must be refused, and never counted as an error when it is."""
        spoil, status = chance.choice(SPOILT)
        risk, _ = self.risk(chance)
        body = spoil(risk)
        return Ask("invalid", "/v1/quotes", body, frozenset({status}), with_key=status != 401)

    def risk(self, chance: random.Random) -> tuple[dict[str, Any], frozenset[str]]:
        """A risk as the request spells it, and the degradation that it explains."""
        values = {f.name: self._value(f, chance) for f in self._contract.fields if self._is_answered(f, chance)}
        self._keep_orders(values)
        explains: frozenset[str] = frozenset()
        if chance.random() >= self._risks.attributes_share:
            stored = {f.name for e in self._contract.entities for f in self._contract.fields_of(e.name)}
            values = {name: value for name, value in values.items() if name not in stored}
            values["vehicle_id"], explains = self._vehicle_id(chance)
            values["sector"] = self._sectors.draw(chance)
        else:
            values.pop("sector", None)
        risk: dict[str, Any] = {"history": {"consent": True}}
        for name, value in values.items():
            group = "vehicle" if name == "vehicle_id" else self._contract.field(name).group
            risk.setdefault(group, {})[name] = value
        return risk, explains

    def _vehicle_id(self, chance: random.Random) -> tuple[str, frozenset[str]]:
        if chance.random() < self._risks.unknown_vehicle_share:
            unknown = chance.randrange(self._risks.vehicles, 100_000)
            return f"v-{unknown:05d}", frozenset({"features_unknown_entity"})
        return self._vehicles.draw(chance), frozenset()

    def _is_answered(self, field: Field, chance: random.Random) -> bool:
        return field.required or chance.random() < self._risks.answered_share

    def _value(self, field: Field, chance: random.Random) -> str | float | bool:
        low, high = self._risks.typical.get(field.name, (field.minimum, field.maximum))
        match field.kind:
            case "bool":
                return chance.random() < self._risks.yes_share
            case "int":
                return chance.randint(int(low), int(high))
            case "float":
                return round(chance.uniform(low, high), 2)
            case "enum" if chance.random() < self._risks.first_share and field.name != "region":
                return field.values[0]
            case _:
                return chance.choice(field.values)

    def _keep_orders(self, values: dict[str, Any]) -> None:
        """Lower what contradicts: nobody of 20 has held a licence for 30 years."""
        for order in self._contract.orders:
            if order.least in values and order.most in values:
                most = values[order.most] - order.gap
                values[order.least] = type(values[order.least])(max(0, min(values[order.least], most)))


def _encode(body: Mapping[str, Any]) -> str:
    return json.dumps(body)


def _with(group: str, name: str, value: Any) -> Callable[[dict[str, Any]], str]:
    return lambda risk: _encode({"risk": risk | {group: risk.get(group, {}) | {name: value}}})


SPOILT: Final[Sequence[tuple[Callable[[dict[str, Any]], str], int]]] = (
    (_with("driver", "sex", "f"), 422),
    (_with("driver", "age", 12), 422),
    (lambda risk: _encode({"risk": risk | {"driver": {"age": 25, "licence_years": 30}}}), 422),
    (_with("driver", "age", float("nan")), 400),
    (lambda risk: _encode({"risk": risk})[:-1], 400),
    (lambda risk: _encode({"risk": risk}), 401),
)
