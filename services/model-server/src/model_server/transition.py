"""What is to be done next for one model, so that it never stops answering? A decision without I/O.

At most one step at a time: an old version goes only when a new one is ready (or none is wanted), and of the new ones the
highest is loaded first.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, auto


class Phase(Enum):
    """Where a version is between being wanted and being gone."""

    NEW = auto()
    BUSY = auto()  # loading or unloading
    READY = auto()
    FAILED = auto()


@dataclass(frozen=True, slots=True)
class Known:
    """A version under management."""

    number: int
    phase: Phase
    wanted: bool


@dataclass(frozen=True, slots=True)
class Load:
    """Bring this version up."""

    number: int


@dataclass(frozen=True, slots=True)
class Unload:
    """Take this version down."""

    number: int


def next_step(versions: Iterable[Known]) -> Load | Unload | None:
    """The one thing to do now for a model with these versions."""
    known = list(versions)
    surplus = [v.number for v in known if v.phase is Phase.READY and not v.wanted]
    wanted = [v for v in known if v.wanted]
    answered = any(v.phase is Phase.READY for v in wanted)
    if surplus and (not wanted or answered or len(surplus) > 1):
        return Unload(min(surplus))
    fresh = [v.number for v in wanted if v.phase is Phase.NEW]
    return Load(max(fresh)) if fresh else None
