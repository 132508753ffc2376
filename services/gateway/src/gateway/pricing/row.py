"""How does what was sent, assumed and looked up become the one row that both models read?"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gateway.domain.reasons import Alarm
from gateway.domain.risk import Risk, Value
from gateway.ports import Categorical, Known, Numeric
from kit import rows
from kit.contract import Contract
from kit.ranges import Ranges, Verdict

Layouts = Mapping[str, tuple[NDArray[np.intp], NDArray[np.intp]]]


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """float32[1, N] and int32[1, M] as the models take them, and the int64[1] key of the answered groups.

    `assumed` are the fields (by path) that nobody sent and that the answer must show. `out_of_range` are those with a code that no
    training data had, which therefore counts as not known, and, when the row `is_outside` what the models have learnt from, those
    that put it there. `alarms` says of which kinds they are.
    """

    numeric: Numeric
    categorical: Categorical
    key: NDArray[np.int64]
    assumed: Mapping[str, Value]
    out_of_range: tuple[str, ...] = ()
    is_outside: bool = False
    alarms: tuple[Alarm, ...] = ()


class Packer:
    """Packs rows of one contract; `layouts` says where each entity's values belong, `ranges` which rows are like the training's."""

    def __init__(self, contract: Contract, layouts: Layouts, ranges: Ranges) -> None:
        self._contract, self._layouts, self._ranges = contract, layouts, ranges
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
        row = Row(
            *batch,
            key=rows.answered(self._contract, *batch),
            assumed={path: value for _, path, value in assumed},
            out_of_range=tuple(unseen),
            alarms=(Alarm.CODE,) if unseen else (),
        )
        verdict = self._ranges.check(*batch)
        return row if verdict is None else self._outside(row, verdict)

    def _outside(self, row: Row, verdict: Verdict) -> Row:
        paths = [self._contract.field(name).path for name in (*verdict.box, *verdict.joint)]
        kinds = [alarm for alarm, names in ((Alarm.BOX, verdict.box), (Alarm.JOINT, verdict.joint)) if names]
        return replace(
            row,
            out_of_range=tuple(dict.fromkeys([*row.out_of_range, *paths])),
            is_outside=True,
            alarms=(*row.alarms, *kinds),
        )
