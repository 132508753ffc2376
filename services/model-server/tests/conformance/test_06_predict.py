"""Section 6: Predict, its refusals in their order, and what a tensor may look like."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import (
    NUMPY,
    PREDICTION,
    Running,
    Start,
    array_of,
    arrays,
    floats,
    refused,
    request,
)
from google.protobuf import text_format
from tensorflow.core.example import example_pb2
from tensorflow.core.framework import types_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    inference_pb2,
    predict_pb2,
    regression_pb2,
)

X = floats(1, 2)
NUMERIC = np.ones((2, 4), np.float32)
CATEGORICAL = np.array([[3, -1], [0, 2]], np.int32)
PARSING = ("INVALID_ARGUMENT", "tensor parsing error: x")


def with_tensor(text: str, model: str = "half") -> Any:
    """A request whose input `x` is this message."""
    made = request(model, {})
    text_format.Parse(text, made.inputs["x"])
    return made


ANSWERS = {
    "latest": (request("half", {"x": X}), {"y": [3.5, 4.0], "z": [1.0, 2.0]}),
    "version": (request("half", {"x": X}, version=1), {"y": [2.5, 3.0], "z": [1.0, 2.0]}),
    "signature by name": (request("half", {"x": X}, signature="serving_default"), {"y": [3.5, 4.0], "z": [1.0, 2.0]}),
    "other signature": (request("two", {"x": X}, signature="other"), {"y": [2.5, 3.0], "z": [1.0, 2.0]}),
    "filter": (request("half", {"x": X}, output_filter=["z"]), {"z": [1.0, 2.0]}),
    "filter of all": (request("half", {"x": X}, output_filter=["z", "y"]), {"y": [3.5, 4.0], "z": [1.0, 2.0]}),
    "scalar": (request("half", {"x": np.float32(4)}), {"y": 5.0, "z": 4.0}),
    "higher rank": (request("half", {"x": np.ones((1, 2), np.float32)}), {"y": [[3.5, 3.5]], "z": [[1.0, 1.0]]}),
    "empty batch": (request("half", {"x": np.zeros((0,), np.float32)}), {"y": [], "z": []}),
    "two inputs": (
        request("two", {"numeric": NUMERIC, "categorical": CATEGORICAL}),
        {"product": [[2.0, 2.0]] * 2, "codes": [[3000, -1000], [0, 2000]], "known": [[True, False], [True, True]]},
    ),
    "default": (
        request("filled", {"categorical": CATEGORICAL[:1]}, output_filter=["product"]), {"product": [[4.0, 5.0]]}
    ),
    "default given": (
        request("filled", {"categorical": CATEGORICAL[:1], "numeric": NUMERIC[:1]}, output_filter=["product"]),
        {"product": [[2.0, 2.0]]},
    ),
    "strings": (request("words", {"word": np.array([b"quote", b"a\xff"], object)}), {"loud": [b"QUOTE", b"A\xff"]}),
    "long strings": (request("words", {"word": np.array([b"q" * 3000], object)}), {"loud": [b"Q" * 3000]}),
    "short list": (
        with_tensor("dtype: DT_FLOAT tensor_shape { dim { size: 3 } } float_val: 2"), {"y": [4.0] * 3, "z": [2.0] * 3}
    ),
    "empty list": (with_tensor("dtype: DT_FLOAT tensor_shape { dim { size: 2 } }"), {"y": [3.0] * 2, "z": [0.0] * 2}),
    "long list": (
        with_tensor("dtype: DT_FLOAT tensor_shape { dim { size: 1 } } float_val: [2, 8, 8]"), {"y": [4.0], "z": [2.0]}
    ),
    "no shape": (with_tensor("dtype: DT_FLOAT float_val: 2"), {"y": 4.0, "z": 2.0}),
    "unknown rank": (with_tensor("dtype: DT_FLOAT tensor_shape { unknown_rank: true } float_val: 2"), {"y": 4.0, "z": 2.0}),
    "content before list": (
        with_tensor("dtype: DT_FLOAT tensor_content: '\\0\\0\\0@' float_val: 9"), {"y": 4.0, "z": 2.0}
    ),
    "classify signature": (request("examples", {"inputs": np.array([b""], object)}, signature="scores"), {"scores": [[0.5, 0.5]]}),
    "regress signature": (request("examples", {"inputs": np.array([b""], object)}, signature="row"), {"outputs": [1.0]}),
}  # fmt: skip


@pytest.mark.parametrize("case", ANSWERS)
def test_what_is_answered(server: Running, case: str) -> None:
    """Versions, signatures, filters, defaults, and shapes that no signature declares."""
    asked, expected = ANSWERS[case]

    assert expected == arrays(server.predict(asked))


REFUSALS = {
    "no spec": (predict_pb2.PredictRequest(), "INVALID_ARGUMENT", "Missing ModelSpec"),
    "no name": (request("", {}), "INVALID_ARGUMENT", "ModelSpec has no name specified."),
    "label": (request("half", {"x": X}, label="best"), "INVALID_ARGUMENT", "Unrecognized servable version label: best"),
    "label of no model": (request("no", {}, label="b"), "INVALID_ARGUMENT", "Unrecognized servable version label: b"),
    "model": (request("no", {"x": X}), "NOT_FOUND", "Servable not found for request: Latest(no)"),
    "version": (request("half", {"x": X}, version=9), "NOT_FOUND", "Servable not found for request: Specific(half, 9)"),
    "version of no model": (request("no", {}, version=-1), "NOT_FOUND", "Servable not found for request: Specific(no, -1)"),
    "signature": (request("half", {"x": X}, signature="s"), "FAILED_PRECONDITION", 'Serving signature key "s" not found.'),
    "signature before inputs": (request("half", {}, signature="s"), "FAILED_PRECONDITION", 'Serving signature key "s" not found.'),
    "too many": (
        request("half", {"x": X, "b": X, "a": X}), "INVALID_ARGUMENT",
        "input size does not match signature: 3!=1 len({a,b,x}) != len({x}). Sent extra: {a,b}. Missing but required: {}.",
    ),
    "too few": (
        request("two", {"numeric": NUMERIC}), "INVALID_ARGUMENT",
        ("input size does not match signature: 1!=2 len({numeric}) != len({categorical,numeric}). Sent extra: {}. "
        "Missing but required: {categorical}."),
    ),
    "none": (
        request("half", {}), "INVALID_ARGUMENT",
        "input size does not match signature: 0!=1 len({}) != len({x}). Sent extra: {}. Missing but required: {x}.",
    ),
    "another name": (
        request("half", {"a": X}), "INVALID_ARGUMENT",
        ("Signature input alias: x(feed name: serving_default_x:0) not found in request and no default value provided. "
        "Inputs expected to be in the request {a}, or default input alias set: "),
    ),
    "name beside a default": (
        request("filled", {"categorical": CATEGORICAL, "a": X}), "INVALID_ARGUMENT",
        "Inputs contains invalid name. Used request inputs: categorical, request input: a,categorical",
    ),
    "filter": (
        request("half", {"x": X}, output_filter=["o"]), "INVALID_ARGUMENT",
        "output tensor alias not found in signature: o Outputs expected to be in the set {y,z}.",
    ),
    "filter twice": (
        request("half", {"x": X}, output_filter=["y", "y"]), "INVALID_ARGUMENT", "duplicate output tensor alias: y"
    ),
    "inputs before filter": (with_tensor("dtype: DT_FLOAT tensor_shape { dim { size: -1 } }"), *PARSING),
    "cut content": (with_tensor("dtype: DT_FLOAT tensor_shape { dim { size: 2 } } tensor_content: '1234'"), *PARSING),
    "long content": (with_tensor("dtype: DT_FLOAT tensor_shape { dim { size: 1 } } tensor_content: '12345678'"), *PARSING),
    "no type": (with_tensor("float_val: 1"), *PARSING),
    "huge shape": (with_tensor("dtype: DT_FLOAT tensor_shape { dim { size: 1099511627776 } } float_val: 1"), *PARSING),
    "int64": (request("half", {"x": np.array([1])}), "INVALID_ARGUMENT", "Expects arg[0] to be float but int64 is provided"),
    "double": (request("half", {"x": np.ones(1)}), "INVALID_ARGUMENT", "Expects arg[0] to be float but double is provided"),
    "string": (
        request("half", {"x": np.array([b"1"], object)}), "INVALID_ARGUMENT",
        "Expects arg[0] to be float but string is provided",
    ),
    "half": (
        request("half", {"x": np.ones(1, np.float16)}), "INVALID_ARGUMENT", "Expects arg[0] to be float but half is provided"
    ),
    "bool for string": (
        request("words", {"word": np.ones(1, np.bool_)}), "INVALID_ARGUMENT",
        "Expects arg[0] to be string but bool is provided",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSALS)
def test_what_is_refused(server: Running, case: str) -> None:
    """Code and message are exactly these."""
    asked, code, message = REFUSALS[case]

    assert (code, message) == server.refusal(asked)


def test_the_op_names_a_wrong_shape(server: Running) -> None:
    """Shapes are the ops' business: the first line of the message is the op's."""
    code, message = server.refusal(request("two", {"numeric": np.ones((2, 3), np.float32), "categorical": CATEGORICAL}))

    assert ("INVALID_ARGUMENT", "Matrix size-incompatible: In[0]: [2,3], In[1]: [4,2]") == (
        code,
        message.splitlines()[0],
    )


@pytest.mark.parametrize("kind", sorted(NUMPY), ids=types_pb2.DataType.Name)
def test_a_type_goes_there_and_back(server: Running, kind: int) -> None:
    """Every type is read from tensor_content and answered in its typed list, bit for bit."""
    dtype = NUMPY[kind]
    name = types_pb2.DataType.Name(kind).removeprefix("DT_").lower()
    signature = {"float": "float32", "double": "float64", "half": "float16"}.get(name, name)
    values = np.array([b"", b"x", b"\xff" * 40], object) if kind == types_pb2.DT_STRING else sample(dtype)
    answer = server.predict(request("types", {"x": values}, signature=signature)).outputs["y"]

    assert (kind, b"") == (answer.dtype, answer.tensor_content)
    assert values.tolist() == array_of(answer).tolist()


def sample(dtype: Any) -> Any:
    if dtype.names:
        return np.array([(1,), (100,)], dtype)
    return np.array([0, 1, 100], np.float32).astype(dtype)


def test_an_answers_spec(server: Running) -> None:
    """Name, number and signature are filled in, and there is no label."""
    spec = server.predict(request("half", {"x": X})).model_spec

    assert ("half", 3, "serving_default", "") == (
        spec.name,
        spec.version.value,
        spec.signature_name,
        spec.version_label,
    )


def test_typed_lists_and_shapes(server: Running) -> None:
    """Every element is written to the typed list, and the shape even of a scalar."""
    answer = server.predict(request("half", {"x": np.float32(4)})).outputs["y"]

    assert ([5.0], True, b"") == (list(answer.float_val), answer.HasField("tensor_shape"), answer.tensor_content)


def test_tensor_content_by_flag(start: Start, models: Path) -> None:
    """With the flag answers are tensor_content."""
    with start(f"--model_base_path={models / 'half'}", "--enable_serialization_as_tensor_content=true") as server:
        answer = server.predict(request("default", {"x": floats(0, 2)})).outputs["y"]

    assert (floats(3, 4).tobytes(), []) == (answer.tensor_content, list(answer.float_val))


def test_the_method_name_is_checked_by_flag(start: Start, models: Path) -> None:
    """With the flag only predict, classify and regress signatures are taken."""
    flags = ("--model_name=half", "--enable_signature_method_name_check=true")
    with start(f"--model_base_path={models / 'half'}", *flags) as server:
        assert [3.0] == arrays(server.predict(request("half", {"x": floats(0)})))["y"]
        code, message = server.refusal(request("half", {}, signature="__saved_model_init_op"))

    assert (True, True) == (code != "OK", "prediction signature method_name to be one of" in message)


def example(x: float | None) -> Any:
    made = example_pb2.Example()
    if x is not None:
        made.features.feature["x"].float_list.value.append(x)
    return made


def classify(server: Running, signature: str, *values: float | None, model: str = "examples") -> Any:
    asked = classification_pb2.ClassificationRequest()
    asked.model_spec.name, asked.model_spec.signature_name = model, signature
    asked.input.example_list.examples.extend(example(value) for value in values)
    return server.call(PREDICTION + "Classify", asked, classification_pb2.ClassificationResponse)


def regress(server: Running, signature: str, *values: float | None, model: str = "examples") -> Any:
    asked = regression_pb2.RegressionRequest()
    asked.model_spec.name, asked.model_spec.signature_name = model, signature
    asked.input.example_list.examples.extend(example(value) for value in values)
    return server.call(PREDICTION + "Regress", asked, regression_pb2.RegressionResponse)


@pytest.mark.parametrize(
    ("signature", "expected"),
    [
        ("", [[("no", 0.75), ("yes", 0.25)], [("no", 0.5), ("yes", 0.5)]]),
        ("classes", [[("no", 0.0), ("yes", 0.0)]] * 2),
        ("scores", [[("", 0.75), ("", 0.25)], [("", 0.5), ("", 0.5)]]),
    ],
)
def test_classify(server: Running, signature: str, expected: Any) -> None:
    """Labels, scores or both for every example; a feature that is left out has the model's default."""
    answer = classify(server, signature, 0.25, None)

    assert expected == [[(one.label, one.score) for one in row.classes] for row in answer.result.classifications]
    assert ("examples", 1, signature or "serving_default") == (
        answer.model_spec.name, answer.model_spec.version.value, answer.model_spec.signature_name
    )  # fmt: skip


@pytest.mark.parametrize("signature", ["regress", "row"])
def test_regress(server: Running, signature: str) -> None:
    """One value for every example, from a column or a row."""
    answer = regress(server, signature, 0.25, 4.0)

    assert [0.5, 8.0] == [one.value for one in answer.result.regressions]


def test_a_context_is_of_every_example(server: Running) -> None:
    """What the context has, an example may leave out."""
    asked = regression_pb2.RegressionRequest()
    asked.model_spec.name, asked.model_spec.signature_name = "examples", "regress"
    asked.input.example_list_with_context.context.CopyFrom(example(3.0))
    asked.input.example_list_with_context.examples.extend([example(None), example(1.0)])
    answer = server.call(PREDICTION + "Regress", asked, regression_pb2.RegressionResponse)

    assert [6.0, 2.0] == [one.value for one in answer.result.regressions]


NO_METHOD = "Expected classification signature method_name to be tensorflow/serving/classify. Was: "


@pytest.mark.parametrize(
    ("signature", "code", "message"),
    [
        ("gone", "INVALID_ARGUMENT", "No signature was found with the name: gone"),
        ("predict", "INVALID_ARGUMENT", NO_METHOD + "tensorflow/serving/predict"),
        ("regress", "INVALID_ARGUMENT", NO_METHOD + "tensorflow/serving/regress"),
        ("flat", "INVALID_ARGUMENT", "Expected Tensor shape: [batch_size num_classes] but got [2]"),
        ("shorter", "INVALID_ARGUMENT", "Expected scores output batch size of 2. Got: 1"),
        ("integers", "INVALID_ARGUMENT", "Expected scores Tensor of DT_FLOAT. Got: DT_INT32"),
        ("uneven", "INVALID_ARGUMENT", "Tensors class and score should match in dim_size(1). Got 1 vs. 2"),
    ],
)
def test_what_cannot_classify(server: Running, signature: str, code: str, message: str) -> None:
    """Signatures of another method, and outputs of another shape or type."""
    assert (code, message) == refused(lambda: classify(server, signature, 0.25, 0.5))


@pytest.mark.parametrize(
    ("signature", "code", "message"),
    [
        (
            "",
            "INVALID_ARGUMENT",
            "Expected regression signature method_name to be tensorflow/serving/regress. Was: tensorflow/serving/classify",
        ),
        (
            "wide",
            "INVALID_ARGUMENT",
            "Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got [2,2]",
        ),
        ("doubles", "INVALID_ARGUMENT", "Expected output Tensor of DT_FLOAT.  Got: DT_DOUBLE"),
        ("two", "INVALID_ARGUMENT", "Expected one output Tensor."),
    ],
)
def test_what_cannot_regress(server: Running, signature: str, code: str, message: str) -> None:
    """Signatures of another method, and outputs of another shape or type."""
    assert (code, message) == refused(lambda: regress(server, signature, 0.25, 0.5))


@pytest.mark.parametrize("ask", [classify, regress])
def test_examples_and_models_that_are_missing(server: Running, ask: Any) -> None:
    """No example, no model, no spec."""
    signature = "" if ask is classify else "regress"

    assert ("INVALID_ARGUMENT", "Input is empty.") == refused(lambda: ask(server, signature))
    assert ("NOT_FOUND", "Servable not found for request: Latest(no)") == refused(lambda: ask(server, "", model="no"))
    assert ("INVALID_ARGUMENT", "ModelSpec has no name specified.") == refused(lambda: ask(server, "", model=""))


def test_inputs_that_have_another_name(server: Running) -> None:
    """Classify and Regress want `inputs`."""
    code, message = refused(lambda: regress(server, "elsewhere", 1.0))

    assert ("FAILED_PRECONDITION", True) == (code, message.startswith("No regression inputs found in SignatureDef: "))


def infer(server: Running, *tasks: tuple[str, str, str], values: Any = (0.25,)) -> Any:
    asked = inference_pb2.MultiInferenceRequest()
    for model, signature, method in tasks:
        task = asked.tasks.add(method_name=f"tensorflow/serving/{method}")
        task.model_spec.name, task.model_spec.signature_name = model, signature
    asked.input.example_list.examples.extend(example(value) for value in values)
    return server.call(PREDICTION + "MultiInference", asked, inference_pb2.MultiInferenceResponse)


def test_several_at_once(server: Running) -> None:
    """One run answers all tasks, each with its own spec."""
    answer = infer(server, ("examples", "", "classify"), ("examples", "regress", "regress"))

    assert [("serving_default", 1), ("regress", 1)] == [
        (one.model_spec.signature_name, one.model_spec.version.value) for one in answer.results
    ]
    assert [0.75, 0.25] == [one.score for one in answer.results[0].classification_result.classifications[0].classes]
    assert [0.5] == [one.value for one in answer.results[1].regression_result.regressions]


ONE = ("examples", "regress", "regress")


@pytest.mark.parametrize(
    ("tasks", "code", "message"),
    [
        ([], "INVALID_ARGUMENT", "ModelSpec has no name specified."),
        ([ONE, ONE], "INVALID_ARGUMENT", "Duplicate evaluation of signature: regress"),
        ([ONE, ("half", "x", "regress")], "INVALID_ARGUMENT", "All ModelSpecs in a MultiInferenceRequest must access the same model name."),
        ([ONE, ("", "x", "regress")], "INVALID_ARGUMENT", "Found ModelSpec with an empty model name."),
        ([("examples", "gone", "regress")], "INVALID_ARGUMENT", "Requested signature not found in model graph: gone"),
        ([("examples", "predict", "predict")], "UNIMPLEMENTED", "Unsupported signature method_name: tensorflow/serving/predict"),
        ([ONE, ("examples", "other_input", "regress")], "INVALID_ARGUMENT", "Input tensor must be the same for all Signatures."),
        ([("no", "", "regress")], "NOT_FOUND", "Servable not found for request: Latest(no)"),
    ],
)  # fmt: skip
def test_what_cannot_be_inferred_together(server: Running, tasks: Any, code: str, message: str) -> None:
    """Tasks must be different, of one model, and of one input."""
    assert (code, message) == refused(lambda: infer(server, *tasks))
