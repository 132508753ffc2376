"""How does the answer change with age, for a typical driver, at each kind of insurer? The curve of the report's page.

"age_curve": {"age": [17 ... 90], "archetypes": {name: [median over its insurers, in pounds or as a share, at each age]}}
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from kit.contract import Contract
from kit.rows import UNKNOWN_CODE
from kit.training.data.slices import Rows
from kit.training.judging.segments import UNKNOWN

AGES: Final = np.arange(17, 91)
AGE: Final = "age"
# What nobody can have more of than years since 17, and since birth.
SINCE_17: Final = ("licence_years", "ncd_years")
SINCE_BIRTH: Final = ("uk_resident_years",)
ALL: Final = "all insurers"


def typical(contract: Contract, rows: Rows) -> Rows:
    """The typical driver of some rows at every age of `AGES`: each number the median, each code the most common one, by itself.

    So no row is a person's. Years of licence, bonus and residence are the smaller of the median and what the age allows.
    """
    numeric = np.repeat([[_median(column) for column in rows.numeric.T]], len(AGES), axis=0)
    codes = [_commonest(column) for column in rows.categorical.T]
    for i, field in enumerate(contract.numeric):
        if field.kind in {"int", "bool"}:
            numeric[:, i] = np.round(numeric[:, i])
        if field.name == AGE:
            numeric[:, i] = AGES
        elif field.name in SINCE_17:
            numeric[:, i] = np.minimum(numeric[:, i], AGES - 17)
        elif field.name in SINCE_BIRTH:
            numeric[:, i] = np.minimum(numeric[:, i], AGES)
    insurers = rows.quoted.shape[1]
    return Rows(
        np.arange(len(AGES)),
        numeric.astype(np.float32),
        np.repeat(np.array([codes], np.int32), len(AGES), axis=0),
        np.full((len(AGES), insurers), -1, np.int8),
        np.full((len(AGES), insurers), np.nan, np.float32),
    )


def _median(column: NDArray[np.float32]) -> float:
    known = column[~np.isnan(column)]
    return float(np.median(known)) if len(known) else float("nan")


def _commonest(column: NDArray[np.int32]) -> int:
    known = column[column != UNKNOWN_CODE]
    return int(np.bincount(known).argmax()) if len(known) else UNKNOWN_CODE


def by_archetype(answers: Any, insurers: Sequence[str], archetypes: Mapping[str, str]) -> dict[str, Any]:
    """The curve of answers [ages, K] in pounds or as a share; one for all insurers when nobody said what kind they are."""
    kinds = np.array(
        [archetypes.get(insurer, UNKNOWN) for insurer in insurers] if archetypes else [ALL] * len(insurers)
    )
    curves = {str(kind): np.median(answers[:, kinds == kind], axis=1).round(4).tolist() for kind in np.unique(kinds)}
    return {"age": AGES.tolist(), "archetypes": curves}
