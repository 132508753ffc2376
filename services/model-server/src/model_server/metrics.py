"""The metrics page, series by series as TensorFlow Serving writes it: colons in names, no HELP, one TYPE line for each.

Latencies are in microseconds and count successes only. The model's name in a label is the caller's, unchecked, as there.
"""

import threading
from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate
from typing import Final


def exponential(scale: float, growth: float, count: int) -> tuple[float, ...]:
    """The upper bounds of `count` buckets, each `growth` times the one before; a last one takes the rest."""
    return tuple(scale * growth**power for power in range(count))


_LATENCY: Final = exponential(10, 1.8, 33)
_ROWS: Final = exponential(1, 2, 14)
_WAITING: Final = exponential(100, 1.2, 52)


class Counter:
    """A count for each set of label values."""

    def __init__(self, name: str, labels: Sequence[str] = ()) -> None:
        self._name, self._labels = name, labels
        self._values: dict[tuple[str, ...], int] = {}
        self._lock = threading.Lock()

    def add(self, *labels: str) -> None:
        """One more."""
        with self._lock:
            self._values[labels] = self._values.get(labels, 0) + 1

    def lines(self) -> list[str]:
        """The series in Prometheus text form."""
        with self._lock:
            values = dict(self._values)
        points = [f"{self._name}{{{_labels(self._labels, key)}}} {value}" for key, value in values.items()]
        return [f"# TYPE {self._name} counter", *points]


class Histogram:
    """How many values fell into each bucket, for each set of label values."""

    def __init__(self, name: str, bounds: Sequence[float], labels: Sequence[str] = ()) -> None:
        self._name, self._bounds, self._labels = name, bounds, labels
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

    def lines(self) -> list[str]:
        """The series in Prometheus text form."""
        with self._lock:
            points = [(key, list(counts), self._sums[key]) for key, counts in self._counts.items()]
        limits = [f"{bound:g}" for bound in self._bounds] + ["+Inf"]
        out = [f"# TYPE {self._name} histogram"]
        for key, counts, total in points:
            labels = _labels(self._labels, key)
            head = f"{self._name}_bucket{{{labels}{',' if labels else ''}"
            cumulative = list(accumulate(counts))
            out += [f'{head}le="{limit}"}} {count}' for limit, count in zip(limits, cumulative, strict=True)]
            out += [f"{self._name}_sum{{{labels}}} {total:g}", f"{self._name}_count{{{labels}}} {cumulative[-1]}"]
        return out


class Metrics:
    """The server's own series."""

    def __init__(self) -> None:
        serving = ":tensorflow:serving:"
        batching = serving + "batching_session:"
        self.requests = Counter(serving + "request_count", ("model_name", "status"))
        self.request_latency = Histogram(serving + "request_latency", _LATENCY, ("model_name", "API", "entrypoint"))
        self.runtime_latency = Histogram(serving + "runtime_latency", _LATENCY, ("model_name", "API", "runtime"))
        self.warmup_latency = Histogram(serving + "model_warmup_latency", _LATENCY, ("model_path", "status"))
        self.queuing_latency = Histogram(batching + "queuing_latency", _WAITING, ("thread_pool_name",))
        self.wrapped_runs = Counter(batching + "wrapped_run_count")
        self.padding = Histogram(batching + "padding_size", _ROWS, ("execution_batch_size",))
        self.input_rows = Histogram(batching + "input_batch_size", _ROWS)
        self.processed_rows = Histogram(batching + "processed_batch_size", _ROWS)

    def page(self) -> str:
        """All series, those without values with their TYPE line alone."""
        series = [s for s in vars(self).values() if isinstance(s, Counter | Histogram)]
        return "\n".join(line for one in series for line in one.lines()) + "\n"


def _labels(names: Sequence[str], values: Sequence[str]) -> str:
    return ",".join(f'{name}="{_escaped(value)}"' for name, value in zip(names, values, strict=True))


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')
