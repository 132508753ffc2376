"""A stand-in for the fleet: answers like the gateway, late or wrongly on demand."""

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

KEY = "ballpark-dev"


@dataclass
class Fleet:
    """What the stand-in does: `takes_s` for each answer, none at all between `stalls_s` after the first question, `degraded` always."""

    takes_s: float = 0.0
    stalls_s: tuple[float, float] = (0.0, 0.0)
    degraded: tuple[str, ...] = ()
    status: int = 200
    headers: list[dict[str, str]] = field(default_factory=list)
    url: str = ""
    first_s: float | None = None

    def wait(self) -> None:
        """As long as an answer takes now."""
        now = time.monotonic()
        self.first_s = self.first_s or now
        begin, end = (self.first_s + s for s in self.stalls_s)
        time.sleep(max(self.takes_s, end - now if begin <= now < end else 0.0))

    def answer(self, path: str, body: bytes, key: str | None) -> tuple[int, dict[str, Any]]:
        """The status and the answer that the gateway would give, as far as a load test looks."""
        if key != f"Bearer {KEY}":
            return 401, {}
        try:
            risk = json.loads(body, parse_constant=lambda _: 1 / 0)["risk"]
        except (ValueError, ZeroDivisionError):
            return 400, {}
        driver = risk["driver"]
        if "sex" in driver or driver["age"] < 17 or driver.get("licence_years", 0) > driver["age"] - 16:
            return 422, {}
        self.wait()
        insurers = {"insurers": [{"insurer": "i-0001"}]} if path == "/v1/quotes" else {}
        return self.status, {"complete": True, "degraded": self.degraded} | insurers


class Quiet(ThreadingHTTPServer):
    """Clients that hang up are none of its business."""

    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing."""


@pytest.fixture
def fleet() -> Iterator[Fleet]:
    """A running stand-in on a free port."""
    fleet = Fleet()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.send(200 if self.headers["Authorization"] == f"Bearer {KEY}" else 401, {})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            fleet.headers.append(dict(self.headers))
            self.send(*fleet.answer(self.path, body, self.headers["Authorization"]))

        def send(self, status: int, answer: dict[str, Any]) -> None:
            content = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = Quiet(("127.0.0.1", 0), Handler)
    fleet.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield fleet
    server.shutdown()
    thread.join()
    server.server_close()
