"""HTTP/1.1 in the server's event loop: connections, framing, keep-alive. What is answered is somebody else's affair."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import h11

from kit import logs
from model_server.rest import Answer, Request

Respond = Callable[[Request], Awaitable[Answer]]

_PIECE: Final = 1 << 16
_LINGER_S: Final = 1.0
_HEADERS: Final = 1 << 16
"""Bytes that a request may have before its body."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one caller may take; 0 is no limit, as TensorFlow Serving has none."""

    connections: int = 0
    silence_s: int = 0
    body_bytes: int = 0


class _TooLarge(Exception):
    """A body above the limit."""


class HttpServer:
    """Accepts connections until closed."""

    def __init__(self, respond: Respond, limits: Limits) -> None:
        self._respond, self._limits = respond, limits
        self._open: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._held = 0

    async def start(self, host: str, port: int) -> None:
        """Bind and serve; an empty host is every address, of IPv6, too, where there is any. Raises OSError."""
        self._server = await asyncio.start_server(self._accept, sock=_bound(host, port), limit=_PIECE)

    async def close(self) -> None:
        """Stop accepting, and cut what is open."""
        if self._server is not None:
            self._server.close()
        for connection in list(self._open):
            connection.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._open.add(task)
        task.add_done_callback(self._open.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=_HEADERS)
        if self._limits.connections and self._held >= self._limits.connections:
            await _refuse(reader, writer, 503)
            writer.close()
            return
        self._held += 1
        try:
            while connection.our_state is not h11.MUST_CLOSE:
                request = await self._receive(connection, reader, writer)
                if request is None:
                    return
                await _send(connection, writer, await self._respond(request), with_body=request.method != "HEAD")
                if connection.our_state is h11.DONE and connection.their_state is h11.DONE:
                    connection.start_next_cycle()
                else:
                    return
        except h11.RemoteProtocolError as error:
            await _refuse(reader, writer, error.error_status_hint)
        except _TooLarge:
            await _refuse(reader, writer, 413)
        except (OSError, TimeoutError) as error:  # a client that goes away, or says nothing, is no event
            logs.get().debug("rest_connection_ended", reason=repr(error))
        finally:
            self._held -= 1  # before the client sees the end
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _receive(
        self, connection: h11.Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> Request | None:
        """The next request, its body whole; None when the client is done."""
        head: h11.Request | None = None
        body = bytearray()
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                if connection.they_are_waiting_for_100_continue:
                    writer.write(connection.send(h11.InformationalResponse(status_code=100, headers=[])) or b"")
                async with asyncio.timeout(self._limits.silence_s or None):
                    connection.receive_data(await reader.read(_PIECE))
            elif isinstance(event, h11.Request):
                head = event
            elif isinstance(event, h11.Data):
                body += event.data
                if self._limits.body_bytes and len(body) > self._limits.body_bytes:
                    raise _TooLarge
            elif isinstance(event, h11.EndOfMessage) and head is not None:
                headers = {name.decode(): value.decode("latin-1") for name, value in head.headers}
                return Request(head.method.decode(), head.target.decode("latin-1"), headers, bytes(body))
            else:  # closed
                return None


async def _send(connection: h11.Connection, writer: asyncio.StreamWriter, answer: Answer, *, with_body: bool) -> None:
    headers = [
        ("Content-Type", answer.content_type), ("Content-Length", str(len(answer.body))), *answer.headers
    ]  # fmt: skip
    writer.write(connection.send(h11.Response(status_code=answer.status, headers=headers)) or b"")
    if with_body:
        writer.write(connection.send(h11.Data(data=answer.body)) or b"")
    writer.write(connection.send(h11.EndOfMessage()) or b"")
    await writer.drain()


async def _refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, status: int) -> None:
    """An answer instead of an exchange. What the client still sends is read for a moment: else it would not get the answer."""
    with suppress(OSError, TimeoutError):
        writer.write(f"HTTP/1.1 {status} Refused\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
        await writer.drain()
        writer.write_eof()
        async with asyncio.timeout(_LINGER_S):
            while await reader.read(_PIECE):
                pass


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host or (not host and socket.has_dualstack_ipv6()) else socket.AF_INET
    bound = socket.socket(family)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family is socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        bound.bind((host, port))
        bound.listen(1024)
    except OSError:
        bound.close()
        raise
    return bound
