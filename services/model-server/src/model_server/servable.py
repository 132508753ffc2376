"""One loaded SavedModel: its signatures, and a way to run it that shows the runtime's own messages.

The graph is run below the Python checks of `Session.run`, by feed and fetch names. So types, shapes, deadlines and their
messages are those of the C++ session that TensorFlow Serving calls.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from numpy.typing import NDArray

from kit.tensors import BadTensor, decode_tensor
from model_server import runtime
from model_server.errors import Code, ServingError

Array = NDArray[Any]
Execute = Callable[[Mapping[str, Array], Sequence[str], int], list[Array]]

FILL_TO: Final = 1 << 22
"""Elements up to which a short list is filled, as TensorFlow fills it; beyond, the request is refused."""


@dataclass(frozen=True, slots=True)
class Signature:
    """What can be asked: alias -> tensor name of inputs and outputs, and values for inputs that may be left out."""

    method_name: str
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    defaults: Mapping[str, Array]


@dataclass(frozen=True, slots=True)
class Servable:
    """A version that can be run. `execute(feeds, fetches, timeout_ms)` blocks; 0 ms is no limit; raises `ServingError`."""

    signatures: Mapping[str, Signature]
    signature_defs: Mapping[str, Any]
    execute: Execute


def load(folder: Path, tags: Sequence[str], session_config: Any) -> Servable:
    """Read a SavedModel from its version folder and restore its variables. Raises `ServingError`."""
    session = runtime.Session(graph=runtime.Graph(), config=session_config)
    try:
        meta_graph = runtime.SavedModelLoader(str(folder)).load(session, list(tags))
    except runtime.OpError as error:
        raise ServingError(Code(error.error_code), error.message) from error
    except (OSError, RuntimeError) as error:  # no SavedModel there, or none with these tags
        raise ServingError(Code.NOT_FOUND, str(error)) from error
    except ValueError as error:  # an op that this runtime does not have, or a broken graph
        raise ServingError(Code.INVALID_ARGUMENT, str(error)) from error
    definitions = dict(meta_graph.signature_def)
    signatures = {name: _signature(definition) for name, definition in definitions.items()}
    return Servable(signatures, definitions, _Run(session))


class _Run:
    """Runs one session by tensor names."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self._handles: dict[str, Any] = {}

    def __call__(self, feeds: Mapping[str, Array], fetches: Sequence[str], timeout_ms: int) -> list[Array]:
        fed = {self._handle(name): array for name, array in feeds.items()}
        fetched = [self._handle(name) for name in fetches]
        options = runtime.pywrap_tf_session.TF_NewBufferFromString(_options(timeout_ms)) if timeout_ms > 0 else None
        try:
            outputs: list[Array] = self._session._call_tf_sessionrun(options, fed, fetched, [], None)  # noqa: SLF001 -- see above
        except runtime.OpError as error:
            raise ServingError(Code(error.error_code), error.message) from error
        return outputs

    def _handle(self, name: str) -> Any:
        handle = self._handles.get(name)
        if handle is None:
            try:
                handle = self._session.graph.get_tensor_by_name(name)._as_tf_output()  # noqa: SLF001 -- the low-level run takes these
            except (KeyError, ValueError) as error:
                raise ServingError(Code.NOT_FOUND, f"{name}: not found") from error
            self._handles[name] = handle
        return handle


@lru_cache(maxsize=1024)
def _options(timeout_ms: int) -> bytes:
    options: bytes = runtime.config_pb2.RunOptions(timeout_in_ms=timeout_ms).SerializeToString()
    return options


def _signature(definition: Any) -> Signature:
    defaults: dict[str, Array] = {}
    for alias, tensor in definition.defaults.items():
        try:
            defaults[alias] = decode_tensor(tensor.SerializeToString(), fill_to=FILL_TO)
        except BadTensor as error:
            raise ServingError(Code.INVALID_ARGUMENT, f"tensor parsing error: {alias}") from error
    return Signature(
        definition.method_name,
        {alias: definition.inputs[alias].name for alias in sorted(definition.inputs)},
        {alias: definition.outputs[alias].name for alias in sorted(definition.outputs)},
        defaults,
    )
