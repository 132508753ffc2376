"""Which situations must whoever reads a market survive? Named cases: what a request says, and insurers with a property worth a test.

A request's case is made of an ordinary driver and one thing that is out of the ordinary. An insurer's case is found in any market by what its
definition says; a market that has none has no such insurer.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from market.drift import Timeline
from market.insurers import Insurer, Market
from market.parts import Condition, Rule

Answers = Mapping[str, Any]
"""A request's fields by name."""

ORDINARY: Final[Answers] = {
    "age": 40,
    "licence_years": 20.0,
    "licence_type": "full_uk",
    "uk_resident_years": 40,
    "employment": "employed",
    "occupation": "occ-01",
    "home_owner": True,
    "ncd_years": 9,
    "adds_spouse": False,
    "adds_young_driver": False,
    "adds_parent": False,
    "vehicle_id": "v-00005",
    "sector": "R07-0001",
    "annual_mileage": 8000,
    "class_of_use": "commuting",
    "overnight": "drive",
    "modified": "none",
    "cover": "comprehensive",
    "voluntary_excess": 250,
    "days_to_start": 21,
    "fault_claims": 0,
    "non_fault_claims": 0,
    "conviction": "none",
    "points": 0,
    "cancelled_before": False,
    "unspent_criminal": False,
}


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that is out of the ordinary, and what a service owes it."""

    about: str
    changes: Answers
    owed: str
    """quoted | flagged (quoted, and said to be unknown or out of range) | refused | nobody (quoted by no insurer)"""

    @property
    def answers(self) -> Answers:
        """The whole request."""
        return {**ORDINARY, **self.changes}


ASKED: Final[Mapping[str, Asked]] = {
    "ordinary": Asked("everything is in the middle", {}, "quoted"),
    "unseen_car": Asked("a car that no catalogue has", {"vehicle_id": "v-99999"}, "flagged"),
    "unseen_sector": Asked("a sector that no table has", {"sector": "R07-9999"}, "flagged"),
    "no_quotes": Asked(
        "17, a provisional licence from abroad, a fast modified car, drunk, cancelled: every insurer declines",
        {
            "age": 17,
            "licence_years": 0.0,
            "licence_type": "international",
            "uk_resident_years": 1,
            "ncd_years": 0,
            "modified": "performance",
            "conviction": "dr10",
            "points": 13,
            "cover": "tpo",
            "fault_claims": 7,
            "cancelled_before": True,
            "unspent_criminal": True,
            "annual_mileage": 40_000,
        },
        "nobody",
    ),
    "bonus_beyond_licence": Asked(
        "15 years of bonus on 3 years of licence", {"licence_years": 3.0, "ncd_years": 15}, "refused"
    ),
    "licence_beyond_age": Asked("17 years old with 10 years of licence", {"age": 17, "licence_years": 10.0}, "refused"),
    "too_old": Asked("101 years old", {"age": 101}, "refused"),
    "too_fast": Asked("vehicle group 51", {"vehicle_group": 51}, "refused"),
}
"""By name."""


def threshold_ages(insurer: Insurer) -> tuple[int, ...]:
    """The ages just inside and just outside of an insurer's age rules, in pairs: the day before a birthday and the day itself."""
    limits = [c for r in insurer.rules if r.reason in {"min_age", "max_age"} for c in r.when]
    return tuple(age for c in limits for age in _around(c))


def _around(limit: Condition) -> tuple[int, int]:
    at = int(limit.values[0])
    return (at, at - 1) if limit.is_ == "below" else (at, at + 1)


def never_declines(insurer: Insurer) -> Insurer:
    """The same insurer without a rule, a cap or a footprint."""
    return replace(insurer, rules=(), max_premium=None, footprint=0.0)


def always_declines(insurer: Insurer) -> Insurer:
    """The same insurer, which declines every driver there is."""
    return replace(insurer, rules=(Rule("min_age", (Condition("age", "above", (0.0,)),)),))


def _stepped(market: Market, insurer: Insurer) -> bool:
    return any(g.id == insurer.group and g.bands for g in market.groups)


def _ceilinged(market: Market, insurer: Insurer) -> bool:
    return any(g.id == insurer.group and g.ceiling is not None for g in market.groups)


INSURERS: Final[Mapping[str, Callable[[Market, Insurer], bool]]] = {
    "capped": lambda _, insurer: insurer.max_premium is not None,
    "ceiling": _ceilinged,
    "step_tariff": _stepped,
    "age_limits": lambda _, insurer: bool(threshold_ages(insurer)),
    "nearly_always_declines": lambda _, insurer: insurer.archetype == "commercial_vehicle",
    "for_the_convicted": lambda _, insurer: insurer.archetype == "non_standard",
}
"""What an insurer's definition must say, by name."""


def insurers(market: Market, case: str) -> tuple[Insurer, ...]:
    """The insurers of a market that are such a case. Raises KeyError for a name that is none."""
    return tuple(i for i in market.insurers if INSURERS[case](market, i))


def newcomers(of: Timeline) -> Mapping[str, int]:
    """Insurers that nothing is known of before their first week, which is given: the cold start."""
    return {e.insurer: e.week for e in of.events if e.what == "joined"}


def erased(rows: pa.Table, enquiries: Collection[int]) -> pa.Table:
    """A subject's erasure: the rows (of risks, answers or renewals) without those of some enquiries, every other row as it was.

    What is trained afterwards must equal what is trained on a market in which these enquiries never were.
    """
    gone = pc.is_in(rows["enquiry_id"], value_set=pa.array(sorted(enquiries), rows.schema.field("enquiry_id").type))
    return rows.filter(pc.invert(gone))


def rerating_weeks(of: Timeline) -> tuple[int, ...]:
    """The weeks at whose beginning some insurer re-rates: a replay across one of them is a rehearsal of drift."""
    return tuple(sorted({e.week for e in of.events if e.what in {"slopes", "level"}}))
