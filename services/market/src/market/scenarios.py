"""How does a market move as a whole? The level of all prices by week, the season, and when people ask.

`steady` moves in nothing: it is the base period that the targets are measured in. The others are for drift, release rehearsals and load.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np

from market.columns import Floats
from market.randomness import Stream, stream

BEGINS: Final = datetime(2025, 10, 6, tzinfo=UTC)
"""A Monday: the first week of the base period."""
QUARTER: Final = 13
"""Weeks."""

WALK_SD, WALK_LEAN = 0.06, 0.6
"""Of the quarterly change of the log level, and how much of the last change goes on."""
PUBLISHED: Final = (541, 554, 586, 629, 657, 776, 924, 995, 941, 882, 860, 837, 809, 781, 753, 726)
"""GBP: the index of each quarter from 2022 to 2025 (three of them between published neighbours)."""
SHOCK: Final = float(np.log(1.19))
"""The largest quarterly move on record."""
SHOCK_WEEK: Final = 4

PRICE_SEASON: Final[Mapping[int, float]] = {12: 0.06, 1: -0.03}
ASKING_SEASON: Final[Mapping[int, float]] = {3: 1.2, 9: 1.2}
"""By month."""
BY_HOUR: Final = (*(2, 1, 1, 1, 1, 2, 5, 9, 14, 18, 20, 20), *(20, 19, 19, 19, 20, 22, 26, 31, 32, 27, 16, 7))
"""How many ask in each hour of a day: the evening is the peak."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """What moves."""

    name: str
    about: str
    begins: datetime = BEGINS
    walks: bool = False
    """The level follows a random walk."""
    moves: bool = False
    """Brands drift, re-rate, change their rules, leave and join; prices and enquiries have their season."""
    path: tuple[float, ...] = ()
    """Index of each quarter over that of the base period, when the level is given."""
    shock: bool = False


SCENARIOS: Final[Mapping[str, Scenario]] = {
    s.name: s
    for s in (
        Scenario("steady", "nothing moves: the base period, the last quarter of 2025"),
        Scenario(
            "usual",
            "a random walk of the level; brands drift, re-rate, change rules, leave and join",
            walks=True,
            moves=True,
        ),
        Scenario(
            "real-2022-25",
            "from January 2022, the level that was published quarter by quarter; brands move as usual",
            begins=datetime(2022, 1, 3, tzinfo=UTC),
            moves=True,
            path=tuple(index / PUBLISHED[-1] for index in PUBLISHED),
        ),
        Scenario(
            "shock",
            "19 per cent dearer within a quarter from the fifth week on; brands move as usual",
            moves=True,
            shock=True,
        ),
    )
}


def levels(scenario: Scenario, seed: int, weeks: int) -> Floats:
    """What every log price is moved by in each week, float64[weeks]. More weeks never change the first ones."""
    week = np.arange(weeks)
    log = np.zeros(weeks)
    if scenario.path:
        middles = QUARTER * np.arange(len(scenario.path)) + QUARTER / 2
        log += np.interp(week + 0.5, middles, np.log(scenario.path))
    if scenario.walks:
        log += np.interp(week, QUARTER * np.arange(weeks // QUARTER + 2), _walk(seed, weeks // QUARTER + 2))
    if scenario.shock:
        log += SHOCK * np.clip((week - SHOCK_WEEK) / (QUARTER - SHOCK_WEEK), 0, 1)
    if scenario.moves:
        log += [PRICE_SEASON.get(_month(scenario, int(w)), 0.0) for w in week]
    return log


def _walk(seed: int, knots: int) -> Floats:
    """The level at the beginning of each quarter; it begins at 0."""
    steps = WALK_SD * np.sqrt(1 - WALK_LEAN**2) * stream(seed, Stream.DRIFT).standard_normal(knots)
    for q in range(1, knots):
        steps[q] += WALK_LEAN * steps[q - 1]
    return np.concatenate(([0.0], np.cumsum(steps)[:-1]))


def _month(scenario: Scenario, week: int) -> int:
    return (scenario.begins + timedelta(weeks=week, days=3)).month


def asking(scenario: Scenario, weeks: int) -> tuple[Sequence[float], Floats]:
    """Hours since the beginning, and the share of all enquiries asked before each: [hours + 1] both, rising from 0 to 1."""
    by_week = [ASKING_SEASON.get(_month(scenario, w), 1.0) if scenario.moves else 1.0 for w in range(weeks)]
    hourly = np.concatenate([weight * np.tile(BY_HOUR, 7) for weight in by_week])
    done = np.concatenate(([0.0], np.cumsum(hourly)))
    return range(len(done)), done / done[-1]
