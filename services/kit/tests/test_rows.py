import numpy as np
import pytest
from hypothesis import given, strategies as st
from numpy.testing import assert_array_equal

from kit import contract, rows
from kit.contract import Field

MOTOR = contract.load()


def answers_to(field: Field) -> st.SearchStrategy[object]:
    """Any answer that the contract allows, or none."""
    if field.kind in {"enum", "code"}:
        return st.one_of(st.none(), st.sampled_from(field.values))
    if field.kind == "bool":
        return st.one_of(st.none(), st.booleans())
    return st.one_of(st.none(), st.integers(int(field.minimum), int(field.maximum)))


some_answers = st.fixed_dictionaries({f.name: answers_to(f) for f in MOTOR.fields})


@given(st.lists(some_answers, min_size=1, max_size=4))
def test_rows_packed_one_by_one_equal_rows_packed_as_columns(people: list[dict[str, object]]) -> None:
    """The gateway's row and the training set's rows are the same bytes."""
    columns = {f.name: np.array([p[f.name] for p in people], dtype=object) for f in MOTOR.fields}

    numeric, categorical = rows.pack_columns(MOTOR, columns)

    for i, person in enumerate(people):
        one_numeric, one_categorical = rows.pack(MOTOR, person)
        assert_array_equal(one_numeric, numeric[i])
        assert_array_equal(one_categorical, categorical[i])


def test_what_is_not_sent_is_not_known() -> None:
    """Nothing is invented: NaN and -1 everywhere but the one answer."""
    numeric, categorical = rows.pack(MOTOR, {"age": 23})

    assert 23.0 == numeric[0]
    assert np.isnan(numeric[1:]).all()
    assert {-1} == set(categorical.tolist())


def test_an_unseen_code_is_not_known() -> None:
    """A sector that the contract has never heard of packs as a missing one."""
    _, unseen = rows.pack(MOTOR, {"sector": "R99-9999"})

    assert {-1} == set(unseen.tolist())


def test_a_group_counts_as_answered_from_half_of_its_fields() -> None:
    """Two of three use fields are enough, one is not."""
    use = 1 << [g.name for g in MOTOR.groups].index("use")
    two = rows.pack(MOTOR, {"annual_mileage": 8000, "overnight": "drive"})
    one = rows.pack(MOTOR, {"annual_mileage": 8000})

    keys = rows.answered(MOTOR, np.stack([two[0], one[0]]), np.stack([two[1], one[1]]))

    assert [use, 0] == keys.tolist()


def test_columns_of_different_lengths_are_refused() -> None:
    """A shifted column cannot become a silently wrong training set."""
    with pytest.raises(ValueError, match="one length"):
        rows.pack_columns(MOTOR, {"age": np.zeros(2), "points": np.zeros(3)})
