"""`PredictRequest` and `PredictResponse`: the two messages around the tensors.

A reader takes fields in any order, the last of equal ones wins and messages given twice are merged, as protobuf does it.
Unknown fields are skipped.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from kit.tensors.tensor import decode_tensor, tensor_parts
from kit.tensors.wire import VARINT, Value, chunk, number, read_fields, signed, sized, tag, text, varint

_SPEC, _INPUTS, _FILTER = 1, 2, 3  # PredictRequest
_OUTPUTS, _ANSWER_SPEC = 1, 2  # PredictResponse
_NAME, _VERSION, _SIGNATURE, _LABEL = 1, 2, 3, 4  # ModelSpec
_KEY, _VALUE = 1, 2  # an entry of a map
_SHORT: Final = 256
_EMPTY: Final = memoryview(b"")


@dataclass(frozen=True, slots=True)
class Envelope:
    """A `PredictRequest` whose tensors are not read yet: a server checks the model and signature before them.

    `version` is None when the caller left it out. `has_spec` tells an absent `model_spec` from an empty one.
    """

    has_spec: bool
    model: str
    version: int | None
    label: str
    signature: str
    tensors: Mapping[str, memoryview]
    output_filter: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Request:
    """A `PredictRequest` with its tensors read."""

    model: str
    version: int | None
    label: str
    signature: str
    inputs: Mapping[str, NDArray[Any]]
    output_filter: tuple[str, ...]


def encode_request(
    model: str,
    version: int | None,
    signature: str,
    inputs: Mapping[str, NDArray[Any]],
    output_filter: Sequence[str] = (),
) -> bytes:
    """A `PredictRequest`, numbers as `tensor_content`. Raises `BadTensor` for an array without a wire form."""
    parts = sized(_SPEC, _spec(model, version, signature))
    for name, array in inputs.items():
        parts += sized(_INPUTS, *_entry(name, array, tensor_content=array.dtype.kind not in "OSU"))
    for name in output_filter:
        parts += sized(_FILTER, name.encode())
    return b"".join(parts)


def encode_response(
    model: str,
    version: int,
    signature: str,
    outputs: Mapping[str, NDArray[Any]],
    *,
    tensor_content: bool = False,
) -> bytes:
    """A `PredictResponse`, by default with typed lists as TensorFlow Serving writes them."""
    parts: list[bytes | memoryview] = []
    for name, array in outputs.items():
        parts += sized(_OUTPUTS, *_entry(name, array, tensor_content=tensor_content))
    parts += sized(_ANSWER_SPEC, _spec(model, version, signature))
    return b"".join(parts)


def decode_response(data: bytes) -> dict[str, NDArray[Any]]:
    """The outputs by name, read-only where they lie in `data`. Raises `BadTensor` on anything malformed."""
    entries = (chunk(value) for field, _, value in read_fields(memoryview(data)) if field == _OUTPUTS)
    return {name: decode_tensor(tensor) for name, tensor in map(_read_entry, entries)}


def answered_by(data: bytes) -> tuple[str, int | None]:
    """The model and the version that a response says it comes from; None when it names no version. Raises `BadTensor`."""
    spec = b"".join(chunk(value) for field, _, value in read_fields(memoryview(data)) if field == _ANSWER_SPEC)
    name, version, _, _ = _read_spec_again(spec) if len(spec) <= _SHORT else _read_spec(spec)
    return name, version


def decode_request(data: bytes, *, fill_to: int | None = None) -> Request:
    """A whole request; `fill_to` as in `decode_tensor`. Raises `BadTensor` on anything malformed."""
    envelope = open_request(data)
    inputs = {name: decode_tensor(tensor, fill_to=fill_to) for name, tensor in envelope.tensors.items()}
    return Request(envelope.model, envelope.version, envelope.label, envelope.signature, inputs, envelope.output_filter)


def open_request(data: bytes) -> Envelope:
    """What a request asks for, its tensors left as bytes. Raises `BadTensor` on anything malformed outside of them."""
    specs: list[memoryview] = []
    tensors: dict[str, memoryview] = {}
    wanted: list[str] = []
    for field, _, value in read_fields(memoryview(data)):
        if field == _SPEC:
            specs.append(chunk(value))
        elif field == _INPUTS:
            name, tensor = _read_entry(chunk(value))
            tensors[name] = tensor
        elif field == _FILTER:
            wanted.append(text(value))
    spec = b"".join(specs)  # given more than once, they read end to end as their merger
    name, version, label, signature = _read_spec_again(spec) if len(spec) <= _SHORT else _read_spec(spec)
    return Envelope(bool(specs), name, version, label, signature, tensors, tuple(wanted))


def _entry(name: str, array: NDArray[Any], *, tensor_content: bool) -> list[bytes | memoryview]:
    tensor = tensor_parts(np.asarray(array), tensor_content=tensor_content)
    return [*sized(_KEY, name.encode()), *sized(_VALUE, *tensor)]


@lru_cache(maxsize=1024)
def _spec(model: str, version: int | None, signature: str) -> bytes:
    parts = sized(_NAME, model.encode())
    if version is not None:  # Int64Value: a message with the number as its field 1
        parts += sized(_VERSION, tag(1, VARINT), varint(version))
    parts += sized(_SIGNATURE, signature.encode())
    return b"".join(parts)


def _merged(chunks: list[memoryview]) -> memoryview:
    """Equal messages given more than once: protobuf merges them, and bytes set end to end read as the merger."""
    if len(chunks) < 2:
        return chunks[0] if chunks else _EMPTY
    return memoryview(b"".join(chunks))


def _read_entry(entry: memoryview) -> tuple[str, memoryview]:
    name = ""
    tensors: list[memoryview] = []
    for field, _, value in read_fields(entry):
        if field == _KEY:
            name = text(value)
        elif field == _VALUE:
            tensors.append(chunk(value))
    return name, _merged(tensors)


def _read_spec(spec: bytes) -> tuple[str, int | None, str, str]:
    names = {_NAME: "", _SIGNATURE: "", _LABEL: ""}
    version: int | None = None
    for field, _, value in read_fields(memoryview(spec)):
        if field in names:
            names[field] = text(value)
            version = None if field == _LABEL else version  # version and label are one choice: the last one holds
        elif field == _VERSION:
            version, names[_LABEL] = _read_int64(value, version or 0), ""
    return names[_NAME], version, names[_LABEL], names[_SIGNATURE]


_read_spec_again: Final = lru_cache(maxsize=1024)(_read_spec)
"""Calls come with the same few specs again and again."""


def _read_int64(value: Value, before: int) -> int:
    for field, _, inner in read_fields(chunk(value)):
        if field == 1:
            before = signed(number(inner))
    return before
