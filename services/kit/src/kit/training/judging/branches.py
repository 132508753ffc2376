"""What differs between the two branches once they are exported: how each is calibrated, and by which figures it is measured."""

from collections.abc import Iterable, Sequence
from typing import Any, Final, Protocol

import numpy as np

from kit import shortlist as shortlists
from kit.calibration import BETA, Bands, Calibration, Cells, Probabilities, Table
from kit.contract import Contract
from kit.training.data.slices import Rows, panel_prices
from kit.training.judging import conformal, shortlist
from kit.training.judging.conformal import Enough
from kit.training.judging.predicted import Interval, Predicted, Premiums, Quotes
from kit.training.nets.export import LIKELY_INSURERS
from kit.training.nets.losses import QUANTILES
from kit.training.nets.net import PREMIUM, QUOTE
from kit.training.nets.served import Served
from kit.training.params import CalibrationParams
from kit.training.project import Project

PANEL_FIGURES: Final = ("cheapest", "mean_of_five_cheapest")

CHUNK: Final = 50_000  # rows

Content = dict[str, Any]
Tables = Calibration


class Branch(Protocol):
    """A branch of the net, after training."""

    output: str

    def calibrate(self, served: Served, parts: Iterable[Rows], bands: Bands, params: CalibrationParams) -> Content:
        """The tables of calibration.json, fitted on rows that training did not see; one part is in memory at a time."""
        ...

    def predict(self, served: Served, rows: Rows, contract: Contract, tables: Calibration) -> Predicted:
        """The calibrated answers to some rows, beside what happened: whatever is measured is taken of them."""
        ...

    def answer(self, raw: Any, cells: Cells, tables: Calibration) -> dict[str, Any]:
        """The calibrated answers [B, K] by column name, of the model's raw output and where the rows look in the tables."""
        ...


class QuoteBranch:
    """Which insurers quote."""

    output = QUOTE

    def calibrate(self, served: Served, parts: Iterable[Rows], bands: Bands, params: CalibrationParams) -> Content:
        """Rescaled probabilities, and how far the number of quotes strays from its expectation."""
        seen = [
            (bands.cells(rows.numeric, rows.categorical), served.packed(rows.numeric, rows.categorical), rows.quoted)
            for rows in parts
        ]
        cells, (p, quoted) = _stacked(seen)
        enough, level = Enough(params.least_rows, params.effect_rows), params.level + params.spare
        table = conformal.probabilities(p, quoted, cells, bands, enough)
        rescale = Probabilities(Table.read(table, BETA, bands, p.shape[1]))
        for here in _chunks(len(p)):
            p[here] = rescale.apply(p[here], Cells(cells.keys[here], cells.places[here]))
        return {
            "probabilities": table,
            "likely_insurers": conformal.counts(p, quoted, cells, bands, level, enough),
        }

    def predict(self, served: Served, rows: Rows, contract: Contract, tables: Calibration) -> Quotes:
        """Rescaled probabilities, and how many insurers will quote by them."""
        del contract
        cells = tables.cells(rows.numeric, rows.categorical)
        p = tables.probabilities().apply(served.packed(rows.numeric, rows.categorical), cells)
        count = np.stack(tables.counts().apply(p, cells), axis=1)
        return Quotes(p.astype(np.float32), rows.quoted, count)

    def answer(self, raw: Any, cells: Cells, tables: Calibration) -> dict[str, Any]:
        """`probability`."""
        return {"probability": tables.probabilities().apply(raw, cells)}


class PremiumBranch:
    """At what premium each insurer quotes."""

    output = PREMIUM

    def calibrate(self, served: Served, parts: Iterable[Rows], bands: Bands, params: CalibrationParams) -> Content:
        """Intervals of every insurer's premium and of the panel figures."""
        seen, asked = [], []
        for rows in parts:
            inputs = rows.numeric, rows.categorical
            raw, cells = served.packed(*inputs), bands.cells(*inputs)
            scores = [*_outside(raw, np.log(rows.premium))]
            if served.has_panel:
                asked.append(shortlist.observe(served, rows, raw, cells.keys))
                prices, panel = np.log(panel_prices(rows.premium)), served.panel(*inputs)
                for i in range(len(PANEL_FIGURES)):
                    scores += _outside(panel[:, i : i + 1], prices[:, i : i + 1])
                scores += _outside(served.likely(*inputs)[:, None], _quotes(rows))
            seen.append((cells, *scores))
        cells, scores = _stacked(seen)
        enough, level = Enough(params.least_rows, params.effect_rows), params.level + params.spare
        tables = [
            conformal.intervals(below, above, cells, bands, level, enough)
            for below, above in zip(scores[::2], scores[1::2], strict=True)
        ]
        found: dict[str, Any] = {"quantiles": list(QUANTILES), "intervals": tables[0]}
        if served.has_panel:
            found["panel"] = dict(zip((*PANEL_FIGURES, LIKELY_INSURERS), tables[1:], strict=True))
            found[shortlists.SECTION] = shortlist.fit(shortlist.stack(asked), params.least_rows)
        return found

    def predict(self, served: Served, rows: Rows, contract: Contract, tables: Calibration) -> Premiums:
        """Calibrated log quantiles of every insurer's premium and of the panel figures."""
        del contract
        cells = tables.cells(rows.numeric, rows.categorical)
        raw = served.packed(rows.numeric, rows.categorical)
        insurers = _interval(tables.intervals().apply(raw, cells), np.log(rows.premium))
        panel, likely = {}, None
        if served.has_panel:
            counts = tables.intervals(f"panel.{LIKELY_INSURERS}").apply(
                served.likely(rows.numeric, rows.categorical)[:, None], cells
            )
            likely = _interval(counts, _quotes(rows))
            raw, prices = served.panel(rows.numeric, rows.categorical), np.log(panel_prices(rows.premium))
            for i, name in enumerate(PANEL_FIGURES):
                quantiles = tables.intervals(f"panel.{name}").apply(raw[:, i : i + 1], cells)
                panel[name] = _interval(quantiles, prices[:, i : i + 1])
        return Premiums(insurers, panel, likely)

    def answer(self, raw: Any, cells: Cells, tables: Calibration) -> dict[str, Any]:
        """`premium`, `low` and `high` in pounds."""
        low, middle, high = tables.intervals().apply(raw, cells)
        return {"premium": np.exp(middle), "low": np.exp(low), "high": np.exp(high)}


def _outside(quantiles: Any, actual: Any) -> tuple[Any, Any]:
    """By how much the truth lies below the low and above the high one of quantiles [B, K, 3], float32[B, K] each; NaN without a truth."""
    return (quantiles[..., 0] - actual).astype(np.float32), (actual - quantiles[..., 2]).astype(np.float32)


def _quotes(rows: Rows) -> Any:
    """How many insurers quoted, float32[B, 1]; NaN where none answered."""
    answered = (rows.quoted >= 0).any(axis=1)
    return np.where(answered, (rows.quoted == 1).sum(axis=1), np.nan).astype(np.float32)[:, None]


def _stacked(seen: Sequence[tuple[Any, ...]]) -> tuple[Cells, list[Any]]:
    """The parts' cells as one, and each of their arrays."""
    cells = Cells(*(np.concatenate([getattr(c, name) for c, *_ in seen]) for name in ("keys", "places")))
    return cells, [np.concatenate(arrays) for arrays in zip(*(part[1:] for part in seen), strict=True)]


def _chunks(rows: int) -> list[slice]:
    return [slice(begin, begin + CHUNK) for begin in range(0, rows, CHUNK)]


def _interval(quantiles: tuple[Any, Any, Any], actual: Any) -> Interval:
    low, middle, high = (q.astype(np.float32) for q in quantiles)
    return Interval(low, middle, high, actual)


def branch_of(project: Project) -> Branch:
    """The project's branch."""
    return QuoteBranch() if project.branch == "quote" else PremiumBranch()
