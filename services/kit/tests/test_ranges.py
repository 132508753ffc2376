"""Does a row stand out when it should, for the fields that make it stand out, and only then?"""

import base64
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st

from kit import rows
from kit.contract import load
from kit.ranges import VERSION, BadRanges, Ranges, encode

MOTOR = load()
AGES = [30.0, 60.0]  # three bins
YEARS = [5.0]  # two bins


def file_of(**changes: Any) -> dict[str, Any]:
    """A ranges.json in which the old never have a young licence, and a car's value falls by a tenth of a log pound a bin of age."""
    pair = np.zeros((4, 3), np.uint8)
    pair[3, 1] = 200
    found: dict[str, Any] = {
        "version": VERSION,
        "contract": MOTOR.fingerprint,
        "box": {f.name: [f.minimum, f.maximum] for f in MOTOR.numeric} | {"annual_mileage": [1000, 40_000]},
        "lists": {"voluntary_excess": [0.0, 250.0, 500.0]},
        "bins": {f.name: [] for f in MOTOR.numeric} | {"age": AGES, "licence_years": YEARS, "vehicle_age": [3.0]},
        "expectations": [
            {
                "field": "vehicle_value",
                "log": True,
                "level": 9.0,
                "effects": {"vehicle_age": [0.1, -0.1], "fuel": [0.0, 0.0, 0.0, 0.3]},
                "limits": [-0.5, 0.5],
                "bins": [],
            }
        ],
        "pairs": {
            "limit": 150,
            "between": [["age", "licence_years"]],
            "tables": base64.b64encode(pair.tobytes()).decode(),
        },
    }
    return found | changes


RANGES = Ranges.read(encode(file_of()), MOTOR)


def check(**values: Any) -> tuple[set[str], set[str]] | None:
    """The fields that put a row outside, by themselves and together."""
    numeric, categorical = rows.pack(MOTOR, values)
    verdict = RANGES.check(numeric[None], categorical[None])
    return None if verdict is None else (set(verdict.box), set(verdict.joint))


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ({}, None),
        ({"age": 40, "annual_mileage": 8000}, None),
        ({"annual_mileage": 41_000}, ({"annual_mileage"}, set())),
        ({"annual_mileage": 999}, ({"annual_mileage"}, set())),
        ({"voluntary_excess": 250}, None),
        ({"voluntary_excess": 300}, ({"voluntary_excess"}, set())),
        ({"age": 60, "licence_years": 4}, (set(), {"age", "licence_years"})),
        ({"age": 59, "licence_years": 4}, None),
        ({"age": 60, "licence_years": 5}, None),
        ({"vehicle_value": np.exp(9.1), "vehicle_age": 1, "fuel": "petrol"}, None),
        ({"vehicle_value": np.exp(9.7), "vehicle_age": 1, "fuel": "petrol"}, (set(), {"vehicle_value", "vehicle_age", "fuel"})),
        ({"vehicle_value": np.exp(9.7), "vehicle_age": 1, "fuel": "electric"}, None),
        ({"vehicle_value": np.exp(8.3), "vehicle_age": 3, "fuel": "petrol"}, (set(), {"vehicle_value", "vehicle_age", "fuel"})),
        ({"vehicle_value": np.exp(8.3), "vehicle_age": 3}, None),
    ],
)  # fmt: skip
def test_each_kind_of_limit_names_its_fields(values: dict[str, Any], found: tuple[set[str], set[str]] | None) -> None:
    """A box and a list name one field, an expectation and a pair those that do not go together; what is not known breaks nothing."""
    assert found == check(**values)


def test_the_field_that_explains_most_is_named_alone() -> None:
    """An age that goes with neither the licence nor the bonus is the odd one of the three."""
    pair = np.zeros((4, 3), np.uint8)
    pair[3, 1] = 200
    tables = np.concatenate([pair.ravel(), pair.ravel()])
    content = file_of(
        bins=file_of()["bins"] | {"ncd_years": [9.0]},
        pairs={
            "limit": 150,
            "between": [["age", "licence_years"], ["age", "ncd_years"]],
            "tables": base64.b64encode(tables.tobytes()).decode(),
        },
    )
    numeric, categorical = rows.pack(MOTOR, {"age": 70, "licence_years": 2, "ncd_years": 1})
    verdict = Ranges.read(encode(content), MOTOR).check(numeric[None], categorical[None])

    assert verdict is not None
    assert ((), ("age",)) == (verdict.box, verdict.joint)


KNOWN = st.fixed_dictionaries(
    {},
    optional={
        "age": st.integers(17, 99),
        "licence_years": st.floats(0, 80, width=32),
        "vehicle_value": st.floats(100, 250_000, width=32),
        "vehicle_age": st.integers(0, 40),
        "annual_mileage": st.integers(500, 60_000),
        "voluntary_excess": st.integers(0, 1000),
        "fuel": st.sampled_from(MOTOR.field("fuel").values),
    },
)


@given(KNOWN, st.sets(st.sampled_from(["age", "licence_years", "vehicle_value", "annual_mileage", "fuel"])))
def test_leaving_an_answer_open_raises_no_alarm(values: dict[str, Any], left_open: set[str]) -> None:
    """A row that is within all limits stays so with fewer answers: the false alarms of whole rows bound all others."""
    fewer = {name: value for name, value in values.items() if name not in left_open}

    assert check(**values) is not None or check(**fewer) is None


@given(st.lists(KNOWN, min_size=1, max_size=5))
def test_many_rows_are_checked_as_one_is(risks: list[dict[str, Any]]) -> None:
    """The test stage measures what the gateway does."""
    packed = [rows.pack(MOTOR, risk) for risk in risks]
    flags = RANGES.flags(np.stack([n for n, _ in packed]), np.stack([c for _, c in packed]))
    one_by_one = [check(**risk) for risk in risks]

    assert [found is not None and bool(found[0]) for found in one_by_one] == flags.box.tolist()
    assert not [found for found, joint in zip(one_by_one, flags.joint, strict=True) if found and found[1] and not joint]
    assert [found is not None for found in one_by_one] == flags.any.tolist()


def test_what_is_not_finite_stops_nothing() -> None:
    """Infinity is outside its box, and no table is read beyond its end."""
    numeric = np.full((1, len(MOTOR.numeric)), np.inf, np.float32)
    categorical = np.zeros((1, len(MOTOR.categorical)), np.int32)

    assert RANGES.flags(numeric, categorical).box.all()


def pairs(**changes: Any) -> dict[str, Any]:
    """The file with changes to its pairs."""
    return file_of(pairs=file_of()["pairs"] | changes)


def expectation(**changes: Any) -> dict[str, Any]:
    """The file with changes to its expectation."""
    return file_of(expectations=[file_of()["expectations"][0] | changes])


def box(**changes: Any) -> dict[str, Any]:
    """The file with other limits of some numbers."""
    return file_of(box=file_of()["box"] | changes)


def without(*path: str) -> dict[str, Any]:
    """The file without one of its entries."""
    content: dict[str, Any] = json.loads(encode(file_of()))
    inner = content
    for name in path[:-1]:
        inner = inner[name]
    del inner[path[-1]]
    return content


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (file_of(version=1), "has version 1"),
        (file_of(contract="0" * 64), "was made for contract 000000000000"),
        (without("box", "age"), "KeyError at 'age'"),
        (without("pairs", "limit"), "KeyError at 'limit'"),
        (pairs(limit=0), "limit of pairs from 1 to 254"),
        (pairs(limit=255), "limit of pairs from 1 to 254"),
        (pairs(limit=None), "limit of pairs from 1 to 254"),
        (pairs(limit=10**400), "limit of pairs from 1 to 254"),
        (file_of(lists={"fuel": [1.0]}), "`fuel` in its lists"),
        (file_of(lists={"expectation 0": [1.0]}), "`expectation 0` in its lists"),
        (file_of(lists={"age": [None]}), "finite numbers: the list of age"),
        (expectation(field="fuel"), "`fuel` in its expectations"),
        (expectation(effects={"expectation 0": [0.0]}), "`expectation 0` in its effects"),
        (expectation(level=None), "finite numbers: the levels"),
        (expectation(level=10**400), "OverflowError"),
        (expectation(limits=[None, 0.5]), "finite numbers: the limits"),
        (expectation(limits=[0.5, -0.5]), "not above the highest: the limits"),
        (expectation(limits=[0.5]), "ValueError"),
        (box(age=[None, None]), "finite numbers: the box"),
        (box(age=[99, 17]), "not above the highest: the box"),
        (box(age=[17, 10**400]), "OverflowError"),
        (file_of(bins=file_of()["bins"] | {"age": [60.0, 30.0]}), "increasing"),
        (file_of(bins=file_of()["bins"] | {"age": [30.0, None]}), "finite numbers: the bins"),
        (pairs(tables=""), "0 entries in the tables of pairs, not 12"),
        (expectation(effects={"fuel": [0.0]}), "one effect for each bin"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused(content: dict[str, Any], message: str) -> None:
    """With what is wrong with it."""
    with pytest.raises(BadRanges, match=message):
        Ranges.read(encode(content), MOTOR)


def test_what_is_no_file_of_ranges_is_refused() -> None:
    """Whatever it is."""
    for text in (b"", b"[]", b"{}", b'"version"', b"[" * 100_000):
        with pytest.raises(BadRanges):
            Ranges.read(text, MOTOR)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999"])
def test_a_number_that_is_none_is_refused(number: str) -> None:
    """Nothing is outside it: the limit would be off, and nobody would know."""
    text = encode(file_of()).decode()
    for before, value in (
        ('"level":', "9.0"),
        ('"limits":[', "-0.5"),
        ('"vehicle_age":[', "0.1"),
        ('_mileage":[', "1000"),
    ):
        assert 1 == text.count(before + value)
        with pytest.raises(BadRanges):
            Ranges.read(text.replace(before + value, before + number), MOTOR)
