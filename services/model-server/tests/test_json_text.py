"""JSON as rapidjson reads it, and what it costs to show a value."""

import math
from typing import Any

import pytest
from hypothesis import given, strategies as st

from model_server import json_text
from model_server.errors import ServingError

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=4)
    ),
    max_leaves=20,
)


@pytest.mark.parametrize(
    ("written", "value"),
    [
        (b'{"a": Inf}', math.inf),
        (b'{"a": -Inf}', -math.inf),
        (b'{"a": "Inf", "b": [Inf]}', "Inf"),
        (b'\xef\xbb\xbf{"a": 1} rest', 1),
        (b'{"a": "\xff"}', "\udcff"),
        (b'{"a": "\\ud83d\\ude00"}', "\U0001f600"),
    ],
)
def test_what_rapidjson_takes(written: bytes, value: Any) -> None:
    """Short words for infinity, a byte order mark, what follows, any bytes, and pairs of surrogates."""
    assert value == json_text.parse(written)["a"]


@pytest.mark.parametrize(
    ("written", "complaint"),
    [
        (b'{"a": nul}', "Invalid value. at offset: 9"),
        (b'{"a": -}', "Invalid value. at offset: 7"),
        (b'{"a": 1.}', "Miss fraction part in number. at offset: 8"),
        (b'{"a": 1e}', "Miss exponent in number. at offset: 8"),
        (b'{"a": [1 2]}', "Missing a comma or ] after an array element. at offset: 9"),
        (b'{"a": [{"b": 1 "c"}]}', "Missing a comma or } after an object member. at offset: 15"),
        ('{"é": x}'.encode(), "Invalid value. at offset: 7"),
        (b'{"a": "\\u12"}', "Incorrect hex digit after \\u escape in string. at offset: 7"),
        (b'{"a": "\\ud800"}', "The surrogate pair in string is invalid. at offset: 7"),
        (b'{"a": "\n"}', "Invalid encoding in string. at offset: 7"),
    ],
)
def test_what_rapidjson_says(written: bytes, complaint: str) -> None:
    """The complaint and the byte where it is seen."""
    with pytest.raises(ServingError) as caught:
        json_text.parse(written)

    assert f"JSON Parse error: {complaint}" == caught.value.message


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    """Nothing else comes out than an object or a refusal."""
    try:
        read = json_text.parse(body)
    except ServingError:
        return

    assert isinstance(read, dict)


@given(VALUES)
def test_a_shown_value_is_short(value: Any) -> None:
    """Whatever it holds, a message shows 256 characters of it at most."""
    assert len(json_text.shown(value)) <= 256
