"""Positions lead from a value into the packed row, and keys tell contracts apart."""

import dataclasses

import numpy as np
import pytest

from feature_store.keys import generation_of, id_of, key
from feature_store.layout import Layout, TooManyFields, entity_layout
from kit.contract import Contract
from kit.rows import pack


@pytest.mark.parametrize("entity", ["vehicle", "area"])
def test_positions_name_the_entitys_fields(contract: Contract, entity: str) -> None:
    """Position by position, the packed row's field is the value's field."""
    numeric_at, categorical_at = entity_layout(contract, entity)

    held = contract.fields_of(entity)
    assert [f.name for f in held if f.is_numeric] == [contract.numeric[i].name for i in numeric_at]
    assert [f.name for f in held if not f.is_numeric] == [contract.categorical[i].name for i in categorical_at]


def test_a_value_lands_where_packing_puts_it(contract: Contract) -> None:
    """Writing through the positions gives the row that packing the same attributes gives."""
    attributes = {"make": "mk-03", "fuel": "diesel", "vehicle_group": 21, "vehicle_age": 4, "vehicle_value": 7_500.0}
    whole_numeric, whole_categorical = pack(contract, attributes)
    numeric, categorical = pack(contract, {})
    layout = Layout.of(contract, "vehicle")

    numeric[layout.numeric_at] = whole_numeric[layout.numeric_at]
    categorical[layout.categorical_at] = whole_categorical[layout.categorical_at]

    np.testing.assert_array_equal(whole_numeric, numeric)
    np.testing.assert_array_equal(whole_categorical, categorical)


def test_an_unknown_entity_is_a_key_error(contract: Contract) -> None:
    """A misspelt entity is the programmer's error."""
    with pytest.raises(KeyError, match="vehicles"):
        entity_layout(contract, "vehicles")


def test_too_many_fields_are_refused(contract: Contract) -> None:
    """The header has 64 presence bits; a 65th field must not be dropped in silence."""
    field = contract.field("vehicle_value")
    wide = dataclasses.replace(contract, fields=tuple(dataclasses.replace(field, name=f"f{i}") for i in range(65)))

    with pytest.raises(TooManyFields, match="65"):
        Layout.of(wide, "vehicle")


def test_the_key_spells_contract_entity_generation_id() -> None:
    """The id is the hash tag, so that an entity's later groups share its slot, and both parts can be read off again."""
    stored_at = key("0123456789ab", "vehicle", "89abcdef", "v-00123")

    assert "f:0123456789ab:vehicle:89abcdef:{v-00123}" == stored_at
    assert ("89abcdef", "v-00123") == (generation_of(stored_at), id_of(stored_at))
