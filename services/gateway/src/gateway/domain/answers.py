"""What does the website get? Answers as values; how they are written is the edge's matter. Prices are pounds, rounded to pence."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gateway.domain.reasons import Reason
from gateway.domain.risk import Value

Pence = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Band:
    """A price and its calibrated interval; None where the risk is out of range, for there the calibration promises nothing."""

    premium: float
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Caveats:
    """What every answer says of itself. `complete`: both models answered. `out_of_range`: paths of what training data did not have."""

    complete: bool
    degraded: tuple[Reason, ...]
    assumed: Mapping[str, Value]
    out_of_range: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Panel:
    """The panel in one line. None is "cannot be said": without the classifier nobody knows who quotes, without the
    regressor nobody knows a price, and without likely insurers there is no cheapest one."""

    likely: int | None
    cheapest: tuple[str, Band] | None
    mean_of_five_cheapest: float | None


@dataclass(frozen=True, slots=True, eq=False)
class Insurers:
    """The insurers of B rows, as columns; None where the model that knows is missing.

    `is_likely` bool[B, K], `steps` int64[B, K] probabilities in ten-thousandths, `pence` int64[3, B, K] the low end, the middle and the
    high end of each price. Rows that are outside of what the models have learnt (`is_outside` bool[B]) have no ends.
    """

    ids: tuple[str, ...]
    is_likely: NDArray[np.bool_] | None
    steps: NDArray[np.int64] | None
    pence: Pence | None
    is_outside: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class QuoteAnswers:
    """The answers to B requests of `POST /v1/quotes` that are alike: for the same insurers, and with the same models' halves."""

    bundle: str
    level: float
    quote_ids: Sequence[str]
    caveats: Sequence[Caveats]
    panels: Sequence[Panel]
    insurers: Insurers


@dataclass(frozen=True, slots=True)
class Count:
    """How many insurers will quote, with a band; None where the risk is out of range."""

    expected: float
    low: int | None
    high: int | None


@dataclass(frozen=True, slots=True)
class Question:
    """A field that is not known yet, and by which share knowing it narrows the band of the cheapest price, on average."""

    field: str
    narrows_band_by: float


@dataclass(frozen=True, slots=True)
class BallparkAnswer:
    """The answer to `POST /v1/ballpark`."""

    bundle: str
    level: float
    caveats: Caveats
    cheapest: Band | None
    mean_of_five_cheapest: Band | None
    likely_insurers: Count | None
    answered: tuple[str, ...]
    next_questions: tuple[Question, ...] | None  # None: there was no time, price or band to find out
