"""The page of series: what prometheus_client would have written itself, from the table that the dashboards read."""

import math
from itertools import product
from typing import Any

import pytest
from hypothesis import given, strategies as st
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from support import BY_IDS, QUOTE, World, client

from gateway.api.metrics import TRACK, Metrics, Spread
from gateway.domain.reasons import Alarm, Branch, CallOutcome, Reason
from gateway.domain.trace import STAGES, Call, Trace
from kit import series

MOST_SERIES = 2000  # of one process (O11)
KINDS: dict[str, Any] = {"counter": Counter, "gauge": Gauge, "histogram": Histogram}


def page(registry: CollectorRegistry) -> list[str]:
    """What is scraped, in order, without the times of creation that ours does not have."""
    return sorted(line for line in generate_latest(registry).decode().splitlines() if "_created" not in line)


def trace() -> Trace:
    """Of a request in which everything happened."""
    return Trace(
        stages={stage: 0.001 * (n + 1) for n, stage in enumerate(STAGES)},
        calls=[Call(Branch.CLASSIFIER, CallOutcome.OK, 0.0025), Call(Branch.REGRESSOR, CallOutcome.TIMEOUT, 3.0)],
        reads=[("vehicle", "hit"), ("area", "stale")],
        degraded=(Reason.REGRESSOR_TIMEOUT, Reason.FEATURES_STALE),
        alarms=(Alarm.BOX,),
    )


def test_the_page_is_what_the_library_writes() -> None:
    """Names, kinds, help, labels, buckets, sums and counts."""
    own, library = CollectorRegistry(), CollectorRegistry()
    metrics = Metrics.register(own)
    metrics.in_flight.ask(lambda: 3)
    metrics.limit.ask(lambda: 128)
    metrics.bundle.set(1, "2026-01-01.1", TRACK)
    names = {family.name for family in metrics.collect()}
    theirs: dict[str, Any] = {}
    for row in series.load().values():
        if row.name.removesuffix("_total") in names:
            more = {"buckets": row.buckets} if row.kind == "histogram" else {}
            theirs[row.name] = KINDS[row.kind](row.name, row.help, row.labels, registry=library, **more)
    theirs["ballpark_in_flight"].set(3)
    theirs["ballpark_limit"].set(128)
    theirs["ballpark_bundle_info"].labels("2026-01-01.1", TRACK).set(1)
    for took in (0.0025, 0.004, 7.0):
        told = trace()
        metrics.record("/v1/quotes", 200, took, told)
        theirs["ballpark_requests_total"].labels("/v1/quotes", "200").inc()
        theirs["ballpark_request_duration_seconds"].labels("/v1/quotes").observe(took)
        for stage, seconds in told.stages.items():
            theirs["ballpark_stage_duration_seconds"].labels(stage).observe(seconds)
        for call in told.calls:
            theirs["ballpark_branch_calls_total"].labels(call.branch, TRACK, call.outcome).inc()
            theirs["ballpark_branch_duration_seconds"].labels(call.branch, TRACK).observe(call.took)
        for entity, outcome in told.reads:
            theirs["ballpark_feature_reads_total"].labels(entity, outcome).inc()
        for reason in told.degraded:
            theirs["ballpark_degraded_total"].labels(reason).inc()
        theirs["ballpark_out_of_range_total"].labels("box").inc()
    metrics.shed.add("full", "batch")
    theirs["ballpark_shed_total"].labels("full", "batch").inc()
    metrics.loop_lag[""].observe(0.003)
    theirs["ballpark_loop_lag_seconds"].observe(0.003)

    assert page(library) == page(own)


@given(st.lists(st.floats(0.0, 3.0)))
def test_every_value_is_in_one_bucket(values: list[float]) -> None:
    """The first whose edge it does not pass."""
    spread = Spread((0.005, 0.1, 1.0))
    for value in values:
        spread.observe(value)

    edges = (0.005, 0.1, 1.0, math.inf)
    assert [sum(v <= edge for v in values) for edge in edges] == [sum(spread.counts[: n + 1]) for n in range(4)]
    assert sum(values) == pytest.approx(spread.total)


async def test_no_request_makes_a_series() -> None:
    """Whatever is sent: labels come from closed sets."""
    world = World()
    async with client(world) as ask:
        await ask.post("/v1/quotes", json=BY_IDS)
        before = len(page(world.registry))
        for n, (method, header) in enumerate(product(("GET", "POST", "PUT"), ("Bearer x", "Basic y", ""))):
            await ask.request(
                method, f"/v1/{n}?x={n}", json=QUOTE, headers={"Authorization": header, "X-Request-Id": str(n)}
            )
            await ask.request(
                method, "/v1/quotes", json={"risk": {"driver": {"age": n}}}, headers={"Authorization": header}
            )
        after = len(page(world.registry))

    # 404 and 405 elsewhere; 401 and 405 of a call; its key; the histogram of the other routes
    assert after - before <= 6 + 2 + len(series.load()["ballpark_request_duration_seconds"].buckets) + 3
    assert after < MOST_SERIES
