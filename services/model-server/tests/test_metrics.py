"""The metrics page: names, labels and buckets as dashboards for TensorFlow Serving expect them."""

from collections.abc import Callable
from pathlib import Path

from conftest import Running, Start, floats, request, wait_until

from model_server.metrics import Counter, Histogram, exponential

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
