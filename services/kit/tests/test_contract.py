import re
from dataclasses import replace

import pytest

from kit import contract
from kit.contract import BadContract

MINIMAL = """
line = "t"
version = 1
[[group]]
name = "g"
title = "G"
[[field]]
name = "a"
group = "g"
type = "int"
range = [0, 5]
source = "request"
title = "A"
purpose = "p"
"""


def no_files(_: str) -> str:
    return ""


def test_every_field_says_why_it_is_needed() -> None:
    """Data minimisation: a field without a purpose cannot enter the contract."""
    assert [] == [f.name for f in contract.load().fields if len(f.purpose) < 10]


def test_a_protected_answer_is_not_in_the_contract() -> None:
    """Sex, marital status, names and what identifies a person are not asked."""
    forbidden = {
        "sex",
        "gender",
        "title",
        "name",
        "marital",
        "postcode",
        "date_of_birth",
        "registration",
        "medical",
        "email",
    }

    assert set() == forbidden & {f.name for f in contract.load().fields}


def test_every_code_matches_its_own_pattern() -> None:
    """The vocabulary and the pattern that requests are checked with agree."""
    codes = [f for f in contract.load().fields if f.kind == "code"]

    assert [] == [v for f in codes for v in f.values if not re.fullmatch(f.pattern or "", v)]


def test_the_packed_row_holds_every_field_once() -> None:
    """Numeric and categorical parts are a partition of the fields."""
    motor = contract.load()

    assert sorted(f.name for f in motor.fields) == sorted(f.name for f in motor.numeric + motor.categorical)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("range = [0, 5]", "range = [0, 6]"),
        ('type = "int"', 'type = "float"'),
        ('name = "a"', 'name = "b"'),
        ("version = 1", "version = 2"),
    ],
)
def test_a_change_of_meaning_changes_the_fingerprint(before: str, after: str) -> None:
    """Models, stored features and bundles made before the change are refused after it."""
    assert (
        contract.parse(MINIMAL, no_files).fingerprint
        != contract.parse(MINIMAL.replace(before, after), no_files).fingerprint
    )


def test_a_change_of_wording_keeps_the_fingerprint() -> None:
    """A better purpose text does not ask for a new model."""
    reworded = MINIMAL.replace('purpose = "p"', 'purpose = "because"').replace('title = "A"', 'title = "An A"')

    assert contract.parse(MINIMAL, no_files).fingerprint == contract.parse(reworded, no_files).fingerprint


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ('group = "g"', 'group = "h"', "no group 'h'"),
        ('source = "request"', 'source = "store:moon"', "source must be"),
        ('type = "int"', 'type = "number"', "type must be one of"),
        ('type = "int"', 'type = "enum"', "needs values"),
        ("range = [0, 5]", "rang = [0, 5]", "unknown key"),
    ],
)
def test_a_contract_that_contradicts_itself_is_refused(before: str, after: str, message: str) -> None:
    """The error names the field and what would be right."""
    with pytest.raises(BadContract, match=re.escape(message)):
        contract.parse(MINIMAL.replace(before, after), no_files)


def test_a_field_knows_where_it_stands() -> None:
    """Paths and entities are read from the data, not spelt twice."""
    make = contract.load().field("make")

    assert ("vehicle.make", "vehicle") == (make.path, make.entity)
    assert None is replace(make, source="request").entity
