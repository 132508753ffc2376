"""How do two models' arrays become answers? Calibrated, priced and summed up for a whole batch at once, then written row by row."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import orjson
from numpy.typing import NDArray

from baseline.questions import STANDARD_IPT_RATE
from kit.bundles import Bundle
from kit.calibration import Calibration
from kit.contract import Contract
from kit.ranges import Ranges
from kit.rows import Categorical, Numeric

CHEAPEST: Final = 5
PENCE: Final = 2
PROBABILITY_DIGITS: Final = 4


@dataclass(frozen=True)
class Tables:
    """What the bundle brings beside the two nets. `insurers` is the order of every array [K]."""

    contract: Contract
    bundle: Bundle
    insurers: tuple[str, ...]
    quote: Calibration
    price: Calibration
    ranges: Ranges


@dataclass(frozen=True, eq=False)
class Batch:
    """B rows merged: arrays [B, K], and the panel's figures [B]. NaN in `low` and `high`: the row is out of range."""

    likely: NDArray[np.bool_]
    probability: NDArray[np.floating[Any]]
    premium: NDArray[np.floating[Any]]
    low: NDArray[np.floating[Any]]
    high: NDArray[np.floating[Any]]
    cheapest: NDArray[np.intp]
    mean_of_five: NDArray[np.floating[Any]]


class Merger:
    """Merges and writes with one bundle."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._probabilities, self._intervals = tables.quote.probabilities(), tables.price.intervals()
        self._is_one = tables.quote.bands.edges == tables.price.bands.edges

    def merge(
        self,
        numeric: Numeric,
        categorical: Categorical,
        probability: NDArray[Any],
        log_premium: NDArray[Any],
        ipt_rates: Sequence[float],
    ) -> Batch:
        """Of packed rows [B, N], [B, M], probabilities [B, K] and log quantiles [B, K, 3]."""
        tables = self._tables
        quote = tables.quote.cells(numeric, categorical)
        price = quote if self._is_one else tables.price.cells(numeric, categorical)
        calibrated = self._probabilities.apply(probability.astype(np.float64), quote)
        likely = calibrated >= tables.bundle.thresholds.likely
        logs = self._intervals.apply(log_premium.astype(np.float64), price)
        rates = (1.0 + np.asarray(ipt_rates)) / (1.0 + STANDARD_IPT_RATE)
        low, premium, high = (np.exp(np.stack(logs)) * rates[:, np.newaxis]).round(PENCE)
        outside = tables.ranges.flags(numeric, categorical).any
        low[outside] = high[outside] = np.nan
        offered = np.where(likely, premium, np.inf)
        five = np.sort(offered, axis=1)[:, :CHEAPEST]
        counted = np.isfinite(five).sum(axis=1)
        mean = np.where(np.isfinite(five), five, 0.0).sum(axis=1) / np.maximum(counted, 1)
        return Batch(
            likely,
            calibrated.round(PROBABILITY_DIGITS),
            premium,
            low,
            high,
            np.where(counted, offered.argmin(axis=1), -1),
            mean.round(PENCE),
        )

    def body(self, batch: Batch, row: int, quote_id: str) -> bytes:
        """The JSON text of one of its rows; orjson writes NaN as null."""
        ids, bundle = self._tables.insurers, self._tables.bundle
        columns = (batch.probability[row], batch.premium[row], batch.low[row], batch.high[row])
        insurers = [
            {
                "insurer": insurer,
                "status": "likely" if is_likely else "unlikely",
                "probability": probability,
                "premium": premium,
                "low": low,
                "high": high,
            }
            for insurer, is_likely, probability, premium, low, high in zip(
                ids, batch.likely[row].tolist(), *(column.tolist() for column in columns), strict=True
            )
        ]
        best = int(batch.cheapest[row])
        cheapest = None
        if best >= 0:
            cheapest = {name: insurers[best][name] for name in ("insurer", "premium", "low", "high")}
        panel = {
            "likely": int(batch.likely[row].sum()),
            "cheapest": cheapest,
            "mean_of_five_cheapest": float(batch.mean_of_five[row]) if best >= 0 else None,
        }
        head = {"quote_id": quote_id, "bundle": bundle.id, "currency": "GBP", "level": bundle.level, "complete": True}
        return orjson.dumps({**head, "panel": panel, "insurers": insurers})
