"""Readiness as users see it, over real sockets."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from local_fleet import health
from local_fleet.health import Answer

NOBODY = 1
"""A port that nobody listens on."""


@contextmanager
def server(status: int, body: Any) -> Iterator[int]:
    """An HTTP server that gives one answer to everything, on a free port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            """Nobody reads it."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield http.server_port
        http.shutdown()


@pytest.mark.parametrize(("state", "is_ready"), [("AVAILABLE", True), ("LOADING", False)])
def test_a_model_is_ready_when_it_is_available(state: str, is_ready: bool) -> None:
    """TF Serving's status route decides."""
    with server(200, {"model_version_status": [{"version": "1", "state": state}]}) as port:
        assert is_ready == health.model_ready(port, "quote-classifier", 1)


@pytest.mark.parametrize("body", [None, [], {"error": "no"}])
def test_a_strange_status_is_not_ready(body: Any) -> None:
    """Another program on the port is no model server."""
    with server(200, body) as port:
        assert not health.model_ready(port, "quote-classifier", 1)


def test_nobody_is_not_ready() -> None:
    """A port without a listener is an answer, not an error."""
    assert not health.gateway_ready(NOBODY)
    assert not health.redis_ready(NOBODY)
    assert not health.model_ready(NOBODY, "quote-classifier", 1)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (None, "no answer"),
        (Answer(401, {"title": "A key is needed"}), "answers 401"),
        (Answer(200, {"complete": False, "degraded": ["classifier_timeout"]}), "incomplete: classifier_timeout"),
        (Answer(200, {"complete": True, "degraded": [], "insurers": [1, 2]}), "2 insurers, the models have 60"),
    ],
)
def test_what_a_quote_lacks_is_said(answer: Answer | None, why: str) -> None:
    """A start that cannot give a whole quote fails with the reason."""
    lacks = health.why_incomplete(answer, 60)

    assert lacks is not None
    assert why in lacks


def test_a_whole_quote_lacks_nothing() -> None:
    """Every insurer of the models, and no reason."""
    assert None is health.why_incomplete(Answer(200, {"complete": True, "degraded": [], "insurers": [1] * 60}), 60)
