"""What is left of the quotas that several gateways share? Decided on the spot; the store is asked in the background."""

import asyncio
from collections.abc import Callable

from gateway.domain.keys import Quota
from gateway.domain.quotas import Lease
from gateway.ports import QuotaUnavailable, SharedQuotas

Clock = Callable[[], float]


class Quotas:
    """The leases of this process. At most one question for each key is on its way."""

    def __init__(self, shared: SharedQuotas, clock: Clock) -> None:
        self._shared, self._clock = shared, clock
        self._leases: dict[str, Lease] = {}
        self._questions: set[asyncio.Task[None]] = set()

    def wait(self, key_id: str, quota: Quota, *, now: float) -> float | None:
        """Take one request from a key's quota: None when it may pass, otherwise the seconds until it may come again."""
        lease = self._leases.get(key_id)
        if lease is None or lease.quota != quota:
            lease = Lease(quota)
        after = lease.take(now=now)
        kept = lease if after is None else after
        if wanted := kept.wants(now=now):
            kept = kept.asked()
            question = asyncio.create_task(self._ask(key_id, quota, wanted))
            self._questions.add(question)
            question.add_done_callback(self._questions.discard)
        self._leases[key_id] = kept
        return None if after is not None else kept.wait_s(now=now)

    async def _ask(self, key_id: str, quota: Quota, wanted: int) -> None:
        try:
            granted = await self._shared.lease(key_id, per_minute=quota.per_minute, burst=quota.burst, tokens=wanted)
        except QuotaUnavailable:
            self._told(key_id, quota, lambda lease: lease.unanswered(now=self._clock()))
        else:
            self._told(key_id, quota, lambda lease: lease.granted(granted, of=wanted, now=self._clock()))

    def _told(self, key_id: str, quota: Quota, change: Callable[[Lease], Lease]) -> None:
        lease = self._leases[key_id]
        if lease.quota == quota:  # otherwise the keys were exchanged meanwhile, and the answer is about the past
            self._leases[key_id] = change(lease)

    async def close(self) -> None:
        """Wait for nobody."""
        for question in self._questions:
            question.cancel()
        await asyncio.gather(*self._questions, return_exceptions=True)
