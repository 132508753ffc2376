"""What does a stored entity hold, and where does that belong in the packed row?"""

import hashlib
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from kit.contract import Contract, Field

Positions = NDArray[np.intp]

FORMAT: Final = "1"  # of the bytes in codec.py: another format is another schema, so old values are misses
MOST_FIELDS: Final = 64  # one bit for each in the header


class TooManyFields(ValueError):
    """An entity has more fields than its value's header has bits."""


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """An entity's fields as they lie in its value: numeric ones first, each kind in the contract's order.

    `numeric_at` and `categorical_at` say where they belong in the packed row, so that
    `row_numeric[layout.numeric_at] = entity.numeric` is all that a reader of the store does.
    """

    entity: str
    schema: bytes
    numeric: tuple[Field, ...]
    categorical: tuple[Field, ...]
    numeric_at: Positions
    categorical_at: Positions

    @property
    def fields(self) -> tuple[Field, ...]:
        """Every field in the order of the value, which is the order of the presence bits."""
        return self.numeric + self.categorical

    @classmethod
    def of(cls, contract: Contract, entity: str) -> Self:
        """The layout of the contract's entity. Raises KeyError (no such entity) or TooManyFields."""
        contract.entity(entity)
        held = contract.fields_of(entity)
        if len(held) > MOST_FIELDS:
            raise TooManyFields(f"{entity}: {len(held)} fields, a value holds at most {MOST_FIELDS}")
        return cls(
            entity=entity,
            schema=schema_id(contract.fingerprint, entity),
            numeric=tuple(f for f in held if f.is_numeric),
            categorical=tuple(f for f in held if not f.is_numeric),
            numeric_at=_positions(contract.numeric, held),
            categorical_at=_positions(contract.categorical, held),
        )


def entity_layout(contract: Contract, entity: str) -> tuple[Positions, Positions]:
    """Where an entity's values belong in the packed row: indices into `numeric` [N] and into `categorical` [M].

    Raises KeyError when the contract has no such entity.
    """
    layout = Layout.of(contract, entity)
    return layout.numeric_at, layout.categorical_at


def schema_id(fingerprint: str, entity: str) -> bytes:
    """Eight bytes that differ when the contract, the entity or the format of the value does."""
    return hashlib.sha256(f"{FORMAT}:{fingerprint}:{entity}".encode()).digest()[:8]


def _positions(row: tuple[Field, ...], held: tuple[Field, ...]) -> Positions:
    names = {f.name for f in held}
    return np.array([i for i, f in enumerate(row) if f.name in names], np.intp)
