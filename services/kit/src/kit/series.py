"""Which series do our services export? The table that metrics, dashboards, rules and tests read."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Literal


@dataclass(frozen=True, slots=True)
class Series:
    """One metric: its name carries the unit, its labels have closed sets of values; buckets in seconds for a histogram."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    labels: tuple[str, ...]
    help: str
    buckets: tuple[float, ...] = ()


@cache
def load() -> Mapping[str, Series]:
    """Every series by name."""
    raw = tomllib.loads((resources.files("kit") / "series.toml").read_text(encoding="utf-8"))
    return {
        s["name"]: Series(
            s["name"],
            s["kind"],
            tuple(s["labels"]),
            s["help"],
            tuple(raw["buckets"][s["buckets"]]) if "buckets" in s else (),
        )
        for s in raw["series"]
    }
