"""Which versions of a model lie on disk, and which of them does its policy want?"""

from collections.abc import Iterable, Mapping
from pathlib import Path

from model_server.config import Every, Latest, Policy

_INT64 = range(-(1 << 63), 1 << 63)


def numbered(names: Iterable[str]) -> dict[int, str]:
    """Version -> name, of the names that are whole int64 numbers. Of `1` and `001` the later in string order counts."""
    found: dict[int, str] = {}
    for name in sorted(names):
        digits = name.removeprefix("-")
        if digits.isascii() and digits.isdecimal() and int(name) in _INT64:
            found[int(name)] = name
    return found


def wanted(policy: Policy, available: Iterable[int]) -> tuple[int, ...]:
    """The versions to serve, highest first."""
    highest_first = sorted(available, reverse=True)
    if isinstance(policy, Latest):
        return tuple(highest_first[: policy.count])
    if isinstance(policy, Every):
        return tuple(highest_first)
    return tuple(version for version in highest_first if version in policy.versions)


def folders(base_path: Path) -> Mapping[int, Path]:
    """Version -> its folder (or file of that name). Raises OSError if the base path cannot be listed."""
    return {version: base_path / name for version, name in numbered(p.name for p in base_path.iterdir()).items()}
