"""Starts the server under test, as a process with real models, on free ports.

`MODEL_SERVER_CMD` names another command to test, for instance a `tensorflow_model_server`; flags are added to it.
"""

import importlib.util
import json
import os
import shlex
import shutil
import socket
import subprocess
import sys
import time
import types
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import httpx2
import ml_dtypes
import numpy as np
import pytest


def _register_namespace() -> None:
    """Messages import the package `tensorflow`, of which nothing else is needed here: a bare namespace saves five seconds."""
    spec = importlib.util.find_spec("tensorflow")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    namespace = types.ModuleType("tensorflow")
    namespace.__path__ = list(spec.submodule_search_locations)
    namespace.__spec__ = spec
    sys.modules.setdefault("tensorflow", namespace)


_register_namespace()

from tensorflow.core.framework import tensor_pb2, types_pb2  # noqa: E402 -- only after the namespace is there
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2, predict_pb2, prediction_log_pb2  # noqa: E402

COMMAND = shlex.split(os.environ.get("MODEL_SERVER_CMD", f"{shlex.quote(sys.executable)} -m model_server"))
OURS = "MODEL_SERVER_CMD" not in os.environ
PREDICTION, MODEL = "/tensorflow.serving.PredictionService/", "/tensorflow.serving.ModelService/"


@dataclass(frozen=True)
class Running:
    """A server that answers."""

    process: subprocess.Popen[bytes]
    port: int
    rest_port: int
    log: Path
    started_s: float

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.port}"

    @contextmanager
    def channel(self) -> Iterator[Any]:
        options = [("grpc.max_receive_message_length", -1), ("grpc.use_local_subchannel_pool", 1)]
        with grpc.insecure_channel(self.target, options=options) as channel:
            yield channel

    def call(self, path: str, request: Any, response: Any, timeout: float | None = 20.0) -> Any:
        """One call by messages; raises `grpc.RpcError`."""
        with self.channel() as channel:
            method = channel.unary_unary(path, type(request).SerializeToString, response.FromString)
            return method(request, timeout=timeout)

    def predict(self, request: Any, timeout: float | None = 20.0) -> Any:
        return self.call(PREDICTION + "Predict", request, predict_pb2.PredictResponse, timeout)

    def refusal(self, request: Any, timeout: float | None = 20.0) -> tuple[str, str]:
        """Code and details of a Predict call that must fail."""
        with pytest.raises(grpc.RpcError) as caught:
            self.predict(request, timeout)
        return caught.value.code().name, caught.value.details()

    def metadata(self, request: Any) -> Any:
        return self.call(PREDICTION + "GetModelMetadata", request, get_model_metadata_pb2.GetModelMetadataResponse)

    def status(self, request: Any) -> Any:
        return self.call(MODEL + "GetModelStatus", request, get_model_status_pb2.GetModelStatusResponse)

    def get(self, path: str, method: str = "GET", body: Any = None, **headers: str) -> httpx2.Response:
        """One REST request, whatever its method; header names with `_` for `-`."""
        content = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        url = f"http://127.0.0.1:{self.rest_port}{path}"
        return httpx2.request(method, url, content=content, headers=named, timeout=20)

    def post(self, path: str, body: Any, **headers: str) -> httpx2.Response:
        return self.get(path, "POST", body, **headers)

    def series(self, name: str) -> dict[str, float]:
        """Labels -> value of one series of the metrics page."""
        lines = self.get("/monitoring/prometheus/metrics").text.splitlines()
        points = (line.removeprefix(name).rsplit(" ", 1) for line in lines if line.startswith(name + "{"))
        return {labels: float(value) for labels, value in points}


Start = Callable[..., AbstractContextManager[Running]]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def accepts(port: int, host: str = "127.0.0.1") -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((host, port)) == 0


def wait_until(condition: Callable[[], bool], what: str, within_s: float = 60) -> None:
    """Look again and again until it holds; fails with `what` when the time is over."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, f"waited {within_s} s for {what}"
        time.sleep(0.02)


QUANTISED = {"qint8": "i1", "quint8": "u1", "qint32": "<i4", "qint16": "<i2", "quint16": "<u2"}
NUMPY: dict[int, Any] = {
    types_pb2.DataType.Value(f"DT_{name.upper()}"): np.dtype(kind)
    for name, kind in (
        ("float", "<f4"), ("double", "<f8"), ("int32", "<i4"), ("uint8", "u1"), ("int16", "<i2"), ("int8", "i1"),
        ("complex64", "<c8"), ("int64", "<i8"), ("bool", "?"), ("uint16", "<u2"), ("complex128", "<c16"),
        ("half", "<f2"), ("uint32", "<u4"), ("uint64", "<u8"), ("bfloat16", ml_dtypes.bfloat16), ("string", object),
        *((name, [(name, kind)]) for name, kind in QUANTISED.items()),
    )
}  # fmt: skip
CODES = {dtype: code for code, dtype in NUMPY.items()}
LISTS = {1: "float_val", 2: "double_val", 9: "int64_val", 10: "bool_val", 22: "uint32_val", 23: "uint64_val"}


def tensor(values: Any) -> Any:
    """A TensorProto as clients make it: numbers as tensor_content, or a list where there is one only."""
    array = np.asarray(values)
    made = tensor_pb2.TensorProto(dtype=7 if array.dtype.kind in "OSU" else CODES[array.dtype])
    made.tensor_shape.SetInParent()
    for size in array.shape:
        made.tensor_shape.dim.add(size=size)
    if made.dtype == 7:
        made.string_val.extend(
            item if isinstance(item, bytes) else item.encode() for item in array.reshape(-1).tolist()
        )
    else:
        made.tensor_content = array.tobytes()
    return made


def array_of(made: Any) -> Any:
    """The array of an answer, from its typed list or its tensor_content."""
    shape = [dim.size for dim in made.tensor_shape.dim]
    if made.dtype == 7:
        return np.array([*made.string_val, None], object)[:-1].reshape(shape)
    dtype = NUMPY[made.dtype]
    if made.tensor_content:
        return np.frombuffer(made.tensor_content, dtype).reshape(shape)
    if made.dtype in {14, 19}:
        return np.array(made.half_val, np.uint16).view(dtype).reshape(shape)
    if made.dtype in {8, 18}:
        parts = made.scomplex_val if made.dtype == 8 else made.dcomplex_val
        return np.array(parts, np.float32 if made.dtype == 8 else np.float64).view(dtype).reshape(shape)
    values = list(getattr(made, LISTS.get(made.dtype, "int_val")))
    return np.array([(value,) for value in values] if dtype.names else values, dtype).reshape(shape)


def request(
    model: str,
    inputs: Mapping[str, Any],
    *,
    version: int | None = None,
    label: str = "",
    signature: str = "",
    output_filter: Sequence[str] = (),
) -> Any:
    """A PredictRequest of protobuf's own making."""
    made = predict_pb2.PredictRequest(output_filter=output_filter)
    made.model_spec.name = model
    made.model_spec.signature_name = signature
    if version is not None:
        made.model_spec.version.value = version
    if label:
        made.model_spec.version_label = label
    for name, values in inputs.items():
        made.inputs[name].CopyFrom(tensor(values))
    return made


def refused(act: Callable[[], object]) -> tuple[str, str]:
    """Code and details of a call that must fail."""
    with pytest.raises(grpc.RpcError) as caught:
        act()
    return caught.value.code().name, caught.value.details()


def floats(*values: float) -> Any:
    return np.array(values, np.float32)


def arrays(response: Any) -> dict[str, Any]:
    return {name: array_of(tensor).tolist() for name, tensor in response.outputs.items()}


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of all test models."""
    root = tmp_path_factory.mktemp("models")
    script = Path(__file__).with_name("make_models.py")
    subprocess.run([sys.executable, str(script), str(root)], check=True, capture_output=True)
    return root


def config_of(*base_paths: Path, more: str = "") -> str:
    """A model config file's text; each model has its folder's name, and the fields of `more`."""
    models = (
        f"  config {{ name: '{path.name}', base_path: '{path}', model_platform: 'tensorflow' {more} }},\n"
        for path in base_paths
    )
    return "model_config_list: {\n" + "".join(models) + "}\n"


def spawn(flags: Sequence[str], log: Path, ports: tuple[int, int]) -> subprocess.Popen[bytes]:
    with log.open("wb") as out:
        return subprocess.Popen(
            [*COMMAND, f"--port={ports[0]}", f"--rest_api_port={ports[1]}", *flags], stdout=out, stderr=out
        )


def end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait(30)


@pytest.fixture(scope="session")
def start(tmp_path_factory: pytest.TempPathFactory) -> Start:
    """Starts servers: `with start("--flag=value", ...) as server`. Each is killed at the end of its block."""

    @contextmanager
    def started(*flags: str) -> Iterator[Running]:
        log = tmp_path_factory.mktemp("server") / "log"
        ports = (free_port(), free_port())
        begun = time.monotonic()
        process = spawn(flags, log, ports)
        try:
            wait_until(lambda: accepts(ports[1]) or process.poll() is not None, "the REST port")
            assert process.poll() is None, log.read_text()
            yield Running(process, *ports, log, time.monotonic() - begun)
        finally:
            end(process)

    return started


@pytest.fixture(scope="session")
def monitored(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The flag that switches the metrics page on."""
    path = tmp_path_factory.mktemp("monitoring") / "monitoring.config"
    path.write_text("prometheus_config { enable: true }\n")
    return f"--monitoring_config_file={path}"


@pytest.fixture(scope="session")
def server(start: Start, models: Path, monitored: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One server with all models, without batching, that most tests share."""
    path = tmp_path_factory.mktemp("config") / "models.config"
    names = ("half", "two", "words", "total", "loop", "filled", "texts", "rows", "mixed", "types", "examples")
    path.write_text(config_of(*(models / name for name in names), more="model_version_policy { all {} }"))
    with start(f"--model_config_file={path}", monitored, "--grpc_max_threads=9") as running:
        both = {1: "AVAILABLE", 3: "AVAILABLE"}
        wait_until(lambda: states(running, "half") == both, "both versions: a start waits for one of them only")
        yield running


def publish(source: Path, base: Path, number: int | str) -> None:
    """A version as one should publish it: whole, by renaming."""
    base.mkdir(parents=True, exist_ok=True)
    aside = base.parent / f"{base.name}-{number}-copy"
    shutil.copytree(source, aside)
    aside.rename(base / str(number))


def states(server: Running, model: str) -> dict[int, str]:
    """Version -> state, as GetModelStatus says; {} for a model that nobody knows."""
    asked = get_model_status_pb2.GetModelStatusRequest()
    asked.model_spec.name = model
    try:
        found = server.status(asked).model_version_status
    except grpc.RpcError:
        return {}
    names = get_model_status_pb2.ModelVersionStatus.State
    return {version.version: names.Name(version.state) for version in found}


ENDLESS = request("loop", {"turns": np.full(1, 2_000_000_000, np.int32)}).SerializeToString()


def run_to_end(*flags: str) -> tuple[int, str]:
    """Exit status and standard output of a server that does not start."""
    ended = subprocess.run([*COMMAND, *flags], capture_output=True, text=True, timeout=60, check=False)
    return ended.returncode, ended.stdout


def copy_of(models: Path, name: str, folder: Path) -> Path:
    """The model alone, to be changed: its base path."""
    shutil.copytree(models / name, folder / name)
    return folder / name


def warm_up_with(version: Path, *records: bytes) -> None:
    from tensorflow.python.lib.io.tf_record import TFRecordWriter  # noqa: PLC0415 -- 1.5 s, and few tests need it

    (version / "assets.extra").mkdir()
    with TFRecordWriter(str(version / "assets.extra" / "tf_serving_warmup_requests")) as writer:
        for record in records:
            writer.write(record)


def predict_log(asked: Any) -> bytes:
    log = prediction_log_pb2.PredictionLog()
    log.predict_log.request.CopyFrom(asked)
    encoded: bytes = log.SerializeToString()
    return encoded


def running_calls(server: Any) -> bool:
    """The process has begun to compute: more CPU time in 20 ms than an idle server uses."""
    before = cpu_ticks(server.process.pid)
    wait_until(lambda: cpu_ticks(server.process.pid) > before + 5, "CPU time")
    return True


def cpu_ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "conformance" in item.path.parts:
            item.add_marker(pytest.mark.conformance)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """One line for each section of the conformance suite."""
    sections: dict[str, Counter[str]] = {}
    for outcome_, reports in terminalreporter.stats.items():
        for report in reports:
            nodeid = getattr(report, "nodeid", "")
            if "conformance/" in nodeid and getattr(report, "when", "") == ("setup" if outcome_ == "error" else "call"):
                section = nodeid.split("::")[0].rsplit("/test_", 1)[1].removesuffix(".py")
                sections.setdefault(section, Counter())[outcome_] += 1
    for section, counts in sorted(sections.items()):
        number, _, name = section.partition("_")
        summary = ", ".join(f"{count} {word}" for word, count in sorted(counts.items()))
        terminalreporter.write_line(f"section {int(number):>2}  {name.replace('_', ' '):<24} {summary}")
    if sections:
        passed = sum(counts["passed"] for counts in sections.values())
        terminalreporter.write_line(
            f"conformance: {passed} of {sum(map(sum, (c.values() for c in sections.values())))} checks passed"
        )
