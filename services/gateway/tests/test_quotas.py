"""Quotas that several gateways share: decided on the spot, settled in the background."""

import asyncio
from dataclasses import dataclass, field

import pytest
from hypothesis import given, strategies as st
from support import ALL, SECRET, World

from feature_store.store import StoreDown
from gateway.adapters.quotas import StoredQuotas
from gateway.api.access import Access
from gateway.api.problems import Code, Refusal
from gateway.api.quotas import Quotas
from gateway.domain.keys import Key, Quota, Scope
from gateway.domain.quotas import LOCAL_FOR_S, Lease
from gateway.ports import QuotaUnavailable


@dataclass
class Gcra:
    """What all gateways share: for each key the time at which its bucket is full again."""

    full_at: dict[str, float] = field(default_factory=dict)
    now: float = 0.0
    is_away: bool = False
    fault: Exception = field(default_factory=QuotaUnavailable)
    asked: int = 0

    async def lease(self, key_id: str, *, per_minute: int, burst: int, tokens: int) -> int:
        """As the port says."""
        self.asked += 1
        await asyncio.sleep(0)
        if self.is_away:
            raise self.fault
        return self.take(key_id, Quota(per_minute, burst), tokens)

    def take(self, key_id: str, quota: Quota, tokens: int) -> int:
        """The same, at once."""
        every = 60 / quota.per_minute
        full_at = max(self.full_at.get(key_id, self.now), self.now)
        granted = max(0, min(tokens, int((self.now + quota.burst * every - full_at) / every + 1e-6)))
        self.full_at[key_id] = full_at + granted * every
        return granted


def passed(gateways: int, quota: Quota, *, rate: float, seconds: float, delay_s: float) -> int:
    """How many requests pass several gateways in all when so many a second come to each, and the store takes a while."""
    shared, leases = Gcra(), [Lease(quota) for _ in range(gateways)]
    questions: list[tuple[float, int, int, int]] = []  # answered when, of whom, wanted, granted
    count = 0
    for step in range(int(seconds * rate)):
        now = shared.now = step / rate
        for who in range(gateways):
            for question in [q for q in questions if q[0] <= now and q[1] == who]:
                questions.remove(question)
                leases[who] = leases[who].granted(question[3], of=question[2], now=now)
            after = leases[who].take(now=now)
            count += after is not None
            leases[who] = after or leases[who]
            if wanted := leases[who].wants(now=now):
                leases[who] = leases[who].asked()
                questions.append((now + delay_s, who, wanted, shared.take("key", quota, wanted)))
    return count


@pytest.mark.parametrize("gateways", [1, 2, 4])
@pytest.mark.parametrize("quota", [Quota(600, 60), Quota(6000, 600), Quota(60_000, 1000)])
def test_gateways_share_a_quota(gateways: int, quota: Quota) -> None:
    """Each is offered twice the whole of it: together they pass what it allows, within five in a hundred."""
    seconds = 60.0
    allowed = quota.burst + quota.per_minute * seconds / 60

    count = passed(gateways, quota, rate=2 * quota.per_minute / 60, seconds=seconds, delay_s=0.005)

    assert 0.95 * allowed < count < 1.05 * allowed


def test_one_gateway_alone_gets_all_of_it() -> None:
    """What nobody else asks for lies nowhere unused."""
    assert 600 == passed(1, Quota(1200, 100), rate=10, seconds=60, delay_s=0.005)


leases = st.lists(st.one_of(st.just("take"), st.just("away"), st.integers(0, 100)), max_size=200)


@given(leases, st.integers(1, 100_000), st.integers(1, 10_000))
def test_no_more_is_owed_than_a_portion(events: list[str | int], per_minute: int, burst: int) -> None:
    """However often the store is away, or grants less than it was asked for: requests on credit are bounded."""
    quota = Quota(per_minute, burst)
    lease, now, wanted, spent, granted = Lease(quota), 0.0, 0, 0, 0
    for event in events:
        now += 0.05
        if event == "take":
            is_local = now < lease.local_until
            after = lease.take(now=now)
            spent += after is not None and not is_local
            lease = after or lease
        elif event == "away":
            if wanted:
                spent, lease, wanted = min(spent, granted), lease.unanswered(now=now), 0
        elif wanted:
            given_now = min(int(event), wanted)
            granted, lease, wanted = granted + given_now, lease.granted(given_now, of=wanted, now=now), 0
        if not wanted and (wanted := lease.wants(now=now)):
            lease = lease.asked()

        assert -lease.portion <= lease.tokens <= 2 * lease.portion
        assert spent - granted <= lease.portion


RICH = Key("rich", ALL.hashes, ALL.scopes, quota=Quota(per_minute=600, burst=20))


def statuses(access: Access, number: int, *, now: float) -> list[int]:
    """What so many requests at once are told."""
    told = []
    for _ in range(number):
        try:
            access.admit(RICH, Scope.QUOTES, now=now)
        except Refusal as refusal:
            told.append(refusal.code.status)
        else:
            told.append(200)
    return told


async def test_the_store_is_asked_once_for_many_requests() -> None:
    """None of them waits for it; and what one gateway has used is missing at the other one."""
    shared = Gcra()
    accesses = []
    for _ in range(2):
        access = Access([RICH], SECRET)
        access.share(Quotas(shared, lambda: shared.now))
        accesses.append(access)
    told = []
    for _ in range(12):
        told += [statuses(access, 2, now=0.0) for access in accesses]
        for _ in range(4):
            await asyncio.sleep(0)

    passed_at_once = sum(one.count(200) for one in told)
    assert 20 <= passed_at_once <= 30
    assert 429 in told[-1]
    assert shared.asked < passed_at_once


async def test_without_the_store_the_own_bucket_counts() -> None:
    """No error, the local cap holds, and the store is left alone for a second at a time."""
    shared = Gcra(is_away=True)
    access = Access([RICH], SECRET)
    quotas = Quotas(shared, lambda: shared.now)
    access.share(quotas)
    told = statuses(access, 3, now=0.0)
    for _ in range(4):
        await asyncio.sleep(0)
    told += statuses(access, 20, now=0.0)
    asked = shared.asked
    shared.now = LOCAL_FOR_S + 0.1
    told += statuses(access, 1, now=shared.now)
    await quotas.close()

    assert [200] * 20 + [429] * 3 + [200] == told
    assert (1, 1) == (asked, shared.asked)


async def test_a_store_that_is_down_is_said_in_our_words() -> None:
    """Whatever the store's fault is; otherwise its answer is the port's."""
    shared = Gcra()
    grants = [await StoredQuotas(shared).lease("rich", per_minute=60, burst=3, tokens=5)]
    with pytest.raises(QuotaUnavailable):
        await StoredQuotas(Gcra(is_away=True, fault=StoreDown("TIMEOUT"))).lease(
            "rich", per_minute=60, burst=3, tokens=5
        )

    assert [3] == grants


async def test_a_shared_quota_that_is_used_up_is_told() -> None:
    """429 with when to come back, as for the gateway's own."""
    shared = Gcra(full_at={"rich": 10.0})
    world = World(keys=(RICH,))
    access = world.parts().access
    access.share(Quotas(shared, lambda: shared.now))
    told = statuses(access, 5, now=0.0)
    for _ in range(4):
        await asyncio.sleep(0)
    with pytest.raises(Refusal) as refused:
        access.admit(RICH, Scope.QUOTES, now=0.0)

    assert ([200] * 5, Code.QUOTA) == (told, refused.value.code)
    assert (b"retry-after", b"1") == refused.value.headers[0]
