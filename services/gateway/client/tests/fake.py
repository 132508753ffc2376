"""A gateway on a real socket that does what a test tells it, and by default answers with the examples of the OpenAPI document."""

import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from generate import DOCUMENT

API: Final = json.loads(DOCUMENT.read_text(encoding="utf-8"))
KEY: Final = "a-secret-of-ours"
RISK: Final[Any] = {"driver": {"age": 34}}


def shown(path: str, status: str = "200", name: str | None = None) -> Any:
    """An example of an answer in the document."""
    answer = next(iter(API["paths"][path].values()))["responses"][status]
    examples = next(iter(answer["content"].values()))["examples"]
    return (examples[name] if name else next(iter(examples.values())))["value"]


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request had."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: Any


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server: "Server"

    def do_GET(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        body = json.loads(self.rfile.read(length)) if length else None
        self.server.asked.append(Asked(self.command, self.path, dict(self.headers.items()), body))
        behaviour = self.server.behaviours.pop(0) if self.server.behaviours else answering()
        behaviour(self)

    do_POST = do_DELETE = do_GET  # noqa: N815 -- the names of the base class

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- as the base class has it
        """Nothing."""

    def answer(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """A whole answer."""
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


Behaviour = Callable[[Handler], None]


class Server(ThreadingHTTPServer):
    """The gateway: what it was asked, and what it will do next."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[Asked] = []
        self.behaviours: list[Behaviour] = []
        self.over = threading.Event()  # ends whatever hangs

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is no failure of the fake."""


def answering(status: int = 200, body: Any = None, **headers: str) -> Behaviour:
    """Answers, by default with the path's example."""

    def behave(handler: Handler) -> None:
        path, _, query = handler.path.partition("?")
        made = shown(path, str(status), "as_columns" if query else None) if body is None else body
        sent = made if isinstance(made, bytes) else json.dumps(made).encode()
        handler.answer(status, {name.replace("_", "-"): value for name, value in headers.items()}, sent)

    return behave


def resetting(handler: Handler) -> None:
    """Breaks the connection before an answer begins."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.close_connection = True
    handler.connection.close()


def hanging_up(handler: Handler) -> None:
    """Ends the connection in good order, without an answer."""
    handler.close_connection = True


def hanging(handler: Handler) -> None:
    """Never answers."""
    handler.server.over.wait(30)
    handler.close_connection = True


def breaking_off(handler: Handler) -> None:
    """Promises more than comes."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"quote_id":')
    handler.close_connection = True


def trickling(handler: Handler) -> None:
    """Sends a byte now and then, so that no single read is late."""
    handler.send_response(200)
    handler.send_header("Content-Length", "100000")
    handler.end_headers()
    while not handler.server.over.wait(0.02):
        handler.wfile.write(b" ")


def flooding(handler: Handler) -> None:
    """Sends far more than any answer has."""
    handler.answer(200, {}, b" " * (5 * 1024 * 1024))


@contextmanager
def gateway(*behaviours: Behaviour) -> Iterator[Server]:
    """A gateway that does these things first, one for each request."""
    server = Server()
    server.behaviours.extend(behaviours)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.over.set()
        server.shutdown()
        thread.join()
        server.server_close()


def free_port() -> int:
    """A port where nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port
