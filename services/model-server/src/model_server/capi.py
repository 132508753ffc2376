"""TensorFlow's C interface: the C++ loader and session that TensorFlow Serving calls, with nothing of Python between.

Messages, shapes, types and time-outs are therefore the runtime's own, those of loading included. Loading and running give up
the interpreter lock; so a version that loads does not hold up the one that serves: the longest silence of another thread was
5 to 11 ms, against 50 to 90 ms with the Python session (docs/adr has the figures). The functions that take no time keep the lock,
which is cheaper than handing it over.
"""

import ctypes
import os
import sys
from collections.abc import Mapping, Sequence
from ctypes import POINTER, Structure, byref, c_char_p, c_int, c_int64, c_size_t, c_void_p
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from kit.tensors import data_type, encode_tensor, numpy_type
from kit.tensors.wire import VARINT, tag, varint
from model_server.errors import Code, ServingError
from model_server.protos import package

Array = NDArray[Any]

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")  # warnings and errors; read once, when the library loads

_STRING: Final = 7
_ANY: Final = 1  # a float: the type of an empty tensor that is filled from a message
_TEXT_BYTES: Final = 24  # of one TF_TString
_TIMEOUT_IN_MS: Final = 2  # field of RunOptions


class _Buffer(Structure):
    _fields_ = (("data", c_char_p), ("length", c_size_t), ("deallocator", c_void_p))


class _Output(Structure):
    _fields_ = (("operation", c_void_p), ("index", c_int))


_QUICK: Final[dict[str, tuple[Any, tuple[Any, ...]]]] = {
    "TF_AllocateTensor": (c_void_p, (c_int, POINTER(c_int64), c_int, c_size_t)),
    "TF_DeleteBuffer": (None, (c_void_p,)),
    "TF_DeleteGraph": (None, (c_void_p,)),
    "TF_DeleteSessionOptions": (None, (c_void_p,)),
    "TF_DeleteStatus": (None, (c_void_p,)),
    "TF_DeleteTensor": (None, (c_void_p,)),
    "TF_Dim": (c_int64, (c_void_p, c_int)),
    "TF_GetCode": (c_int, (c_void_p,)),
    "TF_GraphOperationByName": (c_void_p, (c_void_p, c_char_p)),
    "TF_Message": (c_char_p, (c_void_p,)),
    "TF_NewBuffer": (c_void_p, ()),
    "TF_NewGraph": (c_void_p, ()),
    "TF_NewSessionOptions": (c_void_p, ()),
    "TF_NewStatus": (c_void_p, ()),
    "TF_NumDims": (c_int, (c_void_p,)),
    "TF_OperationNumOutputs": (c_int, (c_void_p,)),
    "TF_SetConfig": (None, (c_void_p, c_char_p, c_size_t, c_void_p)),
    "TF_StringGetDataPointer": (c_void_p, (c_void_p,)),
    "TF_StringGetSize": (c_size_t, (c_void_p,)),
    "TF_TensorByteSize": (c_size_t, (c_void_p,)),
    "TF_TensorData": (c_void_p, (c_void_p,)),
    "TF_TensorFromProto": (None, (POINTER(_Buffer), c_void_p, c_void_p)),
    "TF_TensorType": (c_int, (c_void_p,)),
}
_SLOW: Final[dict[str, tuple[Any, tuple[Any, ...]]]] = {
    "TF_CloseSession": (None, (c_void_p, c_void_p)),
    "TF_DeleteSession": (None, (c_void_p, c_void_p)),
    "TF_LoadSessionFromSavedModel": (
        c_void_p,
        (c_void_p, c_void_p, c_char_p, POINTER(c_char_p), c_int, c_void_p, c_void_p, c_void_p),
    ),
    "TF_SessionRun": (
        None,
        (
            c_void_p, POINTER(_Buffer), POINTER(_Output), POINTER(c_void_p), c_int, POINTER(_Output), POINTER(c_void_p),
            c_int, c_void_p, c_int, c_void_p, c_void_p,
        ),
    ),
}  # fmt: skip


class _Library:
    """The functions by name, with their types."""

    def __init__(self) -> None:
        name = "libtensorflow_cc.2.dylib" if sys.platform == "darwin" else "libtensorflow_cc.so.2"
        path = str(package() / name)
        for library, functions in ((ctypes.PyDLL(path), _QUICK), (ctypes.CDLL(path), _SLOW)):
            for function, (result, arguments) in functions.items():
                symbol = getattr(library, function)
                symbol.restype, symbol.argtypes = result, arguments
                setattr(self, function, symbol)

    def __getattr__(self, name: str) -> Any:  # only for the type checker: all are set above
        raise AttributeError(name)


@cache
def library() -> Any:
    """Loads TensorFlow, once: a second or so, and 200 MB."""
    return _Library()


class Session:
    """A SavedModel in memory. Threads may run it at once; it is closed once, after the last run."""

    def __init__(self, session: int, graph: int, meta_graph: bytes) -> None:
        self.meta_graph = meta_graph
        self._session, self._graph = session, graph
        self._tensors: dict[tuple[str, ...], Any] = {}

    def run(self, feeds: Mapping[str, Array], fetches: Sequence[str], timeout_ms: int) -> list[Array]:
        """The fetched tensors, in order. Blocks; 0 ms or less is no limit. Raises `ServingError` as the runtime says."""
        lib = library()
        inputs, outputs = self._outputs(tuple(feeds)), self._outputs(tuple(fetches))
        fed, fetched = (c_void_p * len(feeds))(), (c_void_p * len(fetches))()
        status = lib.TF_NewStatus()
        try:
            for place, array in enumerate(feeds.values()):
                fed[place] = _new_tensor(lib, array, status)
            options = byref(_run_options(timeout_ms)) if timeout_ms > 0 else None
            lib.TF_SessionRun(
                self._session, options, inputs, fed, len(feeds), outputs, fetched, len(fetches), None, 0, None, status
            )
            _check(lib, status)
            return [_read_tensor(lib, tensor) for tensor in fetched if tensor]
        finally:
            for tensor in (*fed, *fetched):
                if tensor:
                    lib.TF_DeleteTensor(tensor)
            lib.TF_DeleteStatus(status)

    def close(self) -> None:
        """Give the memory back."""
        lib = library()
        status = lib.TF_NewStatus()
        lib.TF_CloseSession(self._session, status)
        lib.TF_DeleteSession(self._session, status)
        lib.TF_DeleteGraph(self._graph)
        lib.TF_DeleteStatus(status)

    def _outputs(self, names: tuple[str, ...]) -> Any:
        found = self._tensors.get(names)
        if found is None:
            found = (_Output * len(names))(*(self._output(name) for name in names))
            self._tensors[names] = found
        return found

    def _output(self, name: str) -> _Output:
        operation, _, index = name.partition(":")
        lib = library()
        found = lib.TF_GraphOperationByName(self._graph, operation.encode()) if operation else None
        place = int(index) if index.isdecimal() else 0
        if not found or place >= lib.TF_OperationNumOutputs(found):
            raise ServingError(
                Code.NOT_FOUND,
                f"Tensor {name}, specified in either feed_devices or fetch_devices was not found in the Graph",
            )
        return _Output(found, place)


def load(folder: Path, tags: Sequence[str], config: bytes) -> Session:
    """Read a SavedModel, restore its variables and run its initialisation. Blocks. Raises `ServingError`."""
    lib = library()
    status, options = lib.TF_NewStatus(), lib.TF_NewSessionOptions()
    graph, meta_graph = lib.TF_NewGraph(), lib.TF_NewBuffer()
    session = None
    try:
        lib.TF_SetConfig(options, config, len(config), status)
        _check(lib, status)
        wanted = (c_char_p * len(tags))(*(one.encode() for one in tags))
        session = lib.TF_LoadSessionFromSavedModel(
            options, None, os.fsencode(folder), wanted, len(tags), graph, meta_graph, status
        )
        _check(lib, status)
        found = ctypes.cast(meta_graph, POINTER(_RawBuffer)).contents
        return Session(session, graph, ctypes.string_at(found.data, found.length))
    finally:
        if not session:
            lib.TF_DeleteGraph(graph)
        lib.TF_DeleteBuffer(meta_graph)
        lib.TF_DeleteSessionOptions(options)
        lib.TF_DeleteStatus(status)


class _RawBuffer(Structure):
    _fields_ = (("data", c_void_p), ("length", c_size_t), ("deallocator", c_void_p))


def _check(lib: Any, status: int) -> None:
    code = lib.TF_GetCode(status)
    if code:
        raise ServingError(Code(code), lib.TF_Message(status).decode(errors="replace"))


@lru_cache(maxsize=1024)
def _run_options(timeout_ms: int) -> _Buffer:
    encoded = tag(_TIMEOUT_IN_MS, VARINT) + varint(timeout_ms)
    return _Buffer(encoded, len(encoded), None)


@lru_cache(maxsize=1024)
def _dims(shape: tuple[int, ...]) -> Any:
    return (c_int64 * len(shape))(*shape)


def _new_tensor(lib: Any, array: Array, status: int) -> int:
    code = data_type(array.dtype)
    if code is None:
        raise ServingError(Code.INVALID_ARGUMENT, f"no tensor can hold {array.dtype}")
    if code == _STRING:
        return _new_texts(lib, array, status)
    array = np.ascontiguousarray(array).reshape(array.shape)
    tensor: int = lib.TF_AllocateTensor(code, _dims(array.shape), array.ndim, array.nbytes)
    ctypes.memmove(lib.TF_TensorData(tensor), array.__array_interface__["data"][0], array.nbytes)
    return tensor


def _new_texts(lib: Any, array: Array, status: int) -> int:
    """Texts by way of a message: so the runtime owns them, and frees each with the tensor."""
    encoded = encode_tensor(array)
    tensor: int = lib.TF_AllocateTensor(_ANY, _dims((0,)), 1, 0)
    lib.TF_TensorFromProto(byref(_Buffer(encoded, len(encoded), None)), tensor, status)
    try:
        _check(lib, status)
    except ServingError:
        lib.TF_DeleteTensor(tensor)
        raise
    return tensor


def _read_tensor(lib: Any, tensor: int) -> Array:
    code = lib.TF_TensorType(tensor)
    shape = tuple([lib.TF_Dim(tensor, axis) for axis in range(lib.TF_NumDims(tensor))])
    if code == _STRING:
        return _read_texts(lib, tensor, shape)
    dtype = numpy_type(code)
    if dtype is None:
        raise ServingError(Code.UNIMPLEMENTED, f"an output of data type {code} has no form on the wire")
    raw = ctypes.string_at(lib.TF_TensorData(tensor), lib.TF_TensorByteSize(tensor))
    return np.frombuffer(raw, dtype).reshape(shape)


def _read_texts(lib: Any, tensor: int, shape: tuple[int, ...]) -> Array:
    count = int(np.prod(shape, dtype=np.int64))
    start = lib.TF_TensorData(tensor) or 0
    texts = np.empty(count, object)
    for place in range(count):
        text = start + place * _TEXT_BYTES
        texts[place] = ctypes.string_at(lib.TF_StringGetDataPointer(text), lib.TF_StringGetSize(text))
    return texts.reshape(shape)
