"""`kit.tensors` and protobuf's own classes say the same: each reads what the other writes, byte for byte where it matters."""

from typing import Any

import numpy as np
from conftest import request
from hypothesis import given, settings, strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from tensorflow.core.framework import tensor_pb2
from tensorflow.python.framework import tensor_util
from tensorflow_serving.apis import predict_pb2

from kit.tensors import (
    BadTensor,
    decode_request,
    decode_response,
    decode_tensor,
    encode_request,
    encode_response,
    encode_tensor,
    open_request,
)

SHAPES = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)
NUMBERS = st.sampled_from(["f4", "f8", "i4", "i8", "?", "u1", "i1", "u2", "i2", "u4", "u8", "f2"]).flatmap(
    lambda dtype: hnp.arrays(np.dtype(dtype), SHAPES)
)
TEXTS = hnp.arrays(object, SHAPES, elements=st.binary(max_size=200), fill=st.nothing())
ARRAYS = NUMBERS | TEXTS
NAMES = st.text(max_size=8)
FIELDS = ("float_val", "double_val", "int_val", "int64_val", "bool_val", "half_val", "uint32_val", "uint64_val")


def same(left: NDArray[Any], right: NDArray[Any]) -> bool:
    if left.dtype == object:
        return left.shape == right.shape and left.tolist() == right.tolist()
    return left.dtype == right.dtype and left.shape == right.shape and left.tobytes() == right.tobytes()


def typed(array: NDArray[Any]) -> Any:
    """A TensorProto with typed lists, by protobuf's classes."""
    flat = array.reshape(-1)
    made = tensor_util.make_tensor_proto(flat[:1], shape=[min(1, flat.size)])
    for name in (*FIELDS, "string_val", "tensor_content"):
        made.ClearField(name)
    values: list[Any] = flat.view(np.uint16).tolist() if array.dtype == np.float16 else flat.tolist()
    by_dtype = {"f4": "float_val", "f8": "double_val", "i8": "int64_val", "b1": "bool_val", "f2": "half_val"}
    by_dtype |= {"u4": "uint32_val", "u8": "uint64_val", "O": "string_val"}
    key = "O" if array.dtype == object else array.dtype.str[1:]
    getattr(made, by_dtype.get(key, "int_val")).extend(values)
    del made.tensor_shape.dim[:]
    for size in array.shape:
        made.tensor_shape.dim.add(size=size)
    return made


@given(ARRAYS)
def test_tensors_are_written_alike(array: NDArray[Any]) -> None:
    """Protobuf reads from our bytes the message that its own classes would have made."""
    assert typed(array) == tensor_pb2.TensorProto.FromString(encode_tensor(array))


@given(ARRAYS)
def test_tensors_are_read_alike(array: NDArray[Any]) -> None:
    """We read from protobuf's bytes the array that was put in, from typed lists and from tensor_content."""
    assert same(array, decode_tensor(typed(array).SerializeToString()))
    if array.size:
        assert same(array, decode_tensor(tensor_util.make_tensor_proto(array).SerializeToString()))


@given(NAMES, st.none() | st.integers(-(2**63), 2**63 - 1), NAMES, st.dictionaries(NAMES, NUMBERS), st.lists(NAMES))
def test_requests_agree(
    model: str, version: int | None, signature: str, inputs: dict[str, NDArray[Any]], wanted: list[str]
) -> None:
    """A request of ours is the message that protobuf's classes make, and theirs is read by us."""
    theirs = request(model, {}, version=version, signature=signature, output_filter=wanted)
    for name, array in inputs.items():
        content = tensor_util.make_tensor_proto(array) if array.size else typed(array)
        if array.size:
            content.tensor_content = array.tobytes()
            for field in FIELDS:
                content.ClearField(field)
        theirs.inputs[name].CopyFrom(content)
    ours = predict_pb2.PredictRequest.FromString(encode_request(model, version, signature, inputs, wanted))
    read = decode_request(theirs.SerializeToString())

    assert theirs == ours
    assert (model, version, signature, tuple(wanted)) == (read.model, read.version, read.signature, read.output_filter)
    assert set(inputs) == set(read.inputs)
    assert all(same(inputs[name], read.inputs[name]) for name in inputs)


@given(NAMES, st.integers(-(2**63), 2**63 - 1), NAMES, st.dictionaries(NAMES, ARRAYS))
def test_responses_agree(model: str, version: int, signature: str, outputs: dict[str, NDArray[Any]]) -> None:
    """A response of ours is the message that TensorFlow Serving's classes make, and theirs is read by us."""
    theirs = predict_pb2.PredictResponse()
    theirs.model_spec.name, theirs.model_spec.signature_name = model, signature
    theirs.model_spec.version.value = version
    for name, array in outputs.items():
        theirs.outputs[name].CopyFrom(typed(array))
    ours = predict_pb2.PredictResponse.FromString(encode_response(model, version, signature, outputs))
    read = decode_response(theirs.SerializeToString())

    assert theirs == ours
    assert set(outputs) == set(read)
    assert all(same(outputs[name], read[name]) for name in outputs)


@settings(max_examples=300)
@given(st.binary(max_size=60))
def test_what_we_read_protobuf_reads(data: bytes) -> None:
    """We take no bytes for a request that protobuf's parser refuses, and read the same name from the others."""
    try:
        ours = open_request(data)
    except BadTensor:
        return
    theirs = predict_pb2.PredictRequest.FromString(data)

    assert theirs.model_spec.name == ours.model
    assert list(theirs.output_filter) == list(ours.output_filter)
