"""Section 1: how the command line is read, and what cannot start."""

from pathlib import Path

import pytest
from conftest import (
    Running,
    Start,
    accepts,
    arrays,
    config_of,
    end,
    floats,
    free_port,
    request,
    run_to_end,
    spawn,
    wait_until,
)

NUMBERS = [
    "port",
    "rest_api_port",
    "rest_api_num_threads",
    "rest_api_timeout_in_ms",
    "model_config_file_poll_wait_seconds",
    "file_system_poll_wait_seconds",
    "num_request_iterations_for_warmup",
    "max_num_load_retries",
    "load_retry_interval_micros",
    "num_load_threads",
    "num_unload_threads",
    "grpc_max_threads",
    "tensorflow_session_parallelism",
    "tensorflow_intra_op_parallelism",
    "tensorflow_inter_op_parallelism",
    "per_process_gpu_memory_fraction",
]
SWITCHES = [
    "rest_api_enable_cors_support",
    "allow_version_labels_for_unavailable_models",
    "enable_batching",
    "enable_per_model_batching_parameters",
    "enable_model_warmup",
    "enable_grpc_healthcheck_service",
    "enable_signature_method_name_check",
    "enable_serialization_as_tensor_content",
    "enable_profiler",
    "flush_filesystem_caches",
    "remove_unused_fields_from_bundle_metagraph",
    "prefer_tflite_model",
]
BOTH_EMPTY = "Both server_options.model_base_path and server_options.model_config_file are empty!"
NO_PORT = "At least one of server_options.grpc_port or server_options.grpc_socket_path must be set."
NO_BATCHING = "server_options.batching_parameters_file is set without setting server_options.enable_batching to true."


@pytest.mark.parametrize("name", NUMBERS)
def test_a_number_must_be_one(name: str) -> None:
    """A flag that is a number takes nothing else: usage on standard output, exit status 255."""
    status, output = run_to_end(f"--{name}=1x")

    assert (255, True) == (status, f"--{name}=" in output)


@pytest.mark.parametrize("name", SWITCHES)
def test_a_boolean_is_true_or_false(name: str) -> None:
    """A boolean flag does not take `yes` or `1`."""
    status, output = run_to_end(f"--{name}=yes")

    assert (255, True) == (status, f"--{name}=" in output)


def test_version() -> None:
    """Two lines, and exit status 0."""
    status, output = run_to_end("--version")

    assert (0, ["TensorFlow ModelServer", "TensorFlow Library"]) == (
        status, [line.partition(":")[0] for line in output.splitlines()]
    )  # fmt: skip


@pytest.mark.parametrize(
    ("flags", "code", "message"),
    [
        (["--port=0"], "INVALID_ARGUMENT", NO_PORT),
        ([], "INVALID_ARGUMENT", BOTH_EMPTY),
        (["--port", "0"], "INVALID_ARGUMENT", BOTH_EMPTY),
        (["--port=0", "--port=8500"], "INVALID_ARGUMENT", BOTH_EMPTY),
        (["--batching_parameters_file=/none", "--model_base_path=/none"], "INVALID_ARGUMENT", NO_BATCHING),
        (
            ["--model_base_path=a/b", "--model_name=n"],
            "INVALID_ARGUMENT",
            "Expected model n to have an absolute path or URI; got base_path()=a/b",
        ),
    ],
    ids=["no port", "no model", "space", "last wins", "batching", "relative"],
)
def test_what_cannot_start(flags: list[str], code: str, message: str) -> None:
    """The reason is the last line of standard output, the exit status 255."""
    status, output = run_to_end(*flags)

    assert (255, f"Failed to start server. Error: {code}: {message}") == (status, output.splitlines()[-1])


@pytest.mark.parametrize("flag", ["model_config_file", "batching_parameters_file", "monitoring_config_file"])
def test_a_file_that_is_no_text_format(tmp_path: Path, flag: str) -> None:
    """Every text-format file that does not parse is named."""
    path = tmp_path / "file"
    path.write_text("no { such: message")
    status, output = run_to_end("--model_base_path=/none", "--enable_batching=true", f"--{flag}={path}")

    assert (255, True) == (status, f"INVALID_ARGUMENT: Invalid protobuf file: '{path}'" in output)


def test_three_kinds_of_parallelism_are_too_many() -> None:
    """Only two of them, or the first alone, can be set."""
    names = ("session_parallelism", "intra_op_parallelism", "inter_op_parallelism")
    status, output = run_to_end("--model_base_path=/none", *(f"--tensorflow_{name}=1" for name in names))

    assert (255, True) == (status, "Failed to start server. Error: INVALID_ARGUMENT: " in output)


@pytest.mark.parametrize("stranger", ["--no_such_flag=1", "stranger"])
def test_an_unknown_argument_does_not_stop_the_start(start: Start, models: Path, stranger: str) -> None:
    """It is named, the usage is printed, and the server serves."""
    with start(f"--model_base_path={models / 'half'}", stranger) as server:
        assert f"unknown argument: {stranger}\n" in server.log.read_text()
        assert [3.0] == arrays(server.predict(request("default", {"x": floats(0)})))["y"]


def test_a_config_file_beats_the_flags_of_one_model(start: Start, models: Path, tmp_path: Path) -> None:
    """With a model config file, `model_name` and `model_base_path` do not count, not even a relative path."""
    path = tmp_path / "models.config"
    path.write_text(config_of(models / "half"))
    flags = (
        "--model_name=other",
        "--model_base_path=relative",
        "--num_tflite_pools=1",
        "--xla_cpu_compilation_enabled",
    )
    with start(f"--model_config_file={path}", *flags) as server:
        assert "NOT_FOUND" == server.refusal(request("other", {"x": floats(0)}))[0]
        assert [3.0] == arrays(server.predict(request("half", {"x": floats(0)})))["y"]


def test_rest_on_the_port_of_grpc_is_left_out(models: Path, tmp_path: Path) -> None:
    """Equal ports are an error in the log only: gRPC serves."""

    port = free_port()
    process = spawn([f"--model_base_path={models / 'half'}"], tmp_path / "log", (port, port))
    try:
        wait_until(lambda: accepts(port), "the port")
        running = Running(process, port, port, tmp_path / "log", 0.0)
        assert [3.0] == arrays(running.predict(request("default", {"x": floats(0)})))["y"]
    finally:
        end(process)
