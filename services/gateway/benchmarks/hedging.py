"""Would a second call to another server, when the first one takes long, pay? A simulation, whose time no busy machine can stretch.

    .venv/bin/python benchmarks/hedging.py [--calls 200000]

Three servers compute one call at a time, in 3 ms give or take a quarter; one of them, or each, takes ten times as long for 5 calls of
100. Calls arrive by chance and go to the server with the fewest in flight. A call that has no answer at the running 95th percentile
is made again on another server, as long as a bucket that fills with the stated share of calls has a token. Neither of the two is ever
cancelled, because TensorFlow Serving does not listen.
"""

# ruff: noqa: S311 -- chance that must be the same each time

import argparse
import heapq
from random import Random
from typing import Final

from gateway.domain.retries import Retries

CALL_S: Final = 0.003
SLOW_SHARE: Final = 0.05
SLOWER: Final = 10.0
MOST_TOKENS: Final = 10.0
ARRIVES, HEDGES, ENDS = range(3)


def simulate(calls: int, load: float, cap: float, after: float, slow: tuple[bool, ...]) -> tuple[list[float], int]:
    """Seconds of each call, shortest first, and how many were made twice; `load` is the share of time that the servers compute."""
    chance, servers = Random(1), len(slow)
    mean_s = CALL_S * (1 + SLOW_SHARE * (SLOWER - 1) * sum(slow) / servers)
    free_at, in_flight = [0.0] * servers, [0] * servers
    began, took = [0.0] * calls, [0.0] * calls
    first = [0] * calls
    watch, tokens, hedged, now = Retries(), 0.0, 0, 0.0
    events: list[tuple[float, int, int, int]] = [(0.0, ARRIVES, 0, 0)]

    def send(call: int, server: int) -> None:
        slower = SLOWER if slow[server] and chance.random() < SLOW_SHARE else 1.0
        seconds = CALL_S * chance.uniform(0.75, 1.25) * slower
        free_at[server] = max(now, free_at[server]) + seconds
        in_flight[server] += 1
        heapq.heappush(events, (free_at[server], ENDS, call, server))

    while events:
        now, what, call, server = heapq.heappop(events)
        if what == ENDS:
            in_flight[server] -= 1
            if not took[call]:
                took[call] = now - began[call]
                watch = watch.answered(took[call])
            continue
        others = [other for other in range(servers) if what == ARRIVES or other != first[call]]
        least = min(others, key=lambda other: (in_flight[other], chance.random()))
        if what == ARRIVES:
            began[call], first[call] = now, least
            send(call, least)
            tokens = min(MOST_TOKENS, tokens + cap)
            if cap:
                heapq.heappush(events, (now + after * watch.p95_s, HEDGES, call, 0))
            if call + 1 < calls:
                heapq.heappush(events, (now + chance.expovariate(load * servers / mean_s), ARRIVES, call + 1, 0))
        elif not took[call] and tokens >= 1.0:
            tokens, hedged = tokens - 1.0, hedged + 1
            send(call, least)
    return sorted(took), hedged


def main() -> None:
    """One line for each case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=200_000)
    calls = parser.parse_args().calls
    print("slow servers   load    cap  after p95   p50 ms  p95 ms  p99 ms  p99.9 ms  made twice")
    for slow in ((True, False, False), (True, True, True)):
        for load in (0.1, 0.4, 0.7):
            for cap, after in ((0.0, 0.0), (0.02, 1.0), (0.05, 1.0), (0.02, 3.0), (0.05, 3.0)):
                took, hedged = simulate(calls, load, cap, after, slow)
                at = [1000 * took[int(share * calls)] for share in (0.5, 0.95, 0.99, 0.999)]
                figures = "".join(f"{each:8.1f}" for each in at)
                print(
                    f"{sum(slow)} of {len(slow)}       {load:6.0%} {cap:6.0%} {after:8.0f} {figures} {hedged / calls:12.1%}"
                )


if __name__ == "__main__":
    main()
