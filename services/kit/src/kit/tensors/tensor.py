"""One `TensorProto`: which array do these bytes mean, and which bytes does this array need?

Two readers in one. Exact (the default) is for a client: TensorFlow Serving writes every element, so a list that does not
match its shape is an error. With `fill_to` it is TensorFlow's own reader: a short list goes on with its last value, an
empty one is zeros, a long one is cut; but never beyond `fill_to` elements, so that eight bytes cannot ask for a gigabyte.
"""

import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from kit.tensors.wire import (
    VARINT,
    BadTensor,
    Value,
    chunk,
    number,
    read_fields,
    read_varint,
    read_varints,
    signed,
    sized,
    tag,
    varint,
    varints,
)

Array = NDArray[Any]

_BFLOAT16: np.dtype[Any] | None = None
with suppress(ImportError):  # NumPy's type for bfloat16 is a package of its own; whoever has it can send and receive it
    _BFLOAT16 = np.dtype(import_module("ml_dtypes").bfloat16)

_DTYPE, _SHAPE, _CONTENT = 1, 2, 4  # fields of TensorProto beside the typed lists
_DIM, _DIM_SIZE = 2, 1
_STRING_FIELD: Final = 8
_SHORT: Final = 64


@dataclass(frozen=True, slots=True)
class _Kind:
    """How one data type travels: `fixed` lists are raw little-endian values, the others varints."""

    code: int  # tensorflow.DataType
    dtype: np.dtype[Any]
    field: int  # of the typed list in TensorProto
    fixed: bool = False
    bits: np.dtype[Any] | None = (
        None  # the type as which a typed list has it: half floats as integers, a complex number as two floats
    )


def _quantised(code: int, name: str, integer: str) -> _Kind:
    """A quantised integer: for NumPy a record of one integer, by TensorFlow's own name."""
    return _Kind(code, np.dtype([(name, integer)]), 7, bits=np.dtype(integer))


_STRING: Final = _Kind(7, np.dtype(object), _STRING_FIELD)
_KINDS: Final = (
    _Kind(1, np.dtype("<f4"), 5, fixed=True),
    _Kind(2, np.dtype("<f8"), 6, fixed=True),
    _Kind(3, np.dtype("<i4"), 7),
    _Kind(4, np.dtype("u1"), 7),
    _Kind(5, np.dtype("<i2"), 7),
    _Kind(6, np.dtype("i1"), 7),
    _STRING,
    _Kind(8, np.dtype("<c8"), 9, fixed=True, bits=np.dtype("<f4")),
    _Kind(9, np.dtype("<i8"), 10),
    _Kind(10, np.dtype("?"), 11),
    _quantised(11, "qint8", "i1"),
    _quantised(12, "quint8", "u1"),
    _quantised(13, "qint32", "<i4"),
    *((_Kind(14, _BFLOAT16, 13, bits=np.dtype("<u2")),) if _BFLOAT16 is not None else ()),
    _quantised(15, "qint16", "<i2"),
    _quantised(16, "quint16", "<u2"),
    _Kind(17, np.dtype("<u2"), 7),
    _Kind(18, np.dtype("<c16"), 12, fixed=True, bits=np.dtype("<f8")),
    _Kind(19, np.dtype("<f2"), 13, bits=np.dtype("<u2")),
    _Kind(22, np.dtype("<u4"), 16),
    _Kind(23, np.dtype("<u8"), 17),
)
_BY_CODE: Final[dict[int, _Kind]] = {kind.code: kind for kind in _KINDS}
_BY_DTYPE: Final[dict[np.dtype[Any], _Kind]] = {kind.dtype: kind for kind in _KINDS}


def data_type(dtype: np.dtype[Any]) -> int | None:
    """TensorFlow's number of a NumPy type; None for one without a wire form."""
    kind = _STRING if dtype.kind in "OSU" else _BY_DTYPE.get(dtype)
    return None if kind is None else kind.code


def numpy_type(code: int) -> np.dtype[Any] | None:
    """The NumPy type of TensorFlow's number; strings are objects. None for one without a wire form."""
    kind = _BY_CODE.get(code)
    return None if kind is None else kind.dtype


def decode_tensor(data: bytes | memoryview, *, fill_to: int | None = None) -> Array:
    """The array of one `TensorProto`; strings as an object array of bytes. Numbers may share memory with `data`.

    Raises `BadTensor` for malformed bytes, an unknown type, or values that do not match the declared shape; with
    `fill_to` a list of another length is read as TensorFlow does, up to that many elements.
    """
    code, content = 0, memoryview(b"")
    shapes: list[memoryview] = []
    lists: dict[int, list[Value]] = {}
    for field, _, value in read_fields(memoryview(data)):
        if field == _DTYPE:
            code = number(value)
        elif field == _SHAPE:
            shapes.append(chunk(value))
        elif field == _CONTENT:
            content = chunk(value)
        else:
            lists.setdefault(field, []).append(value)
    kind = _BY_CODE.get(code)
    if kind is None:
        raise BadTensor(f"unknown data type {code}")
    shape = _read_shape(shapes)
    count = math.prod(shape)
    if len(content):
        flat = _read_content(kind, content, count)
    else:
        flat = _fit(_read_list(kind, lists.get(kind.field, [])), count, fill_to)
    try:
        shaped: Array = flat.reshape(shape)
    except (ValueError, OverflowError) as error:  # too many dimensions, or too large ones beside a zero
        raise BadTensor(f"no array can have the shape {shape}") from error
    return shaped


def encode_tensor(array: Array, *, tensor_content: bool = False) -> bytes:
    """A `TensorProto` with typed lists, or with `tensor_content`. Raises `BadTensor` for a type without a wire form."""
    return b"".join(tensor_parts(array, tensor_content=tensor_content))


def tensor_parts(array: Array, *, tensor_content: bool) -> list[bytes | memoryview]:
    """As `encode_tensor`, not joined yet: a large array is copied once only, into the whole message."""
    kind = _kind_of(array)
    head = _head(kind.code, array.shape)
    if array.size == 0:
        return [head]
    if kind is _STRING:
        return [head, *_string_parts(array, tensor_content=tensor_content)]
    flat = np.ascontiguousarray(array, kind.dtype).reshape(-1)
    if tensor_content:
        return [head, *sized(_CONTENT, _raw(flat))]
    return [head, *sized(kind.field, _raw(flat) if kind.fixed else _varint_list(kind, flat))]


@lru_cache(maxsize=1024)
def _head(code: int, shape: tuple[int, ...]) -> bytes:
    dims = b"".join(_dim(size) for size in shape)
    return tag(_DTYPE, VARINT) + varint(code) + b"".join(sized(_SHAPE, dims))


def _raw(flat: Array) -> memoryview:
    return flat.view(np.uint8).data


def _dim(size: int) -> bytes:
    inner = tag(_DIM_SIZE, VARINT) + varint(size) if size else b""
    return b"".join(sized(_DIM, inner))


def _kind_of(array: Array) -> _Kind:
    if array.dtype.kind in "OSU":
        return _STRING
    kind = _BY_DTYPE.get(array.dtype) or _BY_DTYPE.get(array.dtype.newbyteorder("<"))
    if kind is None:
        raise BadTensor(f"an array of {array.dtype} has no form on the wire")
    return kind


def _varint_list(kind: _Kind, flat: Array) -> bytes:
    if kind.bits is not None:
        flat = flat.view(kind.bits)
    return varints(flat.astype(np.int64).view(np.uint64))  # a uint64 goes through unharmed: the same 64 bits


def _string_parts(array: Array, *, tensor_content: bool) -> list[bytes | memoryview]:
    texts = [_as_bytes(item) for item in array.reshape(-1).tolist()]
    if tensor_content:  # TensorFlow's string list: all lengths, then all bytes
        return sized(_CONTENT, b"".join(varint(len(text)) for text in texts), *texts)
    return [part for text in texts for part in sized(_STRING_FIELD, text)]


def _as_bytes(item: object) -> bytes:
    if isinstance(item, bytes):
        return item
    if isinstance(item, str):
        return item.encode()
    raise BadTensor(f"a {type(item).__name__} among strings")


def _read_shape(chunks: list[memoryview]) -> tuple[int, ...]:
    """The sizes; no shape at all means a scalar, and so does an unknown rank, as TensorFlow reads it."""
    encoded = b"".join(chunks)
    return _sizes_again(encoded) if len(encoded) <= _SHORT else _sizes(encoded)


def _sizes(encoded: bytes) -> tuple[int, ...]:
    sizes: list[int] = []
    for field, _, value in read_fields(memoryview(encoded)):
        if field == _DIM:
            size = 0
            for inner, _, number_or_name in read_fields(chunk(value)):
                if inner == _DIM_SIZE:
                    size = signed(number(number_or_name))
            if size < 0:
                raise BadTensor(f"a dimension of {size}")
            sizes.append(size)
    return tuple(sizes)


_sizes_again: Final = lru_cache(maxsize=1024)(_sizes)
"""Calls come with the same few shapes again and again."""


def _read_content(kind: _Kind, content: memoryview, count: int) -> Array:
    """`tensor_content` must hold exactly the declared elements."""
    if kind is _STRING:
        return _read_string_content(content, count)
    needed = count * kind.dtype.itemsize
    if needed != len(content):
        raise BadTensor(f"the shape needs {needed} bytes, tensor_content has {len(content)}")
    if kind.dtype.kind == "b":
        return np.frombuffer(content, np.uint8).astype(np.bool_)
    return np.frombuffer(content, kind.dtype)


def _read_string_content(content: memoryview, count: int) -> Array:
    if count > len(content):  # each length takes a byte at least
        raise BadTensor(f"the shape needs {count} strings, tensor_content has {len(content)} bytes")
    at, lengths = 0, []
    for _ in range(count):
        length, at = read_varint(content, at)
        lengths.append(length)
    if sum(lengths) != len(content) - at:
        raise BadTensor("the lengths of the strings do not add up to tensor_content")
    texts = []
    for length in lengths:
        texts.append(bytes(content[at : at + length]))
        at += length
    return _objects(texts)


def _objects(items: list[bytes]) -> Array:
    array = np.empty(len(items), object)
    array[:] = items
    return array


def _read_list(kind: _Kind, values: list[Value]) -> Array:
    """All elements of a typed list, whether packed, one by one or mixed."""
    if kind is _STRING:
        return _objects([bytes(chunk(value)) for value in values])
    read: Callable[[memoryview], Array] = read_varints
    item = kind.bits or kind.dtype
    if kind.fixed:

        def read(view: memoryview) -> Array:
            if len(view) % item.itemsize:
                raise BadTensor(f"a list of {item} has {len(view)} bytes")
            return np.frombuffer(view, item)

    pieces = [read(chunk(value)) if kind.fixed or not isinstance(value, int) else _one(value) for value in values]
    whole = pieces[0] if len(pieces) == 1 else np.concatenate(pieces) if pieces else np.empty(0, np.uint64)
    if kind.fixed:
        whole = whole.astype(item, copy=False)
        return whole if item is kind.dtype else whole[: len(whole) // 2 * 2].view(kind.dtype)  # half a number is none
    if kind.bits is not None:
        return whole.astype(kind.bits).view(kind.dtype)
    return whole.astype(kind.dtype)  # truncates to the low bits, as protobuf and TensorFlow do


def _one(value: int) -> Array:
    return np.array([value], np.uint64)


def _fit(flat: Array, count: int, fill_to: int | None) -> Array:
    if len(flat) == count:
        return flat
    if fill_to is None:
        raise BadTensor(f"the shape needs {count} values, there are {len(flat)}")
    if len(flat) > count:
        return flat[:count]
    if count > fill_to:
        raise BadTensor(f"the shape needs {count} values, there are {len(flat)}: too many to fill in")
    zero: object = b"" if flat.dtype == object else 0
    filled = np.full(count, flat[-1] if len(flat) else zero, flat.dtype)
    filled[: len(flat)] = flat
    return filled
