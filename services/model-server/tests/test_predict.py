"""Predict over a real wire: answers, and every refusal in TensorFlow Serving's code and words."""

from typing import Any

import numpy as np
import pytest
from conftest import Running, arrays, floats, request
from tensorflow_serving.apis import predict_pb2

X = floats(1, 2)
NUMERIC = np.ones((2, 4), np.float32)
CATEGORICAL = np.array([[3, -1], [0, 2]], np.int32)


def test_an_answer_has_typed_fields_and_a_whole_spec(server: Running) -> None:
    """Outputs come as float_val, never tensor_content, with shape, version number and signature filled in."""
    answer = server.predict(request("half", {"x": X}))

    assert {"y": [3.5, 4.0], "z": [1.0, 2.0]} == arrays(answer)
    assert b"" == answer.outputs["y"].tensor_content
    assert [3.5, 4.0] == list(answer.outputs["y"].float_val)
    assert ("half", 3, "serving_default") == (
        answer.model_spec.name, answer.model_spec.version.value, answer.model_spec.signature_name
    )  # fmt: skip


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (request("half", {"x": X}, version=1), {"y": [2.5, 3.0], "z": [1.0, 2.0]}),
        (request("half", {"x": X}, output_filter=["z"]), {"z": [1.0, 2.0]}),
        (request("half", {"x": np.float32(4)}), {"y": 5.0, "z": 4.0}),
        (request("half", {"x": np.zeros((0,), np.float32)}), {"y": [], "z": []}),
        (request("half", {"x": np.ones((1, 2), np.float32)}), {"y": [[3.5, 3.5]], "z": [[1.0, 1.0]]}),
        (request("two", {"x": X}, signature="other"), {"y": [2.5, 3.0], "z": [1.0, 2.0]}),
        (request("words", {"word": np.array([b"quote", b"a\xff"], object)}), {"loud": [b"QUOTE", b"A\xff"]}),
        (
            request("two", {"numeric": NUMERIC, "categorical": CATEGORICAL}),
            {"product": [[2.0, 2.0]] * 2, "codes": [[3000, -1000], [0, 2000]], "known": [[True, False], [True, True]]},
        ),
        (
            request("filled", {"categorical": CATEGORICAL[:1]}, output_filter=["product"]),
            {"product": [[4.0, 5.0]]},
        ),
    ],
    ids=["version", "filter", "scalar", "empty batch", "undeclared shape", "signature", "strings", "types", "default"],
)
def test_what_is_answered(server: Running, asked: Any, expected: dict[str, Any]) -> None:
    """Versions, filters, shapes that no signature declares, every type, and inputs with defaults."""
    assert expected == arrays(server.predict(asked))


def broken_tensor() -> Any:
    made = request("half", {"x": X})
    made.inputs["x"].tensor_shape.dim[0].size = -1
    return made


REFUSALS = {
    "no spec": (predict_pb2.PredictRequest(), "INVALID_ARGUMENT", "Missing ModelSpec"),
    "no name": (request("", {}), "INVALID_ARGUMENT", "ModelSpec has no name specified."),
    "label": (request("half", {"x": X}, label="best"), "INVALID_ARGUMENT", "Unrecognized servable version label: best"),
    "label of no model": (
        request("no", {}, label="best"),
        "INVALID_ARGUMENT",
        "Unrecognized servable version label: best",
    ),
    "model": (request("no", {"x": X}), "NOT_FOUND", "Servable not found for request: Latest(no)"),
    "version": (request("half", {"x": X}, version=9), "NOT_FOUND", "Servable not found for request: Specific(half, 9)"),
    "signature": (
        request("half", {"x": X}, signature="s"),
        "FAILED_PRECONDITION",
        'Serving signature key "s" not found.',
    ),
    "too many": (
        request("half", {"x": X, "b": X, "a": X}),
        "INVALID_ARGUMENT",
        "input size does not match signature: 3!=1 len({a,b,x}) != len({x}). Sent extra: {a,b}. Missing but required: {}.",
    ),
    "too few": (
        request("two", {"numeric": NUMERIC}),
        "INVALID_ARGUMENT",
        (
            "input size does not match signature: 1!=2 len({numeric}) != len({categorical,numeric}). Sent extra: {}. "
            "Missing but required: {categorical}."
        ),
    ),
    "another name": (
        request("half", {"a": X}),
        "INVALID_ARGUMENT",
        (
            "Signature input alias: x(feed name: serving_default_x:0) not found in request and no default value provided. "
            "Inputs expected to be in the request {a}, or default input alias set: "
        ),
    ),
    "name beside a default": (
        request("filled", {"categorical": CATEGORICAL, "a": X}),
        "INVALID_ARGUMENT",
        "Inputs contains invalid name. Used request inputs: categorical, request input: a,categorical",
    ),
    "broken tensor": (broken_tensor(), "INVALID_ARGUMENT", "tensor parsing error: x"),
    "filter": (
        request("half", {"x": X}, output_filter=["o"]),
        "INVALID_ARGUMENT",
        "output tensor alias not found in signature: o Outputs expected to be in the set {y,z}.",
    ),
    "filter twice": (
        request("half", {"x": X}, output_filter=["y", "y"]),
        "INVALID_ARGUMENT",
        "duplicate output tensor alias: y",
    ),
    "int64": (
        request("half", {"x": np.array([1])}),
        "INVALID_ARGUMENT",
        "Expects arg[0] to be float but int64 is provided",
    ),
    "double": (
        request("half", {"x": np.ones(1)}),
        "INVALID_ARGUMENT",
        "Expects arg[0] to be float but double is provided",
    ),
    "string": (
        request("half", {"x": np.array([b"1"], object)}),
        "INVALID_ARGUMENT",
        "Expects arg[0] to be float but string is provided",
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_what_is_refused(server: Running, case: str) -> None:
    """Code and message are exactly those of TensorFlow Serving."""
    asked, code, message = REFUSALS[case]

    assert (code, message) == server.refusal(asked)


def test_the_runtime_names_a_wrong_shape(server: Running) -> None:
    """Shapes are the ops' business: the first line of the message is the op's."""
    code, message = server.refusal(request("two", {"numeric": np.ones((2, 3), np.float32), "categorical": CATEGORICAL}))

    assert ("INVALID_ARGUMENT", "Matrix size-incompatible: In[0]: [2,3], In[1]: [4,2]") == (
        code,
        message.splitlines()[0],
    )


def test_long_details_are_cut(server: Running) -> None:
    """Details end after 1024 bytes, and say so."""
    _, message = server.refusal(request("n" * 2000, {}))

    assert "...TRUNCATED" == message[1024:]


def test_a_short_list_is_filled(server: Running) -> None:
    """A constant may come as one value and a shape, as TensorFlow reads it."""
    asked = request("half", {"x": X})
    asked.inputs["x"].ClearField("tensor_content")
    asked.inputs["x"].float_val[:] = [2.0]
    asked.inputs["x"].tensor_shape.dim[0].size = 3

    assert [4.0, 4.0, 4.0] == arrays(server.predict(asked))["y"]


def test_a_huge_declared_shape_is_refused(server: Running) -> None:
    """A few bytes cannot make the server allocate a terabyte."""
    asked = request("half", {"x": X})
    asked.inputs["x"].ClearField("tensor_content")
    asked.inputs["x"].float_val[:] = [2.0]
    asked.inputs["x"].tensor_shape.dim[0].size = 1 << 40

    assert ("INVALID_ARGUMENT", "tensor parsing error: x") == server.refusal(asked)
