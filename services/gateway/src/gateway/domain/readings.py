"""What can be read off the wires to one branch, whenever somebody looks? Counts since the start, and how it stands."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from gateway.domain.outliers import Why
from kit.breaker import State


class Standing(StrEnum):
    """How a replica stands."""

    SERVING = "serving"
    ASIDE = "aside"  # connected, and left alone for a while
    UNCONNECTED = "unconnected"


class Second(StrEnum):
    """How a second attempt ended."""

    ANSWERED = "answered"
    FAILED = "failed"
    LATE = "late"  # the first one answered after all


@dataclass(frozen=True, slots=True)
class Readings:
    """Of one branch: replicas by standing, how often one was set aside, second attempts by end, the breaker's state."""

    replicas: Mapping[Standing, int]
    set_aside: Mapping[Why, int]
    second_attempts: Mapping[Second, int]
    breaker: State
