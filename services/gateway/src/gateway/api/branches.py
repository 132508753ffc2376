"""How do the servers of a branch stand? Read when somebody looks, so that a call costs nothing for it."""

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from gateway.api.metrics import TRACK, family_of
from gateway.domain.readings import Readings
from gateway.domain.reasons import Branch
from kit import series
from kit.breaker import State

REPLICAS: Final = "ballpark_replicas"
SET_ASIDE: Final = "ballpark_replicas_set_aside_total"
SECOND_ATTEMPTS: Final = "ballpark_second_attempts_total"
BREAKER: Final = "ballpark_breaker_open"


class BranchSeries(Collector):
    """The readings of every branch as series."""

    def __init__(self, readings: Mapping[Branch, Callable[[], Readings]]) -> None:
        self._readings = readings

    def collect(self) -> Iterator[Metric]:
        """What a scrape gets."""
        now = {branch: read() for branch, read in self._readings.items()}
        yield _family(REPLICAS, {(b, s): n for b, r in now.items() for s, n in r.replicas.items()})
        yield _family(SET_ASIDE, {(b, w): n for b, r in now.items() for w, n in r.set_aside.items()})
        yield _family(SECOND_ATTEMPTS, {(b, e): n for b, r in now.items() for e, n in r.second_attempts.items()})
        yield _family(BREAKER, {(b,): r.breaker is not State.CLOSED for b, r in now.items()})

    def describe(self) -> Iterator[Metric]:
        """The names, for the registry; nothing is read for it."""
        return (_family(name, {}) for name in (REPLICAS, SET_ASIDE, SECOND_ATTEMPTS, BREAKER))


def _family(name: str, values: Mapping[tuple[str, ...], float]) -> Metric:
    made = family_of(series.load()[name])
    for (branch, *rest), value in values.items():
        made.add_metric([branch, TRACK, *rest], value)
    return made
