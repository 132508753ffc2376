"""The command line is read as TensorFlow's own flag parser reads it."""

from dataclasses import fields
from pathlib import Path

import pytest

from model_server import flags
from model_server.flags import CPUS, Flags, Parsed, channel_arguments, parse, usage


def test_defaults_are_tensorflow_servings() -> None:
    """An empty command line means what it means there."""
    flags = parse([]).flags

    assert (8500, 0, "default", 1, True, 5, 60_000_000, 4 * CPUS, "serve") == (
        flags.port,
        flags.rest_api_port,
        flags.model_name,
        flags.file_system_poll_wait_seconds,
        flags.enable_model_warmup,
        flags.max_num_load_retries,
        flags.load_retry_interval_micros,
        flags.grpc_max_threads,
        flags.saved_model_tags,
    )


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--port=1", "--port=2"], Parsed(Flags(port=2))),
        (["--enable_batching"], Parsed(Flags(enable_batching=True))),
        (["--enable_model_warmup=false"], Parsed(Flags(enable_model_warmup=False))),
        (["--model_base_path=/a=b"], Parsed(Flags(model_base_path="/a=b"))),
        (["--file_system_poll_wait_seconds=-1"], Parsed(Flags(file_system_poll_wait_seconds=-1))),
        (["--per_process_gpu_memory_fraction=0.5"], Parsed(Flags(per_process_gpu_memory_fraction=0.5))),
        (["--model_name="], Parsed(Flags(model_name=""))),
        (["--stranger=1", "--other"], Parsed(Flags(), unknown="--stranger=1")),
        (["--port", "1"], Parsed(Flags(), unknown="--port")),
        (["port=1"], Parsed(Flags(), unknown="port=1")),
        (["--enable_batching=1"], Parsed(Flags(), bad="--enable_batching=1")),
        (["--port=1x"], Parsed(Flags(), bad="--port=1x")),
        (["--port="], Parsed(Flags(), bad="--port=")),
        (["--help"], Parsed(Flags(), unknown="--help", bad="--help")),
    ],
)
def test_how_arguments_are_read(arguments: list[str], expected: Parsed) -> None:
    """Only `--name=value` and bare booleans are understood; the last of equal flags wins."""
    assert expected == parse(arguments)


def test_usage_names_every_flag() -> None:
    """The usage has a line for each flag, with its default."""
    text = usage("model_server")

    assert "\t--port=8500 " in text
    assert "\t--enable_batching=false " in text
    assert "\t--ballpark_drain_on_sigterm=false " in text


def test_channel_arguments() -> None:
    """Integers are passed as integers, the rest as text."""
    assert [("grpc.max_connection_age_ms", 5000), ("grpc.x", "y"), ("grpc.z", -1)] == channel_arguments(
        "grpc.max_connection_age_ms=5000,grpc.x=y,grpc.z=-1"
    )


def test_every_flag_with_an_effect_is_read_somewhere() -> None:
    """A flag that no module reads says so in the usage."""
    package = Path(flags.__file__).parent
    code = "".join(p.read_text(encoding="utf-8") for p in package.glob("*.py") if p.name != "flags.py")

    assert [] == [
        f.name for f in fields(Flags) if f"flags.{f.name}" not in code and "without effect" not in f.metadata["text"]
    ]
