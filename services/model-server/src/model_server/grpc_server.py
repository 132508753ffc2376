"""The gRPC door: generic handlers on raw bytes, TensorFlow Serving's limit on concurrency, and its codes and details.

`grpc.aio`, not `grpc.server`: with one thread for each of 32 callers the interpreter lock goes round in convoys. Measured on
two cores with a model of ten 64 x 64 layers and its client on the same machine: threads take 442 µs a call at 32 callers
(p99 70 ms), the event loop with merged runs 310 µs (p99 16 ms); with 1 caller 647 µs and 747 µs, the hop to the
batch thread being the difference. The loop also keeps queues, counters and the table of versions free of locks.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Final

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from kit import logs
from kit.tensors import BadTensor, Envelope, open_request
from kit.tensors.wire import chunk, read_fields, text
from model_server import protos
from model_server.errors import Code, ServingError
from model_server.inference import Run
from model_server.service import Service

Answer = Callable[[bytes, Any], Awaitable[bytes]]

MAX_MESSAGE: Final = (1 << 31) - 1
_MAX_DETAILS: Final = 1024
_STATUS: Final = {status.value[0]: status for status in grpc.StatusCode}
_HEALTHY: Final = frozenset({"", "ModelService", "PredictionService"})
_SERVING: Final = b"\x08\x01"  # HealthCheckResponse { status: SERVING }
_SERVICE_UNKNOWN: Final = b"\x08\x03"
_PREDICTION: Final = "/tensorflow.serving.PredictionService/"
_MODEL: Final = "/tensorflow.serving.ModelService/"


class Slots:
    """Calls that may be in the server at once. One more is refused, not queued."""

    def __init__(self, limit: int) -> None:
        self._free = max(limit, 1)

    def take(self) -> None:
        """Raises RESOURCE_EXHAUSTED when none is free."""
        if not self._free:
            raise ServingError(Code.RESOURCE_EXHAUSTED, "Server Threadpool Exhausted")
        self._free -= 1

    def give_back(self, *_: object) -> None:
        """Free again; takes what a done callback passes."""
        self._free += 1


class Handlers(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc has no types
    """Finds the handler of a method; anything else is UNIMPLEMENTED."""

    def __init__(self, service: Service, slots: Slots, *, health: bool, trace: bool = False) -> None:
        self._service, self._slots, self._trace = service, slots, trace
        methods: dict[str, Answer] = {
            _PREDICTION + "Predict": self._predict,
            _PREDICTION + "Classify": self._task(
                protos.classification_pb2.ClassificationRequest, service.classify, "Classify"
            ),
            _PREDICTION + "Regress": self._task(protos.regression_pb2.RegressionRequest, service.regress, "Regress"),
            _PREDICTION + "MultiInference": self._task(
                protos.inference_pb2.MultiInferenceRequest, service.multi_inference, ""
            ),
            _PREDICTION + "GetModelMetadata": self._message(
                protos.get_model_metadata_pb2.GetModelMetadataRequest, service.metadata
            ),
            _MODEL + "GetModelStatus": self._message(protos.get_model_status_pb2.GetModelStatusRequest, service.status),
            _MODEL + "HandleReloadConfigRequest": self._task(
                protos.model_management_pb2.ReloadConfigRequest, lambda request, _: service.reload(request), ""
            ),
        }
        if health:
            methods["/grpc.health.v1.Health/Check"] = _check_health
        self._handlers = {
            method: grpc.unary_unary_rpc_method_handler(_translated(answer)) for method, answer in methods.items()
        }
        if health:
            self._handlers["/grpc.health.v1.Health/Watch"] = grpc.unary_stream_rpc_method_handler(_watch_health)

    def service(self, handler_call_details: Any) -> Any:
        """gRPC asks for the handler of each call here."""
        return self._handlers.get(handler_call_details.method)

    async def _predict(self, data: bytes, context: Any) -> bytes:
        begun = time.perf_counter()
        self._slots.take()
        try:
            run = self._start(open_request(data), context)
        except BaseException:
            self._slots.give_back()
            raise
        # The slot is held until the run ends, also when the caller has gone: its thread would be, too.
        run.outputs.then(partial(self._ended, run.model))
        answer = await self._service.finish(run)
        latency = (time.perf_counter() - begun) * 1e6
        self._service.metrics.request_latency.observe(latency, run.model, "Predict", "GRPC")
        if self._trace:
            _log_trace(context, run, latency)
        return answer

    def _start(self, request: Envelope, context: Any) -> Run:
        try:
            return self._service.start(request, _timeout_ms(context))
        except ServingError as error:
            self._service.metrics.requests.add(request.model, error.code.name)
            raise

    def _ended(self, model: str, result: object) -> None:
        self._slots.give_back()
        failed = isinstance(result, Exception)
        code = result.code if isinstance(result, ServingError) else Code.INTERNAL if failed else Code.OK
        self._service.metrics.requests.add(model, code.name)

    def _message(self, kind: Any, answer: Callable[[Any], Any]) -> Answer:
        """A handler that reads and writes protobuf messages, and waits for nothing."""

        async def handle(data: bytes, _: Any) -> bytes:
            self._slots.take()
            try:
                encoded: bytes = answer(kind.FromString(data)).SerializeToString()
            finally:
                self._slots.give_back()
            return encoded

        return handle

    def _task(self, kind: Any, answer: Callable[[Any, int], Awaitable[Any]], api: str) -> Answer:
        """A handler whose work goes on, and keeps its slot, when the caller goes away; counted when it has an API's name."""

        async def work(data: bytes, timeout_ms: int) -> bytes:
            begun, metrics = time.perf_counter(), self._service.metrics
            request = kind.FromString(data)
            code = Code.OK
            try:
                encoded: bytes = (await answer(request, timeout_ms)).SerializeToString()
            except ServingError as error:
                code = error.code
                raise
            finally:
                if api:
                    metrics.requests.add(request.model_spec.name, code.name)
            if api:
                metrics.request_latency.observe(
                    (time.perf_counter() - begun) * 1e6, request.model_spec.name, api, "GRPC"
                )
            return encoded

        async def handle(data: bytes, context: Any) -> bytes:
            self._slots.take()
            task = asyncio.ensure_future(work(data, _timeout_ms(context)))
            task.add_done_callback(self._slots.give_back)
            task.add_done_callback(lambda done: done.cancelled() or done.exception())  # seen, also when nobody waits
            return await asyncio.shield(task)

        return handle


async def start(
    handlers: Handlers, addresses: Sequence[str], arguments: Sequence[tuple[str, int | str]]
) -> grpc.aio.Server:
    """Bind every address and serve. Raises INVALID_ARGUMENT if one cannot be had."""
    limits = [("grpc.max_receive_message_length", MAX_MESSAGE), ("grpc.max_send_message_length", MAX_MESSAGE)]
    server = grpc.aio.server(options=[*limits, *arguments])
    server.add_generic_rpc_handlers((handlers,))
    try:
        for address in addresses:
            server.add_insecure_port(address)
    except RuntimeError as error:
        raise ServingError(Code.INVALID_ARGUMENT, f"Failed to BuildAndStart gRPC server: {error}") from error
    await server.start()
    return server


def _timeout_ms(context: Any) -> int:
    """What is left of the caller's deadline; 0 or less is no limit, as TensorFlow takes it, also one already past."""
    left = context.time_remaining()
    return 0 if left is None else int(left * 1000)


def _log_trace(context: Any, run: Run, latency_us: float) -> None:
    metadata = {key: value for key, value in context.invocation_metadata() or () if key == "traceparent"}
    parts = str(metadata.get("traceparent", "")).split("-")
    trace, span = (parts[1], parts[2]) if len(parts) >= 4 else ("", "")
    logs.get().info(
        "predicted", trace_id=trace, parent_id=span, model=run.model, version=run.loaded.number, us=round(latency_us)
    )


def _translated(answer: Answer) -> Answer:
    """The one place where errors become gRPC's codes and details. Bytes that are no such message are INTERNAL."""

    async def handle(data: bytes, context: Any) -> bytes:
        try:
            return await answer(data, context)
        except ServingError as error:
            code, message = error.code, error.message
        except (BadTensor, DecodeError) as error:
            code, message = Code.INTERNAL, str(error)
        await context.abort(_STATUS[code], _details(message))
        raise AssertionError("abort raises")

    return handle


def _details(message: str) -> str:
    whole = message.encode(errors="surrogateescape")
    if len(whole) <= _MAX_DETAILS:
        return whole.decode(errors="replace")
    return whole[:_MAX_DETAILS].decode(errors="ignore") + "...TRUNCATED"


def _named_service(data: bytes) -> str:
    names = [text(chunk(value)) for field, _, value in read_fields(memoryview(data)) if field == 1]
    return names[-1] if names else ""


async def _check_health(data: bytes, _: Any) -> bytes:
    if _named_service(data) not in _HEALTHY:
        raise ServingError(Code.NOT_FOUND, "")
    return _SERVING


async def _watch_health(data: bytes, _: Any) -> AsyncIterator[bytes]:
    """The one state there is, and then nothing until the caller goes."""
    yield _SERVING if _named_service(data) in _HEALTHY else _SERVICE_UNKNOWN
    await asyncio.Event().wait()
