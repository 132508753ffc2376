"""What is in force: the bundle's numbers and tables, checked at the start and never changed after it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from gateway.domain.risk import Value
from kit.calibration import Bands, Cells, Counts, Intervals, Probabilities
from kit.ranges import Ranges
from kit.rows import Categorical, Numeric


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


@dataclass(frozen=True, slots=True, eq=False)
class Standing:
    """Where a row looks in the classifier's tables, and where in the regressor's."""

    quote: Cells
    price: Cells


@dataclass(frozen=True)
class Serving:
    """The bundle in force. `insurers` is the order of every array [K]; `typical` has the values worth trying, by field name.

    An insurer is likely to quote when its probability is at least `likely`. `likely_insurers` says how far the number of quotes
    strays from its expectation. The models were calibrated each for itself, in bands of risks that may differ. `ranges` tells rows that are unlike
    all that the models have learnt from: they have no interval. `typical_row` is a typical driver, whose answers go together.
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
    likely_insurers: Counts
    quote_bands: Bands
    price_bands: Bands
    ranges: Ranges
    typical: Mapping[str, tuple[Typical, ...]] = field(default_factory=dict)
    typical_row: Mapping[str, Value] = field(default_factory=dict)

    def standing(self, numeric: Numeric, categorical: Categorical, keys: NDArray[np.int64]) -> Standing:
        """Where packed rows with these keys look."""
        quote = Cells(keys, self.quote_bands.places(numeric, categorical))
        if self._same_bands:
            return Standing(quote, quote)
        return Standing(quote, Cells(keys, self.price_bands.places(numeric, categorical)))

    @cached_property
    def _same_bands(self) -> bool:
        return self.quote_bands.edges == self.price_bands.edges

    @cached_property
    def position(self) -> Mapping[str, int]:
        """An insurer's id to its place in the arrays."""
        return {insurer: place for place, insurer in enumerate(self.insurers)}
