"""What did the website ask? Requests as they stand after every check."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

STANDARD_IPT_RATE: Final = 0.12  # insurance premium tax in the prices that the models have learnt

Value = int | float | bool | str


@dataclass(frozen=True, slots=True)
class Risk:
    """The answers that were sent, by field name, and the ids of rows of the feature store, by entity."""

    values: Mapping[str, Value]
    entities: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class QuoteRequest:
    """`chosen` are positions in the panel, in the order asked for; None is the whole panel.

    Its caller can ask for a quote that `is_named` again.
    """

    risk: Risk
    quote_id: str
    chosen: tuple[int, ...] | None = None
    ipt_rate: float = STANDARD_IPT_RATE
    is_named: bool = False


@dataclass(frozen=True, slots=True)
class BallparkRequest:
    """A risk of which little is known yet."""

    risk: Risk
    ipt_rate: float = STANDARD_IPT_RATE
