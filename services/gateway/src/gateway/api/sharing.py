"""How well are calls shared? Read when somebody looks, so that a call costs nothing for it."""

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from gateway.api.metrics import family_of
from gateway.domain.reasons import Branch
from gateway.pricing.coalescer import Coalescer
from kit import series

FIGURES: Final[Mapping[str, Callable[[Coalescer], float]]] = {
    "ballpark_shared_calls_total": lambda of: of.tally.calls,
    "ballpark_shared_rows_total": lambda of: of.tally.rows,
    "ballpark_dead_rows_total": lambda of: of.tally.dead_rows,
    "ballpark_split_calls_total": lambda of: of.tally.splits,
    "ballpark_shared_calls_out": lambda of: of.out,
    "ballpark_shared_slots": lambda of: of.slots.limit,
    "ballpark_waiting_rows": lambda of: of.waiting,
}


class SharedSeries(Collector):
    """The figures of every coalescer, by its branch and what is asked of it."""

    def __init__(self, coalescers: Mapping[tuple[Branch, str], Coalescer]) -> None:
        self._coalescers = coalescers

    def collect(self) -> Iterator[Metric]:
        """What a scrape gets."""
        table = series.load()
        for name, figure in FIGURES.items():
            made = family_of(table[name])
            for (branch, signature), coalescer in self._coalescers.items():
                made.add_metric([branch.value, signature], figure(coalescer))
            yield made

    def describe(self) -> Iterator[Metric]:
        """The names, for the registry; nothing is read for it."""
        return (family_of(series.load()[name]) for name in FIGURES)
