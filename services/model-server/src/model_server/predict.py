"""Predict's checks, in TensorFlow Serving's order and words: what does a request feed and fetch?"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from numpy.typing import NDArray

from kit.tensors import BadTensor, Envelope, decode_tensor
from model_server.errors import Code, ServingError, invalid, unmet
from model_server.servable import FILL_TO, Signature

Array = NDArray[Any]

DEFAULT_SIGNATURE: Final = "serving_default"
_METHODS: Final = tuple(f"tensorflow/serving/{method}" for method in ("predict", "classify", "regress"))


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run: tensors by feed name, the tensors to fetch, and the aliases under which they are answered."""

    signature: str
    feeds: Mapping[str, Array]
    fetches: tuple[str, ...]
    aliases: tuple[str, ...]


def plan(signatures: Mapping[str, Signature], request: Envelope, *, check_method: bool = False) -> Plan:
    """Turn a request for a model with these signatures into tensors. Raises `ServingError`.

    Shapes are not compared with the signature's, nor types: the runtime has the last word on both.
    """
    name = request.signature or DEFAULT_SIGNATURE
    signature = signatures.get(name)
    if signature is None:
        raise unmet(f'Serving signature key "{name}" not found.')
    if check_method and signature.method_name not in _METHODS:
        raise ServingError(
            Code.INTERNAL,
            f"Expected prediction signature method_name to be one of {{{', '.join(_METHODS)}}}. "
            f"Was: {signature.method_name}",
        )
    _check_count(signature, request)
    feeds = _feeds(signature, request)
    aliases = _outputs(signature, request) or tuple(signature.outputs)
    return Plan(name, feeds, tuple(signature.outputs[alias] for alias in aliases), aliases)


def _check_count(signature: Signature, request: Envelope) -> None:
    sent, known = set(request.tensors), set(signature.inputs)
    if len(sent) > len(known) or (len(sent) < len(known) and not signature.defaults):
        raise invalid(
            f"input size does not match signature: {len(sent)}!={len(known)} len({{{_set(sent)}}}) != "
            f"len({{{_set(known)}}}). Sent extra: {{{_set(sent - known)}}}. "
            f"Missing but required: {{{_set(known - sent)}}}."
        )


def _feeds(signature: Signature, request: Envelope) -> dict[str, Array]:
    feeds: dict[str, Array] = {}
    used: list[str] = []
    for alias, feed in signature.inputs.items():
        tensor = request.tensors.get(alias)
        if tensor is not None:
            used.append(alias)
            try:
                feeds[feed] = decode_tensor(tensor, fill_to=FILL_TO)
            except BadTensor as error:
                raise invalid(f"tensor parsing error: {alias}") from error
        elif alias in signature.defaults:
            feeds[feed] = signature.defaults[alias]
        else:
            raise invalid(
                f"Signature input alias: {alias}(feed name: {feed}) not found in request and no default value provided. "
                f"Inputs expected to be in the request {{{_set(request.tensors)}}}, or default input alias set: "
                f"{_set(signature.defaults)}"
            )
    if len(used) != len(request.tensors):
        raise invalid(
            f"Inputs contains invalid name. Used request inputs: {_set(used)}, request input: {_set(request.tensors)}"
        )
    return feeds


def _outputs(signature: Signature, request: Envelope) -> tuple[str, ...]:
    seen: list[str] = []
    for alias in request.output_filter:
        if alias not in signature.outputs:
            raise invalid(
                f"output tensor alias not found in signature: {alias} Outputs expected to be in the set "
                f"{{{_set(signature.outputs)}}}."
            )
        if alias in seen:
            raise invalid(f"duplicate output tensor alias: {alias}")
        seen.append(alias)
    return tuple(seen)


def _set(names: Iterable[str]) -> str:
    return ",".join(sorted(names))
