"""Classify and Regress in JSON: objects to `tf.Example`s, results to lists. No I/O."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from model_server.errors import invalid
from model_server.json_tensors import from_base64, signature_name
from model_server.json_text import decimals, kind, quoted, shown


def fill(request: Any, document: Mapping[str, Any]) -> None:
    """Put a document's signature name and examples into a Classify or Regress request. Raises INVALID_ARGUMENT."""
    request.model_spec.signature_name = signature_name(document)
    with_context = "context" in document
    if with_context:
        _fill_example(request.input.example_list_with_context.context, document["context"])
    if "examples" not in document:
        raise invalid(
            f"JSON Value: {shown(document)} When method is classify, key 'examples' is expected and was not found"
        )
    found = document["examples"]
    if not isinstance(found, list):
        raise invalid(f"JSON Value: {shown(document)} Expecting 'examples' value to be an list/array")
    if not found:
        raise invalid(f"JSON Value: {shown(document)} 'examples' value is an empty array")
    into = request.input.example_list_with_context if with_context else request.input.example_list
    for one in found:
        _fill_example(into.examples.add(), one)


def _fill_example(example: Any, value: Any) -> None:
    if not isinstance(value, dict):
        raise invalid(f"Example must be JSON object but got JSON {kind(value)}")
    for name, content in value.items():
        feature = example.features.feature[_plain(name)]
        for item in content if isinstance(content, list) else [content]:
            _add(feature, name, item)


def _add(feature: Any, name: str, item: Any) -> None:
    if item is None or isinstance(item, list) or (isinstance(item, dict) and set(item) != {"b64"}):
        raise invalid(f"Feature: {name} has element with unexpected JSON type: {kind(item)}")
    wanted, value = _feature(item)
    present = feature.WhichOneof("kind")
    if present not in {None, wanted}:
        raise invalid(f"Unexpected element type in feature: {name} expecting type: {present.removesuffix('_list')}")
    if wanted == "int64_list" and value >= 1 << 63:
        raise invalid(f"Feature: {name} has uint64 element. Only int64 is supported.")
    try:
        getattr(feature, wanted).value.append(value)
    except ValueError as error:  # an integer below int64
        raise invalid(f"Feature: {name} has an element that is no int64.") from error


def _feature(item: Any) -> tuple[str, Any]:
    """The list of a Feature that a value goes into, and the value."""
    if isinstance(item, dict):
        return "bytes_list", from_base64(item)
    if isinstance(item, str):
        return "bytes_list", item.encode(errors="surrogateescape")
    return ("float_list", item) if isinstance(item, float) else ("int64_list", int(item))


def _plain(name: str) -> str:
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise invalid("a feature's name is not UTF-8") from error
    return name


def write_classifications(result: Any) -> str:
    """One list of (label, score) pairs for each example. Raises `ServingError`."""
    if not result.classifications:
        raise invalid("Cannot convert empty ClassificationResults to JSON")
    rows = []
    for one in result.classifications:
        scores = decimals(np.array([each.score for each in one.classes], np.float32))
        pairs = (f"[{quoted(each.label.encode())}, {score}]" for each, score in zip(one.classes, scores, strict=True))
        rows.append("[" + ", ".join(pairs) + "]")
    return '{\n    "results": [' + ", ".join(rows) + "\n    ]\n}"


def write_regressions(result: Any) -> str:
    """One value for each example. Raises `ServingError`."""
    if not result.regressions:
        raise invalid("Cannot convert empty RegressionResults to JSON")
    values = decimals(np.array([one.value for one in result.regressions], np.float32))
    return '{\n    "results": [' + ", ".join(values) + "]\n}"
