"""How does what was sent, assumed and looked up become the one row that both models read?

A row is packed into bytes as they go over the wire, because it is always joined with other rows before anybody computes with it:
a shared call joins those of all its requests, and so does the merge. Joining bytes costs a copy, joining arrays a NumPy call each.
"""

import struct
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gateway.domain.risk import Risk, Value
from gateway.ports import Categorical, Known, Numeric
from kit.contract import Contract
from kit.rows import UNKNOWN_CODE

Layouts = Mapping[str, tuple[NDArray[np.intp], NDArray[np.intp]]]

UNKNOWN_NUMBER: Final = float("nan")


class Row(NamedTuple):
    """float32[N] and int32[M] as the models take them, in little-endian bytes.

    `assumed` are the fields (by path) that nobody sent and that the answer must show; `unseen` those with a code that no training data
    had, which therefore counts as not known.
    """

    numeric: bytes
    categorical: bytes
    assumed: Mapping[str, Value]
    unseen: tuple[str, ...] = ()


def stack(rows: Sequence[Row]) -> tuple[Numeric, Categorical]:
    """Rows as the arrays [B, N] and [B, M], which cannot be written to."""
    numeric = np.frombuffer(b"".join([row.numeric for row in rows]), "<f4")
    categorical = np.frombuffer(b"".join([row.categorical for row in rows]), "<i4")
    return numeric.reshape(len(rows), -1), categorical.reshape(len(rows), -1)


class Packer:
    """Packs rows of one contract; `layouts` says where each entity's values belong."""

    def __init__(self, contract: Contract, layouts: Layouts) -> None:
        self._number_at = {field.name: i for i, field in enumerate(contract.numeric)}
        self._code_at = {field.name: (i, field.code_of, field) for i, field in enumerate(contract.categorical)}
        self._assumed = {f.name: (f.path, f.assumed) for f in contract.fields if f.assumed is not None}
        self._layouts = {name: (at.tolist(), codes_at.tolist()) for name, (at, codes_at) in layouts.items()}
        self._numbers, self._codes = (
            struct.Struct(f"<{len(contract.numeric)}f"),
            struct.Struct(f"<{len(contract.categorical)}i"),
        )

    def pack(self, risk: Risk, known: Mapping[tuple[str, str], Known]) -> Row:
        """One row. What was neither sent nor assumed nor found stays "not known": it is never invented."""
        numbers: list[Any] = [UNKNOWN_NUMBER] * len(self._number_at)
        codes = [UNKNOWN_CODE] * len(self._code_at)
        unseen = self._put(risk.values, numbers, codes)
        assumed = {name: found for name, found in self._assumed.items() if name not in risk.values}
        if assumed:
            self._put({name: value for name, (_, value) in assumed.items()}, numbers, codes)
        for (entity, _), found in known.items():
            numbers_at, codes_at = self._layouts[entity]
            for at, number in zip(numbers_at, found.numbers, strict=True):
                numbers[at] = number
            for at, code in zip(codes_at, found.codes, strict=True):
                codes[at] = code
        return Row(self._numbers.pack(*numbers), self._codes.pack(*codes), dict(assumed.values()), unseen)

    def _put(self, values: Mapping[str, Value], numbers: list[Any], codes: list[int]) -> tuple[str, ...]:
        """Each value in its column; the paths of codes that nobody has seen."""
        number_at, unseen = self._number_at, []
        for name, value in values.items():
            at = number_at.get(name)
            if at is not None:
                numbers[at] = value
                continue
            place, code_of, field = self._code_at[name]
            code = code_of.get(str(value))
            if code is None:
                unseen.append(field.path)
            else:
                codes[place] = code
        return tuple(unseen)
