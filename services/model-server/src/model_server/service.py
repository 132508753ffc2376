"""What the server does for a caller, whichever door the caller came in by: run a request, say what is loaded, reload."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from kit.tensors import Envelope, encode_response
from model_server import protos
from model_server.core import Core
from model_server.errors import Code, ServingError, invalid
from model_server.inference import Inference, Run
from model_server.metrics import Metrics
from model_server.states import Lease, Registry, Version


@dataclass(frozen=True, slots=True)
class Options:
    """What of the command line bears on an answer."""

    tensor_content: bool = False
    rest_timeout_ms: int = 30_000


class Service:
    """Answers in the event loop. A call holds its version from the look-up to the end of its run."""

    def __init__(
        self, registry: Registry, core: Core, inference: Inference, metrics: Metrics, options: Options
    ) -> None:
        self.registry, self.metrics, self.options = registry, metrics, options
        self._core, self._inference = core, inference

    def start(self, request: Envelope, timeout_ms: int) -> Run:
        """Check a Predict request and start its run. Raises `ServingError`."""
        lease = self.registry.lease(request)
        try:
            run = self._inference.start(lease.loaded, request, timeout_ms)
        except BaseException:
            lease.release()
            raise
        run.outputs.then(lease.release)
        return run

    async def finish(self, run: Run) -> bytes:
        """Wait for a run and encode its answer. Raises `ServingError`."""
        outputs = await run.named()
        self._inference.ended(run)
        return encode_response(
            run.model, run.loaded.number, run.plan.signature, outputs, tensor_content=self.options.tensor_content
        )

    async def finish_with(self, run: Run) -> Any:
        """Wait for a run; its outputs by alias. Raises `ServingError`."""
        outputs = await run.named()
        self._inference.ended(run)
        return outputs

    async def classify(self, request: Any, timeout_ms: int) -> Any:
        """`ClassificationResponse`. Raises `ServingError`."""
        return await self._held(request, self._inference.classify, request, timeout_ms)

    async def regress(self, request: Any, timeout_ms: int) -> Any:
        """`RegressionResponse`. Raises `ServingError`."""
        return await self._held(request, self._inference.regress, request, timeout_ms)

    async def multi_inference(self, request: Any, timeout_ms: int) -> Any:
        """`MultiInferenceResponse`; the first task names the version of all. Raises `ServingError`."""
        if not request.tasks or not request.tasks[0].HasField("model_spec"):
            raise invalid("ModelSpec has no name specified.")
        return await self._held(request.tasks[0], self._inference.multi_inference, request, timeout_ms)

    async def _held(self, named: Any, run: Callable[..., Awaitable[Any]], request: Any, timeout_ms: int) -> Any:
        lease: Lease = self.registry.lease(spec_of(named))
        try:
            return await run(lease.loaded, request, timeout_ms)
        finally:
            lease.release()

    def metadata(self, request: Any) -> Any:
        """`GetModelMetadataResponse`: all signatures of the version meant. Raises `ServingError`."""
        if not request.HasField("model_spec"):
            raise invalid("Missing ModelSpec")
        if not request.metadata_field:
            raise invalid("GetModelMetadataRequest must specify at least one metadata_field")
        for name in request.metadata_field:
            if name != "signature_def":
                raise invalid(f"Metadata field {name} is not supported")
        lease = self.registry.lease(spec_of(request))
        lease.release()  # nothing is awaited from here on
        definitions = lease.loaded.servable.signature_defs
        signatures = protos.get_model_metadata_pb2.SignatureDefMap(signature_def=definitions)
        response = protos.get_model_metadata_pb2.GetModelMetadataResponse()
        response.model_spec.name = request.model_spec.name
        response.model_spec.version.value = lease.loaded.number
        response.metadata["signature_def"].Pack(signatures)
        return response

    def status(self, request: Any) -> Any:
        """`GetModelStatusResponse`: the states of all versions, highest first, or of one. Raises `ServingError`."""
        if not request.HasField("model_spec"):
            raise invalid("Missing ModelSpec")
        spec = request.model_spec
        version = spec.version.value if spec.HasField("version") else None
        response = protos.get_model_status_pb2.GetModelStatusResponse()
        for found in self.registry.status(spec.name, version):
            _add_status(response, found)
        return response

    async def reload(self, request: Any) -> Any:
        """`ReloadConfigResponse`, once the new models are up. It goes on when its caller goes away. Raises `ServingError`."""
        before = {name: self.metrics.total(name) for name in request.metric_names}
        await asyncio.shield(asyncio.ensure_future(self._core.reload_by_request(request.config)))
        response = protos.model_management_pb2.ReloadConfigResponse()
        response.status.error_code = int(Code.OK)
        for name in request.metric_names:
            response.metric.add(name=name, int64_value_increase=self.metrics.total(name) - before[name])
        return response


def spec_of(request: Any) -> Envelope:
    """A message's `model_spec`, as what a look-up needs."""
    spec = request.model_spec
    version = spec.version.value if spec.HasField("version") else None
    has_spec = request.HasField("model_spec")
    return Envelope(has_spec, spec.name, version, spec.version_label, spec.signature_name, {}, ())


def _add_status(response: Any, version: Version) -> None:
    error = version.error or ServingError(Code.OK, "")
    added = response.model_version_status.add(version=version.number, state=int(version.state))
    added.status.error_code = int(error.code)
    added.status.error_message = error.message
