"""Where are the quotas kept that all gateways share? Beside the features: a lease leaves in the same write as the next read of them."""

from feature_store.quotas import Quotas
from feature_store.store import StoreDown
from gateway.ports import QuotaUnavailable


class StoredQuotas:
    """The feature store's quotas as `gateway.ports.SharedQuotas`."""

    def __init__(self, quotas: Quotas) -> None:
        self._quotas = quotas

    async def lease(self, key_id: str, *, per_minute: int, burst: int, tokens: int) -> int:
        """As the port says."""
        try:
            return await self._quotas.lease(key_id, per_minute=per_minute, burst=burst, tokens=tokens)
        except StoreDown:
            raise QuotaUnavailable from None
