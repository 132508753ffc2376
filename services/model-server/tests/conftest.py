"""Starts the server under test, as a process with real models, on free ports.

`MODEL_SERVER_CMD` names another command to test, for instance a `tensorflow_model_server`; flags are added to it.
"""

import os
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import httpx2
import numpy as np
import pytest
from tensorflow.python.framework import tensor_util
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    predict_pb2,
)

from model_server import protos  # noqa: F401 -- registers what of TensorFlow the messages below need

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

    def get(self, path: str, method: str = "GET") -> httpx2.Response:
        return httpx2.request(method, f"http://127.0.0.1:{self.rest_port}{path}", timeout=20)

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
        made.inputs[name].CopyFrom(tensor_util.make_tensor_proto(values))
    return made


def floats(*values: float) -> Any:
    return np.array(values, np.float32)


def arrays(response: Any) -> dict[str, Any]:
    return {name: tensor_util.MakeNdarray(tensor).tolist() for name, tensor in response.outputs.items()}


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
    names = ("half", "two", "words", "total", "loop", "filled")
    path.write_text(config_of(*(models / name for name in names), more="model_version_policy { all {} }"))
    with start(f"--model_config_file={path}", monitored, "--grpc_max_threads=9") as running:
        yield running
