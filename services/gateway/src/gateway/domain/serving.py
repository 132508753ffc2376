"""What is in force: the bundle's numbers and tables, checked at the start and never changed after it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from gateway.domain.risk import Value
from kit.calibration import Intervals, Probabilities, Table


@dataclass(frozen=True, slots=True)
class Model:
    """One model of the bundle: what `/v1/models` says of it."""

    project: str
    version: int
    sha256: str
    created: str
    card: str


@dataclass(frozen=True, slots=True)
class Typical:
    """A value that a field often has, and how often (shares of one field add up to 1)."""

    value: Value
    weight: float


@dataclass(frozen=True)
class Serving:
    """The bundle in force. `insurers` is the order of every array [K]; `typical` has the values worth trying, by field name.

    An insurer is likely to quote when its probability is at least `likely`. `likely_insurers` says how far the number of quotes
    strays from its expectation, low and high, in standard deviations of independent decisions.
    """

    bundle: str
    contract: str
    created: str
    level: float
    likely: float
    insurers: tuple[str, ...]
    classifier: Model
    regressor: Model
    probabilities: Probabilities
    intervals: Intervals
    cheapest: Intervals
    mean_of_five_cheapest: Intervals
    likely_insurers: Table
    typical: Mapping[str, tuple[Typical, ...]] = field(default_factory=dict)

    @cached_property
    def position(self) -> Mapping[str, int]:
        """An insurer's id to its place in the arrays."""
        return {insurer: place for place, insurer in enumerate(self.insurers)}
