"""The gateway's series, made from the table in `kit.series` on a registry that is handed in."""

from dataclasses import dataclass
from typing import Self

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from gateway.domain.trace import Trace
from kit import series

TRACK = "stable"


@dataclass(frozen=True, slots=True)
class Metrics:
    """Every label has a closed set of values; none comes from a request."""

    requests: Counter
    request_seconds: Histogram
    stage_seconds: Histogram
    branch_calls: Counter
    branch_seconds: Histogram
    degraded: Counter
    in_flight: Gauge
    feature_reads: Counter
    bundle: Gauge
    shed: Counter
    out_of_range: Counter

    @classmethod
    def register(cls, into: CollectorRegistry) -> Self:
        """Make all of them. Raises KeyError when the table lacks one."""

        def counter(name: str) -> Counter:
            row = series.load()[name]
            return Counter(row.name, row.help, row.labels, registry=into)

        def gauge(name: str) -> Gauge:
            row = series.load()[name]
            return Gauge(row.name, row.help, row.labels, registry=into)

        def histogram(name: str) -> Histogram:
            row = series.load()[name]
            return Histogram(row.name, row.help, row.labels, buckets=row.buckets, registry=into)

        return cls(
            requests=counter("ballpark_requests_total"),
            request_seconds=histogram("ballpark_request_duration_seconds"),
            stage_seconds=histogram("ballpark_stage_duration_seconds"),
            branch_calls=counter("ballpark_branch_calls_total"),
            branch_seconds=histogram("ballpark_branch_duration_seconds"),
            degraded=counter("ballpark_degraded_total"),
            in_flight=gauge("ballpark_in_flight"),
            feature_reads=counter("ballpark_feature_reads_total"),
            bundle=gauge("ballpark_bundle_info"),
            shed=counter("ballpark_shed_total"),
            out_of_range=counter("ballpark_out_of_range_total"),
        )

    def record(self, route: str, status: int, took: float, trace: Trace) -> None:
        """One answered request; `took` is in seconds."""
        self.requests.labels(route, str(status)).inc()
        self.request_seconds.labels(route).observe(took)
        for stage, seconds in trace.stages.items():
            self.stage_seconds.labels(stage).observe(seconds)
        for call in trace.calls:
            self.branch_calls.labels(call.branch, TRACK, call.outcome).inc()
            self.branch_seconds.labels(call.branch, TRACK).observe(call.took)
        for entity, outcome in trace.reads:
            self.feature_reads.labels(entity, outcome).inc()
        for reason in trace.degraded:
            self.degraded.labels(reason).inc()
        for alarm in trace.alarms:
            self.out_of_range.labels(alarm).inc()
