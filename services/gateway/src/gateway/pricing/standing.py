"""Where do rows stand: in the calibration tables, and inside or outside of what the models have learnt from?"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gateway.domain.reasons import Alarm
from gateway.domain.serving import Serving, Standing
from gateway.ports import Categorical, Numeric
from gateway.pricing.row import Row, stack
from kit import rows
from kit.contract import Contract
from kit.ranges import Verdict


@dataclass(frozen=True, slots=True, eq=False)
class Stood:
    """B rows with where they look in the tables. `is_outside` bool[B]: there calibration promises nothing.

    `out_of_range` are, for each row, the paths of codes that no training data had and, when it is outside, of those fields that put it
    there; `alarms` says of which kinds they are.
    """

    numeric: Numeric
    categorical: Categorical
    at: Standing
    is_outside: NDArray[np.bool_]
    out_of_range: Sequence[tuple[str, ...]]
    alarms: Sequence[tuple[Alarm, ...]]


def stand(contract: Contract, serving: Serving, packed: Sequence[Row]) -> Stood:
    """Look B rows up at once."""
    numeric, categorical = stack(packed)
    at = serving.standing(numeric, categorical, rows.answered(contract, numeric, categorical))
    is_outside = serving.ranges.flags(numeric, categorical).any
    out_of_range = [row.unseen for row in packed]
    alarms = [(Alarm.CODE,) if row.unseen else () for row in packed]
    for place in np.flatnonzero(is_outside).tolist():
        verdict = serving.ranges.check(numeric[place : place + 1], categorical[place : place + 1])
        if verdict is not None:
            out_of_range[place] = tuple(dict.fromkeys([*out_of_range[place], *_paths(contract, verdict)]))
            alarms[place] = (*alarms[place], *_kinds(verdict))
    return Stood(numeric, categorical, at, is_outside, out_of_range, alarms)


def _paths(contract: Contract, verdict: Verdict) -> list[str]:
    return [contract.field(name).path for name in (*verdict.box, *verdict.joint)]


def _kinds(verdict: Verdict) -> list[Alarm]:
    return [alarm for alarm, names in ((Alarm.BOX, verdict.box), (Alarm.JOINT, verdict.joint)) if names]
