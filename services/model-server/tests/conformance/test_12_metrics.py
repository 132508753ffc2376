"""Section 12: the metrics page: its switch, names, kinds, labels, buckets and counts."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import MODEL, Running, Start, floats, request
from tensorflow.core.example import example_pb2
from tensorflow_serving.apis import classification_pb2, get_model_status_pb2

SERVING = ":tensorflow:serving:"
BATCHING = SERVING + "batching_session:"
PAGE = "/monitoring/prometheus/metrics"
KINDS = {
    SERVING + "request_count": "counter",
    SERVING + "request_latency": "histogram",
    SERVING + "runtime_latency": "histogram",
    SERVING + "request_example_counts": "histogram",
    SERVING + "request_example_count_total": "counter",
    SERVING + "request_log_count": "counter",
    SERVING + "model_warmup_latency": "histogram",
    BATCHING + "queuing_latency": "histogram",
    BATCHING + "wrapped_run_count": "counter",
    BATCHING + "padding_size": "histogram",
    BATCHING + "input_batch_size": "histogram",
    BATCHING + "processed_batch_size": "histogram",
}
LATENCIES = ["10", "18", "32.4", "58.32", "104.976", "188.957"]


@pytest.fixture(scope="module")
def batched(start: Start, models: Path, monitored: str) -> object:
    """A server with batching and its page."""
    with start(f"--model_base_path={models / 'half'}", "--enable_batching=true", monitored) as running:
        running.predict(request("default", {"x": floats(1, 2, 3)}))
        yield running


@pytest.mark.parametrize("name", KINDS)
def test_a_series_has_its_type(server: Running, name: str) -> None:
    """Every series is announced once, with its kind, also when it has no values yet, and without HELP."""
    lines = server.get(PAGE).text.splitlines()

    assert [f"# TYPE {name} {KINDS[name]}"] == [line for line in lines if line.split()[:3] == ["#", "TYPE", name]]
    assert not [line for line in lines if line.startswith("# HELP")]


def test_the_page_needs_its_file(start: Start, models: Path) -> None:
    """Without monitoring it is 404."""
    with start(f"--model_base_path={models / 'half'}") as server:
        assert 404 == server.get(PAGE).status_code


@pytest.mark.parametrize(
    ("text", "path", "status"),
    [
        ("prometheus_config { enable: true path: '/metrics' }", "/metrics", 200),
        ("prometheus_config { enable: true path: '/metrics' }", PAGE, 404),
        ("prometheus_config { path: '/metrics' }", "/metrics", 404),
    ],
)
def test_the_pages_path(start: Start, models: Path, tmp_path: Path, text: str, path: str, status: int) -> None:
    """It lies where the file says, if the file enables it."""
    config = tmp_path / "monitoring.config"
    config.write_text(text)
    with start(f"--model_base_path={models / 'half'}", f"--monitoring_config_file={config}") as server:
        assert status == server.get(path).status_code


def test_the_pages_form(server: Running) -> None:
    """Plain text; a query string is refused."""
    answer, query = server.get(PAGE), server.get(PAGE + "?a=b")

    assert (200, "text/plain") == (answer.status_code, answer.headers["content-type"].partition(";")[0])
    assert (400, True) == (query.status_code, query.text.startswith(f"Unexpected path: {PAGE}?a=b"))


def bounds(server: Running, name: str, labels: str) -> list[str]:
    head = f"{name}_bucket{{{labels}"
    lines = [line for line in server.get(PAGE).text.splitlines() if line.startswith(head)]
    return [line.split('le="')[1].split('"')[0] for line in lines]


def test_buckets_of_latencies(server: Running) -> None:
    """34 of them: 10 times powers of 1.8 with six digits, and the rest."""
    server.predict(request("half", {"x": floats(1)}))
    found = bounds(server, SERVING + "request_latency", 'model_name="half",API="Predict",entrypoint="GRPC"')

    assert (34, LATENCIES, "1.47476e+09", "+Inf") == (len(found), found[:6], found[32], found[33])


def test_buckets_of_waiting(batched: Running) -> None:
    """52 powers of 1.2 from 100, and the rest; the pool's name is empty."""
    found = bounds(batched, BATCHING + "queuing_latency", 'thread_pool_name=""')

    assert (53, ["100", "120", "144"], "+Inf") == (len(found), found[:3], found[-1])


@pytest.mark.parametrize("name", ["input_batch_size", "processed_batch_size"])
def test_buckets_of_sizes(batched: Running, name: str) -> None:
    """14 powers of two, and the rest; three rows fall below four."""
    found = bounds(batched, BATCHING + name, "")

    assert (15, ["1", "2", "4"], "8192", "+Inf") == (len(found), found[:3], found[13], found[14])
    assert 3 == batched.series(BATCHING + name + "_sum")["{}"]


def grew(server: Running, name: str, labels: str, act: Callable[[], object]) -> float:
    before = server.series(name).get(labels, 0)
    act()
    return server.series(name).get(labels, 0) - before


def classify(server: Running) -> None:
    asked = classification_pb2.ClassificationRequest()
    asked.model_spec.name = "examples"
    asked.input.example_list.examples.extend([example_pb2.Example()] * 3)
    server.call("/tensorflow.serving.PredictionService/Classify", asked, classification_pb2.ClassificationResponse)


def predict(server: Running) -> None:
    server.predict(request("half", {"x": floats(1)}))


def fail(server: Running) -> None:
    server.refusal(request("half", {"x": np.array([1])}))


def rest(server: Running) -> None:
    server.post("/v1/models/half:predict", {"instances": [1.0]})


def rest_status(server: Running) -> None:
    server.get("/v1/models/half")


def rest_malformed(server: Running) -> None:
    server.get("/v1/models/half/")


def ask_status(server: Running) -> None:
    asked = get_model_status_pb2.GetModelStatusRequest()
    asked.model_spec.name = "half"
    server.call(MODEL + "GetModelStatus", asked, get_model_status_pb2.GetModelStatusResponse)


COUNT, LATENCY, RUNTIME = (
    SERVING + "request_count",
    SERVING + "request_latency_count",
    SERVING + "runtime_latency_count",
)
HALF_OK, HALF_BAD = '{model_name="half",status="OK"}', '{model_name="half",status="INVALID_ARGUMENT"}'
GRPC = '{model_name="half",API="Predict",entrypoint="GRPC"}'


@pytest.mark.parametrize(
    ("act", "name", "labels", "growth"),
    [
        (predict, COUNT, HALF_OK, 1),
        (predict, LATENCY, GRPC, 1),
        (predict, RUNTIME, '{model_name="half",API="Predict",runtime="TF1"}', 1),
        (fail, COUNT, HALF_BAD, 1),
        (fail, LATENCY, GRPC, 0),
        (classify, COUNT, '{model_name="examples",status="OK"}', 1),
        (classify, LATENCY, '{model_name="examples",API="Classify",entrypoint="GRPC"}', 1),
        (classify, SERVING + "request_example_count_total", '{model="examples"}', 3),
        (classify, SERVING + "request_example_counts_sum", '{model="examples"}', 3),
        (predict, SERVING + "request_example_count_total", '{model="half"}', 0),
        (rest, COUNT, HALF_OK, 1),
        (rest, LATENCY, '{model_name="half",API="predict",entrypoint="REST"}', 1),
        (rest_status, COUNT, HALF_OK, 1),
        (rest_status, LATENCY, '{model_name="half",API="",entrypoint="REST"}', 1),
        (rest_malformed, COUNT, '{model_name="",status="INVALID_ARGUMENT"}', 1),
        (ask_status, COUNT, HALF_OK, 0),
    ],
)
def test_what_counts(server: Running, act: Callable[[Running], None], name: str, labels: str, growth: int) -> None:
    """Successes have latencies, everything that is asked of a model is counted, status over gRPC is not."""
    assert growth == grew(server, name, labels, lambda: act(server))


def test_a_name_is_the_callers(server: Running) -> None:
    """The label is what the caller wrote, escaped."""
    server.refusal(request('a"b\\c', {}))

    assert 1 <= server.series(COUNT)['{model_name="a\\"b\\\\c",status="NOT_FOUND"}']
