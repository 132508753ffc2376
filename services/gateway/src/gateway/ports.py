"""What does pricing need from outside? Protocols in our own words: a fake of each is a few lines."""

from asyncio import Future
from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Numeric = NDArray[np.float32]
Categorical = NDArray[np.int32]
Answer = NDArray[np.float64]


class Known(Protocol):
    """One row of the feature store: its outcome (`gateway.domain.reasons.OF_READS`), and its values in its layout's order."""

    @property
    def outcome(self) -> str:
        """hit, cached, stale, expired, miss or unavailable."""
        ...

    @property
    def numbers(self) -> tuple[float, ...]:
        """NaN where nothing is known."""
        ...

    @property
    def codes(self) -> tuple[int, ...]:
        """-1 where nothing is known."""
        ...


class FeatureReader(Protocol):
    """What is known of a car or an area beforehand."""

    def cached(self, wanted: Sequence[tuple[str, str]]) -> Mapping[tuple[str, str], Known] | None:
        """Every (entity, id) that is wanted, when this process knows them all; None otherwise."""
        ...

    async def read(self, wanted: Sequence[tuple[str, str]], *, timeout: float) -> Mapping[tuple[str, str], Known]:
        """Every (entity, id) that is wanted, within `timeout` seconds. Raises nothing for a fault of the store."""
        ...


class Remembered(Protocol):
    """Answers that were given before, by a digest of their question, shared by all gateways with the same bundle."""

    def recall(self, digest: str, *, timeout: float) -> Future[bytes | None]:
        """The answer, or None when there is none or it is not known within `timeout` seconds. Never raises."""
        ...

    def remember(self, digest: str, body: bytes, *, seconds: int) -> bool:
        """Keep an answer for so long, unless there is one already; whether it is on its way. Waits for nothing, never raises."""
        ...


class Model(Protocol):
    """One of the two models, wherever it runs."""

    async def predict(self, signature: str, numeric: Numeric, categorical: Categorical, *, timeout: float) -> Answer:
        """Score B packed rows ([B, N], [B, M]) within `timeout` seconds: finite numbers, the rows' dimension first.

        The classifier's `packed` gives [B, K] probabilities, the regressor's `packed` [B, K, 3] and its `panel` [B, 2, 3]
        quantiles of log pounds. Raises `BranchFailed`, and nothing of the transport's.
        """
        ...


class QuotaUnavailable(Exception):
    """Whoever keeps the shared quotas does not answer."""


class SharedQuotas(Protocol):
    """The quotas that all gateways share."""

    async def lease(self, key_id: str, *, per_minute: int, burst: int, tokens: int) -> int:
        """Take up to `tokens` from a key's quota at once: how many there were, from 0. Raises `QuotaUnavailable`."""
        ...
