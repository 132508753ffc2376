"""How much is taken on at once: the limit as a value, and what it does to a service that is simulated from it."""

import heapq
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random

import pytest
from hypothesis import given, strategies as st

from gateway.domain.keys import Priority
from gateway.domain.limiter import (
    ASKED_WITHIN_S,
    LAG_LEAVES,
    PRIORITIES,
    Lags,
    Limit,
    Patience,
    Window,
)

BUDGET_S = 0.15
FULL = Limit.full(most=128, budget_s=BUDGET_S)
NEVER = (float("-inf"),) * 3

windows = st.builds(
    Window,
    seconds=st.floats(0.01, 2.0),
    ended=st.integers(0, 2000),
    total_s=st.floats(0.001, 500.0),
    late=st.integers(0, 2000),
    peak=st.integers(0, 300),
    lag_s=st.floats(0.0, 1.0),
)


@given(st.lists(windows, max_size=30), st.integers(1, 300), st.tuples(*[st.floats(-5.0, 0.0)] * 3))
def test_the_limit_keeps_its_bounds(told: list[Window], most: int, asked: tuple[float, ...]) -> None:
    """Whatever it is told; and a more important priority never has less room than another."""
    limit = Limit.full(most=most, budget_s=BUDGET_S)
    for window in told:
        limit = limit.after(window)
        room = limit.room(asked=asked, now=0.0)

        assert limit.least <= limit.value <= most
        assert sorted(room, reverse=True) == list(room)
        assert 1 <= room[-1] <= room[0] == int(limit.value)


def test_whoever_is_alone_has_everything() -> None:
    """Room is kept for interactive requests only while there are some."""
    alone = FULL.room(asked=(-10.0, -10.0, 0.0), now=0.0)
    beside_batch = FULL.room(asked=(-10.0, 0.0, 0.0), now=0.0)
    beside_all = FULL.room(asked=(0.0, 0.0, 0.0), now=ASKED_WITHIN_S / 2)

    assert ((128, 128, 128), (128, 128, 32), (128, 64, 32)) == (alone, beside_batch, beside_all)


def window(rate: float, latency_s: float, *, late: float = 0.0, peak: int = 100, lag_s: float = 0.0) -> Window:
    """A tenth of a second with so many answers a second, a share of which was late."""
    ended = int(rate / 10)
    return Window(0.1, ended, ended * latency_s, int(late * ended), peak, lag_s)


def after(limit: Limit, told: Window, times: int) -> Limit:
    """The limit when the same happens again and again."""
    for _ in range(times):
        limit = limit.after(told)
    return limit


def test_batching_is_no_overload() -> None:
    """Ten times the latency with twenty times the throughput: requests that share calls, and nobody waits too long."""
    quiet = after(FULL, window(200, 0.002, peak=3), 50)

    assert FULL.value == after(quiet, window(4000, 0.02, peak=100), 50).value


def test_slower_answers_are_less_work() -> None:
    """Ten times the latency at the same throughput: what that needs, and some more, but no longer all."""
    usual = after(FULL, window(1000, 0.005, peak=5), 100)
    slow = after(usual, window(1000, 0.05, peak=70), 20)

    assert 1000 * 0.05 < slow.value < 0.6 * FULL.value


def test_slow_answers_to_few_are_no_reason_to_take_less() -> None:
    """One caller meets a noisy neighbour, and then sixty more come."""
    usual = after(FULL, window(300, 0.002, peak=1), 100)

    assert FULL.value == after(usual, window(200, 0.02, peak=4), 100).value


def test_callers_that_wait_too_long_cut_it() -> None:
    """As long as that helps, within two seconds, and it is up again in four."""
    bad = FULL
    for _ in range(20):
        latency_s = bad.value / 300  # a backend that answers 300 a second and no more
        bad = bad.after(window(300, latency_s, late=float(latency_s > BUDGET_S / 2), peak=int(bad.value)))
    good = after(bad, window(1000, 0.005, peak=70), 40)

    assert 1.5 * 300 * BUDGET_S / 2 > bad.value
    assert FULL.most / 2 < good.value


def test_a_pause_of_the_machine_is_no_overload() -> None:
    """Everybody was late for one window, and then nobody."""
    pause, usual = window(1000, 0.12, late=0.9), window(1000, 0.01)

    assert FULL.value == FULL.after(usual).after(pause).after(usual).after(pause).after(usual).value


def test_a_cut_that_does_not_help_is_taken_back() -> None:
    """Half as many in flight, and 100 ms all the same: a model is slow, and whoever asks is still answered in time."""
    usual = after(FULL, window(800, 0.005, peak=5), 50)
    limits, limit, hopeless = [], usual, usual
    for _ in range(60):
        limit = limit.after(window(limit.value / 0.1, 0.1, late=0.9, peak=int(limit.value)))
        limits.append(limit.value)
        hopeless = hopeless.after(window(hopeless.value / 0.149, 0.149, late=0.9, peak=int(hopeless.value)))

    assert 70 > min(limits[5:8])
    assert 100 < min(limits[15:])
    assert 2 * hopeless.least > hopeless.value


def test_a_late_loop_alone_takes_no_more_than_half() -> None:
    """One iteration over a full batch is late by nature."""
    late = after(FULL, window(2000, 0.02, lag_s=0.03), 50)

    assert (LAG_LEAVES * FULL.most, True) == (late.value, late.lagging)
    assert not late.after(window(2000, 0.02)).lagging


def test_a_single_pause_is_no_lag() -> None:
    """The second worst of twenty counts."""
    lags = Lags()
    for lag_s in (0.001,) * 10 + (0.5,) + (0.001,) * 9:
        lags = lags.after(lag_s)

    assert (0.001, 0.0) == (lags.p95_s, Lags().p95_s)
    assert 0.4 == lags.after(0.4).p95_s


@given(st.lists(st.tuples(st.floats(0.0, 0.05), st.floats(0.0, 0.2)), max_size=100))
def test_hardly_any_wait_is_always_borne(steps: list[tuple[float, float]]) -> None:
    """And more than a tenth of a second never."""
    patience, now = Patience(), 0.0
    for pause_s, waited_s in steps:
        now += pause_s
        borne = patience.bears(waited_s, now=now)

        assert borne or waited_s > patience.target_s
        assert not borne or waited_s <= patience.interval_s


def test_a_queue_that_stands_is_not_borne() -> None:
    """A burst drains and is answered; once even the luckiest has waited for 100 ms, 20 ms are too long, until one waits less."""
    patience = Patience()
    burst = [patience.bears(0.02, now=n / 100) for n in range(10)]
    standing = [patience.bears(0.02, now=0.12 + n / 100) for n in range(5)]
    lucky = patience.bears(0.001, now=0.2)
    again = patience.bears(0.02, now=0.21)
    later = patience.bears(0.02, now=9.0)  # nobody was there meanwhile

    assert ([True] * 10, [False] * 5) == (burst, standing)
    assert (True, True, True) == (lucky, again, later)


@dataclass
class Simulation:
    """Poisson arrivals of three priorities, some servers with one queue, and the limit in front of them; times in seconds."""

    arrivals: Callable[[float], Sequence[float]]  # a second, in the order of PRIORITIES
    service: Callable[[float, Random], float]
    servers: int
    limit: Limit = FULL
    random: Random = field(default_factory=lambda: Random(7))  # noqa: S311 -- repeatable, not secret
    offered: list[tuple[float, int, bool]] = field(default_factory=list)  # when, who, let in
    ended: list[tuple[float, int, float]] = field(default_factory=list)  # when, who, after how long
    limits: list[tuple[float, float]] = field(default_factory=list)

    def run(self, until: float) -> "Simulation":
        """All of it; itself."""
        events: list[tuple[float, int, str, int, float]] = [(0.0, p, "ask", p, 0.0) for p in range(3)]
        heapq.heappush(events, (0.1, 3, "tick", 0, 0.0))
        waiting: deque[tuple[int, float]] = deque()
        asked, room, free, in_flight, peak = list(NEVER), FULL.room(asked=NEVER, now=0.0), self.servers, 0, 0
        ended, total_s, late, began, number = 0, 0.0, 0, 0.0, 4
        while events[0][0] < until:
            now, _, kind, who, since = heapq.heappop(events)
            number += 1
            if kind == "ask":
                rate = self.arrivals(now)[who]
                pause_s = self.random.expovariate(rate) if rate else until
                heapq.heappush(events, (now + pause_s, number, "ask", who, 0.0))
                if now == 0.0:
                    continue  # the first only sets the pace
                asked[who], let_in = now, in_flight < room[who]
                self.offered.append((now, who, let_in))
                if let_in:
                    in_flight += 1
                    peak = max(peak, in_flight)
                    waiting.append((who, now))
            elif kind == "end":
                in_flight, free, took = in_flight - 1, free + 1, now - since
                self.ended.append((now, who, took))
                ended, total_s, late = ended + 1, total_s + min(took, BUDGET_S), late + (took > BUDGET_S / 2)
            else:
                told = Window(now - began, ended, total_s, late, peak)
                if self.limit.tells(told):
                    self.limit = self.limit.after(told)
                    ended, total_s, late, began, peak = 0, 0.0, 0, now, in_flight
                room = self.limit.room(asked=tuple(asked), now=now)
                self.limits.append((now, self.limit.value))
                heapq.heappush(events, (now + 0.1, number, "tick", 0, 0.0))
            while free and waiting:
                next_who, came = waiting.popleft()
                free, number = free - 1, number + 1
                heapq.heappush(events, (now + self.service(now, self.random), number, "end", next_who, came))
        return self

    def rate(self, begin: float, end: float) -> float:
        """Answers a second within the budget."""
        return sum(begin <= at < end and took <= BUDGET_S for at, _, took in self.ended) / (end - begin)

    def p99(self, begin: float, end: float) -> float:
        """Of the requests that were let in and ended then."""
        took = sorted(took for at, _, took in self.ended if begin <= at < end)
        return took[int(0.99 * len(took))]

    def let_in(self, who: int, begin: float, end: float) -> float:
        """The share of a priority's requests."""
        let_in = [let_in for at, asked, let_in in self.offered if asked == who and begin <= at < end]
        return sum(let_in) / len(let_in)

    def limit_at(self, at: float) -> float:
        """The limit then."""
        return [value for when, value in self.limits if when <= at][-1]


def test_a_step_in_latency_lowers_the_limit() -> None:
    """5 to 50 ms: down within two seconds, what is let in stays inside its budget at full goodput, and all is well afterwards."""

    def service(now: float, random: Random) -> float:
        usual = 0.05 if 5 <= now < 15 else 0.005
        return 0.8 * usual + random.expovariate(1 / (0.2 * usual))

    world = Simulation(lambda _: (1500.0, 0.0, 0.0), service, servers=32).run(22.0)

    assert world.limit_at(7.0) < FULL.most / 2 < world.limit_at(4.9)
    assert world.p99(6.0, 15.0) < BUDGET_S
    assert world.rate(7.0, 15.0) > 0.9 * 32 / 0.05
    assert world.p99(17.0, 22.0) < 0.02
    assert world.rate(17.0, 22.0) > 0.95 * 1500


def test_slow_models_are_no_reason_to_refuse() -> None:
    """Every answer takes 100 of 150 ms, however few are asked for: nearly everybody gets one."""

    def service(now: float, random: Random) -> float:
        return random.uniform(0.09, 0.11) if now >= 5 else 0.005

    world = Simulation(lambda _: (500.0, 0.0, 0.0), service, servers=1000).run(30.0)

    assert world.let_in(0, 5.0, 30.0) > 0.9
    assert world.rate(6.0, 30.0) > 0.9 * 500


@pytest.mark.parametrize("mix", [(0.6, 1.2, 1.2), (0.8, 1.1, 1.1)])
def test_overload_costs_the_least_important(mix: tuple[float, ...]) -> None:
    """Three times what can be done: nearly all of it is still done, and the interactive part first; ten seconds later all is well."""
    capacity = 2000.0

    def arrivals(now: float) -> tuple[float, ...]:
        return tuple(capacity * share * (1.0 if 5 <= now < 20 else 0.2) for share in mix)

    world = Simulation(arrivals, lambda _, random: random.expovariate(capacity), servers=1).run(32.0)

    assert world.rate(5.0, 20.0) > 0.9 * capacity
    assert world.let_in(PRIORITIES.index(Priority.INTERACTIVE), 5.0, 20.0) > 0.99
    assert world.let_in(1, 5.0, 20.0) > 2 * world.let_in(2, 5.0, 20.0)
    assert world.p99(5.0, 20.0) < BUDGET_S
    assert (1.0, 1.0, 1.0) == tuple(world.let_in(who, 22.0, 32.0) for who in range(3))
    assert world.p99(30.0, 32.0) < 0.02


def test_a_load_test_alone_gets_all_there_is() -> None:
    """Nothing lies idle for those who do not ask."""
    capacity = 2000.0
    world = Simulation(
        lambda _: (0.0, 0.0, 3 * capacity), lambda _, random: random.expovariate(capacity), servers=1
    ).run(10.0)

    assert world.rate(1.0, 10.0) > 0.95 * capacity
