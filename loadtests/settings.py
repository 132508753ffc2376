"""What is asked of whom, how often, and when is it good enough? One file of data, and what the environment and the flags add."""

import hashlib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import urlsplit

FILE: Final = Path(__file__).with_name("load.toml")

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
        """Raises BadSettings, which names the table, when a key is missing or unknown, or OSError."""
        content = path.read_bytes()
        try:
            raw = tomllib.loads(content.decode())
        except ValueError as error:
            raise BadSettings(f"{path}: {error}") from error
        return cls(
            arrivals=_table(Arrivals, raw, "arrivals"),
            limits=_table(Limits, raw, "verdict"),
            mix=raw["mix"],
            risks=_table(Risks, raw, "risks"),
            checksum=hashlib.sha256(content).hexdigest()[:12],
        )


def _table(kind: Any, raw: Mapping[str, Any], name: str) -> Any:
    try:
        return kind(**raw[name])
    except (KeyError, TypeError) as error:
        raise BadSettings(f"[{name}]: {error}") from error


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
