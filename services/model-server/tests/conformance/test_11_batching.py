"""Section 11: batches: their parameters, their errors, padding and splitting."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from conftest import PREDICTION, Running, Start, arrays, config_of, copy_of, floats, request, run_to_end, wait_until
from tensorflow.core.example import example_pb2
from tensorflow_serving.apis import regression_pb2

SESSION = ":tensorflow:serving:batching_session:"
ONCE = ("--max_num_load_retries=0", "--load_retry_interval_micros=0", "--model_name=m")
WAIT = "batch_timeout_micros { value: 1500000 }"
FULL = (
    "The batch scheduling queue to which this task was submitted is full; currently 1 batches enqueued and "
    "max_enqueued_batches is 1"
)
SHAPES = (
    "Tensors with name '{0}' from different tasks have different shapes and padding is turned off. Set "
    "pad_variable_length_inputs to true, or ensure that all tensors with the same name have equal dimensions starting "
    "with the first dim."
)


def flags(models: Path, folder: Path, parameters: str, *more: str) -> list[str]:
    config, path = folder / "models.config", folder / "batching.config"
    config.write_text(
        config_of(*(models / name for name in ("half", "two", "total", "loop", "rows", "mixed", "examples")))
    )
    path.write_text(parameters)
    batching = ["--enable_batching=true", f"--batching_parameters_file={path}", "--grpc_max_threads=64"]
    return [f"--model_config_file={config}", *batching, *more]


@pytest.fixture(scope="module")
def batched(start: Start, models: Path, monitored: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Waits 1.5 s to fill batches of four rows, or two."""
    folder = tmp_path_factory.mktemp("batching")
    parameters = f"max_batch_size {{ value: 4 }} {WAIT} num_batch_threads {{ value: 1 }} allowed_batch_sizes: [2, 4]"
    with start(*flags(models, folder, parameters, monitored)) as running:
        yield running


@pytest.fixture(scope="module")
def padded(start: Start, models: Path, monitored: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Pads inputs of different length."""
    folder = tmp_path_factory.mktemp("padding")
    parameters = f"max_batch_size {{ value: 2 }} {WAIT} pad_variable_length_inputs: true"
    with start(*flags(models, folder, parameters, monitored)) as running:
        yield running


@pytest.fixture(scope="module")
def splitting(
    start: Start, models: Path, monitored: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    """Splits calls of up to ten rows over batches of four."""
    folder = tmp_path_factory.mktemp("splitting")
    parameters = (
        f"max_batch_size {{ value: 10 }} {WAIT} enable_large_batch_splitting {{ value: true }} "
        "max_execution_batch_size { value: 4 } allowed_batch_sizes: [4]"
    )
    with start(*flags(models, folder, parameters, monitored)) as running:
        yield running


def outcome(server: Running, asked: Any) -> Any:
    try:
        return arrays(server.predict(asked))
    except grpc.RpcError as error:
        return error.code().name, error.details()


def together(server: Running, asked: list[Any]) -> list[Any]:
    with ThreadPoolExecutor(len(asked)) as pool:
        return list(pool.map(lambda one: outcome(server, one), asked))


def runs(server: Running) -> float:
    return server.series(SESSION + "processed_batch_size_count").get("{}", 0)


def half(*values: float, **more: Any) -> Any:
    return request("half", {"x": floats(*values)}, **more)


def test_calls_are_merged(batched: Running) -> None:
    """Four calls of one row are one run, and each gets its own row."""
    before = runs(batched)

    assert [{"y": [i * 0.5 + 3.0], "z": [float(i)]} for i in range(4)] == together(batched, [half(i) for i in range(4)])
    assert 1 == runs(batched) - before


def test_a_call_alone_waits_for_its_timeout(batched: Running) -> None:
    """It runs when the first has waited `batch_timeout_micros`, padded to the next allowed size."""
    labels = '{execution_batch_size="2"}'
    before = batched.series(SESSION + "padding_size_sum").get(labels, 0)

    assert {"y": [3.0], "z": [0.0]} == outcome(batched, half(0))
    assert 1 == batched.series(SESSION + "padding_size_sum")[labels] - before


@pytest.mark.parametrize("name", ["y", "z"])
def test_other_outputs_are_another_queue(batched: Running, name: str) -> None:
    """Requests with different filters are never in one batch."""
    before = runs(batched)
    answers = together(batched, [half(2, output_filter=[name]), half(2)])

    assert [{name: [{"y": 4.0, "z": 2.0}[name]]}, {"y": [4.0], "z": [2.0]}] == answers
    assert 2 == runs(batched) - before


def test_other_models_are_other_queues(batched: Running) -> None:
    """So are models."""
    answers = together(batched, [half(2), request("rows", {"x": np.ones((1, 3), np.float32)}, output_filter=["sum"])])

    assert [{"y": [4.0], "z": [2.0]}, {"sum": [3.0]}] == answers


@pytest.mark.parametrize(
    ("asked", "code", "message"),
    [
        (
            request("half", {"x": np.float32(1)}),
            "INVALID_ARGUMENT",
            "Batching Run() input tensors must have at least one dimension",
        ),
        (
            request("two", {"numeric": np.ones((2, 4), np.float32), "categorical": np.ones((1, 2), np.int32)}),
            "INVALID_ARGUMENT",
            "Batching Run() input tensors must have equal 0th-dimension size",
        ),
        (half(*range(5)), "INVALID_ARGUMENT", "Task size 5 is larger than maximum input batch size 4"),
        (request("total", {"x": floats(1)}), "FAILED_PRECONDITION", "Batched output tensor has 0 dimensions"),
        (
            request("mixed", {"x": floats(1, 2)}),
            "FAILED_PRECONDITION",
            "Batched output tensor's 0th dimension does not equal the sum of the 0th dimension sizes of the input tensors",
        ),
    ],
    ids=["scalar in", "rows differ", "too many rows", "scalar out", "rows out"],
)
def test_what_batching_cannot_do(batched: Running, asked: Any, code: str, message: str) -> None:
    """Calls fail that the model alone would take."""
    assert (code, message) == batched.refusal(asked)


def test_no_inputs(batched: Running) -> None:
    """A signature without inputs cannot be batched."""
    code, message = batched.refusal(request("half", {}, signature="__saved_model_init_op"))

    assert ("INVALID_ARGUMENT", "Batching Run() must have at least one input tensor") == (code, message)


def test_one_bad_request_fails_its_batch(batched: Running) -> None:
    """Types that differ are found when the inputs are joined: all calls get the error."""
    answers = together(batched, [half(1), request("half", {"x": np.array([b"1"], object)})])

    assert ["INTERNAL", "INTERNAL"] == [code for code, _ in answers]
    assert all(message.startswith("Tensor concat operation failed: ") for _, message in answers)


def test_a_wrong_type_in_all(batched: Running) -> None:
    """A batch of one wrong type fails with the runtime's words."""
    bad = request("half", {"x": np.array([b"1"], object)})

    assert [("INVALID_ARGUMENT", "Expects arg[0] to be float but string is provided")] * 2 == together(
        batched, [bad, bad]
    )


def test_shapes_must_agree(batched: Running) -> None:
    """Without padding, inputs of different length fail the batch."""
    asked = [request("rows", {"x": np.ones((1, size), np.float32)}) for size in (2, 3)]

    assert [("FAILED_PRECONDITION", SHAPES.format("serving_default_x:0"))] * 2 == together(batched, asked)


def test_padding(padded: Running) -> None:
    """With padding each is filled to the longest, with its own first value."""
    asked = [request("rows", {"x": np.full((1, size), size, np.float32)}) for size in (2, 3)]

    assert [{"sum": [6.0], "width": [3]}, {"sum": [9.0], "width": [3]}] == together(padded, asked)


def regress(server: Running, value: float) -> Any:
    asked = regression_pb2.RegressionRequest()
    asked.model_spec.name, asked.model_spec.signature_name = "examples", "regress"
    example = example_pb2.Example()
    example.features.feature["x"].float_list.value.append(value)
    asked.input.example_list.examples.append(example)
    return server.call(PREDICTION + "Regress", asked, regression_pb2.RegressionResponse)


def test_classify_is_batched_too(batched: Running) -> None:
    """Examples of different calls are one run."""
    before = runs(batched)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda value: regress(batched, value), (1.0, 2.0, 3.0, 4.0)))

    assert [2.0, 4.0, 6.0, 8.0] == [answer.result.regressions[0].value for answer in answers]
    assert 1 == runs(batched) - before


@pytest.mark.parametrize(("rows", "count"), [(4, 1), (8, 2), (10, 3)])
def test_large_calls_are_split(splitting: Running, rows: int, count: int) -> None:
    """A call above the size of a batch is run in pieces and answered as a whole."""
    before = runs(splitting)

    assert [i * 0.5 + 3.0 for i in range(rows)] == outcome(splitting, half(*range(rows)))["y"]
    assert count == runs(splitting) - before


def test_splitting_has_a_limit(splitting: Running) -> None:
    """`max_batch_size` is still the largest call."""
    assert ("INVALID_ARGUMENT", "Task size 11 is larger than maximum input batch size 10") == splitting.refusal(
        half(*range(11))
    )


def test_an_error_in_a_piece_is_the_calls(splitting: Running) -> None:
    """One piece that fails fails the call."""
    asked = request("mixed", {"x": floats(*range(8))})

    assert "FAILED_PRECONDITION" == splitting.refusal(asked)[0]


def test_a_full_queue_is_unavailable(start: Start, models: Path, tmp_path: Path) -> None:
    """While the batch thread is busy, calls beyond `max_enqueued_batches` are refused."""
    parameters = "max_batch_size { value: 4 } max_enqueued_batches { value: 1 } num_batch_threads { value: 1 }"
    with start(*flags(models, tmp_path, parameters)) as server, server.channel() as channel:
        method = channel.unary_unary(PREDICTION + "Predict")
        asked = request("loop", {"turns": np.full(4, 2_000_000_000, np.int32)}).SerializeToString()
        calls = [method.future(asked, timeout=30) for _ in range(5)]
        wait_until(lambda: sum(call.done() for call in calls) == 3, "three refusals")
        refusals = [call.exception() for call in calls if call.done()]

    assert [(grpc.StatusCode.UNAVAILABLE, FULL)] * 3 == [(error.code(), error.details()) for error in refusals]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (
            "max_batch_size { value: 8 } allowed_batch_sizes: [2, 4]",
            "Last entry in allowed_batch_sizes must match max_batch_size; last entry was 4; expected 8",
        ),
        (
            "max_batch_size { value: 4 } allowed_batch_sizes: [4, 4]",
            "allowed_batch_sizes entries must be monotonically increasing",
        ),
    ],
)
def test_parameters_that_fail_the_load(models: Path, tmp_path: Path, parameters: str, message: str) -> None:
    """Sizes must ascend and end at the largest."""
    path = tmp_path / "batching.config"
    path.write_text(parameters)
    batching = ("--enable_batching=true", f"--batching_parameters_file={path}", *ONCE)
    status, output = run_to_end(f"--model_base_path={models / 'half'}", *batching)

    assert (255, True) == (status, f"INVALID_ARGUMENT: {message}" in output)


def test_parameters_by_version(start: Start, models: Path, tmp_path: Path, monitored: str) -> None:
    """With its flag each version has its own file, and a model without one is not batched."""
    base = copy_of(models, "half", tmp_path)
    (base / "00000003" / "batching_params.pbtxt").write_text("max_batch_size { value: 2 }")
    config = tmp_path / "models.config"
    config.write_text(config_of(base, models / "total"))
    by_version = ("--enable_batching=true", "--enable_per_model_batching_parameters=true", monitored)
    with start(f"--model_config_file={config}", *by_version) as server:
        assert {"total": 3.0} == arrays(server.predict(request("total", {"x": floats(1)})))
        assert ("INVALID_ARGUMENT", "Task size 3 is larger than maximum input batch size 2") == server.refusal(
            half(1, 2, 3)
        )
