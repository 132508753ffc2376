"""The REST interface: routes, codes and bodies. Bytes in, bytes out; connections are `http_server`'s.

Reading and writing JSON is done on threads of its own, as many as the flag says less one; further requests wait, without bound.
"""

import asyncio
import json
import re
import time
import zlib
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote

from google.protobuf import json_format
from numpy.typing import NDArray

from kit.tensors import Envelope, encode_tensor
from model_server import json_examples, json_tensors, json_text, protos
from model_server.errors import Code, ServingError, invalid
from model_server.predict import DEFAULT_SIGNATURE
from model_server.service import Service

_HTTP: Final = {
    Code.OK: 200,
    Code.INVALID_ARGUMENT: 400,
    Code.FAILED_PRECONDITION: 400,
    Code.OUT_OF_RANGE: 400,
    Code.UNAUTHENTICATED: 401,
    Code.PERMISSION_DENIED: 403,
    Code.NOT_FOUND: 404,
    Code.ALREADY_EXISTS: 409,
    Code.ABORTED: 409,
    Code.RESOURCE_EXHAUSTED: 429,
    Code.CANCELLED: 499,
    Code.UNIMPLEMENTED: 501,
    Code.UNAVAILABLE: 503,
    Code.DEADLINE_EXCEEDED: 504,
}
_TARGET: Final = r"/v1/models/(?P<name>[^/:?]+)(?:/versions/(?P<version>\d+)|/labels/(?P<label>[^/:?]+))?"
_RUN: Final = re.compile(_TARGET + r":(?P<verb>classify|regress|predict)", re.IGNORECASE | re.ASCII)
_READ: Final = re.compile(_TARGET + r"(?P<metadata>/metadata)?", re.IGNORECASE | re.ASCII)
_NAMELESS: Final = re.compile(r"/v1/models", re.IGNORECASE)
_INT64_MAX: Final = (1 << 63) - 1
_INT64_DIGITS: Final = 19
_UNPACKED: Final = 100 << 20
"""Bytes that a compressed body may unpack to."""
_CORS: Final = (
    ("Access-Control-Allow-Origin", "*"),
    ("Access-Control-Allow-Methods", "POST, GET"),
    ("Access-Control-Allow-Headers", "Content-Type"),
)
_JSON: Final = "application/json"


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request; `path` includes the query string, header names are in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back over HTTP."""

    status: int
    content_type: str
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class _Target:
    name: str = ""
    version: int | None = None
    label: str = ""
    verb: str = ""  # of a run; "" for status, "metadata" for metadata


class Rest:
    """Answers requests, in the event loop."""

    def __init__(self, service: Service, *, metrics_path: str | None, threads: int, cors: bool) -> None:
        self._service, self._metrics_path = service, metrics_path
        self._headers = _CORS if cors else ()
        self._pool = ThreadPoolExecutor(max(threads - 1, 1), thread_name_prefix="rest")
        self._slots = asyncio.Semaphore(max(threads - 1, 1))

    async def answer(self, request: Request) -> Answer:
        """The answer to one request; it never raises."""
        if request.method == "OPTIONS":
            origin = request.headers.get("origin", "")
            return Answer(200 if "http://" in origin or "https://" in origin else 400, _JSON, b"", self._headers)
        if self._metrics_path is not None and request.path.partition("?")[0] == self._metrics_path:
            if request.path != self._metrics_path:
                return Answer(400, "text/plain", f"Unexpected path: {request.path}".encode(errors="replace"))
            return Answer(200, "text/plain", self._service.metrics.page().encode(errors="replace"))
        if not request.path.lower().startswith("/v1/"):
            return Answer(404, "text/html", b"<html><body>Not found</body></html>")
        async with self._slots:
            return await self._api(request)

    async def _api(self, request: Request) -> Answer:
        begun, target, metrics = time.perf_counter(), _Target(), self._service.metrics
        try:
            target = _target(request.method, request.path)
            body = await self._act(target, request)
            outcome = Code.OK
        except ServingError as error:
            outcome = error.code
            message = json.dumps(error.message, ensure_ascii=False).encode(errors="surrogateescape")
            body = b'{ "error": ' + message + b" }"
        metrics.requests.add(target.name, outcome.name)
        if outcome is Code.OK:
            api = target.verb if target.verb != "metadata" else ""
            metrics.request_latency.observe((time.perf_counter() - begun) * 1e6, target.name, api, "REST")
        return Answer(_HTTP.get(outcome, 500), _JSON, body, self._headers)

    async def _act(self, target: _Target, request: Request) -> bytes:
        match target.verb:
            case "predict":
                return await self._predict(target, request)
            case "classify":
                kind, run = protos.classification_pb2.ClassificationRequest, self._service.classify
                return await self._examples(target, request, kind(), run, json_examples.write_classifications)
            case "regress":
                kind, run = protos.regression_pb2.RegressionRequest, self._service.regress
                return await self._examples(target, request, kind(), run, json_examples.write_regressions)
            case "metadata":
                asked = protos.get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
                _fill_spec(asked.model_spec, target)
                return _metadata(self._service.metadata(asked))
            case _:
                status = protos.get_model_status_pb2.GetModelStatusRequest()
                _fill_spec(status.model_spec, target)
                return _printed(self._service.status(status)).encode() + b"\n"

    async def _predict(self, target: _Target, request: Request) -> bytes:
        document = await self._aside(_document, request)
        name = json_tensors.signature_name(document)
        lease = self._service.registry.lease(_envelope(target, name, {}))
        lease.release()  # looked up here for its types, and again for the run, as there
        signature = lease.loaded.servable.signatures.get(name or DEFAULT_SIGNATURE)
        if signature is None:
            raise invalid(f'Serving signature name: "{name or DEFAULT_SIGNATURE}" not found in signature def')
        if not signature.types:
            raise invalid(f"Failed to get input map for signature: {name or 'DEFAULT'}")
        asked = await self._aside(json_tensors.read, document, signature.types)
        tensors = {alias: memoryview(encode_tensor(array)) for alias, array in asked.tensors.items()}
        run = self._service.start(_envelope(target, name, tensors), self._service.options.rest_timeout_ms)
        outputs: Mapping[str, NDArray[Any]] = await self._service.finish_with(run)
        text: str = await self._aside(lambda: json_tensors.write(outputs, by_row=asked.by_row))
        return text.encode(errors="surrogateescape")

    async def _examples(
        self, target: _Target, request: Request, asked: Any, run: Callable[..., Any], write: Callable[[Any], str]
    ) -> bytes:
        _fill_spec(asked.model_spec, target)
        document = await self._aside(_document, request)
        await self._aside(json_examples.fill, asked, document)
        response = await run(asked, self._service.options.rest_timeout_ms)
        text: str = await self._aside(write, response.result)
        return text.encode(errors="surrogateescape")

    async def _aside(self, act: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._pool, act, *arguments)


def _document(request: Request) -> dict[str, Any]:
    return json_text.parse(_unpacked(request))


def _unpacked(request: Request) -> bytes:
    """The body; what does not unpack counts as empty."""
    if request.headers.get("content-encoding", "").lower() != "gzip":
        return request.body
    unpacker = zlib.decompressobj(16 + zlib.MAX_WBITS)
    try:
        body = unpacker.decompress(request.body, _UNPACKED)
    except zlib.error:
        return b""
    return body if unpacker.eof else b""


def _target(method: str, path: str) -> _Target:
    """What a path under /v1/ asks for. Raises INVALID_ARGUMENT."""
    if method == "GET" and _NAMELESS.fullmatch(path):
        raise invalid("Missing model name in request.")
    pattern = {"POST": _RUN, "GET": _READ}.get(method)
    found = pattern.fullmatch(path) if pattern else None
    verb = (found["verb"] if method == "POST" else found["metadata"] and "metadata") if found else None
    if found is None or (verb and verb != verb.lower()):
        raise invalid(f"Malformed request: {method} {path}")
    digits, label = found["version"], found["label"]
    number = None
    if digits:
        stripped = digits.lstrip("0") or "0"
        if len(stripped) > _INT64_DIGITS or int(stripped) > _INT64_MAX:
            raise invalid(f"Failed to convert version: {digits} to numeric.")
        number = int(stripped)
    return _Target(unquote(found["name"]), number, unquote(label) if label else "", verb or "")


def _envelope(target: _Target, signature: str, tensors: Mapping[str, memoryview]) -> Envelope:
    return Envelope(True, target.name, target.version, target.label, signature, tensors, ())


def _fill_spec(spec: Any, target: _Target) -> None:
    spec.name = target.name
    if target.version is not None:
        spec.version.value = target.version
    if target.label:
        spec.version_label = target.label


def _printed(message: Any) -> str:
    text: str = json_format.MessageToJson(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True, indent=1
    )
    return text


def _metadata(response: Any) -> bytes:
    signatures = protos.get_model_metadata_pb2.SignatureDefMap()
    response.metadata["signature_def"].Unpack(signatures)
    return (
        f'{{\n"model_spec":{_printed(response.model_spec)}\n,\n"metadata": '
        f'{{"signature_def": {_printed(signatures)}\n}}\n}}\n'
    ).encode()
