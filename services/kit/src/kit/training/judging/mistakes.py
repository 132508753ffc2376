"""How many of the mistakes that systems make do the ranges notice, and how often do they cry wolf?

The mistakes are a unit (x 100 and / 100: pence for pounds) in one number, and two numbers that have changed places. Only rows that the
mistake changes count. What the contract refuses by itself (a range, a type, an order) is noticed too, and told apart. Two booleans in
each other's place are left out: they state another risk, as possible as the first.
"""

import itertools
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from kit.contract import Contract
from kit.ranges import Ranges
from kit.rows import Categorical, Numeric

Flags = NDArray[np.bool_]

ROWS: Final = 2000
FACTORS: Final[Mapping[str, float]] = {"x100": 100.0, "/100": 0.01}
SMALLEST_CHANGE: Final = 1e-6  # of a field's range; rounding is no mistake


def measure(
    ranges: Ranges, contract: Contract, numeric: Numeric, categorical: Categorical, masks: Mapping[str, Flags]
) -> dict[str, Any]:
    """The part `out_of_range` of report.json, on rows [B, N], [B, M] that training did not see; `masks` bool[B, N + M] or [N + M] by profile.

    `false_alarms` by profile; for `unit_errors` and `swaps` over all rows that they change `noticed`, `refused` (by the contract, part of
    what is noticed) and `of_accepted` (what is noticed of what the contract accepts); `by_field` and `by_pair` the first two and `rows`.
    """
    count = numeric.shape[1]
    alarms = {
        name: _false_alarms(
            ranges, np.where(known[..., :count], numeric, np.nan), np.where(known[..., count:], categorical, -1)
        )
        for name, known in masks.items()
    }
    some = slice(None, None, max(1, len(numeric) // ROWS))
    numeric, categorical = numeric[some], categorical[some]
    units = {
        f"{field.path} {name}": changed(contract, ranges, numeric, categorical, _scaled(numeric, i, factor))
        for i, field in enumerate(contract.numeric)
        if field.kind != "bool"
        for name, factor in FACTORS.items()
    }
    swaps = {
        f"{contract.numeric[i].path} {contract.numeric[j].path}": changed(
            contract, ranges, numeric, categorical, _swapped(contract, numeric, i, j)
        )
        for i, j in itertools.combinations(range(count), 2)
        if not contract.numeric[i].kind == contract.numeric[j].kind == "bool"
    }
    return {
        "false_alarms": alarms,
        "unit_errors": _pooled(units) | {"by_field": _shares(units)},
        "swaps": _pooled(swaps) | {"by_pair": _shares(swaps)},
    }


def figures(report: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """What a gate can look at, as it looks at a profile: the most false alarms of a profile, and the shares noticed; {} without ranges."""
    if "out_of_range" not in report:
        return {}
    found = report["out_of_range"]
    noticed = {name: found[name]["noticed"] for name in ("unit_errors", "swaps")}
    return {"out_of_range": {"false_alarms": max(found["false_alarms"].values())} | noticed}


def changed(
    contract: Contract, ranges: Ranges, numeric: Numeric, categorical: Categorical, mistaken: Numeric
) -> tuple[int, int, int]:
    """Of rows and what a mistake made of their numbers: how many it changed, the contract refuses, and only the ranges notice."""
    size = np.array([f.maximum - f.minimum for f in contract.numeric])
    differs = (np.abs(mistaken - numeric) > SMALLEST_CHANGE * size).any(axis=1)
    refused = differs & refuses(contract, mistaken)
    noticed = differs & ~refused & ranges.flags(mistaken, categorical).any
    return int(differs.sum()), int(refused.sum()), int(noticed.sum())


def refuses(contract: Contract, numeric: Numeric) -> Flags:
    """Which rows [B, N] a request could not state: out of a field's range, not a whole number, not a boolean, or out of order."""
    found = np.zeros(len(numeric), bool)
    place = {f.name: i for i, f in enumerate(contract.numeric)}
    for i, field in enumerate(contract.numeric):
        column = numeric[:, i]
        found |= (column < field.minimum) | (column > field.maximum)
        if field.kind != "float":
            found |= ~np.isnan(column) & (column != np.round(column))
    for order in contract.orders:
        found |= numeric[:, place[order.least]] + order.gap > numeric[:, place[order.most]]
    return found


def _false_alarms(ranges: Ranges, numeric: Numeric, categorical: Categorical) -> float:
    return float(ranges.flags(numeric.astype(np.float32), categorical.astype(np.int32)).any.mean())


def _scaled(numeric: Numeric, column: int, factor: float) -> Numeric:
    changed = numeric.copy()
    changed[:, column] *= np.float32(factor)
    return changed


def _swapped(contract: Contract, numeric: Numeric, first: int, second: int) -> Numeric:
    """A boolean in the place of a number, and the other way round, is refused by its type: infinity stands for it."""
    changed = numeric.copy()
    changed[:, [first, second]] = numeric[:, [second, first]]
    if (contract.numeric[first].kind == "bool") != (contract.numeric[second].kind == "bool"):
        changed[:, first] = np.inf
    return changed


def _pooled(found: Mapping[str, tuple[int, int, int]]) -> dict[str, float]:
    rows, refused, noticed = np.array(list(found.values())).sum(axis=0)
    return {
        "rows": int(rows),
        "noticed": float((refused + noticed) / max(1, rows)),
        "refused": float(refused / max(1, rows)),
        "of_accepted": float(noticed / max(1, rows - refused)),
    }


def _shares(found: Mapping[str, tuple[int, int, int]]) -> dict[str, dict[str, float]]:
    return {
        name: {"rows": rows, "noticed": (refused + noticed) / rows, "refused": refused / rows}
        for name, (rows, refused, noticed) in found.items()
        if rows
    }
