"""What is known of these entities, answered in time whatever Redis does?

    result = await reader.read([("vehicle", "v-00123"), ("area", "R07-0012")], timeout=0.02)
    row_numeric[reader.layout("vehicle").numeric_at] = result["vehicle", "v-00123"].numeric

`read` never raises for a fault of the store and never outlives its timeout: what could not be read says so in its outcome and holds
"not known" (NaN, -1), which the models have learnt.

A read that is late is **not cancelled**. Cancelling closes the connection, so a slow moment of Redis would become a storm of new
connections exactly then. The call goes on in the background as an *orphan*, its answer fills the cache, and the number of orphans is
bounded (`Bounds`): with too many of them out nobody asks.

Nothing is asked for twice at once: a read of what is being fetched waits for that call, as long as its own timeout lets it.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Final, Protocol

import numpy as np

from feature_store.breaker import Breaker, State
from feature_store.cache import Limits, Pair, Recent
from feature_store.codec import Categorical, Flaw, Numeric, Value, decode
from feature_store.keys import key
from feature_store.layout import Layout
from feature_store.store import Bounds, RedisStore, Store, StoreDown
from kit import logs
from kit.contract import Contract, Entity as Limit
from kit.rows import UNKNOWN_CODE

ABANDONED: Final = "Abandoned"  # the fault of a call that `close` ended

Clock = Callable[[], float]
_Found = dict[Pair, Value | None]
_Call = asyncio.Task[_Found]


class Outcome(StrEnum):
    """How an entity was answered. The first three hold values, the others hold "not known"."""

    HIT = "hit"  # read from the store now
    CACHED = "cached"  # read by this process within the cache's time to live
    STALE = "stale"  # from either, older than the contract's soft limit: use it, and flag it
    EXPIRED = "expired"  # older than the hard limit: not used
    MISS = "miss"  # the store has none, or has bytes that are no value of this contract
    UNAVAILABLE = "unavailable"  # the store did not answer in time, or is not asked because it did not before


@dataclass(frozen=True, slots=True, eq=False)
class Entity:
    """One entity as it goes into the packed row: read-only float32 and int32 arrays in its layout's order.

    `age_s` is how long ago the content was true, None when there is none.
    """

    outcome: Outcome
    numeric: Numeric
    categorical: Categorical
    age_s: float | None = None


class EntityReader(Protocol):
    """What the gateway needs of the feature store; a fake is a few lines."""

    async def read(self, wanted: Sequence[Pair], *, timeout: float) -> dict[Pair, Entity]:
        """Every (entity, id) that is wanted, within `timeout` seconds. Raises KeyError for an entity the contract lacks."""
        ...


class FeatureReader:
    """Reads entities through one MGET for whatever this process has not read a moment ago.

    Opens nothing: the pool connects on the first read. Use it in one event loop, and `close` it there.
    `clock` tells the time of day (ages), `monotonic` the time that passes (cache, breaker).
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
        connect: Callable[[str, Bounds], Store] = RedisStore,
    ) -> None:
        self._bounds = bounds or Bounds()
        self._store = connect(redis_url, self._bounds)
        self._print = contract.short_fingerprint
        self._kinds = {e.name: _Kind(Layout.of(contract, e.name), e) for e in contract.entities}
        self._clock, self._monotonic = clock, monotonic
        self._breaker = breaker or Breaker()
        self._recent = Recent(limits or Limits())
        self._calls: set[_Call] = set()
        self._orphans: set[_Call] = set()
        self._fetching: dict[Pair, _Call] = {}
        self._waiting: Counter[_Call] = Counter()  # how many reads wait for the call
        self.fault: str | None = None  # the kind of the store's last failure, None since it answered; for a log line
        self.flaws: Counter[Flaw] = Counter()  # bytes that were read and were no value; for a counter

    @property
    def state(self) -> State:
        """Whether the store is being asked: for a gauge."""
        return self._breaker.state

    @property
    def orphans(self) -> int:
        """Calls that are still out although everybody who waited has given up: for a gauge."""
        return len(self._orphans)

    def layout(self, entity: str) -> Layout:
        """Where the entity's values belong in the packed row. Raises KeyError."""
        return self._kinds[entity].layout

    async def read(self, wanted: Sequence[Pair], *, timeout: float) -> dict[Pair, Entity]:
        """Every (entity, id) that is wanted, within `timeout` seconds, duplicates once.

        Raises KeyError for an entity that the contract lacks, and nothing else.
        """
        at = self._monotonic()
        cached = {pair: known[0] for pair in wanted if (known := self._recent.get(pair, now=at)) is not None}
        lacking = [pair for pair in dict.fromkeys(wanted) if pair not in cached]
        fresh = await self._ask(lacking, timeout) if lacking and timeout > 0 else {}
        now = self._clock()
        answer = {pair: self._kinds[pair[0]].judge(value, Outcome.CACHED, now) for pair, value in cached.items()}
        for pair in lacking:
            kind = self._kinds[pair[0]]
            answer[pair] = kind.judge(fresh[pair], Outcome.HIT, now) if pair in fresh else kind.unavailable
        return answer

    async def close(self) -> None:
        """End the calls that are out and give the connections back."""
        for call in self._calls:
            call.cancel()
        await asyncio.gather(*self._calls, return_exceptions=True)
        await self._store.close()

    async def _ask(self, pairs: list[Pair], timeout: float) -> _Found:
        """What the store says of each pair; a pair of which it does not say anything in time is absent."""
        calls = {pair: call for pair in pairs if (call := self._joinable(pair)) is not None}
        new = [pair for pair in pairs if pair not in calls]
        keyed = [(pair, key(self._print, self._kinds[pair[0]].layout.entity, pair[1])) for pair in new]
        if keyed and self._may_call():
            calls |= dict.fromkeys(new, self._call(keyed))
        asked = set(calls.values())
        if not asked:
            return {}
        self._waiting.update(asked)
        try:
            await asyncio.wait(asked, timeout=timeout)
        finally:  # also when whoever asked was cancelled
            for call in asked:
                self._leave(call)
        answered = {call: call.result() for call in asked if call.done() and not call.cancelled()}
        return {pair: answered[call][pair] for pair, call in calls.items() if pair in answered.get(call, {})}

    def _joinable(self, pair: Pair) -> _Call | None:
        """The call that is already out for the pair. With the breaker open there is none: nobody is to wait for a store that is down."""
        return self._fetching.get(pair) if self._breaker.state is State.CLOSED else None

    def _may_call(self) -> bool:
        has_room = len(self._orphans) < self._bounds.orphans and len(self._calls) < self._bounds.calls
        return has_room and self._breaker.allows(now=self._monotonic())

    def _call(self, keyed: list[tuple[Pair, str]]) -> _Call:
        """Send a call out, where reads of the same pairs find it until it ends."""
        self._breaker = self._breaker.called()
        call = asyncio.create_task(self._fetch(keyed, was_probe=self._breaker.state is State.PROBING))
        self._calls.add(call)
        pairs = [pair for pair, _ in keyed]
        self._fetching |= dict.fromkeys(pairs, call)
        call.add_done_callback(partial(self._ended, pairs))
        return call

    def _leave(self, call: _Call) -> None:
        """One read waits no longer; a call that the last one leaves is an orphan, and stays one."""
        self._waiting[call] -= 1
        if self._waiting[call] > 0:
            return
        del self._waiting[call]
        if not call.done():
            self._orphans.add(call)

    async def _fetch(self, keyed: list[tuple[Pair, str]], *, was_probe: bool) -> _Found:
        """One MGET, whatever becomes of whoever asked: fills the cache and tells the breaker. Empty when the store did not answer."""
        fault: str | None = ABANDONED
        try:
            raw = await self._store.mget([stored_at for _, stored_at in keyed])
            fault = None
        except StoreDown as down:
            fault = str(down)
            return {}
        finally:  # a probe that never reported would keep the breaker shut for ever
            now = self._monotonic()
            self._learn(fault, now=now, was_probe=was_probe)
        found = {pair: self._value(pair, data) for (pair, _), data in zip(keyed, raw, strict=True)}
        for pair, value in found.items():
            self._recent.put(pair, value, now=now)
        return found

    def _value(self, pair: Pair, data: bytes | None) -> Value | None:
        """What the store's bytes say; bytes that are no value are as good as none, and counted."""
        if data is None:
            return None
        decoded = decode(self._kinds[pair[0]].layout, pair[1], data)
        if isinstance(decoded, Flaw):
            self.flaws[decoded] += 1
            return None
        return decoded

    def _learn(self, fault: str | None, *, now: float, was_probe: bool) -> None:
        """A call has ended, without a fault or with one of this kind: tell the breaker, and the log what has changed by it."""
        before = self.fault, self._breaker.state is State.CLOSED
        self.fault = fault
        self._breaker = (
            self._breaker.succeeded() if fault is None else self._breaker.failed(now=now, was_probe=was_probe)
        )
        # Open and probing count as one: a probe comes and goes every second.
        after = self.fault, self._breaker.state is State.CLOSED
        if before != after and fault != ABANDONED:
            log = logs.get()
            (log.info if after == (None, True) else log.warning)("feature_store", fault=fault, state=str(self.state))

    def _ended(self, pairs: list[Pair], call: _Call) -> None:
        self._calls.discard(call)
        self._orphans.discard(call)
        for pair in pairs:
            if self._fetching.get(pair) is call:
                del self._fetching[pair]


class _Kind:
    """One entity of the contract: its layout, its limits, and its two answers without values."""

    def __init__(self, layout: Layout, limit: Limit) -> None:
        self.layout, self._limit = layout, limit
        self._numeric = np.full(len(layout.numeric), np.nan, np.float32)
        self._categorical = np.full(len(layout.categorical), UNKNOWN_CODE, np.int32)
        self._numeric.flags.writeable = self._categorical.flags.writeable = False
        self.unavailable = Entity(Outcome.UNAVAILABLE, self._numeric, self._categorical)
        self._miss = Entity(Outcome.MISS, self._numeric, self._categorical)

    def judge(self, value: Value | None, fresh: Outcome, now: float) -> Entity:
        """The answer for a value of any age; `fresh` is its outcome when it is young enough."""
        if value is None:
            return self._miss
        age_s = max(0.0, now - value.event_time_s)
        if age_s > self._limit.hard_limit_s:
            return Entity(Outcome.EXPIRED, self._numeric, self._categorical, age_s)
        outcome = Outcome.STALE if age_s > self._limit.soft_limit_s else fresh
        return Entity(outcome, value.numeric, value.categorical, age_s)
