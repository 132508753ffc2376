"""What does every caller get while something is broken? A small steady load, of which every answer is kept.

Arrivals are paced and wait for nobody. The load runs in a thread, so that a test reads as what happens to the fleet, in order.
"""

import asyncio
import json
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count, cycle
from typing import Any, Final, TypeVar

import httpx2
from chaos.starvation import LEAST, Starvation

T = TypeVar("T")

DEV_KEY: Final = "ballpark-dev"
RATE: Final = 80.0
BUDGET_MS: Final = 300
MOST_WAITING: Final = 200
"""More answers than this are not waited for: the test fails instead of piling up work."""

GIVES_UP_S: Final = 10.0
NO_HEADERS: Final[Mapping[str, str]] = {}
AGES: Final = range(30, 50)
CARS: Final = 10_000
SECTOR: Final = "R03-0010"

NEW_CARS: Final = cycle(range(CARS))
"""A car that nobody has asked for lately: what the gateway remembers would hide a broken store."""


def quote(age: int, car: int, **more: Any) -> dict[str, Any]:
    """A request for quotes on a car, which the store knows when it is one of `CARS`."""
    risk = {
        "driver": {"age": age, "licence_years": 8},
        "vehicle": {"vehicle_id": f"v-{car:05d}"},
        "area": {"sector": SECTOR},
    }
    return {"risk": risk, **more}


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer, or the error that came instead (`status` 0); times are monotonic seconds at the client."""

    asked_at: float
    took_s: float
    status: int
    headers: Mapping[str, str]
    body: Any
    age: int

    @property
    def is_whole(self) -> bool:
        """Whether it lacks nothing."""
        return self.is_complete and not self.body["degraded"]

    @property
    def is_complete(self) -> bool:
        """Whether both models have answered."""
        return self.status == 200 and bool(self.body["complete"])

    @property
    def is_shed(self) -> bool:
        """Whether it was refused for there being too much to do."""
        return self.status == 503 and self.body["type"] == "urn:ballpark:error:shed"

    @property
    def reasons(self) -> frozenset[str]:
        """Why it is less than it could be."""
        return frozenset(self.body["degraded"]) if self.status == 200 else frozenset()

    def __str__(self) -> str:
        said = (
            self.body if self.status != 200 else {"complete": self.body["complete"], "degraded": self.body["degraded"]}
        )
        return f"{self.status} after {1000 * self.took_s:.0f} ms at {self.asked_at:.2f}: {said}"


class Background:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="load", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T], *, within_s: float = 60.0) -> T:
        """Do it there, and wait."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(within_s)

    def begin(self, work: Coroutine[Any, Any, Any]) -> None:
        """Do it there, and do not wait."""
        asyncio.run_coroutine_threadsafe(work, self.loop)

    def close(self) -> None:
        """End the thread; nothing may be left to do in it."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(10)
        self.loop.close()


@dataclass
class Load:
    """Asks until it is told to stop. `answers` grows in the order in which they come."""

    url: str
    rate: float = RATE
    budget_ms: int = BUDGET_MS
    key: str = DEV_KEY
    make: Callable[[int], dict[str, Any]] = lambda age: quote(age, next(NEW_CARS))
    answers: list[Answer] = field(default_factory=list)
    not_sent: int = 0
    forgiven: float = LEAST
    """The share of the answers that may be other than they should be because the machine had other work."""

    _waiting: int = 0
    _ending: bool = False

    async def run(self) -> None:
        """Until `end`; then every answer is there."""
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=MOST_WAITING)
        headers = {"Authorization": f"Bearer {self.key}", "X-Request-Timeout-Ms": str(self.budget_ms)}
        async with (
            httpx2.AsyncClient(base_url=self.url, headers=headers, limits=limits, timeout=GIVES_UP_S) as client,
            asyncio.TaskGroup() as asked,
        ):
            began = time.monotonic()
            for number in count():
                await asyncio.sleep(max(0.0, began + number / self.rate - time.monotonic()))
                if self._ending:
                    break
                if self._waiting >= MOST_WAITING:
                    self.not_sent += 1
                    continue
                asked.create_task(self._ask(client, AGES[number % len(AGES)]))

    def end(self) -> None:
        """Ask no more."""
        self._ending = True

    async def _ask(self, client: httpx2.AsyncClient, age: int) -> None:
        self._waiting += 1
        content = json.dumps(self.make(age))
        status, headers = 0, NO_HEADERS
        body: Any = None
        began = time.monotonic()
        try:
            got = await client.post("/v1/quotes", content=content, headers={"Content-Type": "application/json"})
            status, headers, body = got.status_code, got.headers, got.json()
        except (httpx2.TransportError, ValueError) as error:
            body = repr(error)
        finally:
            self._waiting -= 1
        self.answers.append(Answer(began, time.monotonic() - began, status, headers, body, age))

    def between(self, begin: float, end: float = float("inf")) -> list[Answer]:
        """What was asked in that time, as far as it is answered."""
        return [one for one in list(self.answers) if begin <= one.asked_at < end]


@contextmanager
def steady(background: Background, url: str, **options: Any) -> Iterator[Load]:
    """A load that runs for as long as the block; at its end every answer is there."""
    load, starvation = Load(url, **options), Starvation()
    running = asyncio.run_coroutine_threadsafe(load.run(), background.loop)
    try:
        yield load
    finally:
        load.end()
        running.result(GIVES_UP_S + 5)
        load.forgiven = starvation.share()
