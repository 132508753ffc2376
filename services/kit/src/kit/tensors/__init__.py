"""TensorFlow Serving's Predict on the wire, without protobuf classes: what is in these bytes, as NumPy arrays, and back.

A response of 11,520 floats costs a millisecond through Python's protobuf message and a few microseconds when its packed
`float_val` is read where it lies. The price is this package: the wire format (`wire`), one `TensorProto` (`tensor`) and the
two Predict messages around it (`predict`). Nothing is allocated because a message declares it: only because bytes came.
"""

from kit.tensors.predict import (
    Envelope,
    Request,
    answered_by,
    decode_request,
    decode_response,
    encode_request,
    encode_response,
    open_request,
)
from kit.tensors.tensor import data_type, decode_tensor, encode_tensor, numpy_type
from kit.tensors.wire import BadTensor

__all__ = [
    "BadTensor",
    "Envelope",
    "Request",
    "answered_by",
    "data_type",
    "decode_request",
    "decode_response",
    "decode_tensor",
    "encode_request",
    "encode_response",
    "encode_tensor",
    "numpy_type",
    "open_request",
]
