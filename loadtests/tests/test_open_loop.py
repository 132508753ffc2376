"""The generator sends at its own times and counts what it waited for, against a server that does as it is told."""

import socket
import socketserver
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from bench.open_loop import Generator, Plan, poisson

WHOLE = b'{"quote_id":"1","complete":true,"insurers":[' + b"1," * 8_000 + b"1]}"
REQUEST = b"POST /v1/quotes HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}"


def response(status: int, body: bytes) -> bytes:
    return b"HTTP/1.1 %d X\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (
        status,
        len(body),
        body,
    )


class Server(socketserver.ThreadingTCPServer):
    """Answers every request with the next of its answers, each as the parts in which it is sent; no part closes the connection."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, *answers: list[bytes], takes_s: float = 0.0) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers, self.takes_s, self.asked = answers, takes_s, 0
        self.lock = threading.Lock()

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that hang up are none of its business."""


class Handler(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        server = self.server
        assert isinstance(server, Server)
        connection: socket.socket = self.request
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while connection.recv(65_536):
            with server.lock:
                parts = server.answers[server.asked % len(server.answers)]
                server.asked += 1
            time.sleep(server.takes_s)
            if not parts:
                return
            for part in parts:
                connection.sendall(part)


@contextmanager
def serving(*answers: list[bytes], takes_s: float = 0.0) -> Iterator[int]:
    """The port of a server that runs."""
    server = Server(*answers, takes_s=takes_s)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def generating(port: int, connections: int = 4) -> Iterator[Generator]:
    made = Generator(port, [REQUEST, REQUEST], connections)
    try:
        yield made
    finally:
        made.close()


def test_every_request_is_answered_and_counted() -> None:
    """Whole answers, in one part or in several, are good ones."""
    whole = response(200, WHOLE)
    head = len(whole) - len(WHOLE)
    apart, late = [whole[:head], whole[head:]], [whole[:7], whole[7 : head + 40], whole[head + 40 :]]
    plan = poisson(300, 0.5, 2, seed=1)

    with serving([whole], apart, late) as port, generating(port) as generator:
        run = generator.run(plan, 0.5)

    assert Counter({"200": len(plan.due_s)}) == run.statuses
    assert 0.0 == run.bad_share
    assert len(plan.due_s) / 0.5 == run.good_per_s


def test_other_answers_are_bad_ones() -> None:
    """A refusal, half an answer, and a connection that is closed: each is counted, and the run goes on."""
    half = response(200, b'{"complete":false}')

    with serving([response(200, WHOLE)], [response(503, b"{}")], [half], []) as port, generating(port, 1) as generator:
        run = generator.run(Plan([0.0, 0.01, 0.02, 0.03, 0.04], [0] * 5), 0.1)

    assert Counter({"200": 2, "503": 1, "incomplete": 1, "0": 1}) == run.statuses
    assert 0.6 == pytest.approx(run.bad_share)


def test_latency_counts_from_the_intended_time() -> None:
    """On one connection to a server that takes 20 ms, the tenth of ten requests at once has waited for nine others."""
    with serving([response(200, WHOLE)], takes_s=0.02) as port, generating(port, 1) as generator:
        run = generator.run(Plan([0.0] * 10, [0] * 10), 0.1)

    assert run.quantile_ms(1.0) >= 200
    assert 1 == len(run.late_s)  # the others waited for the server, and not for the generator


def test_the_same_seed_is_the_same_plan() -> None:
    """About as many arrivals as the rate says, in order, over all questions."""
    plan = poisson(1_000, 4.0, 256, seed=3)

    assert plan == poisson(1_000, 4.0, 256, seed=3)
    assert 4_000 == pytest.approx(len(plan.due_s), rel=0.1)
    assert sorted(plan.due_s) == plan.due_s
    assert set(plan.which) == set(range(256))
