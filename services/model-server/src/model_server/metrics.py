"""The metrics page, series by series as TensorFlow Serving writes it: colons in names, no HELP, one TYPE line for each.

Latencies are in microseconds and count successes only. The model's name in a label is the caller's, unchecked, as there.
"""

import threading
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from kit import series


def exponential(scale: float, growth: float, count: int) -> tuple[float, ...]:
    """The upper bounds of `count` buckets, each `growth` times the one before; a last one takes the rest."""
    return tuple(scale * growth**power for power in range(count))


_LATENCY: Final = exponential(10, 1.8, 33)
_EXAMPLES: Final = exponential(1, 2, 15)
_ROWS: Final = exponential(1, 2, 14)
_WAITING: Final = exponential(100, 1.2, 52)


class Counter:
    """A count for each set of label values."""

    def __init__(self, name: str, labels: Sequence[str] = ()) -> None:
        self.name, self._labels = name, labels
        self._values: dict[tuple[str, ...], int] = {}
        self._lock = threading.Lock()

    def add(self, *labels: str, by: int = 1) -> None:
        """So many more."""
        with self._lock:
            self._values[labels] = self._values.get(labels, 0) + by

    def total(self) -> int:
        """Over all label values."""
        with self._lock:
            return sum(self._values.values())

    def lines(self) -> list[str]:
        """The series in Prometheus text form."""
        with self._lock:
            values = dict(self._values)
        points = [f"{self.name}{{{_labels(self._labels, key)}}} {value}" for key, value in values.items()]
        return [f"# TYPE {self.name} counter", *points]


class Histogram:
    """How many values fell into each bucket, for each set of label values."""

    def __init__(self, name: str, bounds: Sequence[float], labels: Sequence[str] = ()) -> None:
        self.name, self._bounds, self._labels = name, bounds, labels
        self._counts: dict[tuple[str, ...], list[int]] = {}
        self._sums: dict[tuple[str, ...], float] = {}
        self._lock = threading.Lock()

    def observe(self, value: float, *labels: str) -> None:
        """Count one value."""
        place = bisect_left(self._bounds, value)
        with self._lock:
            if labels not in self._counts:
                self._counts[labels], self._sums[labels] = [0] * (len(self._bounds) + 1), 0.0
            self._counts[labels][place] += 1
            self._sums[labels] += value

    def total(self) -> int:
        """How many values, over all label values."""
        with self._lock:
            return sum(sum(counts) for counts in self._counts.values())

    def lines(self) -> list[str]:
        """The series in Prometheus text form."""
        with self._lock:
            points = [(key, list(counts), self._sums[key]) for key, counts in self._counts.items()]
        limits = [f"{bound:g}" for bound in self._bounds] + ["+Inf"]
        out = [f"# TYPE {self.name} histogram"]
        for key, counts, total in points:
            labels = _labels(self._labels, key)
            head = f"{self.name}_bucket{{{labels}{',' if labels else ''}"
            cumulative = list(accumulate(counts))
            out += [f'{head}le="{limit}"}} {count}' for limit, count in zip(limits, cumulative, strict=True)]
            out += [f"{self.name}_sum{{{labels}}} {total:g}", f"{self.name}_count{{{labels}}} {cumulative[-1]}"]
        return out


class Gauge:
    """Values that are read when somebody asks; `read` gives them by label values."""

    def __init__(self, name: str, labels: Sequence[str], read: Callable[[], Mapping[tuple[str, ...], float]]) -> None:
        self._name, self._labels, self._read = name, labels, read

    def lines(self) -> list[str]:
        """The series in Prometheus text form."""
        points = [f"{self._name}{{{_labels(self._labels, key)}}} {value:g}" for key, value in self._read().items()]
        return [f"# TYPE {self._name} gauge", *points]


@dataclass(slots=True)
class VersionMetrics:
    """Series of our own, which TensorFlow Serving does not have: what tells one version from another."""

    seconds: Histogram
    gauges: list[Gauge]


class Metrics:
    """The server's series: TensorFlow Serving's by name, and ours (`versions`) where they are switched on."""

    def __init__(self) -> None:
        serving = ":tensorflow:serving:"
        batching = serving + "batching_session:"
        self.requests = Counter(serving + "request_count", ("model_name", "status"))
        self.request_latency = Histogram(serving + "request_latency", _LATENCY, ("model_name", "API", "entrypoint"))
        self.runtime_latency = Histogram(serving + "runtime_latency", _LATENCY, ("model_name", "API", "runtime"))
        self.example_counts = Histogram(serving + "request_example_counts", _EXAMPLES, ("model",))
        self.example_count_total = Counter(serving + "request_example_count_total", ("model",))
        self.request_logs = Counter(serving + "request_log_count", ("model_name", "status_code"))
        self.warmup_latency = Histogram(serving + "model_warmup_latency", _LATENCY, ("model_path", "status"))
        self.warmup_records = Counter(serving + "model_warmup_records_read", ("model_path", "status"))
        self.queuing_latency = Histogram(batching + "queuing_latency", _WAITING, ("thread_pool_name",))
        self.wrapped_runs = Counter(batching + "wrapped_run_count")
        self.padding = Histogram(batching + "padding_size", _ROWS, ("execution_batch_size",))
        self.input_rows = Histogram(batching + "input_batch_size", _ROWS)
        self.processed_rows = Histogram(batching + "processed_batch_size", _ROWS)
        self.versions: VersionMetrics | None = None

    def page(self) -> str:
        """All series, those without values with their TYPE line alone."""
        shown: list[Counter | Histogram | Gauge] = [*self._theirs().values()]
        if self.versions is not None:
            shown += [self.versions.seconds, *self.versions.gauges]
        return "\n".join(line for one in shown for line in one.lines()) + "\n"

    def total(self, name: str) -> int:
        """How much a series of TensorFlow Serving's has counted so far, by its name with slashes; 0 for an unknown one."""
        found = self._theirs().get(name.replace("/", ":"))
        return found.total() if found is not None else 0

    def _theirs(self) -> dict[str, Counter | Histogram]:
        return {one.name: one for one in vars(self).values() if isinstance(one, Counter | Histogram)}


def version_metrics(
    loaded: Callable[[], Mapping[tuple[str, ...], float]], waiting: Callable[[], Mapping[tuple[str, ...], float]]
) -> VersionMetrics:
    """Our own series; `loaded` and `waiting` are asked for the values of the gauges."""
    table = series.load()
    seconds = table["ballpark_model_run_duration_seconds"]
    reads = {"ballpark_model_version_loaded": loaded, "ballpark_model_batch_waiting_rows": waiting}
    return VersionMetrics(
        Histogram(seconds.name, seconds.buckets, seconds.labels),
        [Gauge(name, table[name].labels, read) for name, read in reads.items()],
    )


def _labels(names: Sequence[str], values: Sequence[str]) -> str:
    return ",".join(f'{name}="{_escaped(value)}"' for name, value in zip(names, values, strict=True))


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')
