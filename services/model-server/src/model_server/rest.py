"""The HTTP door: the status of models, and the metrics page. Each connection has a thread; nothing here runs a model."""

import json
import re
import socket
import threading
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import unquote

from kit import logs
from model_server.errors import Code, ServingError, invalid
from model_server.models import State, Version
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
_MODELS: Final = "/v1/models"
# /v1/models/NAME, then a version or a label; case does not matter
_STATUS: Final = re.compile(
    r"/v1/models/(?P<name>[^/:?]+)(?:/versions/(?P<version>\d+)|/labels/[^/:?]+)?", re.IGNORECASE
)
_INT64_MAX: Final = (1 << 63) - 1

CONNECTIONS: Final = 128
"""Held at once, each with a thread; a further one is told to come again."""
SILENCE_S: Final = 30.0
"""A connection that says nothing for as long is closed."""
_TOO_MANY: Final = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
_PIECE: Final = 1 << 16
_LONGEST_LENGTH: Final = 18
"""Digits of a Content-Length; nobody sends as much, and Python refuses to read thousands of digits."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back over HTTP."""

    status: int
    content_type: str
    body: str


def answer(service: Service, metrics_path: str | None, method: str, path: str, origin: str = "") -> Answer:
    """The answer to one request; `path` includes the query string, which no route allows, `origin` is its Origin header."""
    if method == "OPTIONS":
        return Answer(200 if "http://" in origin or "https://" in origin else 400, "application/json", "")
    if metrics_path is not None and path.partition("?")[0] == metrics_path:
        if path != metrics_path:
            return Answer(400, "text/plain", f"Unexpected path: {path}")
        return Answer(200, "text/plain", service.metrics.page())
    if not path.lower().startswith("/v1/"):
        return Answer(404, "text/html", "<html><body>Not found</body></html>")
    name = ""
    try:
        name, body = _v1(service, method, path)
        outcome = Code.OK
    except ServingError as error:
        outcome, body = error.code, json.dumps({"error": error.message})
    service.metrics.requests.add(name, outcome.name)
    return Answer(_HTTP.get(outcome, 500), "application/json", body)


def _v1(service: Service, method: str, path: str) -> tuple[str, str]:
    if method == "GET" and path.lower() == _MODELS:
        raise invalid("Missing model name in request.")
    found = _STATUS.fullmatch(path) if method == "GET" else None
    if found is None:
        raise invalid(f"Malformed request: {method} {path}")
    name, digits = unquote(found["name"]), found["version"]
    if digits and int(digits) > _INT64_MAX:
        raise invalid(f"Failed to convert version: {digits} to numeric.")
    statuses = [_status(version) for version in service.models.status(name, int(digits) if digits else None)]
    return name, json.dumps({"model_version_status": statuses}, indent=1) + "\n"


def _status(version: Version) -> dict[str, object]:
    error = version.error or ServingError(Code.OK, "")
    return {
        "version": str(version.number),
        "state": State(version.state).name,
        "status": {"error_code": error.code.name, "error_message": error.message},
    }


class RestServer:
    """Serves on a thread of its own until closed."""

    def __init__(self, address: tuple[str, int], service: Service, metrics_path: str | None) -> None:
        """Binds at once; an empty host is every address. Raises OSError if the port cannot be had."""
        self._server = _Server(address, _handler(service, metrics_path))
        self._thread = threading.Thread(target=self._server.serve_forever, name="rest", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop accepting and end."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        host, _ = address
        if ":" in host or (not host and socket.has_dualstack_ipv6()):
            self.address_family = socket.AF_INET6
        self._free = threading.BoundedSemaphore(CONNECTIONS)
        super().__init__(address, handler)

    def server_bind(self) -> None:
        if self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()

    def process_request(self, request: Any, client_address: Any) -> None:
        """A connection beyond the limit is answered on the accepting thread, in one small write, and closed."""
        if not self._free.acquire(blocking=False):
            with suppress(OSError):
                request.send(_TOO_MANY)
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 -- socketserver's names
        """A client that went away in the middle of its request is no event."""
        logs.get().debug("rest_connection_failed", client=str(client_address), exc_info=True)


def _handler(service: Service, metrics_path: str | None) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        server_version = "model-server"
        timeout = SILENCE_S

        def _answer(self) -> None:
            if not self._body_is_passed():
                self.send_error(400)  # closes: nobody knows where the next request begins
                return
            reply = answer(service, metrics_path, self.command, self.path, self.headers.get("Origin") or "")
            body = reply.body.encode()
            self.send_response(reply.status)
            self.send_header("Content-Type", reply.content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def _body_is_passed(self) -> bool:
            """Read over the request's body, which no route here needs; False when its length is not given in bytes."""
            lengths = set(self.headers.get_all("Content-Length") or ("0",))
            length = lengths.pop()
            if lengths or "Transfer-Encoding" in self.headers or not (length.isascii() and length.isdecimal()):
                return False
            left = int(length[:_LONGEST_LENGTH])
            while left > 0:
                piece = self.rfile.read(min(left, _PIECE))
                if not piece:
                    return False
                left -= len(piece)
            return True

        do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = do_PATCH = do_OPTIONS = _answer  # noqa: N815 -- http.server's names

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 -- http.server's name
            logs.get().debug("rest", request=format % args)

    return Handler
