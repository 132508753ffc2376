"""What does pricing need from outside? Protocols in our own words: a fake of each is a few lines."""

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
    def numeric(self) -> Numeric:
        """float32, NaN where nothing is known."""
        ...

    @property
    def categorical(self) -> Categorical:
        """int32, -1 where nothing is known."""
        ...


class FeatureReader(Protocol):
    """What is known of a car or an area beforehand."""

    async def read(self, wanted: Sequence[tuple[str, str]], *, timeout: float) -> Mapping[tuple[str, str], Known]:
        """Every (entity, id) that is wanted, within `timeout` seconds. Raises nothing for a fault of the store."""
        ...


class Model(Protocol):
    """One of the two models, wherever it runs."""

    async def predict(self, signature: str, numeric: Numeric, categorical: Categorical, *, timeout: float) -> Answer:
        """Score B packed rows ([B, N], [B, M]) within `timeout` seconds: finite numbers, the rows' dimension first.

        The classifier's `packed` gives [B, K] probabilities, the regressor's `packed` [B, K, 3] and its `panel` [B, 2, 3]
        quantiles of log pounds. Raises `BranchFailed`, and nothing of the transport's.
        """
        ...
