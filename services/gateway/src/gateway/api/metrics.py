"""The gateway's series, made from the table in `kit.series` on a registry that is handed in.

A request is counted in some twenty places. With prometheus_client's own counters each is a look-up by labels under a lock, and a
histogram's adds two more locks; here each is an addition in a cell of our own, and one collector reads the cells when the page is asked for.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from itertools import accumulate
from typing import Final, Self

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway.domain.trace import Trace
from kit import series
from kit.series import Series

TRACK: Final = "stable"

Labels = tuple[str, ...]


def family_of(row: Series) -> CounterMetricFamily | GaugeMetricFamily:
    """The page's form of a counter or a gauge, without values yet."""
    family = CounterMetricFamily if row.kind == "counter" else GaugeMetricFamily
    return family(row.name, row.help, labels=row.labels)


class Counts:
    """A counter: one number for each combination of labels."""

    __slots__ = ("cells", "row")

    def __init__(self, row: Series) -> None:
        self.row = row
        self.cells: dict[Labels, int] = {} if row.labels else {(): 0}

    def add(self, *labels: str) -> None:
        """One more; the labels stand in the table's order."""
        self.cells[labels] = self.cells.get(labels, 0) + 1

    def family(self) -> Metric:
        """As it stands on the page."""
        family = family_of(self.row)
        for labels, count in self.cells.items():
            family.add_metric(labels, count)
        return family


class Level:
    """A gauge: numbers that are set, or asked for when the page is."""

    __slots__ = ("cells", "row")

    def __init__(self, row: Series) -> None:
        self.row = row
        self.cells: dict[Labels, Callable[[], float]] = {}

    def set(self, value: float, *labels: str) -> None:
        """It stays so."""
        self.ask(lambda: value, *labels)

    def ask(self, level: Callable[[], float], *labels: str) -> None:
        """Whatever `level` says whenever the page is read."""
        self.cells[labels] = level

    def family(self) -> Metric:
        """As it stands on the page."""
        family = family_of(self.row)
        for labels, level in self.cells.items():
            family.add_metric(labels, level())
        return family


class Spread:
    """One histogram's buckets."""

    __slots__ = ("counts", "edges", "total")

    def __init__(self, edges: tuple[float, ...]) -> None:
        self.edges, self.counts, self.total = edges, [0] * (len(edges) + 1), 0.0

    def observe(self, value: float) -> None:
        """One more value."""
        self.counts[bisect_left(self.edges, value)] += 1
        self.total += value


class Spreads(dict[str, Spread]):
    """A histogram by its first label ("" when it has none); a value that has not been seen gets its buckets."""

    def __init__(self, row: Series, *rest: str) -> None:
        super().__init__()
        self.row, self._rest = row, rest
        if not row.labels:
            self[""]

    def __missing__(self, label: str) -> Spread:
        made = self[label] = Spread(self.row.buckets)
        return made

    def family(self) -> Metric:
        """As it stands on the page."""
        family = HistogramMetricFamily(self.row.name, self.row.help, labels=self.row.labels)
        for label, spread in self.items():
            edges = [*map(str, spread.edges), "+Inf"]
            buckets = list(zip(edges, map(float, accumulate(spread.counts)), strict=True))
            family.add_metric([label, *self._rest] if self.row.labels else [], buckets, spread.total)
        return family


class Metrics(Collector):
    """Every label has a closed set of values; none comes from a request."""

    def __init__(self, table: Mapping[str, Series]) -> None:
        """Raises KeyError when the table lacks a series."""
        self.requests = Counts(table["ballpark_requests_total"])
        self.request_seconds = Spreads(table["ballpark_request_duration_seconds"])
        self.stage_seconds = Spreads(table["ballpark_stage_duration_seconds"])
        self.branch_calls = Counts(table["ballpark_branch_calls_total"])
        self.branch_seconds = Spreads(table["ballpark_branch_duration_seconds"], TRACK)
        self.degraded = Counts(table["ballpark_degraded_total"])
        self.out_of_range = Counts(table["ballpark_out_of_range_total"])
        self.feature_reads = Counts(table["ballpark_feature_reads_total"])
        self.bundle = Level(table["ballpark_bundle_info"])
        self.in_flight = Level(table["ballpark_in_flight"])
        self.limit = Level(table["ballpark_limit"])
        self.shed = Counts(table["ballpark_shed_total"])
        self.key_refusals = Counts(table["ballpark_key_refusals_total"])
        self.queue_wait = Spreads(table["ballpark_queue_wait_seconds"])
        self.loop_lag = Spreads(table["ballpark_loop_lag_seconds"])

    @classmethod
    def register(cls, into: CollectorRegistry) -> Self:
        """Make all of them. Raises KeyError when the table lacks one."""
        made = cls(series.load())
        into.register(made)
        return made

    def collect(self) -> Iterator[Metric]:
        """The page, as prometheus_client wants it."""
        for own in vars(self).values():
            yield own.family()

    def record(self, route: str, status: int, took: float, trace: Trace) -> None:
        """One answered request; `took` is in seconds."""
        self.requests.add(route, str(status))
        self.request_seconds[route].observe(took)
        stages = self.stage_seconds
        for stage, seconds in trace.stages.items():
            stages[stage].observe(seconds)
        for call in trace.calls:
            self.branch_calls.add(call.branch.value, TRACK, call.outcome.value)
            self.branch_seconds[call.branch.value].observe(call.took)
        for entity, outcome in trace.reads:
            self.feature_reads.add(entity, outcome)
        for reason in trace.degraded:
            self.degraded.add(reason.value)
        for alarm in trace.alarms:
            self.out_of_range.add(alarm.value)
