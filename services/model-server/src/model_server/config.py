"""The configuration files: text-format protobuf messages, as frozen values of our own.

Commas, comments and `:` before `{` are as protobuf's text format has them. `BatchingParameters` and `MonitoringConfig` are
not in the published Python package, so their messages are described here; text format knows fields by name only.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format, wrappers_pb2
from tensorflow_serving.config import model_server_config_pb2

from kit import logs
from model_server.errors import Code, ServingError, invalid, unmet
from model_server.flags import CPUS, Flags

METRICS_PATH: Final = "/monitoring/prometheus/metrics"
PER_MODEL_FILE: Final = "batching_params.pbtxt"
PLATFORM: Final = "tensorflow"
_TENSORFLOW_TYPE: Final = 1  # the deprecated ModelType


@dataclass(frozen=True, slots=True)
class Latest:
    """Serve the `count` highest versions."""

    count: int = 1


@dataclass(frozen=True, slots=True)
class Every:
    """Serve all versions."""


@dataclass(frozen=True, slots=True)
class Specific:
    """Serve these versions, as far as they exist."""

    versions: tuple[int, ...]


Policy = Latest | Every | Specific


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """One model: where its version folders lie and which of them to serve."""

    name: str
    base_path: str
    policy: Policy = Latest()
    labels: tuple[tuple[str, int], ...] = ()
    platform: str = "tensorflow"


@dataclass(frozen=True, slots=True)
class BatchingParameters:
    """How calls are merged; sizes are in rows. `allowed_batch_sizes` ascends and ends at `max_batch_size`."""

    max_batch_size: int = 1000
    batch_timeout_micros: int = 0
    max_enqueued_batches: int = 10
    num_batch_threads: int = CPUS
    allowed_batch_sizes: tuple[int, ...] = ()
    pad_variable_length_inputs: bool = False
    enable_large_batch_splitting: bool = False
    max_execution_batch_size: int | None = None

    @property
    def largest(self) -> int:
        """Rows in a batch at most: requests may be larger only when they are split."""
        if self.enable_large_batch_splitting and self.max_execution_batch_size is not None:
            return self.max_execution_batch_size
        return self.max_batch_size

    def check(self) -> None:
        """Raises INVALID_ARGUMENT for sizes that TensorFlow Serving refuses when a model loads."""
        sizes = self.allowed_batch_sizes
        for name in ("max_batch_size", "max_enqueued_batches", "num_batch_threads"):
            if getattr(self, name) < 1:
                raise invalid(f"{name} must be positive; was {getattr(self, name)}")
        if self.batch_timeout_micros < 0:
            raise invalid(f"batch_timeout_micros must be non-negative; was {self.batch_timeout_micros}")
        if not 0 < self.largest <= self.max_batch_size:
            raise invalid(
                "max_execution_batch_size must be positive and not larger than max_batch_size; "
                f"was {self.largest}; max_batch_size is {self.max_batch_size}"
            )
        if sizes and sizes[-1] != self.largest:
            limit = "max_execution_batch_size" if self.enable_large_batch_splitting else "max_batch_size"
            raise invalid(
                f"Last entry in allowed_batch_sizes must match {limit}; "
                f"last entry was {sizes[-1]}; expected {self.largest}"
            )
        if list(sizes) != sorted(set(sizes)):
            raise invalid("allowed_batch_sizes entries must be monotonically increasing")


@dataclass(frozen=True, slots=True)
class Plan:
    """All that the flags' files say. `models` is None when the model config file holds no list at all."""

    models: tuple[ModelConfig, ...] | None
    batching: BatchingParameters
    metrics_path: str | None


def plan(flags: Flags) -> Plan:
    """Read and check everything that can be refused before anything is loaded. Raises `ServingError`."""
    if flags.port == 0 and not flags.grpc_socket_path:
        raise invalid("At least one of server_options.grpc_port or server_options.grpc_socket_path must be set.")
    if flags.batching_parameters_file and not flags.enable_batching:
        raise invalid(
            "server_options.batching_parameters_file is set without setting server_options.enable_batching to true."
        )
    both, one, between = (
        flags.tensorflow_session_parallelism,
        flags.tensorflow_intra_op_parallelism,
        flags.tensorflow_inter_op_parallelism,
    )
    if both > 0 and one > 0 and between > 0:
        raise invalid("Set either tensorflow_session_parallelism or the intra and inter op parallelism, not all three.")
    models = first_models(flags)
    shared = batching(flags.batching_parameters_file) if flags.batching_parameters_file else BatchingParameters()
    return Plan(models, shared, metrics_path(flags))


def first_models(flags: Flags) -> tuple[ModelConfig, ...] | None:
    """The models that the flags, or the file that they name, ask for. Raises `ServingError` as the start would fail."""
    if flags.model_config_file:
        models = read_models(flags.model_config_file)
    elif flags.model_base_path:
        models = (ModelConfig(flags.model_name, flags.model_base_path),)
    else:
        raise invalid("Both server_options.model_base_path and server_options.model_config_file are empty!")
    check(models or (), (), lambda _: flags.allow_version_labels_for_unavailable_models)
    return models


def read_models(path: str) -> tuple[ModelConfig, ...] | None:
    """The list of a model config file, not checked yet; None when there is no list in it. Raises `ServingError`."""
    return listed(_read(path, model_server_config_pb2.ModelServerConfig()))


def listed(message: Any) -> tuple[ModelConfig, ...] | None:
    """The list of a `ModelServerConfig`, not checked yet. Raises `ServingError` for a config of another kind."""
    kind = message.WhichOneof("config")
    if kind == "custom_model_config":
        raise ServingError(Code.UNIMPLEMENTED, "ModelServer does not yet support custom model config.")
    return None if kind is None else tuple(_model(item) for item in message.model_config_list.config)


def check(
    new: Sequence[ModelConfig], old: Sequence[ModelConfig], may_be_labelled: Callable[[tuple[str, str, int]], bool]
) -> None:
    """Raises what TensorFlow Serving says to this list after that one, in its order.

    `may_be_labelled` is asked for each (model, label, version).
    """
    for name, count in Counter(config.name for config in new).items():
        if count > 1:
            raise invalid(f"Illegal to list model {name} multiple times in config list")
    for config in new:
        if "://" not in config.base_path and not config.base_path.startswith("/"):
            raise invalid(
                f"Expected model {config.name} to have an absolute path or URI; got base_path()={config.base_path}"
            )
    before = {config.name: config.platform for config in old}
    for config in new:
        if before.get(config.name, config.platform) != config.platform:
            raise invalid(
                f"Illegal to change a model's platform. For model {config.name} platform was {before[config.name]} "
                f"and new platform requested is {config.platform}"
            )
    _check_labels(new, may_be_labelled)
    for config in new:
        _check_platform(config)


def _check_labels(configs: Sequence[ModelConfig], may_be_labelled: Callable[[tuple[str, str, int]], bool]) -> None:
    """Labels are checked before anything of the same list is loaded."""
    for config in configs:
        for label, version in config.labels:
            if not may_be_labelled((config.name, label, version)):
                raise unmet(
                    f"Request to assign label to version {version} of model {config.name}, which is not currently "
                    "available for inference"
                )


def _check_platform(config: ModelConfig) -> None:
    if not config.platform:
        raise invalid(
            "Illegal setting neither ModelServerConfig::model_type (deprecated) nor "
            f"ModelServerConfig::model_platform, model name is {config.name}"
        )
    if config.platform != PLATFORM:
        raise invalid(f"Model {config.name} requests unsupported platform {config.platform}")


def batching(path: str) -> BatchingParameters:
    """A `BatchingParameters` file; fields left out have the scheduler's defaults. Raises `ServingError`."""
    message = _read(path, _described()["BatchingParameters"]())
    wrapped = set(_WRAPPED) - {"thread_pool_name"}  # a name for profiles only
    given: dict[str, Any] = {name: getattr(message, name).value for name in wrapped if message.HasField(name)}
    return BatchingParameters(
        allowed_batch_sizes=tuple(message.allowed_batch_sizes),
        pad_variable_length_inputs=message.pad_variable_length_inputs,
        **given,
    )


def metrics_path(flags: Flags) -> str | None:
    """Where the metrics page lies, or None when no file switches it on. Raises `ServingError`."""
    if not flags.monitoring_config_file:
        return None
    prometheus = _read(flags.monitoring_config_file, _described()["MonitoringConfig"]()).prometheus_config
    return (prometheus.path or METRICS_PATH) if prometheus.enable else None


def session_config(flags: Flags) -> bytes:
    """The encoded `ConfigProto` of every session. Raises `ServingError`."""
    from model_server import protos  # noqa: PLC0415 -- only here, so that a refusal does not wait for messages it does not need

    made = protos.config_pb2.ConfigProto()
    if flags.tensorflow_session_config_file:
        _read(flags.tensorflow_session_config_file, made)
    both = flags.tensorflow_session_parallelism
    made.intra_op_parallelism_threads = (
        flags.tensorflow_intra_op_parallelism or both or made.intra_op_parallelism_threads
    )
    made.inter_op_parallelism_threads = (
        flags.tensorflow_inter_op_parallelism or both or made.inter_op_parallelism_threads
    )
    encoded: bytes = made.SerializeToString()
    return encoded


def _read(path: str, message: Any) -> Any:
    try:
        text = Path(path).read_text()
    except OSError as error:
        raise ServingError(Code.NOT_FOUND, f"{path}; {error.strerror}") from error
    try:
        return text_format.Parse(text, message)
    except text_format.ParseError as error:
        logs.get().error("bad_text_format", path=path, message=message.DESCRIPTOR.full_name, reason=str(error))
        raise invalid(f"Invalid protobuf file: '{path}'") from error


def _model(config: Any) -> ModelConfig:
    return ModelConfig(
        config.name,
        config.base_path,
        _policy(config.model_version_policy),
        tuple(sorted(config.version_labels.items())),
        config.model_platform or (PLATFORM if config.model_type == _TENSORFLOW_TYPE else ""),
    )


def _policy(message: Any) -> Policy:
    match message.WhichOneof("policy_choice"):
        case "all":
            return Every()
        case "specific":
            return Specific(tuple(message.specific.versions))
        case _:
            return Latest(max(message.latest.num_versions, 1))


_FIELD = descriptor_pb2.FieldDescriptorProto
_WRAPPED: Final = {
    "max_batch_size": "Int64Value",
    "batch_timeout_micros": "Int64Value",
    "max_enqueued_batches": "Int64Value",
    "num_batch_threads": "Int64Value",
    "thread_pool_name": "StringValue",
    "enable_large_batch_splitting": "BoolValue",
    "max_execution_batch_size": "Int64Value",
}


@cache
def _described() -> dict[str, Any]:
    """The classes of the messages that the package leaves out, in a pool of their own."""
    file = descriptor_pb2.FileDescriptorProto(
        name="model_server/config.proto",
        package="tensorflow.serving",
        syntax="proto3",
        dependency=["google/protobuf/wrappers.proto"],
    )

    def add(message: Any, name: str, kind: int, *, type_name: str = "", repeated: bool = False) -> None:
        label = _FIELD.LABEL_REPEATED if repeated else _FIELD.LABEL_OPTIONAL
        message.field.add(name=name, number=len(message.field) + 1, type=kind, type_name=type_name or None, label=label)

    parameters = file.message_type.add(name="BatchingParameters")
    for name, wrapper in _WRAPPED.items():
        add(parameters, name, _FIELD.TYPE_MESSAGE, type_name=f".google.protobuf.{wrapper}")
    add(parameters, "allowed_batch_sizes", _FIELD.TYPE_INT64, repeated=True)
    add(parameters, "pad_variable_length_inputs", _FIELD.TYPE_BOOL)
    prometheus = file.message_type.add(name="PrometheusConfig")
    add(prometheus, "enable", _FIELD.TYPE_BOOL)
    add(prometheus, "path", _FIELD.TYPE_STRING)
    monitoring = file.message_type.add(name="MonitoringConfig")
    add(monitoring, "prometheus_config", _FIELD.TYPE_MESSAGE, type_name=".tensorflow.serving.PrometheusConfig")

    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    pool.AddSerializedFile(file.SerializeToString())
    names = ("BatchingParameters", "MonitoringConfig")
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"tensorflow.serving.{name}"))
        for name in names
    }
