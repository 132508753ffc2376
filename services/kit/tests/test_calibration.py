import json
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st

from kit import contract as contracts
from kit.calibration import (
    SCHEME,
    BadCalibration,
    Bands,
    Cells,
    Counts,
    Intervals,
    Probabilities,
    Table,
    encode,
    fingerprint,
    read,
)
from kit.rows import half_answered, pack

MOTOR = contracts.load()
BANDS = Bands.of(MOTOR, {"age": [25, 60], "points": [1], "region": None})
REGIONS = len(MOTOR.field("region").values)
KEY = 0b110000  # all of the third group
HALF = int(half_answered(np.array([KEY]))[0])


def cells(*keys: int, **answers: Any) -> Cells:
    """Where rows with these keys look who all gave these answers."""
    numeric, categorical = pack(MOTOR, answers)
    places = BANDS.places(numeric[None], categorical[None])
    return Cells(np.array(keys, np.int64), np.repeat(places, len(keys), axis=0))


def row(low: float, high: float, **more: Any) -> dict[str, Any]:
    """A row of a table of intervals."""
    return {"add": [low, high], "rows": 1000, **more}


def table(**more: Any) -> dict[str, Any]:
    """A table of intervals for two insurers, with a pooled row and whatever else."""
    return {"numbers": ["low", "high"], "pooled": row(-1.0, 1.0), "half": {}, "keys": {}} | more


def content(**more: Any) -> dict[str, Any]:
    """What calibration.json has of a regressor, with changes."""
    found = {"scheme": SCHEME, "model": "c0ffee", "level": 0.8, "bands": BANDS.raw, "intervals": table()}
    return {name: value for name, value in (found | more).items() if value is not None}


def intervals(**more: Any) -> Intervals:
    """Intervals of such a table, read from a file."""
    return read(encode(content(intervals=table(**more))), MOTOR, 2).intervals()


def ends(of: Intervals, where: Cells) -> list[list[float]]:
    """What is added to the low and the high quantile of two insurers, for the first row."""
    quantiles = np.tile([-9.0, 0.0, 9.0], (len(where.keys), 2, 1))
    low, _, high = of.apply(quantiles, where)
    return [(low + 9)[0].round(6).tolist(), (high - 9)[0].round(6).tolist()]


def test_a_key_has_its_own_row_then_that_of_its_half_then_the_pooled_one() -> None:
    """A strange set of answers is never without an interval."""
    found = intervals(half={HALF: row(-0.5, 0.5)}, keys={KEY: row(-0.1, 0.2)})
    alike = HALF  # at least half of the third group, but not all of it

    assert [[-0.1, -0.1], [0.2, 0.2]] == ends(found, cells(KEY))
    assert [[-0.5, -0.5], [0.5, 0.5]] == ends(found, cells(alike))
    assert [[-1.0, -1.0], [1.0, 1.0]] == ends(found, cells(0))


def test_one_row_is_looked_up_as_many_are() -> None:
    """The gateway asks for one, the test stage for thousands."""
    found = intervals(half={HALF: row(-0.5, 0.5)}, keys={KEY: row(-0.1, 0.2)}).table
    keys = np.array([KEY, 0, HALF, KEY, 12345])

    assert [found.rows(keys[i : i + 1])[0] for i in range(len(keys))] == found.rows(keys).tolist()


def test_bands_and_insurers_add_to_the_row() -> None:
    """What is not known is a band of its own, and a field left out adds nothing."""
    found = intervals(
        pooled=row(
            -1.0,
            1.0,
            bands={"age": [[0, 0], [-0.2, 0.3], [0, 0], [0, 0.1]], "points": [[-0.04, 0.05], [0, 0], [-0.5, 0.5]]},
            insurers=[[0, 0], [-0.001, 0.002]],
        )
    )

    assert [[-1.2, -1.201], [1.3, 1.302]] == ends(found, cells(0, age=24, points=0))
    assert [[-1.0, -1.001], [1.0, 1.002]] == ends(found, cells(0, age=25, points=0, region="R01"))
    assert [[-1.5, -1.501], [1.6, 1.602]] == ends(found, cells(0, age=60, points=1))
    assert [[-1.04, -1.041], [1.05, 1.052]] == ends(found, cells(0, age=40))


def test_a_row_without_effects_has_those_of_the_row_that_would_be_next() -> None:
    """Bands and insurers each for themselves; an empty table of bands is one without effects."""
    young = {"age": [[0, 0], [-0.2, 0.2], [0, 0], [0, 0]]}
    found = intervals(
        pooled=row(-1.0, 1.0, bands=young, insurers=[[0, 0], [0, 0.5]]),
        half={HALF: row(-0.5, 0.5, insurers=[[0, 0], [0, 0.7]]), 2: row(0.0, 0.0, bands={})},
        keys={KEY: row(0.0, 0.0)},
    )

    assert [[-0.2, -0.2], [0.2, 0.9]] == ends(found, cells(KEY, age=20))
    assert [[0.0, 0.0], [0.0, 0.5]] == ends(found, cells(2, age=20))


def test_bands_are_told_by_their_edges_and_codes() -> None:
    """An edge belongs to the band above it; a code that nobody has seen is not known."""
    places = [cells(0, age=a, points=p, region=r).places[0] - BANDS.begins[:-1] for a, p, r in (
        (24, 0, "R01"), (25, 1, "R19"), (99, None, "nowhere"), (None, 24, None),
    )]  # fmt: skip

    assert [[1, 1, 1], [2, 2, REGIONS], [3, 0, 0], [0, 2, 0]] == [p.tolist() for p in places]
    assert (4, 3, REGIONS + 1) == BANDS.sizes


@given(st.lists(st.tuples(st.one_of(st.none(), st.integers(0, 120)), st.integers(-9, 99)), min_size=2, max_size=9))
def test_one_place_is_found_as_many_are(answers: list[tuple[int | None, int]]) -> None:
    """Whatever number is given, and whatever code."""
    numeric = np.full((len(answers), len(MOTOR.numeric)), np.nan, np.float32)
    numeric[:, [f.name for f in MOTOR.numeric].index("age")] = [np.nan if age is None else age for age, _ in answers]
    categorical = np.repeat(np.array([[code] for _, code in answers], np.int32), len(MOTOR.categorical), axis=1)
    one_by_one = [BANDS.places(numeric[i : i + 1], categorical[i : i + 1])[0].tolist() for i in range(len(answers))]

    assert one_by_one == BANDS.places(numeric, categorical).tolist()
    assert all(b <= p < e for row in one_by_one for p, b, e in zip(row, BANDS.begins, BANDS.begins[1:], strict=False))


@given(
    st.lists(st.floats(4, 9), min_size=6, max_size=6),
    st.floats(-1, 1),
    st.floats(-1, 1),
    st.integers(0, 2**12 - 1),
    st.integers(0, 100),
)
def test_an_interval_always_holds_its_middle(
    quantiles: list[float], low: float, high: float, key: int, age: int
) -> None:
    """Crossing quantiles, a negative addition, any key and any band never give an interval inside out, nor anything but numbers."""
    found = intervals(
        pooled=row(low, high, bands={"age": [[high, low]] * 4}, insurers=[[0.1, 0.1], [low, high]]),
        half={HALF: row(high, low)},
    )

    bottom, middle, top = found.apply(np.reshape(quantiles, (1, 2, 3)), cells(key, age=age))

    assert np.isfinite([bottom, middle, top]).all()
    assert (bottom <= middle).all()
    assert (middle <= top).all()


def test_slopes_of_one_and_intercept_nought_change_nothing() -> None:
    """The identity on the logit scale is the identity."""
    p = np.array([[0.01, 0.5, 0.999]])
    same = Probabilities(Table.constant(1.0, 1.0, 0.0, effects=1))

    np.testing.assert_allclose(p, same.apply(p, cells(0)), rtol=1e-9)


@given(st.floats(0, 1), st.floats(0, 50), st.floats(0, 50), st.floats(-50, 50))
def test_a_probability_stays_one(p: float, a: float, b: float, c: float) -> None:
    """Certain models and wild tables still give a number in [0, 1]."""
    wild = Probabilities(Table.constant(a, b, c, effects=1))
    (calibrated,) = wild.apply(np.array([[p]]), cells(0))[0]

    assert 0 <= calibrated <= 1


@given(st.lists(st.floats(0, 1), min_size=4, max_size=4), st.floats(-90, 90), st.floats(-90, 90))
def test_a_count_stays_on_the_panel(p: list[float], low: float, high: float) -> None:
    """No table makes it fewer than none, more than all, or turns its band inside out."""
    bottom, expected, top = Counts(Table.constant(low, high)).apply(np.array([p]), cells(0))

    assert 0 <= bottom[0] <= expected[0] <= top[0] <= 4 + 1e-9


MANY_BANDS = [
    {"field": name, "edges": list(range(98))}
    for name in ("age", "licence_years", "ncd_years", "vehicle_age", "vehicle_value")
]
FAR = {
    "bands": {"age": [[0, 0], [0, -3], [0, 2], [0, 0]], "points": [[0, 0], [0, 1], [0, 3]]},
    "insurers": [[0, 0], [0, 2]],
}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"scheme": 1}, "has scheme 1, this program reads 2: run the model's test stage again"),
        ({"scheme": None}, "has scheme None"),
        ({"model": None}, "has no `model`"),
        ({"level": 80}, "`level` of calibration.json must be a number between 0 and 1"),
        ({"level": True}, "`level` of calibration.json"),
        ({"bands": [{"field": "shoe_size", "edges": [40]}]}, "no field `shoe_size` in the contract"),
        ({"bands": [{"field": "age"}]}, "`age` needs ascending `edges`"),
        ({"bands": [{"field": "age", "edges": [30, 20]}]}, "`age` needs ascending `edges`"),
        ({"bands": [{"field": "region", "edges": [3]}]}, "`region` cannot have such `edges`"),
        ({"bands": {"age": [20]}}, "`bands` must be a list"),
        ({"panel": []}, "`panel` must be a table"),
        ({"intervals": 3}, "`intervals`: a table needs `add` with low, high"),
        ({"intervals": {"numbers": ["a", "b", "c"]}}, "a table of low, high is needed, not of a, b, c"),
        ({"intervals": table(pooled={"add": [1.0]})}, "needs `add` with low, high for `pooled`"),
        ({"intervals": table(keys={"x": row(0, 0)})}, "needs `add`"),
        ({"intervals": table(pooled=row(0, 0, insurers=[[0, 0]]))}, "`insurers` of a table must have 2 entries of 2"),
        ({"intervals": table(pooled=row(0, 0, bands={"age": [[0, 0]]}))}, "`bands.age` of a table must have 4"),
        ({"intervals": table(pooled=row(0, 0, bands={"ncd_years": []}))}, "`ncd_years` in its bands"),
        ({"panel": {"cheapest": {}}}, "`panel.cheapest`: a table needs"),
        ({"bands": [{"field": "sector"}]}, "`sector` has 4001 places, and a field may have 100"),
        ({"bands": [{"field": "age", "edges": list(range(99))}]}, "`age` has 101 places"),
        ({"bands": MANY_BANDS}, "`bands` has 500 places, and all fields may have 400"),
        ({"bands": [{"field": "age", "edges": [10**400]}]}, "`bands` must be a list"),
        ({"intervals": table(pooled=row(10**400, 0))}, "needs `add`"),
        ({"intervals": table(keys={"4096": row(0, 0)})}, "has key '4096', which no answers have"),
        ({"intervals": table(keys={"-1": row(0, 0)})}, "has key '-1', which no answers have"),
        ({"intervals": table(half={"1": row(0, 0)})}, "has key '1', which no answers have"),
        ({"intervals": table(pooled=row(0, 20.1))}, "low, high with all effects must be within 20, not 20.1"),
        ({"intervals": table(pooled=row(0, 15, **FAR))}, "low, high with all effects must be within 20, not 23"),
        ({"panel": {"cheapest": table(pooled=row(-1e300, 0))}}, "`panel.cheapest`: low, high with all effects"),
        ({"likely_insurers": table(pooled=row(-1e300, 0))}, "`likely_insurers`: low, high with all effects"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused(changed: dict[str, Any], message: str) -> None:
    """A broken calibration stops the start, not the thousandth request."""
    with pytest.raises(BadCalibration, match=re.escape(message)):
        read(json.dumps(content(**changed)), MOTOR, 2)


@pytest.mark.parametrize("number", ["NaN", "Infinity"])
def test_a_number_that_is_none_is_refused(number: str) -> None:
    """It would make every price after it NaN."""
    with pytest.raises(BadCalibration, match="low, high must be finite"):
        read(json.dumps(content()).replace("-1.0", number), MOTOR, 2)


@pytest.mark.parametrize("text", ["not json", "[]", "[" * 100_000])
def test_what_is_no_table_is_refused(text: str) -> None:
    """With the name of the file."""
    with pytest.raises(BadCalibration, match=r"calibration\.json"):
        read(text, MOTOR, 2)


def test_numbers_of_quotes_may_be_far_apart() -> None:
    """Unlike a margin in the log they become no price, and stay on the panel whatever they are."""
    quotes = table(pooled=row(-300, 600))
    of = read(encode(content(likely_insurers=quotes, panel={"likely_insurers": quotes})), MOTOR, 2)

    assert {"intervals", "likely_insurers", "panel.likely_insurers"} == set(of.tables)


def test_a_missing_section_is_named() -> None:
    """The regressor's file has no probabilities."""
    with pytest.raises(BadCalibration, match="has no `probabilities`"):
        read(encode(content()), MOTOR, 2).probabilities()


def test_the_fingerprint_is_of_the_model_alone() -> None:
    """Its graph and its variables count; what lies beside them may change."""
    files = {"saved_model.pb": "a", "variables/variables.index": "b", "card.md": "c"}
    told = fingerprint(files)

    assert told == fingerprint(dict(reversed(files.items())) | {"card.md": "other", "calibration.json": "d"})
    assert told != fingerprint(files | {"variables/variables.index": "other"})
    assert told != fingerprint({"saved_model.pb": "a"})
