"""The metrics page: names, labels and buckets as dashboards for TensorFlow Serving expect them."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import OURS, PREDICTION, Running, Start, floats, request, wait_until

from model_server.metrics import Counter, Histogram, exponential

only_ours = pytest.mark.skipif(not OURS, reason="flags of this server only")

SERVING = ":tensorflow:serving:"
OK, MISSING = '{model_name="half",status="OK"}', '{model_name="absent",status="NOT_FOUND"}'
GRPC = '{model_name="half",API="Predict",entrypoint="GRPC"}'


def grew(server: Running, name: str, labels: str, act: Callable[[], object]) -> float:
    before = server.series(name).get(labels, 0)
    act()
    return server.series(name).get(labels, 0) - before


def test_a_success_is_counted_and_timed(server: Running) -> None:
    """A Predict call is one request of status OK and one value in each latency."""
    ask = lambda: server.predict(request("half", {"x": floats(1)}))  # noqa: E731 -- three times the same act

    assert 1 == grew(server, SERVING + "request_count", OK, ask)
    assert 1 == grew(server, SERVING + "request_latency_count", GRPC, ask)
    assert 1 == grew(server, SERVING + "runtime_latency_count", '{model_name="half",API="Predict",runtime="TF1"}', ask)


def test_a_failure_is_counted_by_code_only(server: Running) -> None:
    """A refused call is counted under its code; latencies are of successes."""
    server.refusal(request("absent", {"x": floats(1)}))

    assert 1 <= server.series(SERVING + "request_count")[MISSING]
    assert not [labels for labels in server.series(SERVING + "request_latency_count") if "absent" in labels]


def test_the_page_needs_its_flag(start: Start, models: Path) -> None:
    """Without the monitoring file there is no such page."""
    with start(f"--model_base_path={models / 'half'}") as server:
        assert 404 == server.get("/monitoring/prometheus/metrics").status_code


def test_a_query_is_refused(server: Running) -> None:
    """The page's path is matched with its query string."""
    answer = server.get("/monitoring/prometheus/metrics?a=b")

    assert (400, "Unexpected path: /monitoring/prometheus/metrics?a=b") == (answer.status_code, answer.text)


def test_rest_requests_are_counted(server: Running) -> None:
    """Every request under /v1/ counts, with the model's name where it has one."""
    server.get("/v1/models/half/")

    wait_until(lambda: '{model_name="",status="INVALID_ARGUMENT"}' in server.series(SERVING + "request_count"), "count")


@only_ours
def test_versions_can_have_series_of_their_own(start: Start, models: Path, monitored: str) -> None:
    """With our flag the page tells versions apart, and how many rows wait; without it there is nothing of ours."""
    labels = '{model="default",version="3"}'
    with start(f"--model_base_path={models / 'half'}", "--ballpark_version_metrics=true", monitored) as server:
        server.predict(request("default", {"x": floats(1)}))

        assert [1, 1, 0] == [
            server.series(f"ballpark_model_{name}")[labels]
            for name in ("run_duration_seconds_count", "version_loaded", "batch_waiting_rows")
        ]


@only_ours
def test_theirs_alone_without_the_flag(server: Running) -> None:
    """A dashboard for TensorFlow Serving finds its series and no others."""
    assert "ballpark_" not in server.get("/monitoring/prometheus/metrics").text


@only_ours
def test_calls_can_be_logged_with_their_trace(start: Start, models: Path) -> None:
    """With our flag each Predict call is an event with the trace and the span of its caller."""
    trace, span = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    flags = (f"--model_base_path={models / 'half'}", "--ballpark_trace_context=true")
    with start(*flags) as server, server.channel() as channel:
        call = channel.unary_unary(PREDICTION + "Predict")
        metadata = (("traceparent", f"00-{trace}-{span}-01"),)
        assert call(request("default", {"x": floats(1)}).SerializeToString(), metadata=metadata, timeout=20)
        wait_until(lambda: "predicted" in server.log.read_text(), "the event")
        event = next(json.loads(line) for line in server.log.read_text().splitlines() if '"predicted"' in line)

    assert (trace, span, "default", 3) == (event["trace_id"], event["parent_id"], event["model"], event["version"])


def test_buckets_are_printed_with_six_digits() -> None:
    """34 buckets: 10 times powers of 1.8, and the rest."""
    histogram = Histogram(":a:b", exponential(10, 1.8, 33), ("model_name",))
    histogram.observe(18.0, 'a"b\\')
    lines = histogram.lines()

    assert "# TYPE :a:b histogram" == lines[0]
    assert ':a:b_bucket{model_name="a\\"b\\\\",le="10"} 0' == lines[1]
    assert ["10", "18", "32.4", "58.32", "104.976", "188.957"] == [
        line.split('le="')[1].split('"')[0] for line in lines[1:7]
    ]
    assert (34, "1.47476e+09", "+Inf") == (
        len(lines) - 3, lines[33].split('le="')[1].split('"')[0], lines[34].split('le="')[1].split('"')[0]
    )  # fmt: skip
    assert [':a:b_sum{model_name="a\\"b\\\\"} 18', ':a:b_count{model_name="a\\"b\\\\"} 1'] == lines[-2:]


def test_a_series_without_values_has_its_type() -> None:
    """Empty series show their TYPE line; a series without labels has empty braces."""
    counter = Counter(":a:count")
    before = counter.lines()
    counter.add()

    assert ["# TYPE :a:count counter"] == before
    assert ["# TYPE :a:count counter", ":a:count{} 1"] == counter.lines()
