"""What a stranger without a key may do to a connection: as little as can be."""

import asyncio
import contextlib
import gc
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from fastapi import FastAPI
from support import HEADERS, World, until
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from gateway.api.protocol import BoundedProtocol
from gateway.app import Server, bind, create_app

GET = b"GET /v1/contract HTTP/1.1\r\nHost: gateway\r\nAuthorization: %b\r\n" % HEADERS["Authorization"].encode()
POST = GET.replace(b"GET /v1/contract", b"POST /v1/quotes") + b"Content-Type: application/json\r\n"
BODY = b'{"risk":{"driver":{"age":34}}}'


@asynccontextmanager
async def listening(app: FastAPI | None = None) -> AsyncIterator[tuple[Server, socket.socket, int]]:
    """A server in this process, its listening socket, and its port."""
    server = Server(app or create_app(World().parts()))
    sock = bind("127.0.0.1", 0, "GATEWAY_PORT")
    port = sock.getsockname()[1]
    task = asyncio.create_task(server.serve([sock]))
    assert await server.has_started()
    try:
        yield server, sock, port
    finally:
        server.should_exit = True
        await task


async def said(port: int, *parts: bytes) -> bytes:
    """Everything that is answered to these bytes until the connection is closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for part in parts:
        writer.write(part)
        await writer.drain()
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    return answer


def head_of(answer: bytes) -> tuple[int, bytes]:
    """The status and the head, in lower case."""
    head = answer.partition(b"\r\n\r\n")[0]
    return int(head.split()[1]), head.lower()


@pytest.mark.parametrize(
    "sent",
    [
        GET + b"X-Large: " + b"a" * 40_000,
        GET + b"X-Large: " + b"a" * 200_000 + b"\r\n\r\n",
        GET + b"X-Many: a\r\n" * 4_000,
        b"GET /" + b"a" * 40_000,
        POST + b"Transfer-Encoding: chunked\r\n\r\n1;" + b"a" * 100_000,
        POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n0\r\nX-Trailer: " + b"a" * 100_000,
    ],
)
async def test_an_endless_head_is_refused(sent: bytes) -> None:
    """431 and the end: also for one long line, for a chunk's extension and for trailers."""
    async with listening() as (_, _, port):
        status, head = head_of(await said(port, sent))

    assert 431 == status
    assert all(part in head for part in (b"application/problem+json", b"x-request-id: ", b"no-store", b"close"))


async def test_a_request_leaves_nothing_for_the_collector() -> None:
    """A connection and its requests that held each other would be collected by thousands at once, and everybody would wait for it."""
    request = POST + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY
    async with listening() as (_, _, port):
        await said(port, request, GET + b"Connection: close\r\n\r\n")
        gc.collect()
        gc.disable()
        try:
            before = [one for one in gc.get_objects() if isinstance(one, RequestResponseCycle)]
            answer = await said(port, *[request] * 20, GET + b"Connection: close\r\n\r\n")
            after = [one for one in gc.get_objects() if isinstance(one, RequestResponseCycle)]
        finally:
            gc.enable()

    assert 21 == answer.count(b"HTTP/1.1 200 OK")
    assert len(after) <= len(before) + 1  # uvicorn keeps the last one of a connection


async def send_for_ever(writer: asyncio.StreamWriter) -> None:
    """Until the connection is closed: then it raises ConnectionError."""
    while True:
        writer.write(b"a" * 65_536)
        await writer.drain()


async def test_a_large_head_is_dropped_and_costs_nothing() -> None:
    """What still comes is thrown away for a moment, and then the connection is closed under its sender."""
    async with listening() as (_, _, port):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(GET + b"X-Large: ")
        with pytest.raises(ConnectionError):
            await asyncio.wait_for(send_for_ever(writer), 10)
        status, _ = head_of(await said(port, GET + b"Connection: close\r\n\r\n"))

    assert 200 == status


@pytest.mark.parametrize("large", [b"X-Large: " + b"a" * 31_000 + b"\r\n", b""])
async def test_a_body_does_not_count_as_a_head(large: bytes) -> None:
    """Whatever falls into one read of the socket: two whole requests, the first with a body of 60,000 bytes."""
    body = BODY[:-1] + b" " * 60_000 + b"}"
    post = POST + b"Content-Length: %d\r\n" % len(body) + large
    async with listening() as (_, _, port):
        answer = await said(port, post + b"\r\n" + body + post + b"Connection: close\r\n\r\n" + body)

    assert 2 == answer.count(b"HTTP/1.1 200 OK")


@pytest.mark.parametrize("sent", [b"nonsense\r\n\r\n", POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"])
async def test_what_is_not_http_is_a_problem(sent: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """400 as every other refusal, without a line in the log for each."""
    with caplog.at_level(logging.WARNING):
        async with listening() as (_, _, port):
            answer = await said(port, sent)

    status, head = head_of(answer)
    assert (400, True) == (status, b'"type":"urn:ballpark:error:bad_http"' in answer)
    assert all(part in head for part in (b"application/problem+json", b"x-request-id: ", b"no-store"))
    assert [] == caplog.records


async def test_an_upgrade_is_not_worth_a_line(caplog: pytest.LogCaptureFixture) -> None:
    """The request is answered as it is."""
    with caplog.at_level(logging.WARNING):
        async with listening() as (_, _, port):
            status, _ = head_of(await said(port, GET + b"Connection: Upgrade, close\r\nUpgrade: websocket\r\n\r\n"))

    assert (200, []) == (status, caplog.records)


@pytest.mark.parametrize(
    "sent",
    [b"", b"GET / HT", b"\r\n", GET + b"\r\nGET /", POST + b"Content-Length: 9\r\nX-Request-Timeout-Ms: 5\r\n\r\n{"],
)
async def test_a_request_that_does_not_come_is_not_waited_for(sent: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A silent connection, half a head and half a body are closed, also after a first request."""
    monkeypatch.setattr(BoundedProtocol, "request_within_s", 0.2)
    async with listening() as (server, _, port), asyncio.timeout(5):
        await said(port, sent)

    assert not server.server_state.connections


async def until_cut_off(port: int, requests: bytes) -> None:
    """Send these again and again and read nothing, until the connection is gone."""
    client = socket.create_connection(("127.0.0.1", port))
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.setblocking(False)
    with client, contextlib.suppress(ConnectionError):
        while True:
            await asyncio.get_running_loop().sock_sendall(client, requests)


async def test_requests_far_ahead_of_their_answers_are_not_kept() -> None:
    """Whoever sends hundreds before the first is answered is cut off; a few are answered in order."""
    async with listening() as (server, _, port), asyncio.timeout(10):
        answer = await said(port, 5 * (GET + b"\r\n") + GET + b"Connection: close\r\n\r\n")
        await until_cut_off(port, 500 * (GET + b"\r\n"))

        assert 6 == answer.count(b"HTTP/1.1 200 OK")
        assert not server.server_state.connections


async def test_an_answer_that_is_not_read_is_not_kept(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A caller that asks and never reads is cut off some time after its last bit of room is used up; no answer fails for that."""
    monkeypatch.setattr(BoundedProtocol, "read_within_s", 0.2)
    monkeypatch.setattr(BoundedProtocol, "most_ahead", 1_000_000)
    async with listening() as (server, _, port), asyncio.timeout(10):
        await until_cut_off(port, GET + b"\r\n")

    assert (set(), []) == (server.server_state.connections, caplog.records)


async def test_an_idle_connection_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two whole requests there is no hurry."""
    monkeypatch.setattr(BoundedProtocol, "request_within_s", 0.05)
    async with listening() as (_, _, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(2):
            writer.write(GET + b"\r\n")
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length: ")[1].split()[0])
            await reader.readexactly(length)
            await asyncio.sleep(0.2)  # longer than a request may take to come
        writer.close()

    assert head.startswith(b"HTTP/1.1 200")


async def test_connections_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """One too many is closed at once; those that are there are answered."""
    monkeypatch.setattr(BoundedProtocol, "most_connections", 2)
    async with listening() as (server, _, port):

        async def both_are_there() -> bool:
            return len(server.server_state.connections) == 2

        pairs = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
        await until(both_are_there, within=5)
        refused = await said(port)
        pairs[0][1].write(GET + b"Connection: close\r\n\r\n")
        status, _ = head_of(await pairs[0][0].read())
        for _, writer in pairs:
            writer.close()

    assert (b"", 200) == (refused, status)


async def test_whoever_has_connected_is_answered_after_the_end() -> None:
    """Connections that the kernel holds and nobody has accepted are taken before the port closes; later ones are refused."""
    async with listening() as (server, sock, port):
        clients = [
            socket.create_connection(("127.0.0.1", port)) for _ in range(5)
        ]  # the loop has no turn to accept them
        stopping = asyncio.create_task(server.stop_listening([sock]))
        await asyncio.sleep(0)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port))
        answers: list[Any] = []
        for client in clients:
            reader, writer = await asyncio.open_connection(sock=client)
            writer.write(GET + b"Connection: close\r\n\r\n")
            answers.append(head_of(await reader.read())[0])
            writer.close()
        await stopping

    assert [200] * 5 == answers
