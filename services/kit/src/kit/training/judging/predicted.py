"""The calibrated answers to some rows beside what happened, and every figure of report.json that is taken of them.

A model is asked once per profile. What is measured over all rows, over each group (`kit.training.judging.segments`) and for fairness are sums
over these arrays, float32[B, K].
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from kit.training.data.slices import quotes_of_all
from kit.training.judging import measures
from kit.training.judging.segments import Partition, summed

Floats = NDArray[np.floating[Any]]
Figures = dict[str, float]

RELIABILITY_BINS: Final = 20
TENTHS: Final = (0.1, 0.5, 0.9)


class Predicted(Protocol):
    """Answers and outcomes of B enquiries and K insurers."""

    def figures(self) -> Figures:
        """Over all of them."""
        ...

    def by_group(self, kinds: Mapping[str, Partition]) -> dict[str, dict[str, Figures]]:
        """Over the cells of each group, by kind and group."""
        ...

    def answers(self) -> Floats:
        """The answers themselves, [B, K]: pounds, or a probability."""
        ...

    def errors(self) -> tuple[Floats, Floats]:
        """The sum of each enquiry's signed errors, and how many of its cells count, float64[B] each."""
        ...

    def reliability(self) -> list[Figures]:
        """What was predicted and what came, in bins of the prediction."""
        ...


@dataclass(frozen=True)
class Interval:
    """Log quantiles and what came (NaN nothing), of one shape."""

    low: Floats
    middle: Floats
    high: Floats
    actual: Floats

    @cached_property
    def given(self) -> NDArray[np.bool_]:
        """Where something came."""
        return np.isfinite(self.actual)

    @cached_property
    def inside(self) -> NDArray[np.bool_]:
        """Where it came and lies between."""
        return self.given & (self.low <= self.actual) & (self.actual <= self.high)

    def by_group(self, kinds: Mapping[str, Partition]) -> dict[str, dict[str, Figures]]:
        """`rows`, `cells`, `mape`, `bias`, `coverage` and `width` of each group that has cells."""
        residual = np.where(self.given, self.middle - self.actual, 0)
        cells = {
            "mape": summed(np.abs(np.expm1(residual))),
            "bias": summed(residual),
            "coverage": summed(self.inside),
            "width": summed(np.where(self.given, self.high - self.low, 0)),
        }
        count = summed(self.given)
        return {
            kind: _named(of, self.given, of.sums(count), {n: of.sums(s) for n, s in cells.items()})
            for kind, of in kinds.items()
        }


@dataclass(frozen=True)
class Premiums:
    """The premium branch: each insurer's premium, [B, K], the panel's prices by name, and how many insurers quote (no log), [B, 1] each."""

    insurers: Interval
    panel: Mapping[str, Interval]
    likely: Interval | None = None

    def figures(self) -> Figures:
        """Errors in parts of the premium, and the intervals' coverage and width on the log scale."""
        of = self.insurers
        found = {
            "premium_mape": measures.absolute_percentage_error(of.middle, of.actual),
            "premium_bias": float((of.middle - of.actual)[of.given].mean(dtype=np.float64)),
            "coverage": measures.coverage(of.low, of.high, of.actual),
            "width": float((of.high - of.low)[of.given].mean(dtype=np.float64)),
        }
        for name, price in self.panel.items():
            found[f"{name}_mape"] = measures.absolute_percentage_error(price.middle, price.actual)
            found[f"{name}_coverage"] = measures.coverage(price.low, price.high, price.actual)
        if (count := self.likely) is not None:
            found["likely_insurers_error"] = float(np.abs(count.middle - count.actual)[count.given].mean())
            found["likely_insurers_coverage"] = measures.coverage(count.low, count.high, count.actual)
        return found

    def by_group(self, kinds: Mapping[str, Partition]) -> dict[str, dict[str, Figures]]:
        """The same figures; those of the panel only where the groups are of enquiries."""
        spelt = {"mape": "premium_mape", "bias": "premium_bias"}
        found = {
            kind: {group: {spelt.get(n, n): v for n, v in f.items()} for group, f in groups.items()}
            for kind, groups in self.insurers.by_group(kinds).items()
        }
        of_enquiries = {kind: of for kind, of in kinds.items() if not of.of_insurers}
        for name, price in self.panel.items():
            for kind, groups in price.by_group(of_enquiries).items():
                for group, figures in groups.items():
                    found[kind][group] |= {f"{name}_{n}": figures[n] for n in ("mape", "coverage")}
        if (count := self.likely) is not None:
            for kind, of in of_enquiries.items():
                _add_coverage(found[kind], "likely_insurers_coverage", count, of)
        return found

    def answers(self) -> Floats:
        """The median premium in pounds."""
        pounds: Floats = np.exp(self.insurers.middle)
        return pounds

    def errors(self) -> tuple[Floats, Floats]:
        """Of the log premium: above 0 is predicted too dear."""
        of = self.insurers
        return summed(np.where(of.given, of.middle - of.actual, 0)).by_row, summed(of.given).by_row

    def reliability(self) -> list[Figures]:
        """Pounds: the medians of what was `predicted`, with its `low` and `high`, and the tenths 1, 5 and 9 of what was `asked`."""
        of = self.insurers
        low, middle, high, actual = (a[of.given] for a in (of.low, of.middle, of.high, of.actual))
        found = []
        for part in np.array_split(np.argsort(middle), RELIABILITY_BINS):
            if len(part):
                predicted = [np.median(a[part]) for a in (low, middle, high)]
                names = ("low", "predicted", "high", "asked_low", "asked", "asked_high")
                pounds = np.exp([*predicted, *np.quantile(actual[part], TENTHS)])
                found.append(dict(zip(names, pounds.tolist(), strict=True)) | {"cells": float(len(part))})
        return found


@dataclass(frozen=True)
class Quotes:
    """The quote branch: each insurer's probability of a quote and what it did, [B, K]; low, expected and high number of quotes, [B, 3]."""

    p: Floats
    quoted: NDArray[np.int8]
    count: Floats

    @cached_property
    def given(self) -> NDArray[np.bool_]:
        """Where an insurer answered."""
        return self.quoted >= 0

    @cached_property
    def counted(self) -> Interval:
        """The number of quotes of all insurers in the whole numbers that the gateway serves, [B, 1]: those of the band, or else the nearest."""
        low, expected, high = (end[:, None] for end in self.count.T)
        low, nearest, high = np.ceil(low), np.round(expected), np.floor(high)
        is_empty = low > high
        low, high = (np.where(is_empty, nearest, end) for end in (low, high))
        return Interval(low, expected, high, quotes_of_all(self.quoted)[:, None])

    def figures(self) -> Figures:
        """Discrimination by insurer and pooled, and how honest the probabilities are."""
        flat, happened = self.p[self.given], self.quoted[self.given] == 1
        by_insurer = measures.insurer_aucs(self.p, self.quoted)
        count = self.counted
        return {
            "auc_mean": float(np.nanmean(by_insurer)) if np.isfinite(by_insurer).any() else float("nan"),
            "auc_least": float(np.nanmin(by_insurer)) if np.isfinite(by_insurer).any() else float("nan"),
            "auc_pooled": measures.auc(flat, happened),
            "log_loss": measures.log_loss(flat, happened),
            "calibration_error": measures.calibration_error(flat, happened),
            "accuracy": float(((flat >= 0.5) == happened).mean()),
            "quote_share": float(happened.mean()),
            "count_coverage": measures.coverage(count.low, count.high, count.actual),
        }

    def by_group(self, kinds: Mapping[str, Partition]) -> dict[str, dict[str, Figures]]:
        """`rows`, `cells`, `auc`, `calibration_error`, `quote_share` and `quote_gap` of each group that has cells.

        Where the groups are of enquiries also `count_coverage`.
        """
        flat, happened = self.p[self.given], self.quoted[self.given] == 1
        count, quotes, gap = (summed(a) for a in (self.given, self.quoted == 1, self._errors()))
        found = {}
        for kind, of in kinds.items():
            in_group = np.broadcast_to(of.keys(), self.p.shape)[self.given]
            drawn = measures.histograms(flat, happened, in_group, len(of.names))
            sums = {"quote_share": of.sums(quotes), "quote_gap": of.sums(gap)}
            found[kind] = _named(of, self.given, of.sums(count), sums)
            for name, auc, error in zip(of.names, drawn.aucs(), drawn.calibration_errors(), strict=True):
                if name in found[kind]:
                    found[kind][name] |= {"auc": float(auc), "calibration_error": float(error)}
            if not of.of_insurers:
                _add_coverage(found[kind], "count_coverage", self.counted, of)
        return found

    def answers(self) -> Floats:
        """The probability of a quote."""
        return self.p

    def errors(self) -> tuple[Floats, Floats]:
        """Of the probability: above 0 is predicted too sure of a quote."""
        return summed(self._errors()).by_row, summed(self.given).by_row

    def reliability(self) -> list[Figures]:
        """The mean probability that was `predicted` and the share of quotes that came, in bins of equal width.

        Most insurers are nearly sure: bins with equally many cells would leave the middle empty.
        """
        flat, happened = self.p[self.given], self.quoted[self.given] == 1
        place = np.minimum((flat * RELIABILITY_BINS).astype(np.int64), RELIABILITY_BINS - 1)
        cells, expected, came = (np.bincount(place, w, RELIABILITY_BINS) for w in (None, flat, happened))
        return [
            {"predicted": float(e / n), "observed": float(c / n), "cells": float(n)}
            for n, e, c in zip(cells, expected, came, strict=True)
            if n
        ]

    def _errors(self) -> Floats:
        return np.where(self.given, self.p - (self.quoted == 1), 0)


def _add_coverage(to: dict[str, Figures], figure: str, count: Interval, of: Partition) -> None:
    """Of the number of quotes, [B, 1], to each group of enquiries that is there."""
    inside = {figure: of.sums(summed(count.inside))}
    for group, figures in _named(of, count.given, of.sums(summed(count.given)), inside).items():
        if group in to:
            to[group][figure] = figures[figure]


def _named(of: Partition, given: NDArray[np.bool_], count: Floats, sums: Mapping[str, Floats]) -> dict[str, Figures]:
    """`rows`, `cells` and the means of the sums, by the groups' names."""
    rows = of.rows(given)
    return {
        name: {"rows": int(rows[g]), "cells": int(count[g])} | {n: float(s[g] / count[g]) for n, s in sums.items()}
        for g, name in enumerate(of.names)
        if count[g]
    }
