"""What is measured of one system in one turn? Closed loops, the highest rates of an open loop, CPU and memory."""

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from bench import closed_loop, processes
from bench.closed_loop import Closed, Questions
from bench.open_loop import Generator, Run, poisson
from bench.search import Search
from bench.systems import System, raw

CONNECTIONS: Final = (1, 16, 64)
LIMITS_MS: Final = (25.0, 50.0)
MOST_BAD: Final = 0.001
PROBES: Final = 8
"""Of each limit; more would take longer than they tell."""
WARM_UP_S: Final = 1.0
LEAST_SAMPLES: Final = 500
"""Of which a p99 is made: a slow system is probed for longer."""
MOST_PROBE_S: Final = 6.0
BUSY: Final = 0.6
"""Of a core: a generator that uses more is measured itself."""
MOST_LATE: Final = 0.25
"""Of the limit: a generator that is later than that by itself, at p99, decides what passes."""
MOST_OTHERS: Final = 0.1
"""Of the machine."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One system's figures of one round: closed loops by connections, and by limit in ms the highest rate whose p99 keeps to it."""

    closed: dict[int, Closed]
    rate_per_s: dict[float, float]
    cpu_ms: float
    pss_mb: float
    notes: Sequence[str]

    @property
    def errors(self) -> int:
        """Of the closed loops; a probe with too many errors does not pass."""
        return sum(one.errors for one in self.closed.values())


def turn(system: System, bodies: Sequence[str], questions: Questions, seconds: float) -> Turn:
    """Measure a system for about ten times `seconds` and as many probes. Raises `CannotRun` or `NoWrk`."""
    system.ask(bodies[0])
    notes: list[str] = []
    others = Others(system)
    closed_loop.run(system.ports, questions, 16, WARM_UP_S)
    closed = {}
    cpu_ms = 0.0
    for connections in CONNECTIONS:
        found, cpu_ms = closed_turn(system, questions, connections, seconds)
        closed[connections] = found[0]
        notes += [
            f"{system.name}: {one.errors} errors at {connections} connections ({one.shown})"
            for one in found
            if one.errors
        ]
    rates = knees(system, bodies, closed[CONNECTIONS[-1]].per_s, seconds, notes)
    if (share := others.share()) > MOST_OTHERS:
        notes.append(
            f"{system.name}: something else used {share:.0%} of the machine: no figure of this turn is worth much"
        )
    return Turn(closed, rates, cpu_ms, system.held().pss_kb / 1024, notes)


class Others:
    """What else runs on this machine while a system is measured."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._begun_s, self._before_s = time.monotonic(), self._now()

    def _now(self) -> float:
        return processes.machine_cpu_s() - processes.own_cpu_s() - self._system.cpu_s()

    def share(self) -> float:
        """Of all cores, since it was made: 0 to 1."""
        cores = os.cpu_count() or 1
        return (self._now() - self._before_s) / (time.monotonic() - self._begun_s) / cores

    def notes(self) -> list[str]:
        """A warning when that was too much."""
        share = self.share()
        said = f"{self._system.name}: something else used {share:.0%} of the machine: no such figure is worth much"
        return [said] if share > MOST_OTHERS else []


def closed_turn(system: System, questions: Questions, connections: int, seconds: float) -> tuple[list[Closed], float]:
    """So many connections to each of its ports, and the CPU milliseconds of each answer."""
    before = system.cpu_s()
    found = closed_loop.run(system.ports, questions, connections, seconds)
    spent_s = system.cpu_s() - before
    return found, 1e3 * spent_s / max(1, sum(one.answers for one in found))


def knees(
    system: System, bodies: Sequence[str], peak_per_s: float, seconds: float, notes: list[str]
) -> dict[float, float]:
    """By limit, the highest rate whose p99 keeps to it; `peak_per_s` is what the closed loop came to."""
    rates: dict[float, float] = {}
    worst: dict[str, tuple[float, str]] = {}
    generator = Generator(system.ports[0], [raw(system.ports[0], body, system.headers) for body in bodies])
    try:
        for limit_ms in LIMITS_MS:
            known = max(rates.values(), default=0.0)
            search = Search(first=0.7 * peak_per_s, most=2.0 * peak_per_s, best=known, most_probes=PROBES)
            while (rate := search.next()) is not None:
                run = probe(generator, len(bodies), rate, seconds, seed=search.probes)
                search.tell(rate, passed=passes(run, limit_ms))
                for kind, size, said in doubts(run, limit_ms):
                    worst[kind] = max(worst.get(kind, (0.0, "")), (size, f"{system.name}, at {rate:.0f}/s: {said}"))
            rates[limit_ms] = search.best
    finally:
        generator.close()
    notes += [said for _, said in worst.values()]
    return rates


def probe(generator: Generator, questions: int, rate_per_s: float, seconds: float, *, seed: int) -> Run:
    """One stretch of Poisson arrivals, long enough for a p99."""
    lasts_s = min(MOST_PROBE_S, max(seconds, LEAST_SAMPLES / rate_per_s))
    return generator.run(poisson(rate_per_s, lasts_s, questions, seed=seed), lasts_s)


def passes(run: Run, limit_ms: float) -> bool:
    """Whether the p99 keeps to the limit, and no more than one in a thousand was not answered whole."""
    return run.quantile_ms(0.99) <= limit_ms and run.bad_share <= MOST_BAD


def doubts(run: Run, limit_ms: float) -> Iterator[tuple[str, float, str]]:
    """Whether the generator was what was measured: of which kind, how badly, and in words."""
    share, late_ms = run.cpu_s / run.seconds, run.late_ms(0.99)
    if share > BUSY:
        yield "busy", share, f"the generator used {share:.0%} of a core"
    if late_ms > MOST_LATE * limit_ms:
        yield "late", late_ms, f"the generator itself was {late_ms:.1f} ms late at p99"
