"""What does an answer look like, shown? One of each kind, the partial ones too: these numbers are made up, and their form is tested."""

from typing import Any, Final

import orjson

from gateway.api.views import contract_view
from kit.contract import Contract

Shown = dict[str, Any]

_HEAD: Final = {"quote_id": "0198c2b4-example", "bundle": "2026-01-01.1", "currency": "GBP", "level": 0.8}
_WHOLE: Final[Shown] = {
    "complete": True,
    "degraded": [],
    "assumed": {"cover.voluntary_excess": 250},
    "out_of_range": [],
}
_NO_CLASSIFIER: Final[Shown] = _WHOLE | {"complete": False, "degraded": ["classifier_timeout"]}
_NO_REGRESSOR: Final[Shown] = _WHOLE | {"complete": False, "degraded": ["regressor_unavailable"]}
_OUTSIDE: Final[Shown] = _WHOLE | {"out_of_range": ["use.annual_mileage"]}
_NO_ENDS: Final[Shown] = {"low": None, "high": None}
_NO_PRICE: Final[Shown] = {"premium": None} | _NO_ENDS

_LIKELY: Final = {"insurer": "i-0001", "status": "likely", "probability": 0.9712}
_UNLIKELY: Final = {"insurer": "i-0002", "status": "unlikely", "probability": 0.0604}
_PRICES: Final = {"premium": 431.02, "low": 391.1, "high": 480.55}
_DEARER: Final = {"premium": 688.0, "low": 590.0, "high": 801.25}
_UNKNOWN: Final = {"status": "unknown", "probability": None}

_ROWS: Final[list[Shown]] = [_LIKELY | _PRICES, _UNLIKELY | _DEARER]
_PANEL: Final[Shown] = {"likely": 1, "cheapest": {"insurer": "i-0001"} | _PRICES, "mean_of_five_cheapest": 431.02}
_NO_PANEL: Final[Shown] = {"likely": None, "cheapest": None, "mean_of_five_cheapest": None}

QUOTES: Final[Shown] = {
    "both models": _HEAD | _WHOLE | {"panel": _PANEL, "insurers": _ROWS},
    "without the classifier": _HEAD
    | _NO_CLASSIFIER
    | {"panel": _NO_PANEL, "insurers": [row | _UNKNOWN for row in _ROWS]},
    "without the regressor": _HEAD
    | _NO_REGRESSOR
    | {"panel": _NO_PANEL | {"likely": 1}, "insurers": [_LIKELY | _NO_PRICE, _UNLIKELY | _NO_PRICE]},
    "out of range": _HEAD
    | _OUTSIDE
    | {
        "panel": _PANEL | {"cheapest": {"insurer": "i-0001"} | _PRICES | _NO_ENDS},
        "insurers": [row | _NO_ENDS for row in _ROWS],
    },
    "as columns": _HEAD
    | _WHOLE
    | {"panel": _PANEL, "insurers": {name: [row[name] for row in _ROWS] for name in _ROWS[0]}},
}

_BAND: Final[Shown] = {"premium": 810.0, "low": 590.0, "high": 1120.0}
_MEAN: Final[Shown] = {"premium": 905.0, "low": 660.0, "high": 1240.0}
_COUNT: Final[Shown] = {"expected": 33.1, "low": 22, "high": 44}
_ASKED: Final = {
    "answered": ["driver.age", "vehicle.vehicle_id"],
    "next_questions": [{"field": "driver.ncd_years", "narrows_band_by": 0.31}],
}
_BALLPARK: Final[Shown] = (
    {"bundle": "2026-01-01.1", "level": 0.8}
    | _WHOLE
    | {"cheapest": _BAND, "mean_of_five_cheapest": _MEAN, "likely_insurers": _COUNT}
    | _ASKED
)

BALLPARK: Final[Shown] = {
    "both models": _BALLPARK,
    "without the classifier": _BALLPARK | _NO_CLASSIFIER | {"likely_insurers": None},
    "without the regressor": _BALLPARK
    | _NO_REGRESSOR
    | {"cheapest": None, "mean_of_five_cheapest": None, "next_questions": None},
    "out of range": _BALLPARK
    | _OUTSIDE
    | {
        "cheapest": _BAND | _NO_ENDS,
        "mean_of_five_cheapest": _MEAN | _NO_ENDS,
        "likely_insurers": _COUNT | _NO_ENDS,
        "next_questions": None,
    },
}

_MODEL: Final = {"version": 3, "sha256": "0" * 64, "created": "2026-01-01T00:00:00+00:00", "card": "# What it is for"}

MODELS: Final[Shown] = {
    "a bundle": {
        "bundle": "2026-01-01.1",
        "contract": "0" * 64,
        "created": "2026-01-01T00:00:00+00:00",
        "level": 0.8,
        "insurers": ["i-0001", "i-0002"],
        "models": {
            "classifier": {"project": "quote-classifier"} | _MODEL,
            "regressor": {"project": "premium-regressor"} | _MODEL,
        },
    }
}


def contract_examples(contract: Contract) -> Shown:
    """The contract, cut short."""
    whole = orjson.loads(contract_view(contract))
    return {"its beginning": {name: value[:2] if isinstance(value, list) else value for name, value in whole.items()}}
