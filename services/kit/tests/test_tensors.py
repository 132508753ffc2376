"""TensorFlow Serving's Predict messages: round trips, every form of a list, and bytes that must be refused."""

import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from kit.tensors import (
    BadTensor,
    answered_by,
    data_type,
    decode_request,
    decode_response,
    decode_tensor,
    encode_request,
    encode_response,
    encode_tensor,
    numpy_type,
    open_request,
)
from kit.tensors.wire import varint

DTYPES = ["f4", "f8", "i4", "i8", "?", "u1", "i1", "u2", "i2", "u4", "u8", "f2", "c8", "c16"]
QUANTISED = [("qint8", "i1"), ("quint8", "u1"), ("qint32", "<i4"), ("qint16", "<i2"), ("quint16", "<u2")]
SHAPES = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=5)
NUMBERS = st.sampled_from(DTYPES).flatmap(lambda dtype: hnp.arrays(np.dtype(dtype), SHAPES))
TEXTS = hnp.arrays(object, SHAPES, elements=st.binary(max_size=200), fill=st.nothing())
ARRAYS = NUMBERS | TEXTS
NAMES = st.text(max_size=10)

FLOAT, INT32, STRING, INT64, BOOL = b"\x08\x01", b"\x08\x03", b"\x08\x07", b"\x08\x09", b"\x08\x0a"  # the dtype field


def same(left: NDArray[Any], right: NDArray[Any]) -> bool:
    """Equal in type, shape and every bit (NaN included)."""
    if left.dtype == object:
        return right.dtype == object and left.shape == right.shape and left.tolist() == right.tolist()
    return left.dtype == right.dtype and left.shape == right.shape and left.tobytes() == right.tobytes()


def field(number: int, payload: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def shape(*sizes: int) -> bytes:
    return field(2, b"".join(field(2, b"\x08" + varint(size)) for size in sizes))


@given(ARRAYS, st.booleans())
def test_a_tensor_survives_the_trip(array: NDArray[Any], tensor_content: bool) -> None:
    """Both forms of every type come back bit for bit."""
    assert same(array, decode_tensor(encode_tensor(array, tensor_content=tensor_content)))


@pytest.mark.parametrize("tensor_content", [False, True])
@pytest.mark.parametrize(("name", "integer"), QUANTISED)
def test_quantised_integers_survive_the_trip(name: str, integer: str, tensor_content: bool) -> None:
    """They are records of one integer, by TensorFlow's name, and travel as integers."""
    array = np.array([[0, 1], [2, 100]], integer).view([(name, integer)])

    assert same(array, decode_tensor(encode_tensor(array, tensor_content=tensor_content)))


def test_half_of_a_complex_number_is_none() -> None:
    """A list with an odd number of parts has as many numbers as it has pairs."""
    odd = b"\x08\x08" + shape(1) + field(9, np.array([1, 2, 3], "<f4").tobytes())

    assert [1 + 2j] == decode_tensor(odd).tolist()


@pytest.mark.parametrize(("code", "dtype"), [(1, "f4"), (7, "O"), (8, "c8"), (19, "f2")])
def test_types_have_tensorflows_numbers(code: int, dtype: str) -> None:
    """NumPy's type and TensorFlow's number, both ways; a stranger has none."""
    assert (np.dtype(dtype), code) == (numpy_type(code), data_type(np.dtype(dtype)))
    assert (None, None) == (numpy_type(99), data_type(np.dtype("M8[s]")))


@given(NAMES, st.none() | st.integers(-(2**63), 2**63 - 1), NAMES, st.dictionaries(NAMES, ARRAYS), st.lists(NAMES))
def test_a_request_survives_the_trip(
    model: str, version: int | None, signature: str, inputs: dict[str, NDArray[Any]], wanted: list[str]
) -> None:
    """What a client encodes is what a server reads, an absent version included."""
    request = decode_request(encode_request(model, version, signature, inputs, wanted))

    assert (model, version, "", signature) == (request.model, request.version, request.label, request.signature)
    assert tuple(wanted) == request.output_filter
    assert list(inputs) == list(request.inputs)
    assert all(same(inputs[name], request.inputs[name]) for name in inputs)


@given(st.dictionaries(NAMES, ARRAYS), st.booleans())
def test_a_response_survives_the_trip(outputs: dict[str, NDArray[Any]], tensor_content: bool) -> None:
    """Outputs come back by name, whichever form the server writes."""
    read = decode_response(encode_response("premium", 3, "packed", outputs, tensor_content=tensor_content))

    assert list(outputs) == list(read)
    assert all(same(outputs[name], read[name]) for name in outputs)


@given(st.dictionaries(NAMES, NUMBERS, max_size=2), st.data())
def test_a_cut_response_is_refused(outputs: dict[str, NDArray[Any]], data: st.DataObject) -> None:
    """Bytes that end inside a field raise, and never give an array with fewer values."""
    whole = encode_response("premium", 3, "packed", outputs)
    cut = data.draw(st.integers(0, len(whole) - 1))
    try:
        read = decode_response(whole[:cut])
    except BadTensor:
        return

    assert all(same(outputs[name], array) for name, array in read.items())  # the cut fell between two fields


def test_a_response_says_where_it_comes_from() -> None:
    """Model and version, whatever the outputs; nothing is made up where it says nothing, and half a name is none."""
    whole = encode_response("premium", 3, "packed", {"price": np.ones((1, 2), np.float32)})

    assert ("premium", 3) == answered_by(whole)
    assert ("", None) == answered_by(b"")
    with pytest.raises(BadTensor):
        answered_by(whole.replace(b"premium", b"premiu\xff"))


@settings(max_examples=300)
@given(st.binary(max_size=80))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    """Noise raises `BadTensor` or is a message; nothing else comes out."""
    for read in (decode_response, decode_request, decode_tensor):
        try:
            read(data)
        except BadTensor:
            continue


def test_packed_floats_are_read_in_place() -> None:
    """An answer's floats are a view of the bytes that came, not a copy."""
    read = decode_response(encode_response("m", 1, "s", {"y": np.ones((32, 360), np.float32)}))

    assert not read["y"].flags.owndata
    assert not read["y"].flags.writeable


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (FLOAT + shape(2) + b"\x2d\x00\x00\x80\x3f\x2d\x00\x00\x00\x40", [1.0, 2.0]),
        (FLOAT + shape(2) + field(5, b"\x00\x00\x80\x3f") + b"\x2d\x00\x00\x00\x40", [1.0, 2.0]),
        (INT64 + shape(3) + b"\x50\x05" + field(10, b"\x96\x01") + b"\x50\x01", [5, 150, 1]),
        (INT32 + shape(2) + field(7, b"\xff" * 9 + b"\x01" + b"\x07"), [-1, 7]),
        (BOOL + shape(2) + field(11, b"\x00\x02"), [False, True]),
        (BOOL + shape(2) + field(4, b"\x00\x02"), [False, True]),
        (STRING + shape(2) + field(8, b"a") + field(8, b""), [b"a", b""]),
        (FLOAT + field(5, b"\x00\x00\x80\x3f"), 1.0),
        (FLOAT + field(2, b"\x18\x01") + field(5, b"\x00\x00\x80\x3f"), 1.0),
        (FLOAT + shape(0, 4), []),
        (b"\x7d\x01\x02\x03\x04" + FLOAT + shape(1) + field(5, b"\x00\x00\x80\x3f"), [1.0]),
    ],
    ids=[
        "one by one", "mixed", "mixed varints", "negative int32", "bool", "bool content", "strings",
        "no shape is a scalar", "unknown rank is a scalar", "empty", "unknown field",
    ],
)  # fmt: skip
def test_every_form_of_a_list_is_read(data: bytes, expected: object) -> None:
    """Packed, unpacked and mixed lists mean the same, in any order of fields."""
    assert expected == decode_tensor(data).tolist()


@pytest.mark.parametrize(
    "data",
    [
        FLOAT + shape(3) + field(5, bytes(8)),
        FLOAT + shape(1) + field(5, bytes(8)),
        FLOAT + shape(2) + field(4, bytes(4)),
        FLOAT + shape(1) + field(5, bytes(3)),
        FLOAT + shape(-1) + field(5, bytes(4)),
        FLOAT + shape(2**62) + field(5, bytes(4)),
        FLOAT + shape(2**32, 2**32) + field(5, bytes(4)),
        FLOAT + shape(2**62, 0),
        FLOAT + shape(*[1] * 100) + field(5, bytes(4)),
        FLOAT + b"\x2a\x08\x00",
        FLOAT + b"\x2b",
        FLOAT + b"\x28\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        INT64 + shape(1) + field(10, b"\x80"),
        INT64 + shape(1) + field(10, b"\xff" * 11 + b"\x01"),
        STRING + shape(2**40) + field(4, b"\x01a"),
        STRING + shape(1) + field(4, b"\x05a"),
        b"\x08\x00" + shape(1),
        b"\x08\x63" + shape(1),
        b"\x00\x01",
        b"\x0a\x01\x01",
        b"",
    ],
    ids=[
        "too few", "too many", "short content", "half a float", "negative size", "huge size", "overflowing shape",
        "huge beside zero", "hundred dimensions", "cut list", "group", "long number", "cut varint", "long varint",
        "huge string content", "string length", "no type", "unknown type", "field zero", "type as bytes", "nothing",
    ],
)  # fmt: skip
def test_a_malformed_tensor_is_refused(data: bytes) -> None:
    """What does not fit its shape, or is no message at all, raises `BadTensor`."""
    with pytest.raises(BadTensor):
        decode_tensor(data)


@pytest.mark.parametrize("sizes", [(2**40,), (2**62, 2**62), (2**31 - 1,)])
@pytest.mark.parametrize("fill_to", [None, 1000])
def test_nothing_is_allocated_because_it_is_declared(sizes: tuple[int, ...], fill_to: int | None) -> None:
    """A terabyte in the shape and four bytes of values costs no memory."""
    data = FLOAT + shape(*sizes) + field(5, bytes(4))
    tracemalloc.start()
    with pytest.raises(BadTensor):
        decode_tensor(data, fill_to=fill_to)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < 100_000


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (FLOAT + shape(3) + field(5, b"\x00\x00\x80\x3f"), [1.0, 1.0, 1.0]),
        (FLOAT + shape(2), [0.0, 0.0]),
        (INT64 + shape(1) + field(10, b"\x01\x02"), [1]),
        (STRING + shape(3) + field(8, b"a") + field(8, b"b"), [b"a", b"b", b"b"]),
        (STRING + shape(1), [b""]),
    ],
    ids=["last value", "zeros", "cut", "last string", "empty string"],
)
def test_a_server_fills_as_tensorflow_does(data: bytes, expected: list[object]) -> None:
    """With `fill_to`, a list of another length is filled with its last value or cut."""
    assert expected == decode_tensor(data, fill_to=3).tolist()


def test_a_request_is_opened_before_its_tensors_are_read() -> None:
    """A server can answer for the model and the signature although a tensor is broken."""
    spec = field(1, field(1, b"m") + field(3, b"s") + field(4, b"canary"))
    request = spec + field(2, field(1, b"x") + field(2, b"?"))

    envelope = open_request(request)

    assert ("m", None, "canary", "s") == (envelope.model, envelope.version, envelope.label, envelope.signature)
    assert {"x": b"?"} == {name: bytes(tensor) for name, tensor in envelope.tensors.items()}


def test_equal_messages_are_merged() -> None:
    """Two `model_spec`s in one request count as one, the later field winning."""
    request = field(1, field(1, b"a") + field(2, b"\x08\x01")) + field(1, field(1, b"b") + field(3, b"s"))

    envelope = open_request(request)

    assert ("b", 1, "s") == (envelope.model, envelope.version, envelope.signature)


def test_an_array_without_a_wire_form_is_refused() -> None:
    """Dates and strangers among texts are said to have none, instead of being written wrongly."""
    with pytest.raises(BadTensor):
        encode_tensor(np.zeros(1, "M8[s]"))
    with pytest.raises(BadTensor):
        encode_tensor(np.array([1.5, b"a"], object))
