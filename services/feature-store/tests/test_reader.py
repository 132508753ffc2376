"""What a read answers, and what it asks of the store; the store is a fake."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import pytest
import structlog

from feature_store.cache import Limits
from feature_store.codec import Flaw, Value, encode
from feature_store.keys import key, table_key
from feature_store.layout import Layout
from feature_store.reader import FeatureReader, Outcome
from feature_store.store import Bounds, Parse, Part, StoreDown
from feature_store.tables import Table
from kit.breaker import Breaker, State
from kit.contract import Contract

CAR, AREA = ("vehicle", "v-00001"), ("area", "R07-0012")
NOW_S = 1_000_000_000.0
DAY_S = 86_400.0
OLD, NEW = (Table.of("any", source, NOW_S, now=NOW_S) for source in ("old", "new"))
T = TypeVar("T")


@dataclass
class FakeStore:
    """A store in memory that can be slow (`opens` is what its calls wait for) or down. Every MGET that it is asked for is in `asked`."""

    held: dict[str, bytes] = field(default_factory=dict)
    asked: list[list[str]] = field(default_factory=list)
    opens: asyncio.Event = field(default_factory=asyncio.Event)
    down: str = ""

    async def ask(self, command: tuple[Part, ...], parse: Parse[T], *, urgent: bool = True) -> T:
        assert ("MGET", True) == (command[0], urgent)
        keys = [str(k) for k in command[1:]]
        self.asked.append(keys)
        await self.opens.wait()
        if self.down:
            raise StoreDown(self.down)
        return parse([self.held.get(k) for k in keys])

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

        for entity in ("vehicle", "area"):
            self.put_in_force(entity, OLD)

    def put_in_force(self, entity: str, table: Table) -> None:
        self.store.held[table_key(self.contract.short_fingerprint, entity)] = table.encode()

    async def know_tables(self) -> None:
        """Let the reader learn which tables are in force, and forget that it was asked for anything."""
        await self.reader.read([("vehicle", "v-99999"), ("area", "R99-9999")], timeout=1.0)
        self.store.asked.clear()

    def hold(self, pair: tuple[str, str], *, age_s: float = 0.0, table: Table = OLD) -> Value:
        """Put a value of that age into the store's table."""
        layout = Layout.of(self.contract, pair[0])
        value = Value(
            NOW_S - age_s, 2 ** len(layout.fields) - 1,
            np.arange(len(layout.numeric), dtype=np.float32), np.arange(len(layout.categorical), dtype=np.int32),
        )  # fmt: skip
        self.store.held[self.key(pair, table)] = encode(layout, pair[1], value)
        return value

    def key(self, pair: tuple[str, str], table: Table = OLD) -> str:
        return key(self.contract.short_fingerprint, pair[0], table.generation, pair[1])

    async def outcomes(self, *wanted: tuple[str, str], timeout: float = 1.0) -> list[Outcome]:
        answer = await self.reader.read(wanted, timeout=timeout)
        return [answer[pair].outcome for pair in wanted]


@pytest.fixture
async def bench(contract: Contract) -> AsyncIterator[Bench]:
    bench = Bench(contract)
    await bench.know_tables()
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
    assert 60.0 == entity.age_s(now=NOW_S)


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
    assert (0.0, 60.0) == tuple(mixed[pair].age_s(now=NOW_S) for pair in (CAR, AREA))
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
    bench.reader._guarded.breaker = Breaker(state=State.OPEN, open_until=10.0)

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


async def test_a_first_read_learns_the_tables(contract: Contract) -> None:
    """A process begins with one MGET of the tables in force; from then on a read is one MGET."""
    bench = Bench(contract)
    bench.hold(CAR)

    assert [Outcome.HIT] == await bench.outcomes(CAR)
    assert [[table_key(contract.short_fingerprint, "vehicle")], [bench.key(CAR)]] == bench.store.asked


async def test_a_new_table_is_seen_within_a_second(bench: Bench) -> None:
    """The table is looked at in an MGET that goes out anyway, once a second; the value of the old one still counts in that read."""
    old, new = bench.hold(CAR, age_s=60.0), bench.hold(CAR, age_s=1.0, table=NEW)
    bench.put_in_force("vehicle", NEW)

    ages = []
    for now in (0.5, 2.5, 4.5):
        bench.monotonic.now = now
        entity = (await bench.reader.read([CAR], timeout=1.0))[CAR]
        ages.append(entity.event_time_s)

    pointer = table_key(bench.contract.short_fingerprint, "vehicle")
    assert [old.event_time_s, old.event_time_s, new.event_time_s] == ages
    assert [[bench.key(CAR)], [pointer, bench.key(CAR, NEW)]] == [bench.store.asked[0], bench.store.asked[-1]]


async def test_a_table_that_was_cleared_away_is_no_miss(bench: Bench) -> None:
    """A reader that slept while its table was replaced and cleared away reads the new one in the same read."""
    bench.hold(CAR, table=NEW)
    bench.put_in_force("vehicle", NEW)
    bench.monotonic.now = 3600.0

    assert [Outcome.HIT] == await bench.outcomes(CAR)
    assert 2 == len(bench.store.asked)


async def test_a_store_without_tables_is_not_a_thousand_unknown_cars(contract: Contract) -> None:
    """Where no table is in force nobody is unknown: the store is of no use, is looked at once a second, and is no failure."""
    bench = Bench(contract)
    bench.store.held.clear()

    outcomes = [(await bench.outcomes(("vehicle", f"v-0000{i}")))[0] for i in range(5)]
    asked = len(bench.store.asked)
    bench.put_in_force("vehicle", OLD)
    bench.hold(CAR)
    bench.monotonic.now = 1.0

    assert ([Outcome.UNAVAILABLE] * 5, 1, None) == (outcomes, asked, bench.reader.fault)
    assert [Outcome.HIT] == await bench.outcomes(CAR)


async def test_a_store_that_lost_everything_says_so(bench: Bench) -> None:
    """A server that was started again empty: at the next look the table is gone, and with it the knowledge of it."""
    bench.store.held.clear()
    bench.monotonic.now = 1.0

    assert [Outcome.UNAVAILABLE] == await bench.outcomes(CAR)


async def test_a_table_record_alone_may_be_lost(bench: Bench) -> None:
    """While values are still read, a record that a full server threw out is not believed to be gone."""
    bench.hold(CAR)
    del bench.store.held[table_key(bench.contract.short_fingerprint, "vehicle")]
    bench.monotonic.now = 1.0

    assert [Outcome.HIT] == await bench.outcomes(CAR)


@pytest.mark.parametrize("record", [b"", b"[]", b"{}", b'{"generation": "*"}', b"\xff", b'{"generation":"x:{","source":"","event_time_s":0,"rows":0,"written_at_s":0}'])  # fmt: skip
async def test_a_table_record_of_another_form_is_none(bench: Bench, record: bytes) -> None:
    """Bytes that are no record of a table are as good as none, and never part of a key."""
    bench.store.held[table_key(bench.contract.short_fingerprint, "vehicle")] = record
    bench.monotonic.now = 1.0

    assert [Outcome.UNAVAILABLE] == await bench.outcomes(CAR)


async def test_what_is_cached_needs_no_loop(bench: Bench) -> None:
    """All or nothing, without a coroutine: None until everything has been read; then the values, a miss too."""
    bench.hold(CAR)
    before = bench.reader.cached([CAR, AREA])
    await bench.outcomes(CAR)
    half = bench.reader.cached([CAR, AREA])
    await bench.outcomes(AREA)
    whole = bench.reader.cached([CAR, AREA])

    assert (None, None) == (before, half)
    assert whole is not None
    assert [Outcome.CACHED, Outcome.MISS] == [whole[pair].outcome for pair in (CAR, AREA)]
    assert (tuple(whole[CAR].numeric.tolist()), tuple(whole[CAR].categorical.tolist())) == (
        whole[CAR].numbers,
        whole[CAR].codes,
    )


async def test_what_is_cached_grows_old(bench: Bench) -> None:
    """Freshness is judged at every read, not when the value entered the cache."""
    bench.hold(CAR, age_s=30 * DAY_S)
    await bench.outcomes(CAR)

    outcomes = []
    for age_s in (0.0, 1.0, 60 * DAY_S + 1):
        bench.wall.now = NOW_S + age_s
        known = bench.reader.cached([CAR])
        assert known is not None
        outcomes.append((known[CAR].outcome, bool(np.isnan(known[CAR].numeric).all())))

    assert [(Outcome.CACHED, False), (Outcome.STALE, False), (Outcome.EXPIRED, True)] == outcomes


async def test_an_entity_the_contract_lacks_is_a_key_error(bench: Bench) -> None:
    """A misspelt entity is the programmer's error, not a fault of the store."""
    with pytest.raises(KeyError, match="vehicles"):
        await bench.reader.read([("vehicles", "v-00001")], timeout=1.0)


async def until(ready: Callable[[], bool]) -> None:
    """Let the loop turn until it is so."""
    async with asyncio.timeout(5):
        while not ready():  # noqa: ASYNC110 -- what it waits for has no event
            await asyncio.sleep(0)
