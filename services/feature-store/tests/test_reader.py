"""What a read answers, and what it asks of the store; the store is a fake."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
import structlog

from feature_store.breaker import Breaker, State
from feature_store.cache import Limits
from feature_store.codec import Flaw, Value, encode
from feature_store.keys import key
from feature_store.layout import Layout
from feature_store.reader import FeatureReader, Outcome
from feature_store.store import Bounds, StoreDown
from kit.contract import Contract

CAR, AREA = ("vehicle", "v-00001"), ("area", "R07-0012")
NOW_S = 1_000_000_000.0
DAY_S = 86_400.0


@dataclass
class FakeStore:
    """A store in memory that can be slow (`opens` is what its calls wait for) or down."""

    held: dict[str, bytes] = field(default_factory=dict)
    asked: list[list[str]] = field(default_factory=list)
    opens: asyncio.Event = field(default_factory=asyncio.Event)
    down: str = ""

    async def mget(self, keys: Sequence[str]) -> list[bytes | None]:
        self.asked.append(list(keys))
        await self.opens.wait()
        if self.down:
            raise StoreDown(self.down)
        return [self.held.get(k) for k in keys]

    async def close(self) -> None:
        self.opens.set()


@dataclass
class Clock:
    """A clock that stands until it is moved."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Bench:
    """A reader, what it stands on, and the clocks it is told."""

    contract: Contract
    store: FakeStore = field(default_factory=FakeStore)
    monotonic: Clock = field(default_factory=Clock)
    wall: Clock = field(default_factory=lambda: Clock(NOW_S))

    def __post_init__(self) -> None:
        self.store.opens.set()
        self.reader = FeatureReader(
            "redis://unused", self.contract, clock=self.wall, monotonic=self.monotonic, limits=Limits(hit_s=2.0, miss_s=1.0),
            bounds=Bounds(orphans=2), connect=lambda _url, _bounds: self.store,
        )  # fmt: skip

    def hold(self, pair: tuple[str, str], *, age_s: float = 0.0) -> Value:
        """Put a value of that age into the store."""
        layout = Layout.of(self.contract, pair[0])
        value = Value(
            NOW_S - age_s, 2 ** len(layout.fields) - 1,
            np.arange(len(layout.numeric), dtype=np.float32), np.arange(len(layout.categorical), dtype=np.int32),
        )  # fmt: skip
        self.store.held[self.key(pair)] = encode(layout, pair[1], value)
        return value

    def key(self, pair: tuple[str, str]) -> str:
        return key(self.contract.short_fingerprint, *pair)

    async def outcomes(self, *wanted: tuple[str, str], timeout: float = 1.0) -> list[Outcome]:
        answer = await self.reader.read(wanted, timeout=timeout)
        return [answer[pair].outcome for pair in wanted]


@pytest.fixture
async def bench(contract: Contract) -> AsyncIterator[Bench]:
    bench = Bench(contract)
    yield bench
    await bench.reader.close()


async def test_one_call_brings_what_is_lacking(bench: Bench) -> None:
    """A car and an area are one MGET, each id once; a second read asks for the new one only."""
    bench.hold(CAR), bench.hold(AREA)

    first = await bench.outcomes(CAR, AREA, CAR)
    second = await bench.outcomes(CAR, ("vehicle", "v-00002"))

    assert [Outcome.HIT] * 3 == first
    assert [Outcome.CACHED, Outcome.MISS] == second
    assert [[bench.key(CAR), bench.key(AREA)], [bench.key(("vehicle", "v-00002"))]] == bench.store.asked


async def test_values_arrive_as_they_were_stored(bench: Bench) -> None:
    """The arrays are the stored ones, in the layout's order, with their age."""
    value = bench.hold(CAR, age_s=60.0)

    entity = (await bench.reader.read([CAR], timeout=1.0))[CAR]

    np.testing.assert_array_equal(value.numeric, entity.numeric)
    np.testing.assert_array_equal(value.categorical, entity.categorical)
    assert 60.0 == entity.age_s


@pytest.mark.parametrize(
    ("age_s", "outcome", "known"),
    [
        (-5.0, Outcome.HIT, True),  # two machines' clocks differ
        (30 * DAY_S, Outcome.HIT, True),
        (30 * DAY_S + 1, Outcome.STALE, True),
        (90 * DAY_S, Outcome.STALE, True),
        (90 * DAY_S + 1, Outcome.EXPIRED, False),
    ],
)
async def test_age_decides(bench: Bench, age_s: float, outcome: Outcome, *, known: bool) -> None:
    """Up to the soft limit fresh, up to the hard limit stale, then not used: by the value's own event time."""
    bench.hold(CAR, age_s=age_s)

    entity = (await bench.reader.read([CAR], timeout=1.0))[CAR]

    assert outcome == entity.outcome
    assert known == (not np.isnan(entity.numeric).any())


async def test_a_cached_value_ages(bench: Bench) -> None:
    """Age is told when it is read, not when it was fetched."""
    bench.hold(CAR, age_s=30 * DAY_S)

    before = await bench.outcomes(CAR)
    bench.wall.now += 1
    after = await bench.outcomes(CAR)

    assert ([Outcome.HIT], [Outcome.STALE], 1) == (before, after, len(bench.store.asked))


async def test_the_store_is_asked_again_after_the_time_to_live(bench: Bench) -> None:
    """A value is reused for its time to live, and then fetched."""
    bench.hold(CAR)

    outcomes = []
    for bench.monotonic.now in (0.0, 1.9, 2.0):
        outcomes += await bench.outcomes(CAR)

    assert [Outcome.HIT, Outcome.CACHED, Outcome.HIT] == outcomes


async def test_unknown_ids_are_no_stampede(bench: Bench) -> None:
    """That the store has none is remembered for a moment: the same unknown id is one call, and "not known" in every field."""
    first = await bench.reader.read([CAR], timeout=1.0)
    await bench.outcomes(CAR)

    assert 1 == len(bench.store.asked)
    assert Outcome.MISS == first[CAR].outcome
    assert np.isnan(first[CAR].numeric).all()
    assert (first[CAR].categorical == -1).all()


async def test_damaged_bytes_are_a_miss(bench: Bench) -> None:
    """Bytes that are no value are counted by their flaw and answered like none."""
    bench.hold(CAR)
    bench.store.held[bench.key(CAR)] = bench.store.held[bench.key(CAR)][:-1]

    assert [Outcome.MISS] == await bench.outcomes(CAR)
    assert {Flaw.TRUNCATED: 1} == bench.reader.flaws


async def test_no_time_means_no_call(bench: Bench) -> None:
    """A request whose budget is gone gets what is cached, and the store is left in peace."""
    bench.hold(CAR)
    await bench.outcomes(CAR)

    assert [Outcome.CACHED, Outcome.UNAVAILABLE] == await bench.outcomes(CAR, AREA, timeout=0.0)
    assert 1 == len(bench.store.asked)


async def test_a_late_answer_is_kept(bench: Bench) -> None:
    """The call that was too late for its request goes on, and the next request finds its answer."""
    bench.hold(CAR)
    bench.store.opens.clear()

    late = await bench.outcomes(CAR, timeout=0.01)
    orphans = bench.reader.orphans
    bench.store.opens.set()
    await until(lambda: bench.reader.orphans == 0)

    assert ([Outcome.UNAVAILABLE], 1) == (late, orphans)
    assert [Outcome.CACHED] == await bench.outcomes(CAR)
    assert State.CLOSED == bench.reader.state


async def test_a_cancelled_request_does_not_cancel_its_call(bench: Bench) -> None:
    """Cancelling would close the connection; the answer is kept instead."""
    bench.hold(CAR)
    bench.store.opens.clear()
    request = asyncio.create_task(bench.outcomes(CAR))
    await until(lambda: len(bench.store.asked) == 1)

    request.cancel()
    await asyncio.gather(request, return_exceptions=True)
    bench.store.opens.set()
    await until(lambda: bench.reader.orphans == 0)

    assert [Outcome.CACHED] == await bench.outcomes(CAR)


async def test_orphans_are_bounded(bench: Bench) -> None:
    """With as many calls out as allowed and nobody waiting for them, no other is made, and nobody waits."""
    bench.store.opens.clear()

    outcomes = [(await bench.outcomes(("vehicle", f"v-0000{i}"), timeout=0.01))[0] for i in range(5)]

    assert [Outcome.UNAVAILABLE] * 5 == outcomes
    assert (2, 2) == (len(bench.store.asked), bench.reader.orphans)


async def test_what_is_being_fetched_is_not_fetched_again(bench: Bench) -> None:
    """Fifty reads of one car at once are one call; who wants an area too asks for the area only; each gets its own values."""
    car, area = bench.hold(CAR), bench.hold(AREA, age_s=60.0)
    bench.store.opens.clear()

    reads = [asyncio.create_task(bench.reader.read([CAR], timeout=5.0)) for _ in range(50)]
    both = asyncio.create_task(bench.reader.read([AREA, CAR], timeout=5.0))
    await until(lambda: len(bench.store.asked) == 2)
    bench.store.opens.set()
    answers = await asyncio.gather(*reads)
    mixed = await both

    assert [[bench.key(CAR)], [bench.key(AREA)]] == bench.store.asked
    assert {Outcome.HIT} == {answer[CAR].outcome for answer in answers}
    assert (0.0, 60.0) == (mixed[CAR].age_s, mixed[AREA].age_s)
    np.testing.assert_array_equal(car.numeric, mixed[CAR].numeric)
    np.testing.assert_array_equal(area.numeric, mixed[AREA].numeric)


async def test_a_call_has_no_orphanage_while_one_waits(bench: Bench) -> None:
    """The first to give up leaves the call to the other, who gets the answer; the last to give up makes it an orphan."""
    bench.hold(CAR)
    bench.store.opens.clear()
    patient = asyncio.create_task(bench.outcomes(CAR, timeout=5.0))
    await until(lambda: len(bench.store.asked) == 1)

    hurried = await bench.outcomes(CAR, timeout=0.01)
    orphans = [bench.reader.orphans]
    patient.cancel()
    await asyncio.gather(patient, return_exceptions=True)
    orphans.append(bench.reader.orphans)
    joined = asyncio.create_task(bench.outcomes(CAR, timeout=5.0))
    await asyncio.sleep(0)
    bench.store.opens.set()

    assert ([Outcome.UNAVAILABLE], [0, 1]) == (hurried, orphans)
    assert [Outcome.HIT] == await joined
    assert 1 == len(bench.store.asked)


async def test_a_joined_call_that_fails_is_one_failure(bench: Bench) -> None:
    """Everybody who waits hears of it, and the breaker counts the call and not the reads."""
    bench.store.down = "TimeoutError"

    outcomes = await asyncio.gather(*(bench.outcomes(CAR) for _ in range(10)))

    assert [[Outcome.UNAVAILABLE]] * 10 == outcomes
    assert (1, State.CLOSED) == (len(bench.store.asked), bench.reader.state)


async def test_nobody_waits_for_the_calls_of_a_store_that_is_down(bench: Bench) -> None:
    """With the breaker open a call that is still out is not joined."""
    bench.store.opens.clear()
    slow = asyncio.create_task(bench.outcomes(CAR, timeout=5.0))
    await until(lambda: len(bench.store.asked) == 1)
    bench.reader._breaker = Breaker(state=State.OPEN, open_until=10.0)

    outcomes = await asyncio.wait_for(bench.outcomes(CAR, timeout=60.0), 5.0)
    bench.store.opens.set()
    await slow

    assert [Outcome.UNAVAILABLE] == outcomes


async def test_what_changes_is_logged_once(bench: Bench) -> None:
    """A line for the first failure, for the breaker, for another kind of failure, for the recovery; none for what stays."""
    with structlog.testing.capture_logs() as lines:
        for down in ("ConnectionError", "ConnectionError", "ConnectionError", "ConnectionError", "TimeoutError", ""):
            bench.store.down = down
            await bench.outcomes(CAR)
            bench.monotonic.now += 1.0

    assert [
        ("warning", "ConnectionError", "closed"),
        ("warning", "ConnectionError", "open"),
        ("warning", "TimeoutError", "open"),
        ("info", None, "closed"),
    ] == [(line["log_level"], line["fault"], line["state"]) for line in lines]
    assert {"feature_store"} == {line["event"] for line in lines}


async def test_a_store_that_is_down_is_left_alone(bench: Bench) -> None:
    """Three failures, then no call for a second, then one probe; its success brings everything back."""
    bench.hold(CAR)
    bench.store.down = "ConnectionError"

    down = [(await bench.outcomes(CAR))[0] for _ in range(5)]
    calls, fault = len(bench.store.asked), bench.reader.fault
    bench.store.down = ""
    bench.monotonic.now += 1.0
    back = await bench.outcomes(CAR)

    assert ([Outcome.UNAVAILABLE] * 5, 3, "ConnectionError") == (down, calls, fault)
    assert ([Outcome.HIT], State.CLOSED, None) == (back, bench.reader.state, bench.reader.fault)


async def test_an_entity_the_contract_lacks_is_a_key_error(bench: Bench) -> None:
    """A misspelt entity is the programmer's error, not a fault of the store."""
    with pytest.raises(KeyError, match="vehicles"):
        await bench.reader.read([("vehicles", "v-00001")], timeout=1.0)


async def until(ready: Callable[[], bool]) -> None:
    """Let the loop turn until it is so."""
    async with asyncio.timeout(5):
        while not ready():  # noqa: ASYNC110 -- what it waits for has no event
            await asyncio.sleep(0)
