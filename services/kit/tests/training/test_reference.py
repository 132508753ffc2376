"""Are the typical values typical, and spelt as a request spells them?"""

import json

import numpy as np

from kit.contract import Contract
from kit.training import reference
from kit.training.data.slices import Rows


def rows_of(contract: Contract, count: int) -> Rows:
    """Rows with ages 17, 18, ..., one in four modified, nothing else known."""
    numeric = np.full((count, len(contract.numeric)), np.nan, np.float32)
    categorical = np.full((count, len(contract.categorical)), -1, np.int32)
    numeric[:, [f.name for f in contract.numeric].index("age")] = 17 + np.arange(count)
    numeric[:, [f.name for f in contract.numeric].index("home_owner")] = np.arange(count) % 2
    categorical[:, [f.name for f in contract.categorical].index("modified")] = np.where(np.arange(count) % 4, 0, 1)
    return Rows(np.arange(count), numeric, categorical, np.ones((count, 1), np.int8), np.ones((count, 1), np.float32))


def test_values_have_the_contracts_types_and_weights_of_one(contract: Contract) -> None:
    """Five ages of equal weight, both bools, two strings by how common they are, and nothing for what is never known."""
    found = json.loads(reference.encode(contract, rows_of(contract, 40)))

    assert [[21, 0.2], [29, 0.2], [37, 0.2], [44, 0.2], [52, 0.2]] == found["age"]
    assert [[False, 0.5], [True, 0.5]] == found["home_owner"]
    assert [["none", 0.75], ["cosmetic", 0.25]] == found["modified"]
    assert [] == found["sector"]
    assert {*(f.name for f in contract.fields), "row"} == set(found)


def test_the_typical_row_is_whole_and_can_be(contract: Contract) -> None:
    """The middle of numbers, the commonest of the rest; what is known of a place is that of the commonest one."""
    rows = rows_of(contract, 41)
    places = [f.name for f in contract.categorical], [f.name for f in contract.numeric]
    rows.categorical[:, places[0].index("sector")] = np.where(np.arange(41) < 9, 7, np.arange(41))
    rows.numeric[:, places[1].index("urbanity")] = np.where(np.arange(41) < 9, 0.125, 0.75)
    found = json.loads(reference.encode(contract, rows))["row"]

    assert (37, "none", bool) == (found["age"], found["modified"], type(found["home_owner"]))
    assert (contract.field("sector").values[7], 0.125) == (found["sector"], found["urbanity"])
    assert "vehicle_value" not in found
