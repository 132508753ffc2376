"""What is known of these entities, answered in time whatever Redis does?

    known = reader.cached(wanted) or await reader.read(wanted, timeout=0.02)
    row_numeric[reader.layout("vehicle").numeric_at] = known["vehicle", "v-00123"].numeric

`read` never raises for a fault of the store and never outlives its timeout: what could not be read says so in its outcome and holds
"not known" (NaN, -1), which the models have learnt.

A read that is late is **not cancelled**: its call goes on in the background as an *orphan* and its answer fills the cache. The number
of orphans is bounded (`Bounds`): with too many of them out nobody asks. Nothing is asked for twice at once: a read of what is being
fetched waits for that call, as long as its own timeout lets it. What different reads ask for in one turn of the loop leaves in one write.

A value is decoded and its answer built when it enters the cache; `cached` is two look-ups and a comparison. Whether it is stale is
judged at every read, by the value's own event time.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import partial
from typing import Final, NamedTuple

import numpy as np

from feature_store.cache import Limits, Pair, Recent
from feature_store.cluster import open_store
from feature_store.codec import Categorical, Flaw, Numeric, Value, decode
from feature_store.guarded import Guarded
from feature_store.keys import key, table_key
from feature_store.layout import Layout
from feature_store.store import Bounds, Store, values
from feature_store.tables import Table
from kit.breaker import Breaker, State
from kit.contract import Contract, Entity as Limit
from kit.rows import UNKNOWN_CODE

LOOK_EVERY_S: Final = 1.0  # how old the knowledge of a table's generation may be; see `materialise.RETIRED_S`
MOST_TRIPS: Final = 3  # learn the generation, read, and once more when a new one came into force in between

Clock = Callable[[], float]
Reply = asyncio.Future[list[bytes | None]]


class Outcome(StrEnum):
    """How an entity was answered. The first three hold values, the others hold "not known"."""

    HIT = "hit"  # read from the store now
    CACHED = "cached"  # read by this process within the cache's time to live
    STALE = "stale"  # from either, older than the contract's soft limit: use it, and flag it
    EXPIRED = "expired"  # older than the hard limit: not used
    MISS = "miss"  # the table has none, or has bytes that are no value of this contract
    UNAVAILABLE = (
        "unavailable"  # the store has no table, or did not answer in time, or is not asked because it did not before
    )


@dataclass(frozen=True, slots=True, eq=False)
class Entity:
    """One entity as it goes into the packed row, in its layout's order: read-only float32 and int32 arrays, and the same as tuples.

    `event_time_s` is when the content was true, in seconds since 1970, None when there is none.
    """

    outcome: Outcome
    numeric: Numeric
    categorical: Categorical
    numbers: tuple[float, ...]
    codes: tuple[int, ...]
    event_time_s: float | None = None

    def age_s(self, *, now: float) -> float | None:
        """How long ago the content was true, None when there is none; `now` is in seconds since 1970."""
        return None if self.event_time_s is None else max(0.0, now - self.event_time_s)


class FeatureReader:
    """Reads entities through one MGET for whatever this process has not read a moment ago.

    Opens nothing: the first read connects. Use it in one event loop, and `close` it there.
    `clock` tells the time of day (ages), `monotonic` the time that passes (cache, breaker). `store` may be shared with
    `SharedQuotas` and `Remembered`: what all of them ask in one turn of the loop is one round trip.
    """

    def __init__(
        self,
        redis_url: str,
        contract: Contract,
        *,
        clock: Clock = time.time,
        monotonic: Clock = time.monotonic,
        breaker: Breaker | None = None,
        limits: Limits | None = None,
        bounds: Bounds | None = None,
        connect: Callable[[str, Bounds], Store] = open_store,
    ) -> None:
        self._bounds = bounds or Bounds()
        self.store = connect(redis_url, self._bounds)
        self._guarded = Guarded(
            self.store, "features", calls=self._bounds.calls, monotonic=monotonic, breaker=breaker or Breaker()
        )
        self._kinds = {e.name: _Kind(contract, e) for e in contract.entities}
        self._clock, self._monotonic = clock, monotonic
        self._recent: Recent[_Known] = Recent(limits or Limits())
        self._fetching: dict[Pair, _Call] = {}
        self._orphans: set[_Call] = set()
        self.flaws: Counter[Flaw] = Counter()  # bytes that were read and were no value; for a counter

    @property
    def state(self) -> State:
        """Whether the store is being asked: for a gauge."""
        return self._guarded.state

    @property
    def fault(self) -> str | None:
        """The kind of the store's last failure, None since it answered."""
        return self._guarded.fault

    @property
    def orphans(self) -> int:
        """Calls that are still out although everybody who waited has given up: for a gauge."""
        return len(self._orphans)

    def layout(self, entity: str) -> Layout:
        """Where the entity's values belong in the packed row. Raises KeyError."""
        return self._kinds[entity].layout

    def cached(self, wanted: Sequence[Pair]) -> dict[Pair, Entity] | None:
        """Every (entity, id) that is wanted when this process has read all of them a moment ago, else None. Asks nobody."""
        at, now = self._monotonic(), self._clock()
        answer = {}
        for pair in wanted:
            known = self._recent.get(pair, now=at)
            if known is None:
                return None
            answer[pair] = known.cached if now <= known.fresh_until_s else known.late(now)
        return answer

    async def read(self, wanted: Sequence[Pair], *, timeout: float) -> dict[Pair, Entity]:
        """Every (entity, id) that is wanted, within `timeout` seconds, duplicates once.

        Raises KeyError for an entity that the contract lacks, and nothing else.
        """
        at = self._monotonic()
        known = {pair: self._recent.get(pair, now=at) for pair in wanted}
        lacking = [pair for pair, found in known.items() if found is None]
        fresh = await self._ask(lacking, timeout) if lacking and timeout > 0 else {}
        now = self._clock()
        answer = {}
        for pair, found in known.items():
            if found is not None:
                answer[pair] = found.judge(found.cached, now)
            elif (found := fresh.get(pair)) is not None:
                answer[pair] = found.judge(found.hit, now)
            else:
                answer[pair] = self._kinds[pair[0]].unavailable
        return answer

    async def close(self) -> None:
        """End the calls that are out and give the connection back."""
        await self._guarded.close()
        await self.store.close()

    async def _ask(self, pairs: list[Pair], timeout: float) -> dict[Pair, "_Known"]:
        """What the store says of each pair; a pair of which it does not say anything in time is absent."""
        is_down = self._guarded.state is not State.CLOSED  # then nobody is to wait for a call that is out already
        calls = {} if is_down else {pair: call for pair in pairs if (call := self._fetching.get(pair)) is not None}
        if (new := [pair for pair in pairs if pair not in calls]) and (begun := self._begin(new)) is not None:
            calls |= dict.fromkeys(new, begun)
        if not calls:
            return {}
        asked = set(calls.values())
        waiter = _Waiter(len(asked), timeout)
        for call in asked:
            call.waiters.add(waiter)
        try:
            await waiter.future
        finally:  # also when whoever asked was cancelled
            waiter.end()
            for call in asked:
                self._leave(call, waiter)
        return {pair: call.found[pair] for pair, call in calls.items() if pair in call.found}

    def _begin(self, pairs: list[Pair]) -> "_Call | None":
        """Send a call out, where reads of the same pairs find it until it ends. None when nobody is to ask."""
        if len(self._orphans) >= self._bounds.orphans:
            return None
        call = _Call(pairs)
        if not self._send(call, pairs):
            return None
        self._fetching |= dict.fromkeys(pairs, call)
        return call

    def _send(self, call: "_Call", pairs: Sequence[Pair]) -> bool:
        """One MGET: the tables that have to be looked at, and the pairs whose table is known. Whether it has been sent."""
        now = self._monotonic()
        looked: list[_Kind] = []
        asked: list[tuple[Pair, _Kind, Table]] = []
        for pair in pairs:
            kind = self._kinds[pair[0]]
            if now >= kind.look_at and kind not in looked:
                looked.append(kind)
            if kind.table is not None:
                asked.append((pair, kind, kind.table))
        keys = [kind.table_key for kind in looked] + [kind.key(table, pair[1]) for pair, kind, table in asked]
        reply = self._guarded.ask(("MGET", *keys), values(len(keys))) if keys else None
        if reply is None:
            return False
        call.trips += 1
        reply.add_done_callback(partial(self._answered, call, looked, asked))
        return True

    def _answered(
        self, call: "_Call", looked: "list[_Kind]", asked: "list[tuple[Pair, _Kind, Table]]", reply: Reply
    ) -> None:
        """Fill the cache, whoever is still waiting. What has no answer because its table was not known, or is new, is asked for again."""
        if reply.cancelled() or reply.exception() is not None:
            self._end(call)
            return
        now, got = self._monotonic(), reply.result()
        data = got[len(looked) :]
        for kind, record in zip(looked, got, strict=False):
            is_empty = all(value is None for (_, k, _), value in zip(asked, data, strict=True) if k is kind)
            kind.learn(record, is_empty=is_empty, now=now)
        for (pair, kind, table), value in zip(asked, data, strict=True):
            if value is not None or kind.table is table:
                known = call.found[pair] = self._known(kind, pair[1], value)
                self._recent.put(pair, known, is_miss=known is kind.miss, now=now)
        if len(call.found) < len(call.pairs) and call.trips < MOST_TRIPS:
            again = [p for p in call.pairs if p not in call.found and self._kinds[p[0]].table is not None]
            if again and self._send(call, again):
                return
        self._end(call)

    def _known(self, kind: "_Kind", entity_id: str, data: bytes | None) -> "_Known":
        """What the store's bytes say; bytes that are no value are as good as none, and counted."""
        if data is None:
            return kind.miss
        decoded = decode(kind.layout, entity_id, data)
        if isinstance(decoded, Flaw):
            self.flaws[decoded] += 1
            return kind.miss
        return kind.known(decoded)

    def _end(self, call: "_Call") -> None:
        self._orphans.discard(call)
        for pair in call.pairs:
            if self._fetching.get(pair) is call:
                del self._fetching[pair]
        call.is_done = True
        for waiter in call.waiters:
            waiter.one_done()

    def _leave(self, call: "_Call", waiter: "_Waiter") -> None:
        """One read waits no longer; a call that the last one leaves is an orphan, and stays one."""
        call.waiters.discard(waiter)
        if not call.waiters and not call.is_done:
            self._orphans.add(call)


@dataclass(slots=True, eq=False)
class _Call:
    """A question to the store, which may take more than one trip, and who waits for its answer."""

    pairs: list[Pair]
    found: "dict[Pair, _Known]" = field(default_factory=dict)
    waiters: "set[_Waiter]" = field(default_factory=set)
    trips: int = 0
    is_done: bool = False


class _Waiter:
    """One read, until the calls that it needs have ended or its time is over."""

    def __init__(self, calls: int, timeout: float) -> None:
        loop = asyncio.get_running_loop()
        self.future: asyncio.Future[None] = loop.create_future()
        self._left, self._timer = calls, loop.call_later(timeout, self._wake)

    def one_done(self) -> None:
        self._left -= 1
        if self._left == 0:
            self._wake()

    def end(self) -> None:
        self._timer.cancel()

    def _wake(self) -> None:
        if not self.future.done():
            self.future.set_result(None)


class _Known(NamedTuple):
    """What the store said of one entity: the answer when it was read now, the answer when it was read before, and what it is when late."""

    hit: Entity
    cached: Entity
    fresh_until_s: float
    useful_until_s: float
    nothing: Entity

    def judge(self, fresh: Entity, now: float) -> Entity:
        """The answer at a time of day; `fresh` is what it is when it is young enough."""
        return fresh if now <= self.fresh_until_s else self.late(now)

    def late(self, now: float) -> Entity:
        """The answer after `fresh_until_s`."""
        if now <= self.useful_until_s:
            return replace(self.hit, outcome=Outcome.STALE)
        return replace(self.nothing, outcome=Outcome.EXPIRED, event_time_s=self.hit.event_time_s)


class _Kind:
    """One entity of the contract: its layout, its limits, its table, and its answers without values."""

    def __init__(self, contract: Contract, limit: Limit) -> None:
        self.layout, self._limit, self._print = Layout.of(contract, limit.name), limit, contract.short_fingerprint
        self.table_key = table_key(self._print, limit.name)
        self.table: Table | None = None
        self.look_at = float("-inf")
        self._record: bytes | None = None
        numeric = np.full(len(self.layout.numeric), np.nan, np.float32)
        categorical = np.full(len(self.layout.categorical), UNKNOWN_CODE, np.int32)
        numeric.flags.writeable = categorical.flags.writeable = False
        self.unavailable = Entity(
            Outcome.UNAVAILABLE, numeric, categorical, tuple(numeric.tolist()), tuple(categorical.tolist())
        )
        miss, for_ever = replace(self.unavailable, outcome=Outcome.MISS), float("inf")
        self.miss = _Known(miss, miss, for_ever, for_ever, miss)

    def key(self, table: Table, entity_id: str) -> str:
        return key(self._print, self.layout.entity, table.generation, entity_id)

    def learn(self, record: bytes | None, *, is_empty: bool, now: float) -> None:
        """Somebody has looked which table is in force. That the record is gone is believed when everything else is gone as well."""
        self.look_at = now + LOOK_EVERY_S
        if record != self._record and (record is not None or is_empty):
            self._record, self.table = record, Table.decode(record)

    def known(self, value: Value) -> _Known:
        what = value.numeric, value.categorical, tuple(value.numeric.tolist()), tuple(value.categorical.tolist())
        true_at_s = value.event_time_s
        return _Known(
            Entity(Outcome.HIT, *what, true_at_s),
            Entity(Outcome.CACHED, *what, true_at_s),
            true_at_s + self._limit.soft_limit_s,
            true_at_s + self._limit.hard_limit_s,
            self.unavailable,
        )
