"""The command line: TensorFlow Serving's flags, read as its own parser reads them.

Only `--name=value` sets a value. A bare `--name` is true for a boolean. The last of equal flags wins. An unknown argument
is reported and the server starts all the same. Flags of our own begin with `--ballpark_`.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import Field, dataclass, field, fields
from typing import Any, Final

CPUS: Final = len(os.sched_getaffinity(0))
_IGNORED: Final = "accepted, without effect here"


def _flag(default: bool | float | str, text: str) -> Any:
    return field(default=default, metadata={"text": text})


@dataclass(frozen=True, slots=True)
class Flags:
    """Every flag with its default, in the order of the usage text."""

    port: int = _flag(8500, "TCP port of gRPC; 0 switches it off")
    grpc_socket_path: str = _flag("", "gRPC also on this UNIX socket")
    rest_api_port: int = _flag(0, "port of HTTP/REST; 0 switches it off; must differ from --port")
    rest_api_num_threads: int = _flag(4 * CPUS, "REST requests at once, and one; further requests wait")
    rest_api_timeout_in_ms: int = _flag(30000, "time that a run has which was asked for over REST")
    rest_api_enable_cors_support: bool = _flag(False, "send Access-Control-Allow-* headers with REST answers")
    model_name: str = _flag("default", "name of the model under --model_base_path")
    model_base_path: str = _flag("", "folder above the version folders; absolute")
    model_config_file: str = _flag("", "ModelServerConfig in text form; --model_name and --model_base_path are ignored")
    model_config_file_poll_wait_seconds: int = _flag(
        0, "seconds between two looks at --model_config_file; 0: never again"
    )
    file_system_poll_wait_seconds: int = _flag(1, "seconds between two looks for versions; 0: once, negative: never")
    allow_version_labels_for_unavailable_models: bool = _flag(False, "labels may name versions that are not loaded")
    enable_batching: bool = _flag(False, "merge concurrent calls into batches")
    batching_parameters_file: str = _flag("", "BatchingParameters in text form; needs --enable_batching")
    enable_per_model_batching_parameters: bool = _flag(False, "read batching_params.pbtxt in each version folder")
    enable_model_warmup: bool = _flag(True, "replay assets.extra/tf_serving_warmup_requests while loading")
    num_request_iterations_for_warmup: int = _flag(0, "times that each warm-up record runs, when above 0")
    max_num_load_retries: int = _flag(5, "tries of a load after the first that failed")
    load_retry_interval_micros: int = _flag(60_000_000, "microseconds between two tries; negative: none")
    num_load_threads: int = _flag(0, "later loads at once; 0: one at a time, and nothing else meanwhile")
    num_unload_threads: int = _flag(0, "unloads at once; 0: one at a time, and nothing else meanwhile")
    grpc_max_threads: int = _flag(4 * CPUS, "calls at once, and one; further calls are refused")
    grpc_channel_arguments: str = _flag("", "k=v,k=v: channel arguments of the gRPC server")
    enable_grpc_healthcheck_service: bool = _flag(False, "answer grpc.health.v1.Health/Check")
    monitoring_config_file: str = _flag("", "MonitoringConfig in text form: metrics on the REST port")
    saved_model_tags: str = _flag("serve", "tags of the meta graph, comma separated")
    enable_signature_method_name_check: bool = _flag(False, "accept only predict, classify and regress signatures")
    enable_serialization_as_tensor_content: bool = _flag(False, "answer with tensor_content instead of typed lists")
    tensorflow_session_parallelism: int = _flag(0, "threads inside and between ops")
    tensorflow_intra_op_parallelism: int = _flag(0, "threads inside one op")
    tensorflow_inter_op_parallelism: int = _flag(0, "ops run at once")
    tensorflow_session_config_file: str = _flag("", "ConfigProto in text form for the sessions")
    per_process_gpu_memory_fraction: float = _flag(0.0, _IGNORED)
    platform_config_file: str = _flag("", _IGNORED)
    ssl_config_file: str = _flag("", _IGNORED)
    enable_profiler: bool = _flag(True, _IGNORED)
    flush_filesystem_caches: bool = _flag(True, _IGNORED)
    remove_unused_fields_from_bundle_metagraph: bool = _flag(True, _IGNORED)
    prefer_tflite_model: bool = _flag(False, _IGNORED)
    num_tflite_pools: int = _flag(0, _IGNORED)
    num_tflite_interpreters_per_pool: int = _flag(0, _IGNORED)
    thread_pool_factory_config_file: str = _flag("", _IGNORED)
    mixed_precision: str = _flag("", _IGNORED)
    xla_cpu_compilation_enabled: bool = _flag(False, _IGNORED)
    xla_gpu_compilation_enabled: bool = _flag(False, _IGNORED)
    use_alts_credentials: bool = _flag(False, _IGNORED)
    skip_initialize_tpu: bool = _flag(False, _IGNORED)
    version: bool = _flag(False, "print the versions and stop")
    ballpark_drain_on_sigterm: bool = _flag(False, "SIGTERM lets calls in flight end; without it they are cut")
    ballpark_drain_seconds: int = _flag(30, "how long calls in flight then have")
    ballpark_host: str = _flag("", "the one IP address that both ports listen on; empty: all, as TensorFlow Serving")
    ballpark_version_metrics: bool = _flag(
        False, "ballpark_* series beside TensorFlow Serving's: by version, and waiting rows"
    )
    ballpark_trace_context: bool = _flag(False, "log each Predict call with the trace of its `traceparent`")
    ballpark_rest_connections: int = _flag(0, "REST connections at once; a further one gets 503; 0: any number")
    ballpark_rest_silence_seconds: int = _flag(0, "a REST connection that is silent for as long is closed; 0: never")
    ballpark_rest_body_bytes: int = _flag(0, "largest body of a REST request; above it 413; 0: any size")
    ballpark_log_level: str = _flag("INFO", "DEBUG, INFO, WARNING or ERROR")


@dataclass(frozen=True, slots=True)
class Parsed:
    """The flags, the first argument that no flag took, and the first value that could not be read."""

    flags: Flags
    unknown: str | None = None
    bad: str | None = None


def parse(arguments: Sequence[str]) -> Parsed:
    """Read a command line without its program name. Never raises: `bad` and `unknown` say what was wrong."""
    known = {f.name: f for f in fields(Flags)}
    values: dict[str, Any] = {}
    unknown: str | None = None
    bad = "--help" if arguments and arguments[0] == "--help" else None  # its parser asks for help by failing
    for argument in arguments:
        name, given, text = argument.removeprefix("--").partition("=")
        flag = known.get(name) if argument.startswith("--") else None
        if flag is None or (not given and flag.type is not bool):
            unknown = unknown or argument
            continue
        try:
            values[name] = _read(flag, text if given else "true")
        except ValueError:
            bad = bad or argument
    return Parsed(Flags(**values), unknown, bad)


def usage(program: str) -> str:
    """The text that an unknown or unreadable argument brings up."""
    lines = [f"usage: {program}", "Flags:"]
    for flag in fields(Flags):
        shown = str(flag.default).lower() if flag.type is bool else flag.default
        lines.append(f"\t--{flag.name + '=' + str(shown):<50}\t{_type_name(flag)}\t{flag.metadata['text']}")
    return "\n".join(lines) + "\n"


def channel_arguments(text: str) -> list[tuple[str, int | str]]:
    """`k=v,k=v` as gRPC takes it: a value that is an integer is passed as one."""
    found: list[tuple[str, int | str]] = []
    for item in filter(None, text.split(",")):
        key, _, value = item.partition("=")
        found.append((key, int(value) if value.removeprefix("-").isdecimal() else value))
    return found


def _boolean(text: str) -> bool:
    if text not in {"true", "false"}:
        raise ValueError(text)
    return text == "true"


def _integer(text: str) -> int:
    if not text.removeprefix("-").isascii() or not text.removeprefix("-").isdecimal():
        raise ValueError(text)
    return int(text)


_READERS: Final[dict[object, Callable[[str], Any]]] = {bool: _boolean, int: _integer, float: float, str: str}


def _read(flag: Field[Any], text: str) -> Any:
    return _READERS[flag.type](text)


def _type_name(flag: Field[Any]) -> str:
    return {bool: "bool", int: "int32", float: "float", str: "string"}[flag.type]  # type: ignore[index]  # a str only under deferred annotations
