"""Is every enquiry and insurer in the right group, and is what is summed over groups what a loop would sum?"""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra.numpy import arrays

from kit.contract import Contract
from kit.training.data.slices import Rows
from kit.training.judging import segments
from kit.training.judging.segments import Partition
from kit.training.nets.masking import profiles


def rows_of(contract: Contract, **columns: Any) -> Rows:
    """Rows with these packed columns and nothing else known; three insurers that all quoted 100."""
    count = len(next(iter(columns.values())))
    numeric = np.full((count, len(contract.numeric)), np.nan, np.float32)
    categorical = np.full((count, len(contract.categorical)), -1, np.int32)
    for i, field in enumerate(contract.numeric):
        numeric[:, i] = columns.get(field.name, np.nan)
    for i, field in enumerate(contract.categorical):
        categorical[:, i] = columns.get(field.name, -1)
    return Rows(
        np.arange(count), numeric, categorical, np.ones((count, 3), np.int8), np.full((count, 3), 100, np.float32)
    )


def groups(of: Partition) -> list[str]:
    """The name of each one's group."""
    return [of.names[p] for p in of.place]


@pytest.mark.parametrize(
    ("kind", "values", "expected"),
    [
        ("age", [17, 20, 21, 24, 25, 30, 79, 80, 99], ["17-20"] * 2 + ["21-24"] * 2 + ["25-29", "30-39", "70-79", "80+", "80+"]),
        ("points", [0, 1, 3, 4, 6, 7, 24, np.nan], ["none", "1-3", "1-3", "4-6", "4-6", "7+", "7+", "unknown"]),
        ("region", [1, 0, -1], ["R02", "R01", "unknown"]),
        ("urbanity", [0.5, 0.1, 0.2, 0.3, 0.4, np.nan], ["5 highest", "1 lowest", "2", "3", "4", "unknown"]),
    ],
)  # fmt: skip
def test_a_value_is_in_its_group(contract: Contract, kind: str, values: list[float], expected: list[str]) -> None:
    """Bands begin where their names say, and what is not known is a group of its own."""
    rows = rows_of(contract, **{kind: values})

    found = segments.partitions(contract, rows, profiles(contract, {})["full"], ("a", "b", "c"), {})

    assert expected == groups(found[kind])


def test_a_profile_leaves_the_kinds_that_it_knows(contract: Contract) -> None:
    """They are those that its partitions have."""
    rows = rows_of(contract, age=[30, 40])
    for known in profiles(contract, {"few": ("region",)}).values():
        found = segments.partitions(contract, rows, known, ("a", "b", "c"), {})

        assert found.keys() == segments.kinds(contract, known)


def test_equal_values_stay_in_one_fifth() -> None:
    """A fifth that would have only them has nobody."""
    found = segments.fifths(np.array([0, 0, 0, 0, 1], np.float32))

    assert ["1 lowest"] * 4 + ["5 highest"] == groups(found)


def test_only_what_the_profile_knows_makes_groups(contract: Contract) -> None:
    """Nobody can be grouped by an answer that the model was not given."""
    rows = rows_of(contract, age=[20, 30], points=[0, 3])
    known = profiles(contract, {"showroom": ("age", "region")})

    found = {name: set(segments.partitions(contract, rows, known[name], "abc", {"a": "x"})) for name in known}

    assert {"age", "region", "archetype"} == found["showroom"]
    assert {"age", "region", "urbanity", "deprivation", "archetype"} == found["no_history"]
    assert set(segments.BANDS) | {"region", "urbanity", "deprivation", "archetype"} == found["full"]


def test_insurers_are_grouped_by_their_archetype(contract: Contract) -> None:
    """One that nobody described is unknown."""
    found = segments.partitions(
        contract, rows_of(contract, age=[20]), profiles(contract, {})["full"], ("a", "b", "c"), {"a": "x", "c": "x"}
    )["archetype"]

    assert found.of_insurers
    assert ["x", "unknown", "x"] == groups(found)


@given(arrays(np.float32, (6, 4), elements=st.floats(0, 9, width=32)), st.booleans())
def test_sums_are_those_of_a_loop(cells: Any, of_insurers: bool) -> None:
    """Over enquiries as over insurers."""
    place = np.array([0, 1, 1, 0] if of_insurers else [0, 1, 2, 1, 0, 2])
    of = Partition(tuple("abc"[: place.max() + 1]), place, of_insurers)
    by_hand = [(cells[:, place == g] if of_insurers else cells[place == g]).sum() for g in range(len(of.names))]

    np.testing.assert_allclose(by_hand, of.sums(segments.summed(cells)), rtol=1e-5)


def test_an_enquiry_counts_once_in_a_group() -> None:
    """However many of its cells count, and not at all without one."""
    counts = np.array([[True, True, False], [False, False, False], [False, False, True]])

    assert [1, 1] == Partition(("a", "b"), np.array([0, 0, 1])).rows(counts).tolist()
    assert [1, 1] == Partition(("a", "b"), np.array([0, 0, 1]), of_insurers=True).rows(counts).tolist()
