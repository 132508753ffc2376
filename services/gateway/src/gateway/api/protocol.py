"""How much may a connection take before it has asked anything? uvicorn's own protocol has no bound on a head, on the time for it, or
on the number of connections, and httptools builds a header in quadratic time: one stranger with a large one would stop everybody.

A piece of framing (a head, a chunk's size, the trailers) may have so many bytes, and a whole request so many seconds; so many requests
may be sent ahead of an answer, and so many seconds may an answer wait for its reader.

This is also where a request is first seen, before there is a task for it. So this is where it is let in or shed, with bytes that lie
ready: a request that is shed costs its parsing and one write. And it lends the edge its connection, past ASGI's messages (`Lent`).
"""

import asyncio
from functools import lru_cache
from typing import Any, ClassVar, Final

import httptools
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from gateway.api.edge import Api
from gateway.api.exchange import CLOSE, NO_CONTENT_BUT_DATA, SAFE, given_id, lines
from gateway.api.ids import new_id
from gateway.api.problems import MEDIA_TYPE, SHED, Code, Refusal

LINGER_S: Final = 1.0  # a client that still sends when its connection is closed would see a reset, not the answer

MALFORMED: Final = Refusal(Code.BAD_HTTP, f"{Code.BAD_HTTP.title}.")
HEAD_TOO_LARGE: Final = Refusal(Code.HEAD_TOO_LARGE, f"{Code.HEAD_TOO_LARGE.title}.")

default_lines = lru_cache(maxsize=4)(lines)  # uvicorn's own: the date, which is another one every second

PROBLEM: Final = ((b"content-type", MEDIA_TYPE), NO_CONTENT_BUT_DATA, *SAFE)
SHED_HEAD: Final = STATUS_LINE[503] + lines((*SHED.headers, *PROBLEM))
SHED_OWN: Final = (
    b"content-length: %d\r\nx-request-id: %b\r\nx-budget-left-ms: %d\r\nserver-timing: admit;dur=0.00\r\n%b\r\n"
)
SHED_BODY: Final = SHED.encode("@").split(b"@")  # around the request's id
SHED_LENGTH: Final = sum(map(len, SHED_BODY))


class Lent:
    """One request's connection, as `api.exchange.Wire`."""

    __slots__ = ("_cycle",)

    def __init__(self, cycle: RequestResponseCycle) -> None:
        self._cycle = cycle

    @property
    def is_ready(self) -> bool:
        """Whether an answer can be written at once: nobody has begun one, and the socket takes it."""
        cycle = self._cycle
        return not (cycle.response_started or cycle.flow.write_paused or cycle.scope["method"] == "HEAD")

    def body(self) -> bytes | None:
        """All of the body, when it is there already."""
        cycle = self._cycle
        if cycle.more_body or cycle.disconnected:
            return None
        body, cycle.body = bytes(cycle.body), bytearray()
        return body

    def answer(self, status: int, head: bytes, body: bytes, *, close: bool) -> None:
        """Write a whole answer in one piece."""
        cycle = self._cycle
        if cycle.disconnected:
            return
        if close:
            cycle.keep_alive = False
        elif not cycle.keep_alive:
            head += b"connection: close\r\n"
        cycle.response_started = cycle.response_complete = True
        cycle.message_event.set()
        cycle.transport.write(
            b"".join((STATUS_LINE[status], default_lines(tuple(cycle.default_headers)), head, b"\r\n", body))
        )
        if not cycle.keep_alive:
            cycle.transport.close()
        cycle.on_response()


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's protocol on httptools, with bounds on what a stranger can make it keep."""

    most_head: ClassVar[int] = 32 * 1024  # bytes
    request_within_s: ClassVar[float] = 5.0  # every budget is shorter: whoever is later has had an answer
    most_connections: ClassVar[int] = 896  # a process may usually have 1,024 files open
    most_ahead: ClassVar[int] = 32  # requests that were sent before the one in front of them was answered
    read_within_s: ClassVar[float] = 5.0  # an answer, once the kernel takes no more of them

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._framing = 0  # bytes since the last piece of framing or body that was whole
        self._in_request = False
        self._is_deaf = False
        self._is_shed = False  # the request that is being read has had its answer
        self._is_last = False  # and its connection ends with it
        self._api: Api | None = self.app_state.get("api")  # the admin port has none
        self._timer: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None
        self._running: RequestResponseCycle | None = None  # the request that is being answered

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
        self.resume_writing()
        super().connection_lost(exc)
        if self._running is not None and not self._running.response_complete:
            self._running.disconnected = (
                True  # uvicorn tells only the request that came last, which may be one far ahead
            )
            self._running.message_event.set()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def pause_writing(self) -> None:
        """The other side does not read: it may take some time, and not for ever."""
        super().pause_writing()
        if self._unread is None:
            self._unread = self.loop.call_later(self.read_within_s, self.transport.abort)

    def resume_writing(self) -> None:
        """It has read."""
        super().resume_writing()
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

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
        """A head is whole: the request comes in, or is shed."""
        self._framing = 0
        api = self._api
        if api is None:
            super().on_headers_complete()
            return
        now = api.admission.clock()
        route = api.routes.get(self.url.partition(b"?")[0]) if self._is_free() else None
        if route is not None and not api.admission.enter(self.headers, route, now=now):
            self._shed(api)
            return
        self._lend(now, is_in_flight=route is not None)

    def _is_free(self) -> bool:
        """Whether this request's turn is now, and an answer could be written. If not, the edge decides when its turn comes."""
        free = self.cycle is None or self.cycle.response_complete
        return free and not self.flow.write_paused and self.parser.get_method() != b"HEAD"

    def _lend(self, now: float, *, is_in_flight: bool) -> None:
        before = self.cycle
        self.scope["state"] |= {"arrived": now, "is_in_flight": is_in_flight}
        try:
            super().on_headers_complete()  # makes a cycle, and a task for it
        finally:
            if self.cycle is not before:
                self.scope["state"]["wire"] = Lent(self.cycle)
                if len(self.pipeline) > self.most_ahead:
                    self._is_deaf = True
                    self.transport.abort()
            elif is_in_flight and self._api is not None:  # nobody will answer it
                self._api.admission.leave()

    def _shed(self, api: Api) -> None:
        """Answer with what lies ready; the rest of the request is read and thrown away."""
        self._is_shed = True
        request_id = (given_id(dict(self.headers).get(b"x-request-id")) or new_id()).encode()
        keeps = self.parser.should_keep_alive() and self.parser.get_http_version() == "1.1" and not api.health.draining
        self._is_last = not keeps
        own = (SHED_LENGTH + len(request_id), request_id, api.budget_ms, b"" if keeps else b"connection: close\r\n")
        default = default_lines(tuple(self.server_state.default_headers))
        self.transport.write(b"".join((SHED_HEAD, default, SHED_OWN % own, request_id.join(SHED_BODY))))

    def _end_shed(self) -> None:
        self._is_shed = False
        if self._is_last:
            self._is_deaf = True
            self.transport.close()
        else:
            self._unset_keepalive_if_required()
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def on_response_complete(self) -> None:
        """What was sent ahead is answered before more is read."""
        super().on_response_complete()
        if self.pipeline:
            self.flow.pause_reading()

    def on_body(self, body: bytes) -> None:
        """A part of a body: the edge counts these bytes."""
        self._framing = 0
        if not self._is_shed:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """A request is whole."""
        self._framing, self._in_request = 0, False
        self._stop_timer()
        if self._is_shed:
            self._end_shed()
        else:
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
        length = (b"content-length", b"%d" % len(body))
        own = (*self.server_state.default_headers, length, CLOSE, (b"x-request-id", request_id.encode()))
        self.transport.write(STATUS_LINE[refusal.code.status] + lines((*own, *PROBLEM)) + b"\r\n" + body)
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.loop.call_later(LINGER_S, self.transport.close)
