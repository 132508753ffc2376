"""What the server does for a caller, whichever door the caller came in by: run a request, say what is loaded."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from kit.tensors import Envelope, encode_response
from model_server import predict, runtime
from model_server.errors import Code, ServingError, invalid
from model_server.metrics import Metrics
from model_server.models import Loaded, Models, Version
from model_server.predict import Plan
from model_server.scheduler import Outputs

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Options:
    """What of the command line bears on an answer."""

    check_method: bool = False
    tensor_content: bool = False


class Service:
    """Answers from one snapshot of models."""

    def __init__(self, models: Models, metrics: Metrics, options: Options) -> None:
        self.models, self.metrics = models, metrics
        self._options = options

    def start(self, request: Envelope, timeout_ms: int) -> "Run":
        """Check a request and start its run. Raises `ServingError`. In the event loop."""
        loaded = self.models.find(request)
        plan = predict.plan(loaded.servable.signatures, request, check_method=self._options.check_method)
        return Run(request.model, loaded, plan, loaded.runner.submit(plan.feeds, plan.fetches, timeout_ms))

    async def finish(self, run: "Run") -> bytes:
        """Wait for a run and encode its answer. A caller that goes away does not stop the run. Raises `ServingError`."""
        outputs = await asyncio.shield(run.outputs)
        self.metrics.runtime_latency.observe((time.perf_counter() - run.started) * 1e6, run.model, "Predict", "TF1")
        named: Mapping[str, Array] = dict(zip(run.plan.aliases, outputs, strict=True))
        return encode_response(
            run.model, run.loaded.number, run.plan.signature, named, tensor_content=self._options.tensor_content
        )

    def metadata(self, request: Any) -> Any:
        """`GetModelMetadataResponse`: all signatures of the version meant. Raises `ServingError`."""
        if not request.HasField("model_spec"):
            raise invalid("Missing ModelSpec")
        if not request.metadata_field:
            raise invalid("GetModelMetadataRequest must specify at least one metadata_field")
        for name in request.metadata_field:
            if name != "signature_def":
                raise invalid(f"Metadata field {name} is not supported")
        loaded = self.models.find(_spec(request.model_spec))
        signatures = runtime.get_model_metadata_pb2.SignatureDefMap(signature_def=loaded.servable.signature_defs)
        response = runtime.get_model_metadata_pb2.GetModelMetadataResponse()
        response.model_spec.name = request.model_spec.name
        response.model_spec.version.value = loaded.number
        response.metadata["signature_def"].Pack(signatures)
        return response

    def status(self, request: Any) -> Any:
        """`GetModelStatusResponse`: the states of all versions, highest first, or of one. Raises `ServingError`."""
        if not request.HasField("model_spec"):
            raise invalid("Missing ModelSpec")
        spec = request.model_spec
        version = spec.version.value if spec.HasField("version") else None
        response = runtime.get_model_status_pb2.GetModelStatusResponse()
        for found in self.models.status(spec.name, version):
            _add_status(response, found)
        return response


@dataclass(slots=True, eq=False)
class Run:
    """A request on its way through a model."""

    model: str
    loaded: Loaded
    plan: Plan
    outputs: Outputs
    started: float = 0.0

    def __post_init__(self) -> None:
        self.started = time.perf_counter()


def _spec(message: Any) -> Envelope:
    version = message.version.value if message.HasField("version") else None
    return Envelope(True, message.name, version, message.version_label, message.signature_name, {}, ())


def _add_status(response: Any, version: Version) -> None:
    error = version.error or ServingError(Code.OK, "")
    added = response.model_version_status.add(version=version.number, state=int(version.state))
    added.status.error_code = int(error.code)
    added.status.error_message = error.message
