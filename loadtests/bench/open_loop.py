"""How slow are answers when customers come as they please? Poisson arrivals over kept connections, each at its own time.

Latency counts from the moment at which a request was *meant* to be sent. So whatever holds the generator up counts too, and its own
lateness is reported beside: how long a due request lay although a connection was free. One thread waits on epoll; asyncio would cost
twice as much for each request, of two cores that the measured system needs. The wait is a `select` on the epoll itself, because
`epoll.poll` rounds up to whole milliseconds.
"""

import gc
import random
import select
import socket
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from bench.figures import percentile

HOST: Final = "127.0.0.1"
COMPLETE: Final = b'"complete":true'
HEAD_END: Final = b"\r\n\r\n"
LENGTH: Final = b"content-length:"
BUFFER: Final = 1 << 18
GIVE_UP_S: Final = 3.0
"""What is not answered so long after the last request was due is an error."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is sent when: `due_s` in seconds from the start, and `which` of the generator's requests."""

    due_s: Sequence[float]
    which: Sequence[int]


def poisson(rate_per_s: float, seconds: float, questions: int, *, seed: int) -> Plan:
    """Arrivals of a Poisson process, and for each a question drawn at random: the same seed, the same plan."""
    chance = random.Random(seed)  # noqa: S311 -- repeatable, not secret
    due, at = [], chance.expovariate(rate_per_s)
    while at < seconds:
        due.append(at)
        at += chance.expovariate(rate_per_s)
    return Plan(due, [chance.randrange(questions) for _ in due])


@dataclass(frozen=True, slots=True)
class Sample:
    """One request: seconds from the start, the status (0: none) and whether the answer was whole."""

    which: int
    due_s: float
    done_s: float
    status: int
    whole: bool

    @property
    def latency_s(self) -> float:
        """From the intended send time."""
        return self.done_s - self.due_s

    @property
    def is_good(self) -> bool:
        """Answered, and whole."""
        return self.status == 200 and self.whole


@dataclass(frozen=True, slots=True)
class Run:
    """What one plan gave. `late_s`: how long each due request lay with the generator; `cpu_s`: what the generator used."""

    seconds: float
    samples: Sequence[Sample]
    late_s: Sequence[float]
    cpu_s: float

    @property
    def statuses(self) -> Counter[str]:
        """How often each status came; `incomplete` is a 200 that lacks a branch."""
        return Counter("incomplete" if s.status == 200 and not s.whole else str(s.status) for s in self.samples)

    @property
    def good_per_s(self) -> float:
        """Whole answers a second."""
        return sum(s.is_good for s in self.samples) / self.seconds

    @property
    def bad_share(self) -> float:
        """Of all requests, how many were not answered whole."""
        return 1 - sum(s.is_good for s in self.samples) / len(self.samples) if self.samples else 1.0

    def quantile_ms(self, share: float) -> float:
        """Of the latency of all requests; infinite when there are none."""
        return percentile([s.latency_s for s in self.samples], share) * 1e3 if self.samples else float("inf")

    def late_ms(self, share: float) -> float:
        """Of the generator's own lateness."""
        return percentile(self.late_s, share) * 1e3 if self.late_s else 0.0


@dataclass(slots=True)
class _Connection:
    sock: socket.socket
    index: int = -1  # of the request in flight
    left: int = 0  # bytes of its answer that are to come; 0 before the head was read
    head: bytes = b""
    status: int = 0
    whole: bool = False
    arrived: int = field(default=0)


class Generator:
    """Connections to one system, opened once and used for run after run."""

    def __init__(self, port: int, requests: Sequence[bytes], connections: int = 128) -> None:
        self._port, self._requests, self._connections = port, requests, connections
        self._epoll, self._buffer = select.epoll(), memoryview(bytearray(BUFFER))
        self._by_fd: dict[int, _Connection] = {}
        self._free: deque[_Connection] = deque()
        for _ in range(connections):
            self._open()

    def close(self) -> None:
        """Close every connection."""
        for connection in self._by_fd.values():
            connection.sock.close()
        self._by_fd.clear()
        self._epoll.close()

    def run(self, plan: Plan, seconds: float) -> Run:
        """Send a plan, wait for its answers, and say how it went. Raises OSError when nobody listens."""
        while len(self._by_fd) < self._connections:  # the system may have been started anew
            self._open()
        gc.collect()
        gc.disable()  # a collection among a million samples would be a stall of the system's
        try:
            return self._run(plan, seconds)
        finally:
            gc.enable()

    def _run(self, plan: Plan, seconds: float) -> Run:
        due, which = plan.due_s, plan.which
        samples: list[Sample] = []
        late: list[float] = []
        waiting: deque[int] = deque()
        count, following, cpu, begun = len(due), 0, time.process_time(), time.perf_counter()
        give_up = seconds + GIVE_UP_S
        while len(samples) < count:
            now = time.perf_counter() - begun
            while waiting and self._free:
                self._send(self._free.popleft(), waiting.popleft(), which)
            while following < count and due[following] <= now:
                if self._free:
                    self._send(self._free.popleft(), following, which)
                    late.append(now - due[following])
                else:
                    waiting.append(following)
                following += 1
            if now > give_up:
                break
            ahead = due[following] - now if following < count else give_up - now
            select.select([self._epoll], (), (), max(0.0, min(ahead, give_up - now)))
            for fd, _ in self._epoll.poll(0):
                connection = self._by_fd[fd]
                if self._received(connection):
                    done = time.perf_counter() - begun
                    i = connection.index
                    samples.append(Sample(which[i], due[i], done, connection.status, connection.whole))
                    self._next(connection)
        cpu = time.process_time() - cpu
        samples += [Sample(which[i], due[i], give_up, 0, whole=False) for i in self._unanswered(waiting)]
        return Run(seconds, samples, late, cpu)

    def _unanswered(self, waiting: Sequence[int]) -> Iterator[int]:
        yield from waiting
        for connection in [c for c in self._by_fd.values() if c.index >= 0]:
            yield connection.index
            self._reopen(connection)

    def _send(self, connection: _Connection, index: int, which: Sequence[int]) -> None:
        connection.index, connection.left, connection.head, connection.status = index, 0, b"", 0
        with suppress(OSError):  # which shows when it is read
            connection.sock.send(self._requests[which[index]])

    def _received(self, connection: _Connection) -> bool:
        """Take what has come; whether the answer has ended."""
        try:
            size = connection.sock.recv_into(self._buffer)
        except BlockingIOError:
            return False
        except OSError:
            size = 0
        if size == 0:  # closed on us
            return connection.index >= 0 or self._reopen(connection)
        if connection.left:
            connection.left -= size
            return connection.left <= 0
        text = connection.head + bytes(self._buffer[:size])
        end = text.find(HEAD_END)
        if end < 0:
            connection.head = text
            return False
        head = text[:end].lower()
        at = head.find(LENGTH) + len(LENGTH)
        length = int(head[at:].split(b"\r\n", 1)[0])
        connection.status = int(head[9:12])
        missing = end + len(HEAD_END) + length - len(text)
        body_begun = text.find(COMPLETE, end) >= 0
        if not body_begun and missing and len(text) - end < 1024:  # the head came alone
            connection.head = text
            return False
        connection.whole, connection.left = body_begun, missing
        return missing <= 0

    def _next(self, connection: _Connection) -> None:
        """Ready for another request; a connection without a status has ended and is opened anew."""
        connection.index = -1
        if connection.status:
            self._free.append(connection)
        else:
            self._reopen(connection)

    def _reopen(self, connection: _Connection) -> bool:
        """Always False: nothing was answered."""
        with suppress(OSError):
            self._epoll.unregister(connection.sock.fileno())
        self._by_fd.pop(connection.sock.fileno(), None)
        with suppress(ValueError):
            self._free.remove(connection)
        connection.sock.close()
        with suppress(OSError):  # nobody listens: fewer connections, and errors that are counted
            self._open()
        return False

    def _open(self) -> None:
        sock = socket.create_connection((HOST, self._port), timeout=GIVE_UP_S)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setblocking(False)
        connection = _Connection(sock)
        self._by_fd[sock.fileno()] = connection
        self._epoll.register(sock.fileno(), select.EPOLLIN)
        self._free.append(connection)
