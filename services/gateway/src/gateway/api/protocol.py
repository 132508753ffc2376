"""How much may a connection take before it has asked anything? uvicorn's own protocol has no bound on a head, on the time for it, or
on the number of connections, and httptools builds a header in quadratic time: one stranger with a large one would stop everybody.

A piece of framing (a head, a chunk's size, the trailers) may have so many bytes, and a whole request so many seconds.
"""

import asyncio
from typing import Any, ClassVar, Final

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from gateway.api.exchange import NO_CONTENT_BUT_DATA, SAFE
from gateway.api.ids import new_id
from gateway.api.problems import MEDIA_TYPE, Code, Refusal

LINGER_S: Final = 1.0  # a client that still sends when its connection is closed would see a reset, not the answer

MALFORMED: Final = Refusal(Code.BAD_HTTP, f"{Code.BAD_HTTP.title}.")
HEAD_TOO_LARGE: Final = Refusal(Code.HEAD_TOO_LARGE, f"{Code.HEAD_TOO_LARGE.title}.")


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's protocol on httptools, with bounds on what a stranger can make it keep."""

    most_head: ClassVar[int] = 32 * 1024  # bytes
    request_within_s: ClassVar[float] = 5.0  # every budget is shorter: whoever is later has had an answer
    most_connections: ClassVar[int] = 896  # a process may usually have 1,024 files open

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._framing = 0  # bytes since the last piece of framing or body that was whole
        self._in_request = False
        self._is_deaf = False
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take it, unless there are too many."""
        super().connection_made(transport)
        if len(self.connections) > self.most_connections:
            transport.close()
        else:
            self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse, in pieces that cannot pass the bound unseen."""
        self._unset_keepalive_if_required()
        at = 0
        while at < len(data) and not self._is_deaf:
            part = data[at : at + self.most_head - self._framing]
            at += len(part)
            self._framing += len(part)
            try:
                self.parser.feed_data(part)
            except httptools.HttpParserError:
                self._refuse(MALFORMED)
            except httptools.HttpParserUpgrade:
                pass  # none is offered: the request is answered as it is
            if self._framing >= self.most_head:
                self._refuse(HEAD_TOO_LARGE)
        if self._timer is None and (self._in_request or self._framing):
            self._start_timer()

    def on_message_begin(self) -> None:
        """A head begins."""
        self._in_request = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """A head is whole."""
        self._framing = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A part of a body: the edge counts these bytes."""
        self._framing = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """A request is whole."""
        self._framing, self._in_request = 0, False
        self._stop_timer()
        super().on_message_complete()

    def _start_timer(self) -> None:
        self._timer = self.loop.call_later(self.request_within_s, self._out_of_time)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _out_of_time(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:  # it waits for us
            self._start_timer()
        else:
            self.transport.close()

    def _refuse(self, refusal: Refusal) -> None:
        """Answer with a problem, then hear nothing more."""
        if self._is_deaf or self.transport.is_closing():
            return
        self._is_deaf = True
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        request_id = new_id()
        body = refusal.encode(request_id)
        headers = (
            *self.server_state.default_headers,
            (b"content-type", MEDIA_TYPE),
            (b"content-length", b"%d" % len(body)),
            (b"connection", b"close"),
            *SAFE,
            NO_CONTENT_BUT_DATA,
            (b"x-request-id", request_id.encode()),
        )
        head = b"".join(b"%b: %b\r\n" % header for header in headers)
        self.transport.write(STATUS_LINE[refusal.code.status] + head + b"\r\n" + body)
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.loop.call_later(LINGER_S, self.transport.close)
