"""Rows with their right answers, so that whoever serves the model can prove that it is this one.

No row is anybody's: each column is shuffled by itself, so that the answers that stand together were given by different people.

golden.jsonl has one object a line:
    {"profile": "...", "raw": {field: value or null}, "numeric": [N, null for NaN], "categorical": [M],
     "outputs": {"probability": [K]} or {"log_premium": [K][3]}, "panel": {"log_premium": [2][3], "likely_insurers": [3]},
     "shortlist": {"cheapest_probability": [K]}} (the last two: regressor)
"""

import json
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from kit.contract import Contract, Field
from kit.rows import UNKNOWN_CODE
from kit.training.data.slices import Rows
from kit.training.nets.export import (
    CHEAPEST_PROBABILITY,
    LIKELY_INSURERS,
    LOG_PREMIUM,
    PANEL_SIGNATURE,
    SHORTLIST_SIGNATURE,
)
from kit.training.nets.masking import Mask
from kit.training.nets.served import Served

ROWS: Final = 128
SEED: Final = 3


def choose(rows: Rows, profiles: Mapping[str, Mask]) -> tuple[Rows, list[str]]:
    """Shuffled rows, each under the next profile in turn (repeated when there are few), and the names of the profiles."""
    take = np.arange(ROWS) % len(rows)
    names = [list(profiles)[i % len(profiles)] for i in range(ROWS)]
    return rows.mixed(SEED).take(take).hidden(np.array([profiles[n] for n in names])), names


def encode(contract: Contract, rows: Rows, names: list[str], served: Served) -> bytes:
    """golden.jsonl of some rows."""
    outputs = served.packed(rows.numeric, rows.categorical)
    inputs = rows.numeric, rows.categorical
    more: dict[str, dict[str, NDArray[np.float32]]] = {}
    if served.has_panel:
        more = {
            PANEL_SIGNATURE: {LOG_PREMIUM: served.panel(*inputs), LIKELY_INSURERS: served.likely(*inputs)},
            SHORTLIST_SIGNATURE: {CHEAPEST_PROBABILITY: served.shortlist(*inputs)},
        }
    lines = []
    for i, name in enumerate(names):
        line: dict[str, Any] = {
            "profile": name,
            "raw": raw(contract, rows.numeric[i], rows.categorical[i]),
            "numeric": [None if np.isnan(v) else float(v) for v in rows.numeric[i]],
            "categorical": rows.categorical[i].tolist(),
            "outputs": {served.output: outputs[i].tolist()},
        }
        line |= {s: {name: values[i].tolist() for name, values in found.items()} for s, found in more.items()}
        lines.append(json.dumps(line))
    return "\n".join(lines).encode() + b"\n"


def raw(contract: Contract, numeric: NDArray[np.float32], categorical: NDArray[np.int32]) -> dict[str, Any]:
    """One row by field name, as a request would say it; None for what is not known."""
    found: dict[str, Any] = {f.name: _number(f, v) for f, v in zip(contract.numeric, numeric, strict=True)}
    found |= {
        f.name: None if c == UNKNOWN_CODE else f.values[c]
        for f, c in zip(contract.categorical, categorical, strict=True)
    }
    return found


def _number(field: Field, value: np.float32) -> Any:
    if np.isnan(value):
        return None
    return {"bool": bool, "int": int}.get(field.kind, float)(value)
