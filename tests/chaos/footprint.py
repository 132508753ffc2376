"""What does a gateway hold: tasks, descriptors, connections, threads, memory? And has it let go of what a fault made it hold?"""

import re
import signal
import time
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any, Final

import httpx2
import psutil
from chaos.processes import Gateway, until

WITHIN_S: Final = 10.0
MOST_GROWTH_MB: Final = 24.0
"""Of a whole file of faults: caches that fill and allocators that keep pages; a leaked answer of each request would be more."""

MORE_THREADS: Final = 4
"""gRPC's pool of threads breathes; what leaks with every fault is more."""


@dataclass(frozen=True, slots=True)
class Footprint:
    """`held` counts what must not grow by one; threads and memory have some room."""

    tasks: int
    descriptors: int
    connections: int
    in_flight: int
    threads: int
    rss_mb: float
    by_task: tuple[str, ...] = ()

    def exceeds(self, before: "Footprint") -> dict[str, Any]:
        """What has grown, and by how much."""
        room = {"threads": MORE_THREADS, "rss_mb": MOST_GROWTH_MB}
        mine, theirs = asdict(self), asdict(before)
        more = {n: mine[n] - theirs[n] for n in mine if n != "by_task" and mine[n] > theirs[n] + room.get(n, 0)}
        if "tasks" in more:
            more["new tasks"] = dict(Counter(self.by_task) - Counter(before.by_task))
        return more


def series(gateway: Gateway) -> dict[str, float]:
    """Every sample of its metrics by name and labels."""
    text = httpx2.get(f"{gateway.admin_url}/metrics", timeout=10).text
    found = re.findall(r"(?m)^(\w+(?:\{.*\})?) (\S+)$", text)
    return {name: float(value) for name, value in found}


def footprint(gateway: Gateway) -> Footprint:
    """As it is now, before the connection that asks for its series."""
    process = psutil.Process(gateway.process.pid)
    tasks, descriptors = tuple(sorted(tasks_of(gateway))), process.num_fds()
    connections = sum(c.status != psutil.CONN_LISTEN for c in process.net_connections())
    return Footprint(
        tasks=len(tasks),
        descriptors=descriptors,
        connections=connections,
        in_flight=int(series(gateway)["ballpark_in_flight"]),
        threads=process.num_threads(),
        rss_mb=process.memory_info().rss / 1e6,
        by_task=tasks,
    )


def tasks_of(gateway: Gateway) -> list[str]:
    """What each task that is not done is, and waits for."""
    gateway.tasks_file.unlink(missing_ok=True)
    gateway.process.send_signal(signal.SIGUSR1)
    until(gateway.tasks_file.exists, within_s=10, what="its tasks")
    return gateway.tasks_file.read_text().splitlines()


def settled(gateway: Gateway) -> Footprint:
    """As it is once nothing has changed for half a second: what is closed has been closed."""
    before, since = footprint(gateway), time.monotonic()
    deadline = since + WITHIN_S
    while time.monotonic() < min(since + 0.5, deadline):
        time.sleep(0.1)
        now = footprint(gateway)
        if now.exceeds(before) or before.exceeds(now):
            before, since = now, time.monotonic()
    return before


def check_nothing_is_left(gateway: Gateway, before: Footprint) -> None:
    """Ten seconds later it holds no more than before."""
    until_s = time.monotonic() + WITHIN_S
    while more := footprint(gateway).exceeds(before):
        assert time.monotonic() < until_s, f"ten seconds later there are more: {more}"
        time.sleep(0.2)
