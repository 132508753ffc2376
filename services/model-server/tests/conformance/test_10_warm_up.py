"""Section 10: warm-up files, with requests of every kind."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Start, arrays, copy_of, floats, predict_log, request, run_to_end, warm_up_with
from tensorflow.core.example import example_pb2
from tensorflow_serving.apis import prediction_log_pb2

ONCE = ("--max_num_load_retries=0", "--load_retry_interval_micros=0", "--model_name=m")
RUNS = ":tensorflow:serving:batching_session:wrapped_run_count"
WORD = request("any", {"word": np.array([b"a"], object)}, version=77)


def log(kind: str, fill: Callable[[Any], None]) -> bytes:
    made = prediction_log_pb2.PredictionLog()
    asked = getattr(made, kind).request
    fill(asked)
    asked.input.example_list.examples.append(example_pb2.Example())
    encoded: bytes = made.SerializeToString()
    return encoded


def spec(name: str, signature: str) -> Callable[[Any], None]:
    def fill(asked: Any) -> None:
        asked.model_spec.name, asked.model_spec.signature_name = name, signature

    return fill


def tasks(asked: Any) -> None:
    for signature, method in (("serving_default", "classify"), ("regress", "regress")):
        spec("any", signature)(asked.tasks.add(method_name=f"tensorflow/serving/{method}"))


KINDS = {
    "classify": log("classify_log", spec("any", "")),
    "regress": log("regress_log", spec("any", "regress")),
    "several": log("multi_inference_log", tasks),
    "predict": predict_log(request("any", {"inputs": np.array([b""], object)}, signature="row")),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_request(start: Start, models: Path, tmp_path: Path, monitored: str, kind: str) -> None:
    """Each runs, through the batcher, as often as asked, before the port opens; model and version do not count."""
    base = copy_of(models, "examples", tmp_path)
    warm_up_with(base / "1", KINDS[kind], KINDS[kind])
    flags = ("--model_name=m", "--enable_batching=true", "--num_request_iterations_for_warmup=3", monitored)
    with start(f"--model_base_path={base}", *flags) as server:
        assert {"{}": 6.0} == server.series(RUNS)


def test_metrics_of_warming_up(start: Start, models: Path, tmp_path: Path, monitored: str) -> None:
    """The time and the number of records are counted by folder and status; a record without a log is skipped."""
    base = copy_of(models, "words", tmp_path)
    warm_up_with(base / "1", predict_log(WORD), prediction_log_pb2.PredictionLog().SerializeToString())
    with start(f"--model_base_path={base}", "--model_name=m", monitored) as server:
        labels = f'{{model_path="{base / "1"}",status="OK"}}'
        assert 1 == server.series(":tensorflow:serving:model_warmup_latency_count")[labels]
        assert 0 == sum(server.series(":tensorflow:serving:request_count").values())


def no_type(kind: str) -> bytes:
    made = prediction_log_pb2.PredictionLog()
    getattr(made, kind).SetInParent()
    encoded: bytes = made.SerializeToString()
    return encoded


BAD = {
    "signature": (
        [predict_log(WORD), predict_log(request("m", {"word": floats(1)}, signature="gone"))],
        'FAILED_PRECONDITION: Serving signature key "gone" not found.}, }',
    ),
    "type": (
        [predict_log(request("m", {"word": floats(1)}))],
        "INVALID_ARGUMENT: Expects arg[0] to be string but float is provided}, }",
    ),
    "session": ([no_type("session_run_log")], "UNIMPLEMENTED: Unsupported log_type for warmup: 5}, }"),
    "streamed": ([no_type("predict_streamed_log")], "UNIMPLEMENTED: Unsupported log_type for warmup: 7}, }"),
    "no message": ([b"\xff\xff"], "INVALID_ARGUMENT: Failed to parse warmup record: "),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_record_fails_the_load(models: Path, tmp_path: Path, case: str) -> None:
    """With its own error."""
    records, reason = BAD[case]
    base = copy_of(models, "words", tmp_path)
    warm_up_with(base / "1", *records)
    status, output = run_to_end(f"--model_base_path={base}", *ONCE)

    assert (255, True) == (status, "due to error: " + reason in output)


@pytest.mark.parametrize("content", [b"no record at all", b"\x01", b"\0" * 40], ids=["text", "short", "zeros"])
def test_a_file_in_another_format(models: Path, tmp_path: Path, content: bytes) -> None:
    """DATA_LOSS, and a hint."""
    base = copy_of(models, "words", tmp_path)
    (base / "1" / "assets.extra").mkdir()
    (base / "1" / "assets.extra" / "tf_serving_warmup_requests").write_bytes(content)
    status, output = run_to_end(f"--model_base_path={base}", *ONCE)

    assert (255, True, True) == (
        status, "due to error: DATA_LOSS: " in output,
        ". Please verify your warmup data is in TFRecord format." in output,
    )  # fmt: skip


@pytest.mark.parametrize(("records", "status"), [(1000, None), (1001, 255)])
def test_too_many_records(models: Path, tmp_path: Path, start: Start, records: int, status: int | None) -> None:
    """A thousand are warmed up with; one more fails the load."""
    base = copy_of(models, "words", tmp_path)
    warm_up_with(base / "1", *[predict_log(WORD)] * records)
    if status is None:
        with start(f"--model_base_path={base}", "--model_name=m") as server:
            assert {"loud": [b"A"]} == arrays(server.predict(request("m", {"word": np.array([b"a"], object)})))
        return
    ended, output = run_to_end(f"--model_base_path={base}", *ONCE)
    path = base / "1" / "assets.extra" / "tf_serving_warmup_requests"
    message = f"INVALID_ARGUMENT: Number of warmup records exceeds the maximum (1000) at {path}"

    assert (status, True) == (ended, message in output)


def test_switched_off(start: Start, models: Path, tmp_path: Path) -> None:
    """Without warm-up a bad file does not matter."""
    base = copy_of(models, "words", tmp_path)
    warm_up_with(base / "1", b"\xff")
    shutil.copy(base / "1" / "saved_model.pb", base / "1" / "beside.pb")
    with start(f"--model_base_path={base}", "--model_name=m", "--enable_model_warmup=false") as server:
        assert {"loud": [b"A"]} == arrays(server.predict(request("m", {"word": np.array([b"a"], object)})))
