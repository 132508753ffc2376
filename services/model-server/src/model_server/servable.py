"""One loaded SavedModel: its signatures, and a way to run it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from kit.tensors import BadTensor, decode_tensor
from kit.tensors.wire import chunk, read_fields, sized
from model_server import capi, protos
from model_server.errors import Code, ServingError, invalid

Array = NDArray[Any]
Execute = Callable[[Mapping[str, Array], Sequence[str], int], list[Array]]

FILL_TO: Final = 1 << 20
"""Elements up to which a short list is filled, as TensorFlow fills it; beyond, the request is refused."""
_SIGNATURES: Final = 5  # field of MetaGraphDef


@dataclass(frozen=True, slots=True)
class Signature:
    """What can be asked: alias -> tensor name of inputs and outputs, and values for inputs that may be left out."""

    method_name: str
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    defaults: Mapping[str, Array]
    types: Mapping[str, int]  # alias of an input -> TensorFlow's number of its declared type


def _nothing() -> None:
    """What there is to close of a servable that holds nothing."""


@dataclass(frozen=True, slots=True)
class Servable:
    """A version that can be run. `execute(feeds, fetches, timeout_ms)` blocks; 0 ms is no limit; raises `ServingError`."""

    signatures: Mapping[str, Signature]
    signature_defs: Mapping[str, Any]
    execute: Execute
    close: Callable[[], None] = _nothing


def load(folder: Path, tags: Sequence[str], session_config: bytes) -> Servable:
    """Read a SavedModel from its version folder and restore its variables. Blocks. Raises `ServingError`."""
    session = capi.load(folder, tags, session_config)
    try:
        definitions = _signature_defs(session.meta_graph)
        signatures = {name: _signature(definition) for name, definition in definitions.items()}
    except ServingError:
        session.close()
        raise
    return Servable(signatures, definitions, session.run, session.close)


def _signature_defs(meta_graph: bytes) -> dict[str, Any]:
    """Only the signatures are parsed: a graph can have megabytes, and reading it would hold the interpreter lock."""
    fields = (field for field in read_fields(memoryview(meta_graph)) if field[0] == _SIGNATURES)
    encoded = b"".join(part for number, _, value in fields for part in sized(number, chunk(value)))
    try:
        return dict(protos.meta_graph_pb2.MetaGraphDef.FromString(encoded).signature_def)
    except DecodeError as error:
        raise ServingError(Code.DATA_LOSS, f"the signatures cannot be read: {error}") from error


def _signature(definition: Any) -> Signature:
    defaults: dict[str, Array] = {}
    for alias, tensor in definition.defaults.items():
        try:
            defaults[alias] = decode_tensor(tensor.SerializeToString(), fill_to=FILL_TO)
        except BadTensor as error:
            raise invalid(f"tensor parsing error: {alias}") from error
    return Signature(
        definition.method_name,
        {alias: definition.inputs[alias].name for alias in sorted(definition.inputs)},
        {alias: definition.outputs[alias].name for alias in sorted(definition.outputs)},
        defaults,
        {alias: definition.inputs[alias].dtype for alias in sorted(definition.inputs)},
    )
