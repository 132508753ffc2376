"""What is asked of whom, how often, and when is it good enough? One file of data, and what the environment and the flags add."""

import difflib
import hashlib
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from math import isfinite
from pathlib import Path
from typing import Any, Final, Self, get_args, get_origin, get_type_hints
from urllib.parse import urlsplit

from kit.contract import load

FILE: Final = Path(__file__).with_name("load.toml")

TABLES: Final = ("arrivals", "verdict", "mix", "risks")
KINDS: Final = ("quotes", "ballpark", "invalid")  # of questions, and `Questions` has a method for each
PERCENTILES: Final = {"p50": 0.50, "p95": 0.95, "p99": 0.99}

LEAST_BUDGET_MS, MOST_BUDGET_MS = 5, 2_000  # what the gateway clamps X-Request-Timeout-Ms to


class BadSettings(ValueError):
    """A setting cannot be used; the message names it and what would be right."""


@dataclass(frozen=True, slots=True)
class Arrivals:
    """When requests are meant to be sent: so many a second by all users together, the first `warm_up_s` not counted."""

    rate_per_s: float
    users: int
    warm_up_s: float


@dataclass(frozen=True, slots=True)
class Limits:
    """What a good run keeps to. Shares are of the counted requests; `min_samples` by percentile."""

    budget_ms: float
    max_error_share: float
    max_degraded_share: float
    max_rate_miss: float
    max_generator_cpu: float
    min_samples: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Risks:
    """What the questions are like."""

    seed: int
    vehicles: int
    zipf: float
    unknown_vehicle_share: float
    attributes_share: float
    answered_share: float
    yes_share: float
    first_share: float
    typical: Mapping[str, tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Settings:
    """A whole load.toml; `checksum` is of its bytes."""

    arrivals: Arrivals
    limits: Limits
    mix: Mapping[str, float]
    risks: Risks
    checksum: str

    @classmethod
    def read(cls, path: Path = FILE) -> Self:
        """Raises BadSettings, which names table, key and the nearest right spelling, for anything that is not as above, or OSError."""
        content = path.read_bytes()
        try:
            raw = tomllib.loads(content.decode())
        except ValueError as error:
            raise BadSettings(f"{path}: {error}") from error
        _check_keys(raw, TABLES, "load.toml")
        settings = cls(
            arrivals=_table(Arrivals, raw["arrivals"], "arrivals"),
            limits=_table(Limits, raw["verdict"], "verdict"),
            mix=_value(Mapping[str, float], raw["mix"], "[mix]"),
            risks=_table(Risks, raw["risks"], "risks"),
            checksum=hashlib.sha256(content).hexdigest()[:12],
        )
        _check_keys(settings.limits.min_samples, PERCENTILES, "[verdict.min_samples]")
        _check_keys(settings.mix, KINDS, "[mix]")
        _check_keys(settings.risks.typical, [f.name for f in load().numeric], "[risks.typical]", may_lack=True)
        if min(settings.mix.values()) < 0 or sum(settings.mix.values()) <= 0:
            raise BadSettings("[mix]: weights must be at least 0, and one of them above 0")
        if wrong := [name for name, (low, high) in settings.risks.typical.items() if low > high]:
            raise BadSettings(f"[risks.typical]: {wrong[0]} must be [lowest, highest]")
        return settings


def _check_keys(raw: Mapping[str, Any], known: Collection[str], where: str, *, may_lack: bool = False) -> None:
    """Raises BadSettings for a key that is not known, with the nearest that is, and for one that is missing."""
    for name in raw:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
            raise BadSettings(f"{where}: no {name}; {hint}")
    if not may_lack and (missing := [name for name in known if name not in raw]):
        raise BadSettings(f"{where}: {missing[0]} is missing")


def _table(kind: Any, raw: Any, name: str) -> Any:
    """The dataclass `kind` of a table's values."""
    if not isinstance(raw, dict):
        raise BadSettings(f"[{name}] must be a table, not {raw!r}")
    hints = get_type_hints(kind)
    _check_keys(raw, hints, f"[{name}]")
    return kind(**{key: _value(hints[key], value, f"[{name}]: {key}") for key, value in raw.items()})


def _value(hint: Any, raw: Any, where: str) -> Any:
    """The value as `hint`: a number, a pair of numbers, or a table of either."""
    if get_origin(hint) is Mapping:
        if not isinstance(raw, dict):
            raise BadSettings(f"{where} must be a table, not {raw!r}")
        return {name: _value(get_args(hint)[1], value, f"{where}: {name}") for name, value in raw.items()}
    if get_origin(hint) is tuple:
        if not isinstance(raw, list) or len(raw) != len(get_args(hint)):
            raise BadSettings(f"{where} must be [lowest, highest], not {raw!r}")
        return tuple(_value(kind, value, where) for kind, value in zip(get_args(hint), raw, strict=True))
    is_whole = isinstance(raw, int) and not isinstance(raw, bool)
    if not (is_whole or (hint is float and isinstance(raw, float) and isfinite(raw))):
        raise BadSettings(f"{where} must be a {'whole ' if hint is int else ''}number, not {raw!r}")
    return hint(raw)


def timeout_header(budget_ms: float) -> str:
    """The budget as the gateway is told it: a whole number of milliseconds that it accepts."""
    return str(round(min(MOST_BUDGET_MS, max(LEAST_BUDGET_MS, budget_ms))))


def check_host(url: str, allowed: str | None) -> str:
    """The URL without a trailing slash. Raises BadSettings for a host that is neither this machine nor the one allowed by name.

    Load is for one's own fleet: a mistyped address must not be shot at.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise BadSettings(f"BALLPARK_URL: {url!r} is not an address like http://127.0.0.1:8080")
    if not _is_loopback(parts.hostname) and parts.hostname != allowed:
        raise BadSettings(
            f"BALLPARK_URL: {parts.hostname} is another machine; if it is yours to load, set BALLPARK_ALLOW_HOST={parts.hostname}"
        )
    return url.rstrip("/")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
