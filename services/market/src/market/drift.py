"""How does a market change? A timeline: the definitions in force quarter by quarter, and what each brand's log price is moved by each week.

Brands drift about their level, re-rate, change thresholds, leave and join. Ids are never used twice: an entrant has the next number, and for
its first weeks a price to win customers with. All chance is the market's own, so that any customers meet the same timeline.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from kit.contract import Contract
from market.columns import Floats
from market.insurers import Insurer, Market
from market.panel import entrant
from market.parts import DECIMALS, Condition, Rule, condition
from market.randomness import Stream, stream
from market.scenarios import QUARTER, Scenario, levels

CHURN: Final = 0.06
"""The share of brands that leaves each quarter, and that joins."""
RERATED: Final = 0.25
MOVED_RULES: Final = 0.05
BANNED: Final = 0.05
"""The chance that a brand stops taking a model."""
LEAN: Final = 0.9
"""How much of a brand's weekly deviation is still there a week later."""
WELCOME, WELCOME_WEEKS = -0.10, 8
STEPS: Final = {
    "min_age": 1,
    "max_age": 2,
    "points": 3,
    "claims": 1,
    "min_value": 1000,
    "max_value": 5000,
    "mileage": 2000,
    "young_fast": 3,
    "sector": 25,
}
"""How far a threshold moves, up or down."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that a brand did at the beginning of a quarter."""

    week: int
    insurer: str
    what: str
    """joined | left | slopes | level | rule | model"""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Era:
    """The definitions in force from a week on."""

    first_week: int
    market: Market


@dataclass(frozen=True, slots=True)
class Timeline:
    """A market over time."""

    eras: tuple[Era, ...]
    shifts: dict[str, Floats]
    """By insurer id, float64[weeks]: what its log price is moved by."""
    events: tuple[Event, ...]

    @property
    def ids(self) -> tuple[str, ...]:
        """Every insurer that ever was, by number."""
        return tuple(sorted({i.id for era in self.eras for i in era.market.insurers}))

    def spans(self, week: Any) -> Iterator[tuple[Market, slice]]:
        """Which rows of rising weeks [B] each era prices."""
        edges = [*np.searchsorted(week, [era.first_week for era in self.eras]).tolist(), len(week)]
        for era, first, last in zip(self.eras, edges[:-1], edges[1:], strict=True):
            if first < last:
                yield era.market, slice(first, last)


def still(market: Market, weeks: int) -> Timeline:
    """A market in which nothing moves."""
    return Timeline((Era(0, market),), {i.id: np.zeros(weeks) for i in market.insurers}, ())


def timeline(contract: Contract, market: Market, scenario: Scenario, weeks: int, spread: float = 1.0) -> Timeline:
    """The market over so many weeks of a scenario. More weeks never change the first ones."""
    base = levels(scenario, market.seed, weeks)
    if not scenario.moves:
        return Timeline((Era(0, market),), {i.id: base for i in market.insurers}, ())
    eras, events = [Era(0, market)], list[Event]()
    number = max(i.number for i in market.insurers)
    for quarter in range(1, -(-weeks // QUARTER)):
        changed, happened = _next(contract, eras[-1].market, quarter, number, spread)
        number += sum(e.what == "joined" for e in happened)
        eras.append(Era(quarter * QUARTER, changed))
        events += happened
    joined = {e.insurer: e.week for e in events if e.what == "joined"}
    brands = {i.id: i for era in eras for i in era.market.insurers}
    shifts = {
        name: base + _wander(market.seed, i.number, weeks) + _welcome(joined.get(name), weeks)
        for name, i in brands.items()
    }
    return Timeline(tuple(eras), shifts, tuple(events))


def _next(contract: Contract, market: Market, quarter: int, number: int, spread: float) -> tuple[Market, list[Event]]:
    week = quarter * QUARTER
    rng = stream(market.seed, Stream.DRIFT, block=quarter)
    count = round(CHURN * len(market.insurers))
    leaving = set(
        rng.choice(
            [i.id for i in market.insurers if i.archetype != "commercial_vehicle"], count, replace=False
        ).tolist()
    )
    events = [Event(week, name, "left") for name in sorted(leaving)]
    staying = []
    for insurer in market.insurers:
        if insurer.id not in leaving:
            changed, happened = _moved(contract, insurer, market.seed, quarter)
            staying.append(changed)
            events += happened
    new = [entrant(contract, market.seed, number + n, spread=spread) for n in range(1, count + 1)]
    events += [Event(week, i.id, "joined", i.archetype) for i in new]
    return replace(market, insurers=(*staying, *new)), events


def _moved(contract: Contract, insurer: Insurer, seed: int, quarter: int) -> tuple[Insurer, list[Event]]:
    rng = stream(seed, Stream.DRIFT, block=quarter, insurer=insurer.number)
    week, events = quarter * QUARTER, list[Event]()
    if rng.random() < RERATED:
        insurer, what = _rerated(insurer, rng)
        events.append(Event(week, insurer.id, what))
    rules = []
    for rule in insurer.rules:
        changed = _another(contract, rule, rng) if rule.reason in STEPS and rng.random() < MOVED_RULES else rule
        rules.append(changed)
        if changed != rule:
            events.append(Event(week, insurer.id, "rule", rule.reason))
    if rng.random() < BANNED:
        model = str(rng.choice(contract.field("model").values))
        rules.append(Rule("model", (condition(contract, "model", "one_of", model),)))
        events.append(Event(week, insurer.id, "model", model))
    return replace(insurer, rules=tuple(rules)), events


def _rerated(insurer: Insurer, rng: np.random.Generator) -> tuple[Insurer, str]:
    """One to three slopes, or the level by 2 to 5 per cent."""
    if rng.random() < 0.5:
        step = float(rng.choice((-1, 1)) * rng.uniform(0.02, 0.05))
        return replace(insurer, level=round(insurer.level + step, DECIMALS)), "level"
    slopes = np.array(insurer.slopes)
    moved = rng.choice(len(slopes), rng.integers(1, 4), replace=False)
    slopes[moved] = np.maximum(slopes[moved] + rng.normal(0, 0.08, len(moved)), 0.05)
    return replace(insurer, slopes=tuple(np.round(slopes, DECIMALS).tolist())), "slopes"


def _another(contract: Contract, rule: Rule, rng: np.random.Generator) -> Rule:
    """The same rule, its last condition's numbers moved by a step; a step out of the field's range is not made."""
    *others, last = rule.when
    step = int(rng.choice((-1, 1))) * STEPS[rule.reason]
    values = tuple(v + step for v in last.values)
    field = contract.field(last.field)
    least, most = (field.minimum, field.maximum) if field.is_numeric else (0, len(field.values) - 1)
    if least is None or most is None or min(values) < least or max(values) > most:
        return rule
    return Rule(rule.reason, (*others, Condition(last.field, last.is_, values)))


def _wander(seed: int, number: int, weeks: int) -> Floats:
    """A brand's weekly deviation, which begins at 0 and forgets itself."""
    rng = stream(seed, Stream.DRIFT, block=1 << 32, insurer=number)
    sd = rng.uniform(0.01, 0.02) * np.sqrt(1 - LEAN**2)
    log = np.concatenate(([0.0], sd * rng.standard_normal(weeks - 1)))
    for week in range(1, weeks):
        log[week] += LEAN * log[week - 1]
    return log


def _welcome(joined: int | None, weeks: int) -> Floats:
    log = np.zeros(weeks)
    if joined is not None:
        log[joined : joined + WELCOME_WEEKS] = WELCOME
    return log
