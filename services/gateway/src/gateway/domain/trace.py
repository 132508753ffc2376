"""What happened while one request was answered? Written down by whoever did it, read once at the edge.

It keeps the decisions free of metrics and clocks: they tell the trace, and the edge turns it into series and headers.
"""

from dataclasses import dataclass, field
from typing import Final, NamedTuple

from gateway.domain.reasons import Alarm, Branch, CallOutcome, Reason

STAGES: Final = ("admit", "read", "features", "pack", "classifier", "regressor", "merge", "write")


class Call(NamedTuple):
    """One call of a model, in seconds."""

    branch: Branch
    outcome: CallOutcome
    took: float


@dataclass(slots=True)
class Trace:
    """Seconds by stage, calls, reads as (entity, outcome), the reasons of a degraded answer, and why a risk is out of range."""

    stages: dict[str, float] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    reads: list[tuple[str, str]] = field(default_factory=list)
    degraded: tuple[Reason, ...] = ()
    alarms: tuple[Alarm, ...] = ()
