"""Batches: the queue told the time, the arrays merged and cut, and merging of real calls over the wire."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from conftest import Running, Start, arrays, config_of, floats, request, wait_until

from model_server.batching import Queue, Task, cut, merge, padded_size, rows_of
from model_server.config import BatchingParameters
from model_server.errors import Code, ServingError

FULL = (
    "The batch scheduling queue to which this task was submitted is full; currently {0} batches enqueued and "
    "max_enqueued_batches is {0}"
)
SESSION = ":tensorflow:serving:batching_session:"


def task(*values: float) -> Task:
    return Task({"x:0": floats(*values)}, len(values))


def refused(act: Any) -> tuple[str, str]:
    with pytest.raises(ServingError) as caught:
        act()
    return caught.value.code.name, caught.value.message


def test_an_open_batch_waits_for_its_timeout() -> None:
    """The first call of a batch waits `batch_timeout_micros` for others, which join it."""
    queue = Queue(BatchingParameters(max_batch_size=4, batch_timeout_micros=2_000_000))
    queue.add(first := task(1), now=10.0)
    queue.add(second := task(2, 3), now=11.0)

    assert 12.0 == queue.ready_at()
    assert [first, second] == queue.take()
    assert float("inf") == queue.ready_at()


def test_a_full_batch_does_not_wait() -> None:
    """As soon as the rows reach the limit, the batch may run."""
    queue = Queue(BatchingParameters(max_batch_size=2, batch_timeout_micros=2_000_000))
    queue.add(task(1, 2), now=10.0)

    assert queue.ready_at() < 10.0


def test_a_call_that_does_not_fit_opens_the_next_batch() -> None:
    """Calls are never cut in two: the open batch closes and may run."""
    queue = Queue(BatchingParameters(max_batch_size=3, batch_timeout_micros=2_000_000))
    queue.add(first := task(1, 2), now=10.0)
    queue.add(second := task(3, 4), now=10.0)

    assert queue.ready_at() < 10.0
    assert [first] == queue.take()
    assert 12.0 == queue.ready_at()
    assert [second] == queue.take()


def test_a_full_row_of_batches_refuses() -> None:
    """The row holds `max_enqueued_batches`, the open one included."""
    queue = Queue(BatchingParameters(max_batch_size=1, max_enqueued_batches=2))
    queue.add(task(1), now=0)
    queue.add(task(2), now=0)

    assert ("UNAVAILABLE", FULL.format(2)) == refused(lambda: queue.add(task(3), now=0))


def test_a_call_above_the_limit_is_refused() -> None:
    """More rows than a batch may have never fit."""
    queue = Queue(BatchingParameters(max_batch_size=2))

    assert ("INVALID_ARGUMENT", "Task size 3 is larger than maximum input batch size 2") == refused(
        lambda: queue.add(task(1, 2, 3), now=0)
    )


@pytest.mark.parametrize(
    ("feeds", "message"),
    [
        ({}, "Batching Run() must have at least one input tensor"),
        ({"x:0": np.float32(1)}, "Batching Run() input tensors must have at least one dimension"),
        ({"x:0": floats(1), "y:0": floats(1, 2)}, "Batching Run() input tensors must have equal 0th-dimension size"),
    ],
)
def test_calls_without_common_rows_are_refused(feeds: dict[str, Any], message: str) -> None:
    """A batch needs inputs with one number of rows."""
    assert ("INVALID_ARGUMENT", message) == refused(lambda: rows_of(feeds))


@pytest.mark.parametrize(("rows", "size"), [(1, 2), (2, 2), (3, 8), (9, 9)])
def test_a_batch_grows_to_an_allowed_size(rows: int, size: int) -> None:
    """The next allowed size is taken; a batch above the largest keeps its own."""
    assert size == padded_size(rows, (2, 8))


def test_padding_repeats_the_last_calls_first_row() -> None:
    """Rows beyond the calls' own are copies, and are dropped from the answers."""
    parameters = BatchingParameters(max_batch_size=8, allowed_batch_sizes=(8,))
    merged = merge([task(1, 2), task(3, 4, 5)], parameters)

    assert [1, 2, 3, 4, 5, 3, 3, 3] == merged["x:0"].tolist()
    assert [[[1, 2]], [[3, 4, 5]]] == [[a.tolist() for a in own] for own in cut([merged["x:0"]], [2, 3], 8)]


def test_different_shapes_need_padding_to_be_on() -> None:
    """Without it the batch fails; with it each tensor is filled with its own first value."""
    tasks = [Task({"x:0": np.array([[1, 2]])}, 1), Task({"x:0": np.array([[3, 4, 5]])}, 1)]
    code, message = refused(lambda: merge(tasks, BatchingParameters()))

    assert "FAILED_PRECONDITION" == code
    assert message.startswith(
        "Tensors with name 'x:0' from different tasks have different shapes and padding is turned"
    )
    assert [[1, 2, 1], [3, 4, 5]] == merge(tasks, BatchingParameters(pad_variable_length_inputs=True))["x:0"].tolist()


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (np.float32(1), "Batched output tensor has 0 dimensions"),
        (
            floats(1),
            (
                "Batched output tensor's 0th dimension does not equal the sum of the 0th dimension sizes of the input "
                "tensors"
            ),
        ),
    ],
)
def test_an_output_must_have_the_batchs_rows(output: Any, message: str) -> None:
    """An output that cannot be cut apart fails the batch."""
    assert ("FAILED_PRECONDITION", message) == refused(lambda: cut([output], [1, 1], 2))


def test_allowed_sizes_must_end_at_the_largest() -> None:
    """A parameters file that TensorFlow Serving refuses is refused here."""
    with pytest.raises(ServingError) as caught:
        BatchingParameters(max_batch_size=8, allowed_batch_sizes=(2, 4)).check()

    assert (
        Code.INVALID_ARGUMENT,
        "Last entry in allowed_batch_sizes must match max_batch_size; last entry was 4; expected 8",
    ) == (caught.value.code, caught.value.message)


PARAMETERS = """
max_batch_size {{ value: 4 }}
batch_timeout_micros {{ value: {timeout} }}
max_enqueued_batches {{ value: {depth} }}
num_batch_threads {{ value: 1 }}
allowed_batch_sizes: 2
allowed_batch_sizes: 4
"""


def batching_flags(models: Path, folder: Path, *, timeout: int, depth: int) -> list[str]:
    config, parameters = folder / "models.config", folder / "batching.config"
    config.write_text(config_of(*(models / name for name in ("half", "two", "total", "loop"))))
    parameters.write_text(PARAMETERS.format(timeout=timeout, depth=depth))
    return [
        f"--model_config_file={config}",
        "--enable_batching=true",
        f"--batching_parameters_file={parameters}",
        "--grpc_max_threads=64",
    ]


@pytest.fixture(scope="module")
def batched(start: Start, models: Path, monitored: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server that waits 1.5 s to fill batches of four rows."""
    folder = tmp_path_factory.mktemp("batching")
    with start(*batching_flags(models, folder, timeout=1_500_000, depth=100), monitored) as running:
        yield running


def outcome(server: Running, asked: Any, timeout: float = 20) -> Any:
    """The outputs, or code and details."""
    try:
        return arrays(server.predict(asked, timeout))
    except grpc.RpcError as error:
        return error.code().name, error.details()


def together(server: Running, asked: list[Any]) -> list[Any]:
    with ThreadPoolExecutor(len(asked)) as pool:
        return list(pool.map(lambda one: outcome(server, one), asked))


def test_concurrent_calls_are_merged(batched: Running) -> None:
    """Four calls of one row are one run, and each gets its own row."""
    before = batched.series(SESSION + "processed_batch_size_count").get("{}", 0)
    answers = together(batched, [request("half", {"x": floats(i)}) for i in range(4)])

    assert [{"y": [i * 0.5 + 3.0], "z": [float(i)]} for i in range(4)] == answers
    assert 1 == batched.series(SESSION + "processed_batch_size_count")["{}"] - before


def test_calls_with_other_outputs_are_not_merged(batched: Running) -> None:
    """Another output filter is another queue."""
    before = batched.series(SESSION + "processed_batch_size_count").get("{}", 0)
    answers = together(batched, [request("half", {"x": floats(2)}, output_filter=[name]) for name in ("y", "z")])

    assert [{"y": [4.0]}, {"z": [2.0]}] == answers
    assert 2 == batched.series(SESSION + "processed_batch_size_count")["{}"] - before


def test_the_order_of_outputs_makes_no_other_batch(batched: Running) -> None:
    """Calls for the same outputs are merged, and each has its own answer in its own order."""
    before = batched.series(SESSION + "processed_batch_size_count").get("{}", 0)
    filters = [("y", "z"), ("z", "y")] * 2
    answers = together(batched, [request("half", {"x": floats(i)}, output_filter=f) for i, f in enumerate(filters)])

    assert [{"y": [i * 0.5 + 3.0], "z": [float(i)]} for i in range(4)] == answers
    assert 1 == batched.series(SESSION + "processed_batch_size_count")["{}"] - before


def test_a_batch_is_padded(batched: Running) -> None:
    """Three rows run as four, and three come back."""
    labels = '{execution_batch_size="4"}'
    before = batched.series(SESSION + "padding_size_sum").get(labels, 0)

    assert [3.0, 3.5, 4.0] == outcome(batched, request("half", {"x": floats(0, 1, 2)}))["y"]
    assert 1 == batched.series(SESSION + "padding_size_sum")[labels] - before


def test_one_bad_request_fails_its_batch(batched: Running) -> None:
    """All calls that were merged get the error that one of them caused."""
    good = request("half", {"x": floats(1)})
    bad = request("half", {"x": np.array([b"1"], object)})
    answers = together(batched, [good, bad])

    assert ["INTERNAL", "INTERNAL"] == [code for code, _ in answers]
    assert all(message.startswith("Tensor concat operation failed: ") for _, message in answers)


@pytest.mark.parametrize(
    ("asked", "code", "message"),
    [
        (
            request("half", {"x": np.float32(1)}),
            "INVALID_ARGUMENT",
            "Batching Run() input tensors must have at least one dimension",
        ),
        (
            request("half", {"x": floats(*range(5))}),
            "INVALID_ARGUMENT",
            "Task size 5 is larger than maximum input batch size 4",
        ),
        (request("total", {"x": floats(1)}), "FAILED_PRECONDITION", "Batched output tensor has 0 dimensions"),
    ],
)
def test_what_batching_cannot_do(batched: Running, asked: Any, code: str, message: str) -> None:
    """Scalars in or out, and too many rows, fail though the model alone would take them."""
    assert (code, message) == batched.refusal(asked)


def test_a_full_queue_is_unavailable(start: Start, models: Path, tmp_path: Path) -> None:
    """While the one batch thread is busy, calls beyond `max_enqueued_batches` are refused at once."""
    turns = np.full(4, 2_000_000_000, np.int32)  # four rows fill a batch
    with start(*batching_flags(models, tmp_path, timeout=0, depth=1)) as server, server.channel() as channel:
        method = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
        asked = request("loop", {"turns": turns}).SerializeToString()
        calls = [method.future(asked, timeout=30) for _ in range(5)]
        wait_until(lambda: sum(call.done() for call in calls) == 3, "three refusals")
        refusals = [call.exception() for call in calls if call.done()]

    assert [grpc.StatusCode.UNAVAILABLE] * 3 == [error.code() for error in refusals]
    assert {FULL.format(1)} == {error.details() for error in refusals}


def test_calls_that_expired_in_the_queue_are_not_run(start: Start, models: Path, tmp_path: Path) -> None:
    """A batch whose calls have all expired fails instead of running, and the next one is answered."""
    turns = np.full(4, 2_000_000_000, np.int32)
    with start(*batching_flags(models, tmp_path, timeout=0, depth=5)) as server:
        assert "DEADLINE_EXCEEDED" == server.refusal(request("loop", {"turns": turns}), timeout=0.5)[0]
        assert {"y": [3.0], "z": [0.0]} == outcome(server, request("half", {"x": floats(0)}))
