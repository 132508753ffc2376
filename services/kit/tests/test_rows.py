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


def key_of(answers: dict[str, object]) -> int:
    """The key of one row."""
    numeric, categorical = rows.pack(MOTOR, answers)
    return int(rows.answered(MOTOR, numeric[None], categorical[None])[0])


def test_each_group_has_a_band_by_how_much_of_it_is_answered() -> None:
    """Nothing, less than half, half or more, all: of three use fields, so many are known."""
    use = 2 * [g.name for g in MOTOR.groups].index("use")
    answers: list[dict[str, object]] = [{"annual_mileage": 8000}, {"overnight": "drive"}, {"class_of_use": "social"}]
    grown: list[dict[str, object]] = [{}, answers[0], answers[0] | answers[1], answers[0] | answers[1] | answers[2]]

    assert [band << use for band in range(4)] == [key_of(known) for known in grown]


def test_all_but_one_answer_is_not_all() -> None:
    """Whatever is left out of a whole row, unless a request cannot lack it: the interval of a whole row is not for the rest."""
    whole: dict[str, object] = {f.name: f.values[0] if f.values else f.minimum for f in MOTOR.fields}

    for field in MOTOR.fields:
        without = {name: value for name, value in whole.items() if name != field.name}
        assert (key_of(whole) == key_of(without)) == rows.is_always_known(field), field.name


def test_what_is_always_known_says_nothing() -> None:
    """Age, cover and excess alone are the key of no answers: every request has them."""
    always = [f for f in MOTOR.fields if rows.is_always_known(f)]

    assert {"age", "cover", "voluntary_excess"} == {f.name for f in always}
    assert 0 == key_of({f.name: f.values[0] if f.values else f.minimum for f in always})


def test_the_coarser_key_keeps_whether_half_is_answered() -> None:
    """Bands 0 and 1 fall together, and so do 2 and 3."""
    assert [0, 0, 2, 2] == rows.half_answered(np.arange(4)).tolist()
    assert [0, 8] == rows.half_answered(np.array([0b0101, 0b1101])).tolist()


def test_columns_of_different_lengths_are_refused() -> None:
    """A shifted column cannot become a silently wrong training set."""
    with pytest.raises(ValueError, match="one length"):
        rows.pack_columns(MOTOR, {"age": np.zeros(2), "points": np.zeros(3)})
