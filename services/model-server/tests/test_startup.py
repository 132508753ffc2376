"""The life of the process: what it waits for, when it gives up, when its ports open, and how it ends."""

import shutil
import signal
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from conftest import (
    ENDLESS,
    OURS,
    PREDICTION,
    Start,
    accepts,
    arrays,
    config_of,
    copy_of,
    end,
    floats,
    free_port,
    predict_log,
    request,
    run_to_end,
    running_calls,
    spawn,
    states,
    wait_until,
    warm_up_with,
)
from tensorflow_serving.apis import prediction_log_pb2

ONCE = ("--max_num_load_retries=0", "--load_retry_interval_micros=0")
only_ours = pytest.mark.skipif(not OURS, reason="a flag of this server only")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            ["--port=0"],
            "At least one of server_options.grpc_port or server_options.grpc_socket_path must be set.",
        ),
        ([], "Both server_options.model_base_path and server_options.model_config_file are empty!"),
        (
            ["--batching_parameters_file=/none", "--model_base_path=/none"],
            "server_options.batching_parameters_file is set without setting server_options.enable_batching to true.",
        ),
        (["--model_base_path=a/b"], "Expected model default to have an absolute path or URI; got base_path()=a/b"),
    ],
)
def test_flags_that_cannot_start(flags: list[str], message: str) -> None:
    """A contradiction in the flags ends the process with 255 and its reason on standard output."""
    assert (255, f"Failed to start server. Error: INVALID_ARGUMENT: {message}\n") == run_to_end(*flags)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model_config_list { config { nme: 'a' } }", "INVALID_ARGUMENT: Invalid protobuf file: '{path}'"),
        (
            "model_config_list { config { name: 'a' base_path: '/a' } }",
            (
                "INVALID_ARGUMENT: Illegal setting neither ModelServerConfig::model_type (deprecated) nor "
                "ModelServerConfig::model_platform, model name is a"
            ),
        ),
        (
            "model_config_list { config { name: 'a' base_path: '/a' model_platform: 'x' } }",
            "INVALID_ARGUMENT: Model a requests unsupported platform x",
        ),
        (
            (
                "model_config_list { config { name: 'a' base_path: '/a' model_platform: 'tensorflow' }, "
                "config { name: 'a' base_path: '/b' model_platform: 'tensorflow' } }"
            ),
            "INVALID_ARGUMENT: Illegal to list model a multiple times in config list",
        ),
        (
            (
                "model_config_list { config { name: 'a' base_path: '/a' model_platform: 'tensorflow' "
                "version_labels { key: 'best' value: 2 } } }"
            ),
            (
                "FAILED_PRECONDITION: Request to assign label to version 2 of model a, which is not currently "
                "available for inference"
            ),
        ),
    ],
    ids=["unknown field", "no platform", "platform", "twice", "label"],
)
def test_config_files_that_cannot_start(tmp_path: Path, text: str, message: str) -> None:
    """A bad model config file ends the process with TensorFlow Serving's reason."""
    path = tmp_path / "models.config"
    path.write_text(text)

    assert (255, f"Failed to start server. Error: {message.format(path=path)}\n") == run_to_end(
        f"--model_config_file={path}"
    )


def test_a_model_that_does_not_load_ends_the_start(models: Path, tmp_path: Path) -> None:
    """After the last try the process says which version failed and why, and ends with 255."""
    base = copy_of(models, "words", tmp_path)
    (base / "1" / "saved_model.pb").write_bytes(b"no such graph")
    status, output = run_to_end(f"--model_base_path={base}", "--model_name=words", *ONCE)

    assert 255 == status
    assert output.startswith(
        "Failed to start server. Error: UNKNOWN: 1 servable(s) did not become available: "
        "{{name: words version: 1} due to error: "
    )


def test_a_failing_warm_up_fails_the_load(models: Path, tmp_path: Path) -> None:
    """A warm-up request that the model refuses keeps the version from serving, with the request's error."""
    base = copy_of(models, "half", tmp_path)
    shutil.rmtree(base / "1")
    good, bad = request("any", {"x": floats(1)}), request("any", {"x": floats(1)}, signature="gone")
    warm_up_with(base / "00000003", predict_log(good), predict_log(bad))
    status, output = run_to_end(f"--model_base_path={base}", *ONCE)

    assert 255 == status
    assert 'due to error: FAILED_PRECONDITION: Serving signature key "gone" not found.}, }' in output


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"no record at all", "due to error: DATA_LOSS: "),
        (None, "due to error: UNIMPLEMENTED: Unsupported log_type for warmup: "),
    ],
)
def test_a_warm_up_file_that_is_none(models: Path, tmp_path: Path, content: bytes | None, reason: str) -> None:
    """A file in another format, or with requests that cannot be replayed, fails the load."""
    base = copy_of(models, "words", tmp_path)
    log = prediction_log_pb2.PredictionLog()
    log.session_run_log.SetInParent()
    warm_up_with(base / "1", log.SerializeToString())
    if content is not None:
        (base / "1" / "assets.extra" / "tf_serving_warmup_requests").write_bytes(content)
    status, output = run_to_end(f"--model_base_path={base}", *ONCE)

    assert (255, True) == (status, reason in output)


def test_warm_up_can_be_switched_off(start: Start, models: Path, tmp_path: Path) -> None:
    """Without warm-up, a bad warm-up file does not matter."""
    base = copy_of(models, "words", tmp_path)
    warm_up_with(base / "1", struct.pack("<Q", 1))
    with start(f"--model_base_path={base}", "--model_name=words", "--enable_model_warmup=false") as server:
        asked = request("words", {"word": np.array([b"a"], object)})

        assert {"loud": [b"A"]} == arrays(server.predict(asked))


def test_warm_up_runs_through_the_batcher(start: Start, models: Path, tmp_path: Path, monitored: str) -> None:
    """Every record runs as often as asked, merged as calls are, before the port opens."""
    base = copy_of(models, "words", tmp_path)
    warm_up_with(base / "1", *[predict_log(request("any", {"word": np.array([b"a"], object)}))] * 3)
    flags = ("--model_name=words", "--enable_batching=true", "--num_request_iterations_for_warmup=2", monitored)
    with start(f"--model_base_path={base}", *flags) as server:
        assert {"{}": 6.0} == server.series(":tensorflow:serving:batching_session:wrapped_run_count")


def test_ports_open_only_when_all_models_are_up(models: Path, tmp_path: Path) -> None:
    """While one model has no version yet, nothing listens, though the other one is loaded; then both serve."""
    late = tmp_path / "words"
    late.mkdir()  # without a version: a base path that is missing would keep the other model from loading, too
    config = tmp_path / "models.config"
    config.write_text(config_of(models / "half", late))
    port, log = free_port(), tmp_path / "log"
    process = spawn([f"--model_config_file={config}"], log, (port, 0))
    try:
        wait_until(lambda: b"half" in log.read_bytes() and b"loaded" in log.read_bytes().lower(), "the first model")
        assert not accepts(port)
        shutil.copytree(models / "words" / "1", tmp_path / "ready")
        (tmp_path / "ready").rename(late / "1")
        wait_until(lambda: accepts(port), "the port")
    finally:
        end(process)


def test_labels_when_they_are_allowed(start: Start, models: Path, tmp_path: Path) -> None:
    """With the flag a label may name a version from the start, and a request may use it."""
    config = tmp_path / "models.config"
    labels = (
        "model_version_policy { all {} } version_labels { key: 'old' value: 1 } version_labels { key: 'x' value: 9 }"
    )
    config.write_text(config_of(models / "half", more=labels))
    with start(f"--model_config_file={config}", "--allow_version_labels_for_unavailable_models=true") as server:
        wait_until(
            lambda: states(server, "half").get(1) == "AVAILABLE", "version 1: a start waits for one version only"
        )
        old = server.predict(request("half", {"x": floats(0)}, label="old"))

        assert ([2.0], 1, "") == (arrays(old)["y"], old.model_spec.version.value, old.model_spec.version_label)
        assert ("NOT_FOUND", "Servable not found for request: Specific(half, 9)") == server.refusal(
            request("half", {"x": floats(0)}, label="x")
        )


def test_an_empty_config_serves_no_model(start: Start, tmp_path: Path) -> None:
    """The server starts; labels are then said not to be there yet."""
    config = tmp_path / "models.config"
    config.write_text("")
    with start(f"--model_config_file={config}") as server:
        assert ("UNAVAILABLE", "Model labels does not init yet.best") == server.refusal(request("a", {}, label="best"))


def test_an_unknown_flag_does_not_stop_the_start(start: Start, models: Path) -> None:
    """The stranger and the usage are printed, and the server serves."""
    with start(f"--model_base_path={models / 'half'}", "--no_such_flag=1") as server:
        assert "unknown argument: --no_such_flag=1\nusage: " in server.log.read_text()
        assert [3.0] == arrays(server.predict(request("default", {"x": floats(0)})))["y"]


def test_answers_as_tensor_content_on_demand(start: Start, models: Path) -> None:
    """One flag turns typed lists into tensor_content, another switches health checks on, a socket serves beside TCP."""
    with start(
        f"--model_base_path={models / 'half'}",
        "--enable_serialization_as_tensor_content=true",
        "--enable_grpc_healthcheck_service=true",
    ) as server:
        answer = server.predict(request("default", {"x": floats(0, 2)}))
        with server.channel() as channel:
            health = channel.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=20)

        assert (floats(3, 4).tobytes(), []) == (
            answer.outputs["y"].tensor_content,
            list(answer.outputs["y"].float_val),
        )
        assert b"\x08\x01" == health


def test_a_unix_socket(start: Start, models: Path, tmp_path: Path) -> None:
    """gRPC serves on a socket, too."""
    path = tmp_path / "grpc.sock"
    with (
        start(f"--model_base_path={models / 'half'}", f"--grpc_socket_path={path}"),
        grpc.insecure_channel(f"unix:{path}") as channel,
    ):
        asked = request("default", {"x": floats(0)}).SerializeToString()

        assert channel.unary_unary(PREDICTION + "Predict")(asked, timeout=20)


def test_calls_beyond_the_threads_are_refused(start: Start, models: Path) -> None:
    """With three threads two calls run, and further ones are refused at once instead of waiting."""
    with (
        start(f"--model_base_path={models / 'loop'}", "--model_name=loop", "--grpc_max_threads=3") as server,
        server.channel() as channel,
    ):
        method = channel.unary_unary(PREDICTION + "Predict")
        calls = [method.future(ENDLESS, timeout=60) for _ in range(5)]
        wait_until(lambda: sum(call.done() for call in calls) >= 3, "three refusals", within_s=30)
        refusals = [call.exception() for call in calls if call.done()]

        assert [grpc.StatusCode.RESOURCE_EXHAUSTED] * 3 == [error.code() for error in refusals]


def answered(server: Any, asked: Any) -> bool:
    try:
        server.predict(asked)
    except grpc.RpcError:
        return False
    return True


def test_a_deadline_ends_the_run(start: Start, models: Path) -> None:
    """A run past its caller's deadline is cancelled: its one thread is free for the next call."""
    with start(f"--model_base_path={models / 'loop'}", "--model_name=loop", "--grpc_max_threads=2") as server:
        code, _ = server.refusal(request("loop", {"turns": np.full(1, 2_000_000_000, np.int32)}), timeout=0.3)
        short = request("loop", {"turns": np.full(1, 3, np.int32)})
        wait_until(lambda: answered(server, short), "the thread")

    assert "DEADLINE_EXCEEDED" == code


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_process_at_once(start: Start, models: Path, number: signal.Signals) -> None:
    """As a plain process the server has no handler: it dies of the signal and calls in flight are cut."""
    with (
        start(f"--model_base_path={models / 'loop'}", "--model_name=loop") as server,
        server.channel() as channel,
    ):
        call = channel.unary_unary(PREDICTION + "Predict").future(ENDLESS, timeout=30)
        wait_until(lambda: running_calls(server), "the call")
        server.process.send_signal(number)

        assert -number == server.process.wait(10)
        assert grpc.StatusCode.UNAVAILABLE == call.exception(10).code()


@only_ours
def test_sigterm_drains_on_demand(start: Start, models: Path) -> None:
    """With the flag, calls in flight end, new ones are refused, and the exit status is 0."""
    flags = ("--model_name=loop", "--ballpark_drain_on_sigterm=true")
    with (
        start(f"--model_base_path={models / 'loop'}", *flags) as server,
        server.channel() as channel,
    ):
        turns = request("loop", {"turns": np.full(1, 100_000, np.int32)}).SerializeToString()
        call = channel.unary_unary(PREDICTION + "Predict").future(turns, timeout=30)
        wait_until(lambda: running_calls(server), "the call")
        server.process.send_signal(signal.SIGTERM)
        wait_until(lambda: b"draining" in server.log.read_bytes(), "the signal")
        in_time = not call.done()

        assert call.result(30)
        assert in_time
        assert 0 == server.process.wait(10)


@only_ours
def test_a_drain_has_an_end(start: Start, models: Path) -> None:
    """A call that does not end in the time of the drain is cut, and the process is gone with 0 as promised."""
    flags = ("--model_name=loop", "--ballpark_drain_on_sigterm=true", "--ballpark_drain_seconds=1")
    with (
        start(f"--model_base_path={models / 'loop'}", *flags) as server,
        server.channel() as channel,
    ):
        call = channel.unary_unary(PREDICTION + "Predict").future(ENDLESS, timeout=60)
        wait_until(lambda: running_calls(server), "the call")
        server.process.send_signal(signal.SIGTERM)

        assert 0 == server.process.wait(10)
        assert call.exception(10) is not None


@only_ours
def test_one_address_for_both_ports(start: Start, models: Path) -> None:
    """With the flag nothing listens elsewhere; without it, everywhere, as TensorFlow Serving does."""
    path = f"--model_base_path={models / 'half'}"
    with start(path) as everywhere, start(path, "--ballpark_host=127.0.0.1") as here:
        reached = [
            [accepts(port, host) for port in (server.port, server.rest_port) for host in ("127.0.0.1", "127.0.0.2")]
            for server in (everywhere, here)
        ]

    assert [[True, True, True, True], [True, False, True, False]] == reached


@only_ours
def test_usage_and_version() -> None:
    """`--help` prints the usage, a bad value too and with 255, `--version` two lines."""
    status, output = run_to_end("--version")
    lines = output.splitlines()

    assert (0, 2) == (status, len(lines))
    assert lines[0].startswith("TensorFlow ModelServer: ")
    assert lines[1].startswith("TensorFlow Library: 2.21")
    assert (255, "usage: ") == ((bad := run_to_end("--port=x"))[0], bad[1][:7])
    assert "usage: " == run_to_end("--help")[1][:7]


@only_ours
def test_serving_imports_nothing_of_tensorflows_python() -> None:
    """Messages only: anything else would double the time to the first answer, and the memory."""
    code = "import sys, model_server.server; print([m for m in ('keras', 'tensorflow._api', 'tensorflow.python') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "[]" == done.stdout.strip()
