"""Which question should be asked next? The one whose answer, on average, narrows the band of the cheapest price most.

For every field that is not known yet the row is tried with that field's typical values, all of them in few batched calls; the mean
width over the values, weighted by how often they occur, stands against the width now.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gateway.domain.answers import Question
from gateway.domain.serving import Serving, Typical
from gateway.ports import Answer, Categorical, Numeric
from kit import rows
from kit.calibration import Cells
from kit.contract import Contract, Field

MOST_QUESTIONS: Final = 5
ROWS_A_CALL: Final = 32  # below any sensible max_batch_size of a model server, which refuses larger ones
SHARE_DIGITS: Final = 3


@dataclass(frozen=True, slots=True, eq=False)
class Tries:
    """B rows to be scored: `owner` int[B] says which of `fields` each tries, `weight` [B] how often that value occurs."""

    fields: tuple[Field, ...]
    numeric: Numeric
    categorical: Categorical
    owner: NDArray[np.intp]
    weight: NDArray[np.float64]

    def chunks(self) -> list[tuple[Numeric, Categorical]]:
        """The rows in calls that a model server takes."""
        starts = range(0, len(self.owner), ROWS_A_CALL)
        return [(self.numeric[i : i + ROWS_A_CALL], self.categorical[i : i + ROWS_A_CALL]) for i in starts]


def open_fields(contract: Contract, numeric: Numeric, categorical: Categorical, named: Collection[str]) -> list[Field]:
    """The fields of which nothing is known in one row and for which somebody can be asked; `named` are the entities named by id.

    What a row of the store answers is not asked when its id was sent, nor when its id is a question itself: people know where
    they live, and nobody knows its deprivation index.
    """
    answered = {*named, *(entity.name for entity in contract.entities if entity.id in contract.by_name)}
    known = ~np.isnan(numeric[0]), categorical[0] != rows.UNKNOWN_CODE
    columns = zip(contract.numeric + contract.categorical, np.concatenate(known).tolist(), strict=True)
    return [field for field, is_known in columns if not is_known and field.entity not in answered]


def tries(
    contract: Contract,
    numeric: Numeric,
    categorical: Categorical,
    fields: list[Field],
    typical: Mapping[str, tuple[Typical, ...]],
) -> Tries:
    """One row once for each typical value of each field."""
    asked = tuple(field for field in fields if typical.get(field.name))
    entries = [(place, field, entry) for place, field in enumerate(asked) for entry in typical[field.name]]
    numeric, categorical = np.repeat(numeric, len(entries), 0), np.repeat(categorical, len(entries), 0)
    column = {f.name: i for part in (contract.numeric, contract.categorical) for i, f in enumerate(part)}
    for i, (_, field, entry) in enumerate(entries):
        if field.is_numeric:
            numeric[i, column[field.name]] = entry.value
        else:
            categorical[i, column[field.name]] = field.code_of.get(str(entry.value), rows.UNKNOWN_CODE)
    owner = np.array([place for place, _, _ in entries], np.intp)
    return Tries(asked, numeric, categorical, owner, np.array([e.weight for _, _, e in entries], np.float64))


def rank(
    contract: Contract, serving: Serving, at: Cells, now: Answer, tried: Tries, then: Answer
) -> tuple[Question, ...]:
    """The best questions first, from the panel's log quantiles now [1, 2, 3] (its row looks `at`) and of the tries [B, 2, 3]."""
    width_now = float(_widths(serving, now, at)[0])
    keys = rows.answered(contract, tried.numeric, tried.categorical)
    widths = _widths(serving, then, Cells(keys, serving.price_bands.places(tried.numeric, tried.categorical)))
    total = np.bincount(tried.owner, tried.weight, len(tried.fields))
    expected = np.bincount(tried.owner, tried.weight * widths, len(tried.fields)) / total
    shares = (1.0 - expected / width_now).round(SHARE_DIGITS) if width_now > 0 else np.zeros(len(tried.fields))
    best = [place for place in np.argsort(-shares, kind="stable")[:MOST_QUESTIONS] if shares[place] > 0]
    return tuple(Question(tried.fields[place].path, float(shares[place])) for place in best)


def _widths(serving: Serving, log_premium: Answer, cells: Cells) -> NDArray[np.float64]:
    """The width in pounds of the cheapest price's band, [B]."""
    low, _, high = serving.cheapest.apply(log_premium[:, :1], cells)
    width: NDArray[np.float64] = (np.exp(high) - np.exp(low))[:, 0]
    return width
