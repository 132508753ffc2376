"""What is an insurer? Data: a tariff it shares with its group, what its brand adds, its rules, and how it answers.

A market is one JSON document; the engine prices from that document alone, so that an edited or a drawn insurer is the same thing.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from kit.contract import Contract
from market.parts import BadDefinition, Part, Rule, Term, condition, part

FORMAT: Final = 1
FACTORS: Final = (
    *("age", "licence", "ncd", "area", "vehicle", "mileage", "overnight", "use", "employment", "occupation"),
    *("claims", "conviction", "record", "cover", "excess", "lead", "household"),
)
"""What every tariff is made of; slopes are by these names, in this order."""


@dataclass(frozen=True, slots=True)
class Bands:
    """A tariff that knows a number only by its band: every value of a band is priced as the one it stands for."""

    field: str
    edges: tuple[float, ...]
    stands_for: tuple[float, ...]
    """One more than edges."""


@dataclass(frozen=True, slots=True)
class Group:
    """An underwriting group: the tariff that its brands share."""

    id: str
    level: float
    slopes: tuple[float, ...]
    """How much of the market's curve of each factor it charges; about 1."""
    bands: tuple[Bands, ...]
    parts: tuple[Part, ...]
    terms: tuple[Term, ...]
    ceiling: float | None
    """The dearest premium it charges, GBP."""


@dataclass(frozen=True, slots=True)
class Answering:
    """How a brand's answers scatter and how fast they come."""

    hidden_loading: float
    """Log price per unit of the hidden score."""
    noise: float
    price_test: float
    """Log step, up or down from week to week; 0 for most."""
    ends_in_99: bool
    median_s: float
    sigma: float
    outage: float
    """Chance of no answer at all, besides time-outs."""


@dataclass(frozen=True, slots=True)
class Insurer:
    """A brand. Rules are tried in order, and the first that fires is the reason; then the cap, then the footprint."""

    id: str
    group: str
    archetype: str
    level: float
    slopes: tuple[float, ...]
    parts: tuple[Part, ...]
    terms: tuple[Term, ...]
    rules: tuple[Rule, ...]
    max_premium: float | None
    footprint: float
    """Chance of a decline for no reason of the enquiry."""
    answering: Answering

    @property
    def number(self) -> int:
        """What its streams of chance are counted by: an insurer keeps it wherever it stands in a market."""
        return int(self.id.removeprefix("i-"))


@dataclass(frozen=True, slots=True)
class Market:
    """All that prices: the curves that all share, the groups and the brands."""

    seed: int
    base: float
    """ln GBP, gross."""
    factors: tuple[tuple[Part, ...], ...]
    """The parts of each factor, in the order of `FACTORS`."""
    groups: tuple[Group, ...]
    insurers: tuple[Insurer, ...]

    @property
    def ids(self) -> tuple[str, ...]:
        """The insurers' ids, in their order everywhere."""
        return tuple(i.id for i in self.insurers)


def to_json(contract: Contract, market: Market) -> str:
    """The definitions, with an insurer, a group or a factor to a line. `from_json` reads exactly what was written."""
    document = {
        "format": FORMAT,
        "contract": contract.fingerprint,
        "seed": market.seed,
        "base": market.base,
        "factors": {
            name: [p.to_json(contract) for p in parts] for name, parts in zip(FACTORS, market.factors, strict=True)
        },
        "groups": [_group_to_json(contract, g) for g in market.groups],
        "insurers": [_insurer_to_json(contract, i) for i in market.insurers],
    }
    return json.dumps(document, indent=1) + "\n"


def from_json(contract: Contract, text: str) -> Market:
    """Read definitions. Raises `BadDefinition`, which names what is wrong."""
    try:
        raw = json.loads(text)
        if raw["format"] != FORMAT:
            raise BadDefinition(f"definitions of format {raw['format']}, this reads {FORMAT}")
        return Market(
            seed=raw["seed"],
            base=raw["base"],
            factors=tuple(tuple(part(contract, p) for p in raw["factors"][name]) for name in FACTORS),
            groups=tuple(_group(contract, g) for g in raw["groups"]),
            insurers=tuple(_insurer(contract, i) for i in raw["insurers"]),
        )
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise BadDefinition(f"not a document of insurers: {error!r}") from error


def _slopes_to_json(slopes: Sequence[float]) -> dict[str, float]:
    return dict(zip(FACTORS, slopes, strict=True))


def _slopes(raw: Mapping[str, float]) -> tuple[float, ...]:
    return tuple(raw[name] for name in FACTORS)


def _term_to_json(contract: Contract, term: Term) -> dict[str, Any]:
    return {"when": [c.to_json(contract) for c in term.when], "log": term.log}


def _conditions(contract: Contract, raw: Sequence[Mapping[str, Any]]) -> Any:
    return tuple(condition(contract, c["field"], c["is"], *c["values"]) for c in raw)


def _terms(contract: Contract, raw: Sequence[Mapping[str, Any]]) -> tuple[Term, ...]:
    return tuple(Term(_conditions(contract, t["when"]), t["log"]) for t in raw)


def _group_to_json(contract: Contract, group: Group) -> dict[str, Any]:
    return {
        "id": group.id,
        "level": group.level,
        "slopes": _slopes_to_json(group.slopes),
        "bands": [asdict(b) for b in group.bands],
        "parts": [p.to_json(contract) for p in group.parts],
        "terms": [_term_to_json(contract, t) for t in group.terms],
        "ceiling": group.ceiling,
    }


def _group(contract: Contract, raw: Mapping[str, Any]) -> Group:
    return Group(
        id=raw["id"],
        level=raw["level"],
        slopes=_slopes(raw["slopes"]),
        bands=tuple(Bands(b["field"], tuple(b["edges"]), tuple(b["stands_for"])) for b in raw["bands"]),
        parts=tuple(part(contract, p) for p in raw["parts"]),
        terms=_terms(contract, raw["terms"]),
        ceiling=raw["ceiling"],
    )


def _insurer_to_json(contract: Contract, insurer: Insurer) -> dict[str, Any]:
    return {
        "id": insurer.id,
        "group": insurer.group,
        "archetype": insurer.archetype,
        "level": insurer.level,
        "slopes": _slopes_to_json(insurer.slopes),
        "parts": [p.to_json(contract) for p in insurer.parts],
        "terms": [_term_to_json(contract, t) for t in insurer.terms],
        "rules": [{"reason": r.reason, "when": [c.to_json(contract) for c in r.when]} for r in insurer.rules],
        "max_premium": insurer.max_premium,
        "footprint": insurer.footprint,
        "answering": asdict(insurer.answering),
    }


def _insurer(contract: Contract, raw: Mapping[str, Any]) -> Insurer:
    return Insurer(
        id=raw["id"],
        group=raw["group"],
        archetype=raw["archetype"],
        level=raw["level"],
        slopes=_slopes(raw["slopes"]),
        parts=tuple(part(contract, p) for p in raw["parts"]),
        terms=_terms(contract, raw["terms"]),
        rules=tuple(Rule(r["reason"], _conditions(contract, r["when"])) for r in raw["rules"]),
        max_premium=raw["max_premium"],
        footprint=raw["footprint"],
        answering=Answering(**raw["answering"]),
    )
