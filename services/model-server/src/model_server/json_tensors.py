"""JSON to tensors and back, with TensorFlow Serving's checks, order and words. No I/O.

`instances` is a list by row: every row makes one tensor of each input, and all rows must make the same shape. `inputs` is the
tensor itself. The quick way fills a regular list as a whole; only what it cannot read is gone through again, value by value,
to say what is wrong with it.
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from kit.tensors import data_type, numpy_type
from model_server import protos
from model_server.errors import Code, ServingError, invalid
from model_server.json_text import decimals, kind, quoted, shown

Array = NDArray[Any]

_FLOATS: Final = frozenset({1, 2})
_STRING: Final = 7
_BOOL: Final = 10
_INT32: Final = (-(1 << 31), (1 << 31) - 1)
_INTEGERS: Final = {
    3: _INT32, 4: _INT32, 5: _INT32, 6: _INT32,  # int8, int16 and uint8 are read as int32, and wrap
    9: (-(1 << 63), (1 << 63) - 1), 22: (0, (1 << 32) - 1), 23: (0, (1 << 64) - 1),
}  # fmt: skip
_WRITTEN: Final = frozenset({1, 2, _STRING, _BOOL, *_INTEGERS})
_BYTES_SUFFIX: Final = "_bytes"


@dataclass(frozen=True, slots=True)
class Asked:
    """The tensors of a JSON request by alias, and whether its answer is by row."""

    tensors: Mapping[str, Array]
    by_row: bool


def signature_name(document: Mapping[str, Any]) -> str:
    """The signature that a request names, or "". Raises INVALID_ARGUMENT."""
    name = document.get("signature_name", "")
    if not isinstance(name, str):
        raise invalid(
            f"JSON Value: {shown(document)} not formatted correctly. 'signature_name' key must be a string value."
        )
    return name


def read(document: Mapping[str, Any], types: Mapping[str, int]) -> Asked:
    """The tensors of a Predict request for a signature with inputs of these types. Raises `ServingError`."""
    has_rows, has_columns = "instances" in document, "inputs" in document
    if has_rows and has_columns:
        raise invalid(
            f"JSON Value: {shown(document)} Not formatted correctly expecting only one of 'inputs' or 'instances' keys "
            "to exist "
        )
    if has_rows:
        rows = document["instances"]
        if not isinstance(rows, list):
            raise invalid(f"JSON Value: {shown(document)} Expecting 'instances' to be an list/array")
        if not rows:
            raise invalid(f"JSON Value: {shown(document)} No values in 'instances' array")
        return Asked(_rows(rows, types), by_row=True)
    if has_columns:
        return Asked(_columns(document["inputs"], types), by_row=False)
    raise invalid("Missing 'inputs' or 'instances' key")


def _columns(value: Any, types: Mapping[str, int]) -> dict[str, Array]:
    if not isinstance(value, dict) or _is_base64(value):
        if len(types) > 1:
            raise invalid(
                "inputs is a plain value/list, but expecting an object as multiple input tensors required as per "
                "tensorinfo_map"
            )
        return {name: _tensor(value, code) for name, code in types.items()}
    tensors = {}
    for name, code in types.items():
        if name not in value:
            raise invalid(f"Missing named input: {name} in 'inputs' object.")
        tensors[name] = _tensor(value[name], code)
    return tensors


def _rows(rows: Sequence[Any], types: Mapping[str, int]) -> dict[str, Array]:
    first = rows[0]
    if not isinstance(first, dict) and len(types) > 1:
        raise invalid(
            "instances is a plain list, but expecting list of objects as multiple input tensors required as per "
            "tensorinfo_map"
        )
    if _is_object(first):
        columns: dict[str, list[Any]] = {name: [] for name in types}
        for place, row in enumerate(rows):
            _take_object(place, row, types, columns)
        return {name: _stacked(name, values, types[name], in_objects=True) for name, values in columns.items()}
    for place, row in enumerate(rows):
        if _is_object(row):
            raise invalid(f"Expecting value/list but got object at item {place} of input list")
    return {name: _stacked(name, rows, code, in_objects=False) for name, code in types.items()}


def _take_object(place: int, row: Any, types: Mapping[str, int], columns: Mapping[str, list[Any]]) -> None:
    if not _is_object(row):
        raise invalid(f"Expecting object but got list at item {place} of input list")
    for name, value in row.items():
        if name not in types:
            error = invalid(f"JSON object: does not have named input: {name}")
            raise invalid(f"Failed to process element: {place} key: {name} of 'instances' list. Error: {error}")
        columns[name].append(value)
    if len(row) != len(types):
        raise invalid(
            f"Failed to process element: {place} of 'instances' list. JSON object: {shown(row)} keys must be equal to: "
            f"{','.join(sorted(types))}"
        )


def _stacked(name: str, rows: Sequence[Any], code: int, *, in_objects: bool) -> Array:
    """One tensor of all rows. Raises INVALID_ARGUMENT that names the first row which does not fit."""
    quick = _quick(list(rows), (len(rows), *_shape(rows[0])), code)
    if quick is not None:
        return quick
    key = f" key: {name}" if in_objects else ""
    arrays: list[Array] = []
    for place, row in enumerate(rows):
        try:
            arrays.append(_tensor(row, code))
            _check_alike(arrays[0], arrays[-1])
        except ServingError as error:
            raise invalid(f"Failed to process element: {place}{key} of 'instances' list. Error: {error}") from error
    return np.stack(arrays)


def _check_alike(first: Array, other: Array) -> None:
    if first.size != other.size:
        raise invalid(f"Expecting tensor size: {first.size} but got: {other.size}")
    if first.shape != other.shape:
        raise invalid(f"Expecting shape {_listed(first.shape)} but got: {_listed(other.shape)}")


def _listed(shape: Sequence[int]) -> str:
    return f"[{','.join(map(str, shape))}]"


def _shape(value: Any) -> tuple[int, ...]:
    """The shape that the first elements show."""
    sizes = []
    while isinstance(value, list):
        sizes.append(len(value))
        if not value:
            break
        value = value[0]
    return tuple(sizes)


def _tensor(value: Any, code: int) -> Array:
    """The tensor of one JSON value. Raises `ServingError`."""
    shape = _shape(value)
    quick = _quick(value, shape, code)
    if quick is not None:
        return quick
    flat: list[Any] = []
    _fill(value, 0, shape, code, flat)
    return _array(flat, shape, code)


def _quick(value: Any, shape: tuple[int, ...], code: int) -> Array | None:
    """A regular list of numbers, level by level; None for anything else."""
    allowed = {int, float} if code in _FLOATS else {int} if code in _INTEGERS else {str} if code == _STRING else {bool}
    if code not in _WRITTEN:
        return None
    flat = [value]
    for size in shape:
        if not all(type(part) is list and len(part) == size for part in flat):
            return None
        flat = [item for part in flat for item in part]
    if not set(map(type, flat)) <= allowed:
        return None
    if code in _INTEGERS and flat and not (_INTEGERS[code][0] <= min(flat) and max(flat) <= _INTEGERS[code][1]):
        return None
    return _array([item.encode(errors="surrogateescape") for item in flat] if code == _STRING else flat, shape, code)


def _array(flat: list[Any], shape: tuple[int, ...], code: int) -> Array:
    dtype = numpy_type(code)
    if code == _STRING:
        texts = np.empty(len(flat), object)
        texts[:] = flat
        return texts.reshape(shape)
    if code in _FLOATS:
        with np.errstate(over="ignore", invalid="ignore"):
            return np.array([_float(item) for item in flat], np.float64).astype(dtype).reshape(shape)
    wide = np.uint64 if code == 23 else np.int64
    return np.array(flat, bool if code == _BOOL else wide).astype(dtype).reshape(shape)


def _float(item: float) -> float:
    try:
        return float(item)
    except OverflowError:
        return float("inf") if item > 0 else float("-inf")


def _fill(value: Any, level: int, shape: Sequence[int], code: int, flat: list[Any]) -> None:
    rank = len(shape)
    if not isinstance(value, list):
        if level != rank:
            raise invalid(
                f"JSON Value: {shown(value)} found at incorrect level: {level + 1} in the JSON DOM. Expected at level: "
                f"{rank}"
            )
        flat.append(_scalar(value, code))
        return
    if level >= rank:
        raise invalid(f"Encountered list at unexpected level: {level} expected < {rank}")
    if len(value) != shape[level]:
        raise invalid(
            f"Encountered list at unexpected size: {len(value)} at level: {level} expected size: {shape[level]}"
        )
    for part in value:
        _fill(part, level + 1, shape, code, flat)


def _scalar(value: Any, code: int) -> Any:
    if isinstance(value, dict):
        if code == _STRING:
            return from_base64(value)
        raise _type_error(value, code)
    if code in _FLOATS:
        fits = type(value) in {int, float}
    elif code in _INTEGERS:
        low, high = _INTEGERS[code]
        fits = type(value) is int and low <= value <= high
    elif code == _STRING:
        fits = isinstance(value, str)
    elif code == _BOOL:
        fits = isinstance(value, bool)
    else:
        raise ServingError(Code.UNIMPLEMENTED, f"Conversion of JSON Value: {shown(value)} to type: {type_name(code)}")
    if not fits:
        raise _type_error(value, code)
    return value.encode(errors="surrogateescape") if code == _STRING else value


def _type_error(value: Any, code: int) -> ServingError:
    return invalid(f"JSON Value: {shown(value)} Type: {kind(value)} is not of expected type: {type_name(code)}")


def type_name(code: int) -> str:
    """TensorFlow's word for a type: `float`, `int64`, `half`."""
    name: str = protos.types_pb2.DataType.Name(code)
    return name.removeprefix("DT_").lower()


def _is_base64(value: Any) -> bool:
    return isinstance(value, dict) and len(value) == 1 and isinstance(value.get("b64"), str)


def _is_object(value: Any) -> bool:
    return isinstance(value, dict) and not _is_base64(value)


def from_base64(value: Any) -> bytes:
    """The bytes of `{"b64": "..."}`. Raises INVALID_ARGUMENT."""
    if not _is_base64(value):
        raise invalid(f"JSON Value: {shown(value)} not formatted correctly for base64 data")
    text = "".join(value["b64"].split())
    if "=" not in text:  # padding may be left out
        text += "=" * (-len(text) % 4)
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise invalid("Unable to base64 decode") from error


def write(outputs: Mapping[str, Array], *, by_row: bool) -> str:
    """The answer to a Predict request. Raises INVALID_ARGUMENT for what has no JSON form."""
    if not outputs:
        raise invalid("Cannot convert empty tensor map to JSON")
    return _written_rows(outputs) if by_row else _written_columns(outputs)


def _written_rows(outputs: Mapping[str, Array]) -> str:
    count = -1
    for name, array in outputs.items():
        if array.ndim == 0:
            raise invalid(f"Tensor name: {name} has no shape information ")
        if count not in {-1, len(array)}:
            raise invalid(f"Tensor name: {name} has inconsistent batch size: {len(array)} expecting: {count}")
        count = len(array)
    columns = {name: _texts(name, array) for name, array in outputs.items()}
    rows = {name: [_nested(part) for part in texts] for name, texts in columns.items()}
    if len(rows) == 1:
        body = ", ".join(next(iter(rows.values())))
        return f'{{\n    "predictions": [{body}\n    ]\n}}'
    objects = (
        "{\n"
        + ",\n".join(f"            {quoted(name.encode())}: {texts[row]}" for name, texts in rows.items())
        + "\n        }"
        for row in range(count)
    )
    return '{\n    "predictions": [\n        ' + ",\n        ".join(objects) + "\n    ]\n}"


def _written_columns(outputs: Mapping[str, Array]) -> str:
    texts = {
        name: _nested(_texts(name, array), "    " if len(outputs) == 1 else "        ")
        for name, array in outputs.items()
    }
    if len(texts) == 1:
        return f'{{\n    "outputs": {next(iter(texts.values()))}\n}}'
    body = ",\n".join(f"        {quoted(name.encode())}: {text}" for name, text in texts.items())
    return f'{{\n    "outputs": {{\n{body}\n    }}\n}}'


def _texts(name: str, array: Array) -> Any:
    """Every value as text, in nested lists of the array's shape."""
    code = data_type(array.dtype) or 0
    if code not in _WRITTEN:
        raise invalid(f"Failed to write JSON value for tensor type: {type_name(code)}")
    if code in _FLOATS:
        flat = decimals(array)
    elif code == _STRING:
        as_bytes = name.endswith(_BYTES_SUFFIX)
        flat = [_base64(item) if as_bytes else quoted(item) for item in array.reshape(-1).tolist()]
    elif code == _BOOL:
        flat = ["true" if item else "false" for item in array.reshape(-1).tolist()]
    else:
        flat = [str(item) for item in array.reshape(-1).tolist()]
    texts = np.empty(len(flat), object)
    texts[:] = flat
    return texts.reshape(array.shape).tolist()


def _base64(item: bytes) -> str:
    return '{"b64": "' + base64.b64encode(item).decode() + '"}'


def _nested(texts: Any, indent: str | None = None) -> str:
    """Nested lists as JSON: on one line, or (with an indent) one value to a line."""
    if not isinstance(texts, list):
        return str(texts)
    if indent is None:
        return "[" + ", ".join(map(_nested, texts)) + "]"
    if not texts:
        return "[]"
    inner = indent + "    "
    return "[\n" + ",\n".join(inner + _nested(part, inner) for part in texts) + f"\n{indent}]"
