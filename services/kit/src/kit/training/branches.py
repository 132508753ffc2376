"""What differs between the two branches once they are exported: how each is calibrated, and by which figures it is measured."""

from collections.abc import Mapping
from typing import Any, Final, Protocol

import numpy as np

from kit.calibration import Intervals, Probabilities, Table
from kit.contract import Contract
from kit.rows import answered
from kit.training import conformal, measures
from kit.training.losses import QUANTILES
from kit.training.net import PREMIUM, QUOTE
from kit.training.params import CalibrationParams
from kit.training.served import Served
from kit.training.slices import Rows, panel_prices

PANEL_FIGURES: Final = ("cheapest", "mean_of_five_cheapest")

Tables = Mapping[str, Any]


class Branch(Protocol):
    """A branch of the net, after training."""

    output: str

    def calibrate(self, served: Served, rows: Rows, contract: Contract, params: CalibrationParams) -> dict[str, Any]:
        """The tables of calibration.json, fitted on rows that training did not see."""
        ...

    def measure(self, served: Served, rows: Rows, contract: Contract, tables: Tables) -> dict[str, float]:
        """The figures of the calibrated answers to some rows."""
        ...

    def answer(self, raw: Any, keys: Any, tables: Tables) -> dict[str, Any]:
        """The calibrated answers [B, K] by column name, of the model's raw output and the rows' keys."""
        ...


class QuoteBranch:
    """Which insurers quote."""

    output = QUOTE

    def calibrate(self, served: Served, rows: Rows, contract: Contract, params: CalibrationParams) -> dict[str, Any]:
        """Rescaled probabilities, and how far the number of quotes strays from its expectation."""
        p, keys = served.packed(rows.numeric, rows.categorical), answered(contract, rows.numeric, rows.categorical)
        table = conformal.probabilities(p, rows.quoted, keys, params.least_rows)
        rescaled = _probabilities(table).apply(p, keys)
        return {
            "level": params.level,
            "probabilities": table,
            "likely_insurers": conformal.counts(rescaled, rows.quoted, keys, params.level, params.least_rows),
        }

    def measure(self, served: Served, rows: Rows, contract: Contract, tables: Tables) -> dict[str, float]:
        """Discrimination by insurer and pooled, and how honest the probabilities are."""
        keys = answered(contract, rows.numeric, rows.categorical)
        p = _probabilities(tables["probabilities"]).apply(served.packed(rows.numeric, rows.categorical), keys)
        given = rows.quoted >= 0
        flat, happened = p[given], rows.quoted[given] == 1
        by_insurer = measures.insurer_aucs(p, rows.quoted)
        spread = conformal.count_scale(np.where(given, p, 0))[:, None] * Table.read(
            tables["likely_insurers"], "low", "high"
        ).pairs(keys)
        expected = np.where(given, p, 0).sum(axis=1)
        return {
            "auc_mean": float(np.nanmean(by_insurer)) if np.isfinite(by_insurer).any() else float("nan"),
            "auc_least": float(np.nanmin(by_insurer)) if np.isfinite(by_insurer).any() else float("nan"),
            "auc_pooled": measures.auc(flat, happened),
            "log_loss": measures.log_loss(flat, happened),
            "calibration_error": measures.calibration_error(flat, happened),
            "accuracy": float(((flat >= 0.5) == happened).mean()),
            "quote_share": float(happened.mean()),
            "count_coverage": measures.coverage(
                expected + spread[:, 0], expected + spread[:, 1], (rows.quoted == 1).sum(axis=1)
            ),
        }

    def answer(self, raw: Any, keys: Any, tables: Tables) -> dict[str, Any]:
        """`probability`."""
        return {"probability": _probabilities(tables["probabilities"]).apply(raw, keys)}


class PremiumBranch:
    """At what premium each insurer quotes."""

    output = PREMIUM

    def calibrate(self, served: Served, rows: Rows, contract: Contract, params: CalibrationParams) -> dict[str, Any]:
        """Intervals of every insurer's premium and of the panel figures."""
        keys = answered(contract, rows.numeric, rows.categorical)
        quantiles = served.packed(rows.numeric, rows.categorical)
        found: dict[str, Any] = {
            "level": params.level,
            "quantiles": list(QUANTILES),
            "intervals": conformal.intervals(quantiles, np.log(rows.premium), keys, params.level, params.least_rows),
        }
        if served.has_panel:
            panel, prices = served.panel(rows.numeric, rows.categorical), np.log(panel_prices(rows.premium))
            found["panel"] = {
                name: conformal.intervals(
                    panel[:, i : i + 1], prices[:, i : i + 1], keys, params.level, params.least_rows
                )
                for i, name in enumerate(PANEL_FIGURES)
            }
        return found

    def measure(self, served: Served, rows: Rows, contract: Contract, tables: Tables) -> dict[str, float]:
        """Errors in per cent of the premium, and the intervals' coverage and width."""
        keys = answered(contract, rows.numeric, rows.categorical)
        actual = np.log(rows.premium)
        low, middle, high = _intervals(tables["intervals"]).apply(served.packed(rows.numeric, rows.categorical), keys)
        given = np.isfinite(actual)
        found = {
            "premium_mape": measures.absolute_percentage_error(middle, actual),
            "premium_bias": float((middle - actual)[given].mean()),
            "coverage": measures.coverage(low, high, actual),
            "width": float((high - low)[given].mean()),
        }
        if served.has_panel:
            panel, prices = served.panel(rows.numeric, rows.categorical), np.log(panel_prices(rows.premium))
            for i, name in enumerate(PANEL_FIGURES):
                price = prices[:, i : i + 1]
                low, middle, high = _intervals(tables["panel"][name]).apply(panel[:, i : i + 1], keys)
                found[f"{name}_mape"] = measures.absolute_percentage_error(middle, price)
                found[f"{name}_coverage"] = measures.coverage(low, high, price)
        return found

    def answer(self, raw: Any, keys: Any, tables: Tables) -> dict[str, Any]:
        """`premium`, `low` and `high` in pounds."""
        low, middle, high = _intervals(tables["intervals"]).apply(raw, keys)
        return {"premium": np.exp(middle), "low": np.exp(low), "high": np.exp(high)}


def _intervals(table: Tables) -> Intervals:
    return Intervals(Table.read(table, "low", "high"))


def _probabilities(table: Tables) -> Probabilities:
    return Probabilities(Table.read(table, "slope", "intercept"))
