"""Classify, Regress and MultiInference: examples in, classes or values out. Checks and conversions, without I/O.

Such a signature takes serialised `tf.Example`s. They are cut out of the request's bytes as they lie there; nothing is parsed
but the frame around them. (A context is set before each example: end to end, protobuf reads the two as one.)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from kit.tensors import data_type
from kit.tensors.wire import chunk, read_fields
from model_server import protos
from model_server.errors import Code, ServingError, invalid, unmet
from model_server.predict import DEFAULT_SIGNATURE
from model_server.servable import Signature

Array = NDArray[Any]

CLASSIFY: Final = "tensorflow/serving/classify"
REGRESS: Final = "tensorflow/serving/regress"

_EXAMPLES, _EXAMPLES_WITH_CONTEXT = 1, 2  # of Input
_EXAMPLE, _CONTEXT = 1, 2  # of ExampleListWithContext; ExampleList has the first one only
_INPUT, _CLASSES, _SCORES, _VALUES = "inputs", "classes", "scores", "outputs"


@dataclass(frozen=True, slots=True)
class Asked:
    """What a signature wants run: the input's tensor, and its outputs' tensors by alias."""

    signature: str
    method: str
    feed: str
    fetches: Mapping[str, str]


def examples(data: bytes) -> Array:
    """The serialised examples of an `Input`, one text each. Raises INVALID_ARGUMENT when there is none."""
    found: list[bytes] = []
    for field, _, value in read_fields(memoryview(data)):
        if field in {_EXAMPLES, _EXAMPLES_WITH_CONTEXT}:
            parts = [(inner, chunk(part)) for inner, _, part in read_fields(chunk(value))]
            with_context = field == _EXAMPLES_WITH_CONTEXT
            context = b"".join(part for inner, part in parts if inner == _CONTEXT and with_context)
            found = [context + bytes(part) for inner, part in parts if inner == _EXAMPLE]
    if not found:
        raise invalid("Input is empty.")
    texts = np.empty(len(found), object)
    texts[:] = found
    return texts


def signature_for(signatures: Mapping[str, Signature], name: str, method: str) -> Asked:
    """The signature that Classify or Regress means. Raises `ServingError`."""
    name = name or DEFAULT_SIGNATURE
    signature = signatures.get(name)
    if signature is None:
        raise invalid(f"No signature was found with the name: {name}")
    return asked(name, signature, method)


def asked(name: str, signature: Signature, method: str) -> Asked:
    """What `method` runs of a signature. Raises `ServingError`."""
    word = "classification" if method == CLASSIFY else "regression"
    if signature.method_name != method:
        raise invalid(f"Expected {word} signature method_name to be {method}. Was: {signature.method_name}")
    if len(signature.inputs) != 1:
        raise invalid("Expected one input Tensor.")
    wanted = {alias: signature.outputs[alias] for alias in _aliases(signature, method) if alias in signature.outputs}
    if _INPUT not in signature.inputs:
        raise unmet(f"No {word} inputs found in SignatureDef: {_text(signature)}")
    if method == REGRESS and not wanted:
        raise unmet(f"No regression outputs found in SignatureDef: {_text(signature)}")
    if not wanted:
        raise unmet(
            f'Expected classification signature outputs to contain at least one of "{_CLASSES}" or "{_SCORES}". '
            f"Signature was: {_text(signature)}"
        )
    return Asked(name, method, signature.inputs[_INPUT], wanted)


def _aliases(signature: Signature, method: str) -> tuple[str, ...]:
    count = len(signature.outputs)
    if method == REGRESS:
        if count != 1:
            raise invalid("Expected one output Tensor.")
        return (_VALUES,)
    if count not in {1, 2}:
        raise invalid(f"Expected one or two output Tensors, found {count}")
    return (_CLASSES, _SCORES)


def classifications(outputs: Mapping[str, Array], count: int) -> Any:
    """`ClassificationResult` for so many examples. Raises INVALID_ARGUMENT for outputs of another shape or type."""
    _check_classes(outputs, count)
    classes, scores = outputs.get(_CLASSES), outputs.get(_SCORES)
    width = next(iter(outputs.values())).shape[1]
    result = protos.classification_pb2.ClassificationResult()
    for row in range(count):
        added = result.classifications.add()
        for place in range(width):
            one = added.classes.add()
            if classes is not None:
                one.label = _label(classes[row, place])
            if scores is not None:
                one.score = scores[row, place]
    return result


def _check_classes(outputs: Mapping[str, Array], count: int) -> None:
    for name, dtype in ((_CLASSES, np.dtype(object)), (_SCORES, np.dtype(np.float32))):
        array = outputs.get(name)
        if array is None:
            continue
        if array.ndim != 2:
            raise invalid(f"Expected Tensor shape: [batch_size num_classes] but got {_shape(array)}")
        if array.dtype != dtype:
            raise invalid(f"Expected {name} Tensor of {_type(dtype)}. Got: {_type(array.dtype)}")
        if len(array) != count:
            raise invalid(f"Expected {name} output batch size of {count}. Got: {len(array)}")
    widths = [array.shape[1] for _, array in sorted(outputs.items())]  # of classes, then of scores
    if len(set(widths)) > 1:
        raise invalid(f"Tensors class and score should match in dim_size(1). Got {widths[0]} vs. {widths[1]}")


def regressions(outputs: Mapping[str, Array], count: int) -> Any:
    """`RegressionResult` for so many examples. Raises INVALID_ARGUMENT for an output of another shape or type."""
    array = outputs[_VALUES]
    if not (array.ndim == 1 or (array.ndim == 2 and array.shape[1] == 1)):
        raise invalid(
            f"Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got {_shape(array)}"
        )
    if len(array) != count:
        raise invalid(f"Input batch size did not match output batch size: {count} vs. {len(array)}")
    if array.dtype != np.float32:
        raise invalid(f"Expected output Tensor of DT_FLOAT.  Got: {_type(array.dtype)}")
    result = protos.regression_pb2.RegressionResult()
    for value in array.reshape(-1).tolist():
        result.regressions.add(value=value)
    return result


def tasks(signatures: Mapping[str, Signature], request: Any) -> Sequence[Asked]:
    """What each task of a `MultiInferenceRequest` runs; all of them have one input. Raises `ServingError`."""
    found: dict[str, Asked] = {}
    model = ""
    for task in request.tasks:
        spec = task.model_spec
        if not spec.name:
            raise invalid("Found ModelSpec with an empty model name.")
        if model not in {"", spec.name}:
            raise invalid("All ModelSpecs in a MultiInferenceRequest must access the same model name.")
        model, name = spec.name, spec.signature_name or DEFAULT_SIGNATURE
        if name in found:
            raise invalid(f"Duplicate evaluation of signature: {name}")
        if name not in signatures:
            raise invalid(f"Requested signature not found in model graph: {name}")
        if task.method_name not in {CLASSIFY, REGRESS}:
            raise ServingError(Code.UNIMPLEMENTED, f"Unsupported signature method_name: {task.method_name}")
        found[name] = asked(name, signatures[name], task.method_name)
        if found[name].feed != next(iter(found.values())).feed:
            raise invalid("Input tensor must be the same for all Signatures.")
    return list(found.values())


def _label(text: bytes) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError as error:
        raise ServingError(Code.INTERNAL, "a class label is not UTF-8") from error


def _shape(array: Array) -> str:
    return f"[{','.join(map(str, array.shape))}]"


def _type(dtype: np.dtype[Any]) -> str:
    name: str = protos.types_pb2.DataType.Name(data_type(dtype) or 0)
    return name


def _text(signature: Signature) -> str:
    return f"inputs {sorted(signature.inputs)} outputs {sorted(signature.outputs)} method {signature.method_name}"
