"""What is understood, and how a refusal explains itself: the fast path and the slow one."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import event, given, settings, strategies as st
from support import INSURERS, MOTOR

from gateway.api import explain
from gateway.api.contradictions import Contradictions
from gateway.api.json_text import has_other_keys, parse
from gateway.api.problems import Code, Refusal, Wrong
from gateway.api.request import DISAGREEMENT, ballpark_reader, quotes_reader
from gateway.api.shape import Choice, Flag, Many, Node, Number, Record, Text, Whole, quotes_request
from gateway.api.structs import struct_of
from gateway.domain.risk import Risk, Value

SHAPE = quotes_request(MOTOR)
FAST = msgspec.json.Decoder(struct_of(SHAPE))
READER = quotes_reader(MOTOR, {insurer: n for n, insurer in enumerate(INSURERS)}, lambda: "made-up")


def refusal_of(body: bytes) -> Refusal:
    """What the reader says of a body that it must refuse."""
    with pytest.raises(Refusal) as caught:
        READER.read(body)
    return caught.value


def wrong_of(body: Any) -> dict[str, str]:
    """loc to message."""
    refusal = refusal_of(body if isinstance(body, bytes) else json.dumps(body).encode())
    return {wrong.loc: wrong.message for wrong in refusal.wrong}


def driver(**fields: Any) -> dict[str, Any]:
    """A request with these answers of a driver of 30."""
    return {"risk": {"driver": {"age": 30} | fields}}


def test_a_request_is_its_values_and_ids() -> None:
    """Values come by field name; an id that is a field of its own is both."""
    body = {
        "risk": {
            "driver": {"age": 30, "licence_years": 5, "home_owner": True},
            "vehicle": {"vehicle_id": "v-00123", "modified": "none"},
            "area": {"sector": "R07-0012"},
            "history": {"consent": True, "points": 3},
        },
        "insurers": [INSURERS[4], INSURERS[1]],
        "ipt_rate": 0,
    }
    request = READER.read(json.dumps(body).encode())

    values: dict[str, Value] = {
        "age": 30,
        "licence_years": 5.0,
        "home_owner": True,
        "modified": "none",
        "sector": "R07-0012",
        "points": 3,
    }
    assert Risk(values, {"vehicle": "v-00123", "area": "R07-0012"}) == request.risk
    assert ("made-up", (4, 1), 0.0) == (request.quote_id, request.chosen, request.ipt_rate)


@pytest.mark.parametrize(
    ("body", "loc", "says"),
    [
        (driver(sex="f"), "risk.driver.sex", "is not a field of the contract"),
        (driver(licence_yeers=3), "risk.driver.licence_yeers", "did you mean `licence_years`?"),
        (driver(points=3), "risk.driver.points", "does not belong here, but at `risk.history.points`"),
        (driver(employment="employd"), "risk.driver.employment", "did you mean `employed`?"),
        (driver(home_owner="yes"), "risk.driver.home_owner", "must be true or false"),
        (driver(home_owner=None), "risk.driver.home_owner", "must be true or false"),
        (driver(ncd_years=2.0), "risk.driver.ncd_years", "must be a whole number from 0 to 20"),
        (driver(ncd_years=True), "risk.driver.ncd_years", "must be a whole number from 0 to 20"),
        (driver(licence_years="5"), "risk.driver.licence_years", "must be a number from 0 to 80"),
        (driver(occupation="plumber"), "risk.driver.occupation", "must be a text that matches ^occ-[0-9]{2}$"),
        (driver(occupation="occ-12\n"), "risk.driver.occupation", "must be a text that matches ^occ-[0-9]{2}$"),
        ({"risk": {"driver": {"age": 12}}}, "risk.driver.age", "must be a whole number from 17 to 99"),
        ({"risk": {"driver": {}}}, "risk.driver.age", "is required"),
        ({"risk": {}}, "risk.driver", "is required"),
        ({}, "risk", "is required"),
        ([], "body", "must be an object"),
        ({"risk": {"driver": 3}}, "risk.driver", "must be an object"),
        (driver() | {"surname": "x"}, "surname", "is not a field of the contract"),
        (driver() | {"a name with blanks": 1}, "(unnamed)", "is not a field of the contract"),
        (driver() | {"insurers": []}, "insurers", "must have 1 to 500 entries"),
        (driver() | {"insurers": ["i-1"]}, "insurers[0]", "must be a text that matches ^i-[0-9]{4}$"),
        (driver() | {"insurers": ["i-0001", "i-9999"]}, "insurers[1]", "is not on the panel"),
        (driver() | {"insurers": ["i-0001", "i-0001"]}, "insurers", "must not name an insurer twice"),
        (driver() | {"ipt_rate": 0.6}, "ipt_rate", "must be a number from 0 to 0.5"),
        (driver() | {"quote_id": "no spaces"}, "quote_id", "must be a text that matches ^[A-Za-z0-9_-]{1,64}$"),
        (driver(licence_years=30), "risk.driver.licence_years", "contradicts `driver.age`: a full licence"),
    ],
)
def test_a_refusal_names_the_field(body: Any, loc: str, says: str) -> None:
    """422, with the place of the problem and what would be right."""
    wrong = wrong_of(body)

    assert [loc] == list(wrong)
    assert says in wrong[loc]


def test_history_needs_consent() -> None:
    """Answers about claims and convictions are refused without it, and with a no."""
    without, refused = ({"risk": {"driver": {"age": 30}, "history": h}} for h in ({"points": 3}, {"consent": False}))

    assert {"risk.history.consent": 'must be true: send `"consent": true`'} == wrong_of(without)
    assert {"risk.history.consent": "must be true"} == wrong_of(refused)


def test_an_id_excludes_the_fields_that_it_stands_for() -> None:
    """Nobody can say which of the two would be right."""
    body = {"risk": {"driver": {"age": 30}, "vehicle": {"vehicle_id": "v-00001", "make": "mk-01", "fuel": "petrol"}}}

    assert {"risk.vehicle.make", "risk.vehicle.fuel"} == wrong_of(body).keys()


def test_every_problem_is_named_at_once() -> None:
    """One round trip is enough to mend a request."""
    wrong = wrong_of({"risk": {"driver": {"age": 12, "sex": "f"}, "cover": {"cover": "gold"}}, "ipt_rate": -1})

    assert {"risk.driver.age", "risk.driver.sex", "risk.cover.cover", "ipt_rate"} == wrong.keys()


@pytest.mark.parametrize(
    ("body", "loc"),
    [
        (b'{"risk":{"driver":{"age":NaN}}}', ["risk.driver.age"]),
        (b'{"risk":{"driver":{"age":30,"licence_years":-Infinity}}}', ["risk.driver.licence_years"]),
        (b'{"risk":{"driver":{"age":30,"age":31}}}', ["risk.driver.age"]),
        (b'{"risk":{"driver":{"age":30,"\\u0061ge":31}}}', ["risk.driver.age"]),
        (b'{"risk":{"driver":{"age":30},"cover":{},"cover":{"cover":"tpo"}}}', ["risk.cover"]),
        (b'{"risk":{"driver":{"age":30}},"insurers":["i-0001",NaN]}', ["insurers[1]"]),
        (b'{"risk":{"driver":{"age":30}}', []),
        (b'{"risk":{"driver":{"age":30}}} {}', []),
        (b'{"risk":{"driver":{"age":017}}}', []),
        (b"", []),
        (b"\xef\xbb\xbf{}", []),
        (b'{"risk":{"driver":{"occupation":"\xff"}}}', []),
        (b"[" * 30_000, []),
        (b'{"a":' * 10_000, []),
        (json.dumps(QUOTED := {"risk": {"driver": {"age": 30}}}).encode("utf-16"), []),
    ],
)
def test_what_is_not_json_is_a_400(body: bytes, loc: list[str]) -> None:
    """Stricter than most parsers, and the field is named where there is one."""
    refusal = refusal_of(body)

    assert (Code.BAD_JSON, loc) == (refusal.code, [wrong.loc for wrong in refusal.wrong])


def test_an_escaped_key_is_a_key() -> None:
    """Escapes make a fast count of keys impossible; the exact look finds nothing wrong."""
    body = b'{"risk":{"driver":{"\\u0061ge":30},"cover":{"cover":"tpo"}}}'

    assert has_other_keys(body, 4)
    assert {"age": 30, "cover": "tpo"} == READER.read(body).risk.values


def test_a_refusal_never_repeats_a_value() -> None:
    """Whatever somebody sent may be somebody's data."""
    canary = "AB12 CDE"
    body = driver(employment=canary, occupation=canary, **{canary: canary}) | {"subject": canary, "insurers": [canary]}

    assert canary.encode() not in refusal_of(json.dumps(body).encode()).encode("id")


@pytest.mark.parametrize(
    "body",
    [
        json.dumps(driver(**{f"x{n}": 1 for n in range(4000)})).encode(),
        b'{"a":1,' + b'"a":1,' * 9000 + b'"b":1}',
        b'"' + b'\\"' * 32_000,
        b'"\\' * 32_000,
        json.dumps(driver() | {"insurers": ["i-0001"] * 7000}).encode(),
        b'{"risk":{"driver":{"age":' + b"9" * 60_000 + b"}}}",
    ],
)
@pytest.mark.timeout(2)
def test_hostile_bodies_are_refused_quickly(body: bytes) -> None:
    """The work grows with the body and no faster."""
    assert refusal_of(body).code in (Code.BAD_JSON, Code.BAD_REQUEST)


def test_a_ballpark_takes_no_insurers() -> None:
    """It answers for the panel."""
    body = json.dumps({"risk": {"driver": {"age": 30}}, "insurers": ["i-0001"]}).encode()

    with pytest.raises(Refusal) as caught:
        ballpark_reader(MOTOR).read(body)
    assert ["insurers"] == [wrong.loc for wrong in caught.value.wrong]


JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(10**39, 10**41),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=8),
    st.sampled_from(["occ-12", "occ-12\n", "mk-01", "none", "R07", "v-00123", "1e400"]),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.sampled_from(["age", "driver", "x"]), st.integers(), max_size=2),
)


def fitting(node: Node) -> st.SearchStrategy[Any]:  # noqa: PLR0911 -- one for each kind
    """JSON values that fit a node, or miss it by the smallest step there is."""
    match node:
        case Record(_, fields):
            some = {name: fitting(child) for name, child in fields.items()}
            required = {name: some.pop(name) for name in node.required}
            return st.fixed_dictionaries(required, optional=some)
        case Whole(minimum, maximum):
            return st.sampled_from([minimum, maximum] * 9 + [minimum - 1, maximum + 1, float(maximum)])
        case Number(minimum, maximum):
            return st.one_of(st.floats(minimum, maximum), st.just(int(maximum)), st.just(maximum))
        case Flag():
            return st.booleans()
        case Choice(values):
            return st.sampled_from(values)
        case Text(pattern):
            return st.from_regex(pattern, fullmatch=True)
        case Many(item):
            return st.lists(fitting(item), min_size=1, max_size=3)


BODIES = fitting(SHAPE)


@st.composite
def requests(draw: st.DrawFn) -> Any:
    """A body that fits the shape, spoilt in up to two places."""
    value = draw(BODIES)
    for _ in range(draw(st.integers(0, 2))):
        place = value
        while draw(st.booleans()) and (inner := [item for item in place.values() if isinstance(item, dict)]):
            place = draw(st.sampled_from(inner))
        name = draw(st.sampled_from([*place, "sex", "age", "driver", "occupation"]))
        if draw(st.booleans()):
            place[name] = draw(JUNK)
        else:
            place.pop(name, None)
    return value


@settings(max_examples=500)
@given(requests())
def test_both_paths_agree(value: Any) -> None:
    """The fast decoder accepts a body exactly when the slow one finds nothing wrong with its form, the consent apart."""
    body = json.dumps(value).encode()
    try:
        FAST.decode(body)
        accepted = True
    except (msgspec.DecodeError, UnicodeDecodeError):
        accepted = False
    event("accepted" if accepted else "refused")
    wrong = [w for w in explain.problems(SHAPE, parse(body)) if w.message != "must be true"]

    assert accepted == (not wrong)


@given(requests())
def test_a_refusal_always_has_a_reason(value: Any) -> None:
    """Whatever is sent is read, or refused with a field of the contract's words."""
    wrong: tuple[Wrong, ...] | None = None
    try:
        READER.read(json.dumps(value).encode())
    except Refusal as refusal:
        wrong = refusal.wrong

    assert wrong is None or (wrong and DISAGREEMENT not in [w.message for w in wrong])


@given(st.binary(max_size=200))
def test_noise_is_refused(body: bytes) -> None:
    """Nothing but a refusal comes out of bytes."""
    with pytest.raises(Refusal):
        READER.read(body)


def test_orders_compare_what_was_sent() -> None:
    """The boundary itself is allowed: a licence on the sixteenth birthday."""
    rules = Contradictions(MOTOR)

    assert [] == rules.find({"driver": {"age": 30, "licence_years": 14.0}})
    assert ["risk.driver.licence_years"] == [
        w.loc for w in rules.find({"driver": {"age": 30, "licence_years": 14.5, "ncd_years": 3}})
    ]
