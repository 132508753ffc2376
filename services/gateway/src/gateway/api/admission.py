"""May one more request come in? Counted here, decided by the limit of `domain.limiter`, which is told what happened every tenth of a second.

What a request pays for it is a comparison and a few additions; its key is looked at only when there may be no room for it.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import Final

from gateway.api.access import Access
from gateway.api.metrics import Metrics
from gateway.domain.keys import Priority
from gateway.domain.limiter import PRIORITIES, Lags, Limit, Patience, Shed, Window
from kit import logs

Clock = Callable[[], float]

PROBE_S: Final = 0.05
PROBES_A_WINDOW: Final = 2
PROBES_A_LINE: Final = 20
LATE_AFTER: Final = 0.5  # of the budget


class Admission:
    """How many requests are in flight, and how many may be."""

    def __init__(self, access: Access, limit: Limit, metrics: Metrics, *, budget_s: float, clock: Clock) -> None:
        self.clock = clock
        self.in_flight = 0
        self._access, self._limit, self._metrics, self._budget_s = access, limit, metrics, budget_s
        self._patience, self._lags = Patience(), Lags()
        self._asked = dict.fromkeys(PRIORITIES, float("-inf"))
        self._refused = 0  # since the last line
        self._began, self._ended, self._total_s, self._late, self._peak = clock(), 0, 0.0, 0, 0
        self._make_room(self._began)
        self._wait = metrics.queue_wait[""]
        metrics.in_flight.ask(lambda: self.in_flight)
        metrics.limit.ask(lambda: int(self._limit.value))

    def enter(self, headers: Iterable[tuple[bytes, bytes]], route: str, *, now: float) -> bool:
        """Whether a request with these headers may come in; if it may, it is in flight until `leave`, and otherwise counted."""
        if self.in_flight >= self._room_for_all:
            priority = self._priority(headers, now)
            self._asked[priority] = now
            if self.in_flight >= self._room[priority]:
                self._shed(Shed.LAG if self._limit.lagging else Shed.FULL, priority, route)
                return False
        self.in_flight += 1
        self._peak = max(self._peak, self.in_flight)
        return True

    def bears(self, arrived: float, headers: Iterable[tuple[bytes, bytes]], route: str, *, now: float) -> bool:
        """Whether a request whose head came then, and whose turn is now, is still to be answered; if not, it is counted."""
        waited = now - arrived
        self._wait.observe(waited)
        if self._patience.bears(waited, now=now):
            return True
        self._shed(Shed.WAITED, self._priority(headers, now), route)
        return False

    def asked(self, priority: Priority, *, now: float) -> None:
        """Somebody of this priority has asked."""
        self._asked[priority] = now

    def leave(self) -> None:
        """A request that came in is out."""
        self.in_flight -= 1

    def learn(self, took_s: float, budget_s: float) -> None:
        """How long a request took that asked the models, out of its budget.

        A budget below the usual one is its caller's own matter: whoever sets 5 ms is late by nature, and must not slow the others.
        """
        self._ended += 1
        self._total_s += took_s
        if took_s > LATE_AFTER * max(budget_s, self._budget_s):
            self._late += 1

    async def watch(self) -> None:
        """Probe the loop, and move the limit, until cancelled."""
        probes = 0
        while True:
            before = self.clock()
            await asyncio.sleep(PROBE_S)
            now = self.clock()
            probes += 1
            self.probed(now - before - PROBE_S)
            if probes % PROBES_A_WINDOW == 0:
                self.adapt(now)
            if probes % PROBES_A_LINE == 0 and self._refused:
                logs.get().warning("shedding", requests=self._refused, limit=int(self._limit.value))
                self._refused = 0

    def probed(self, lag_s: float) -> None:
        """The loop was so late."""
        lag_s = max(0.0, lag_s)
        self._lags = self._lags.after(lag_s)
        self._metrics.loop_lag[""].observe(lag_s)

    def adapt(self, now: float) -> None:
        """A tenth of a second is over."""
        window = Window(now - self._began, self._ended, self._total_s, self._late, self._peak, self._lags.p95_s)
        if self._limit.tells(window):
            self._limit = self._limit.after(window)
            self._began, self._ended, self._total_s, self._late, self._peak = now, 0, 0.0, 0, self.in_flight
        self._make_room(now)

    def _make_room(self, now: float) -> None:
        room = self._limit.room(asked=tuple(self._asked.values()), now=now)
        self._room = dict(zip(PRIORITIES, room, strict=True))
        self._room_for_all = room[-1]

    def _priority(self, headers: Iterable[tuple[bytes, bytes]], now: float) -> Priority:
        key = self._access.known(dict(headers).get(b"authorization"), now=now)
        return PRIORITIES[-1] if key is None else key.priority  # a stranger comes last

    def _shed(self, reason: Shed, priority: Priority, route: str) -> None:
        self._refused += 1
        self._metrics.shed.add(reason.value, priority.value)
        self._metrics.requests.add(route, "503")
