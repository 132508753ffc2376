"""How does what was sent, assumed and looked up become the one row that both models read?"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gateway.domain.risk import Risk, Value
from gateway.ports import Categorical, Known, Numeric
from kit import rows
from kit.contract import Contract

Layouts = Mapping[str, tuple[NDArray[np.intp], NDArray[np.intp]]]


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """float32[1, N] and int32[1, M] as the models take them, and the int64[1] key of the answered groups.

    `assumed` are the fields (by path) that nobody sent and that the answer must show; `out_of_range` those whose value no
    training data had, which therefore count as not known.
    """

    numeric: Numeric
    categorical: Categorical
    key: NDArray[np.int64]
    assumed: Mapping[str, Value]
    out_of_range: tuple[str, ...]


class Packer:
    """Packs rows of one contract; `layouts` says where each entity's values belong."""

    def __init__(self, contract: Contract, layouts: Layouts) -> None:
        self._contract, self._layouts = contract, layouts
        self._assumed = tuple((f.name, f.path, f.assumed) for f in contract.fields if f.assumed is not None)
        self._codes = tuple(f for f in contract.fields if f.kind == "code")

    def pack(self, risk: Risk, known: Mapping[tuple[str, str], Known]) -> Row:
        """One row. What was neither sent nor assumed nor found stays "not known": it is never invented."""
        sent = risk.values
        assumed = [entry for entry in self._assumed if entry[0] not in sent]
        numeric, categorical = rows.pack(self._contract, {**sent, **{name: value for name, _, value in assumed}})
        for (entity, _), found in known.items():
            numeric_at, categorical_at = self._layouts[entity]
            numeric[numeric_at] = found.numeric
            categorical[categorical_at] = found.categorical
        unseen = [f.path for f in self._codes if f.name in sent and sent[f.name] not in f.code_of]
        batch = numeric[np.newaxis], categorical[np.newaxis]
        return Row(
            *batch,
            key=rows.answered(self._contract, *batch),
            assumed={path: value for _, path, value in assumed},
            out_of_range=tuple(unseen),
        )
