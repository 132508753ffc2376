"""Section 13: REST: routes, codes, JSON both ways."""

import base64
import gzip
import json
import math
import socket
from pathlib import Path
from typing import Any

import pytest
from conftest import Running, Start

OK = {"error_code": "OK", "error_message": ""}
THREE = {"version": "3", "state": "AVAILABLE", "status": OK}
ONE = {"version": "1", "state": "AVAILABLE", "status": OK}


@pytest.mark.parametrize(
    ("method", "path", "code", "body"),
    [
        ("GET", "/v1/models/half", 200, {"model_version_status": [THREE, ONE]}),
        ("GET", "/v1/models/half/versions/1", 200, {"model_version_status": [ONE]}),
        ("GET", "/v1/models/half/labels/any", 200, {"model_version_status": [THREE, ONE]}),
        ("GET", "/V1/Models/half/VERSIONS/1", 200, {"model_version_status": [ONE]}),
        ("GET", "/v1/models/h%61lf/versions/01", 200, {"model_version_status": [ONE]}),
        ("GET", "/v1/models/no", 404, {"error": "Could not find any versions of model no"}),
        ("GET", "/v1/models/half/versions/9", 404, {"error": "Could not find version 9 of model half"}),
        ("GET", "/v1/models", 400, {"error": "Missing model name in request."}),
        ("GET", "/v1/models/half/", 400, {"error": "Malformed request: GET /v1/models/half/"}),
        ("GET", "/v1/models/half?x=1", 400, {"error": "Malformed request: GET /v1/models/half?x=1"}),
        ("GET", "/v1/models/half/versions/x", 400, {"error": "Malformed request: GET /v1/models/half/versions/x"}),
        ("GET", "/v1/models/half:predict", 400, {"error": "Malformed request: GET /v1/models/half:predict"}),
        ("GET", "/v1/other", 400, {"error": "Malformed request: GET /v1/other"}),
        ("PUT", "/v1/models/half", 400, {"error": "Malformed request: PUT /v1/models/half"}),
        ("POST", "/v1/models/half", 400, {"error": "Malformed request: POST /v1/models/half"}),
        ("POST", "/v1/models/half:PREDICT", 400, {"error": "Malformed request: POST /v1/models/half:PREDICT"}),
        ("POST", "/v1/models/half:run", 400, {"error": "Malformed request: POST /v1/models/half:run"}),
        ("DELETE", "/v1/models/half", 400, {"error": "Malformed request: DELETE /v1/models/half"}),
        (
            "GET", "/v1/models/half/versions/99999999999999999999", 400,
            {"error": "Failed to convert version: 99999999999999999999 to numeric."},
        ),
    ],
)  # fmt: skip
def test_routes(server: Running, method: str, path: str, code: int, body: object) -> None:
    """Paths match without case and with their query string; answers are JSON, errors too."""
    answer = server.get(path, method)

    assert (code, body, "application/json") == (answer.status_code, answer.json(), answer.headers["content-type"])


@pytest.mark.parametrize("path", ["/", "/v2/models/half", "/v1"])
def test_outside(server: Running, path: str) -> None:
    """Elsewhere is 404 with a page."""
    answer = server.get(path)

    assert (404, True) == (answer.status_code, "html" in answer.headers["content-type"])


def test_head(server: Running) -> None:
    """HEAD is malformed, and has no body."""
    answer = server.get("/v1/models/half", "HEAD")

    assert (400, b"") == (answer.status_code, answer.content)


@pytest.mark.parametrize(
    ("origin", "code"), [("https://a.example", 200), ("http://a", 200), ("a.example", 400), (None, 400)]
)
def test_preflight(server: Running, origin: str | None, code: int) -> None:
    """OPTIONS looks at the Origin alone, and has no body."""
    answer = server.get("/v1/models/half", "OPTIONS", **({} if origin is None else {"Origin": origin}))

    assert (code, b"") == (answer.status_code, answer.content)


CORS = ("access-control-allow-origin", "access-control-allow-methods", "access-control-allow-headers")


def test_cors(start: Start, models: Path, server: Running) -> None:
    """With the flag every answer has the three headers, without it none."""
    with start(f"--model_base_path={models / 'half'}", "--rest_api_enable_cors_support=true") as allowing:
        headers = allowing.get("/v1/models/default").headers
        assert ["*", "POST, GET", "Content-Type"] == [headers[name] for name in CORS]
    assert not set(CORS) & set(server.get("/v1/models/half").headers)


@pytest.mark.parametrize("path", ["/v1/models/two/metadata", "/v1/models/two/versions/7/metadata"])
def test_metadata(server: Running, path: str) -> None:
    """Protobuf's JSON with every field, int64 as text, and defaults in each signature."""
    body = server.get(path).json()
    definition = body["metadata"]["signature_def"]["signature_def"]["serving_default"]

    assert ("two", "", "7") == tuple(body["model_spec"][name] for name in ("name", "signature_name", "version"))
    assert {"dtype": "DT_FLOAT", "name": "serving_default_numeric:0"}.items() <= definition["inputs"]["numeric"].items()
    assert ([{"size": "-1", "name": ""}, {"size": "4", "name": ""}], {}) == (
        definition["inputs"]["numeric"]["tensor_shape"]["dim"], definition["defaults"]
    )  # fmt: skip


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("/v1/models/no/metadata", "Servable not found for request: Latest(no)"),
        ("/v1/models/two/versions/1/metadata", "Servable not found for request: Specific(two, 1)"),
    ],
)
def test_metadata_of_nothing(server: Running, path: str, error: str) -> None:
    """Errors of models are as for Predict."""
    answer = server.get(path)

    assert (404, {"error": error}) == (answer.status_code, answer.json())


RAW = base64.b64encode(b"\x00ab").decode()
ANSWERS: dict[str, tuple[str, Any, Any]] = {
    "rows": ("half", {"instances": [1.0, 2, 3e0]}, {"predictions": [{"y": 3.5, "z": 1.0}, {"y": 4.0, "z": 2.0}, {"y": 4.5, "z": 3.0}]}),
    "named rows": ("half", {"instances": [{"x": 1}, {"x": 2}]}, {"predictions": [{"y": 3.5, "z": 1.0}, {"y": 4.0, "z": 2.0}]}),
    "nested rows": ("rows", {"instances": [[1, 2], [3, 4]]}, {"predictions": [{"sum": 3.0, "width": 2}, {"sum": 7.0, "width": 2}]}),
    "columns": ("half", {"inputs": [1, 2]}, {"outputs": {"y": [3.5, 4.0], "z": [1.0, 2.0]}}),
    "named columns": ("half", {"inputs": {"x": [1, 2], "stranger": "x"}}, {"outputs": {"y": [3.5, 4.0], "z": [1.0, 2.0]}}),
    "scalar": ("half", {"inputs": 1}, {"outputs": {"y": 3.5, "z": 1.0}}),
    "empty": ("half", {"inputs": []}, {"outputs": {"y": [], "z": []}}),
    "one output": ("total", {"inputs": [1, 2]}, {"outputs": 5.0}),
    "several inputs": (
        "two", {"instances": [{"numeric": [1, 1, 1, 1], "categorical": [3, -1]}]},
        {"predictions": [{"codes": [3000, -1000], "known": [True, False], "product": [2.0, 2.0]}]},
    ),
    "several columns": (
        "two", {"inputs": {"numeric": [[1, 1, 1, 1]], "categorical": [[3, -1]]}},
        {"outputs": {"codes": [[3000, -1000]], "known": [[True, False]], "product": [[2.0, 2.0]]}},
    ),
    "signature": ("two", {"instances": [2], "signature_name": "other"}, {"predictions": [{"y": 3.0, "z": 2.0}]}),
    "unknown keys": ("total", {"inputs": [1], "other": {}}, {"outputs": 3.0}),
    "texts": ("words", {"instances": ["a", "\u00e9"]}, {"predictions": ["A", "\u00e9"]}),
    "base64": ("words", {"instances": [{"b64": base64.b64encode(b"abc").decode()}]}, {"predictions": ["ABC"]}),
    "base64 by name": ("words", {"instances": [{"word": {"b64": "YQ=="}}]}, {"predictions": ["A"]}),
    "base64 unpadded": ("words", {"inputs": {"b64": "YQ"}}, {"outputs": "A"}),
    "bytes out": ("texts", {"inputs": ["a"]}, {"outputs": {"plain": ["a"], "raw_bytes": [{"b64": "YQ=="}], "size": [1]}}),
    "bytes through": ("texts:raw", {"inputs": {"b64": RAW}}, {"b64": RAW}),
    "version": ("half/versions/1", {"instances": [0]}, {"predictions": [{"y": 2.0, "z": 0.0}]}),
    "huge number": ("half", {"instances": [1e39]}, {"predictions": [{"y": math.inf, "z": math.inf}]}),
    "int8 wraps": ("types", {"signature_name": "int8", "inputs": [300, -1]}, {"outputs": [44, -1]}),
    "uint8 wraps": ("types", {"signature_name": "uint8", "inputs": [256, 255]}, {"outputs": [0, 255]}),
    "int64": ("types", {"signature_name": "int64", "inputs": [9223372036854775807]}, {"outputs": [9223372036854775807]}),
    "uint64": ("types", {"signature_name": "uint64", "inputs": 18446744073709551615}, {"outputs": 18446744073709551615}),
    "uint32": ("types", {"signature_name": "uint32", "inputs": [4294967295]}, {"outputs": [4294967295]}),
    "bool": ("types", {"signature_name": "bool", "inputs": [True, False]}, {"outputs": [True, False]}),
    "double": ("types", {"signature_name": "float64", "inputs": [0.1, 1e300]}, {"outputs": [0.1, 1e300]}),
}  # fmt: skip


@pytest.mark.parametrize("case", ANSWERS)
def test_predict(server: Running, case: str) -> None:
    """Rows and columns, names, types, texts and bytes."""
    target, asked, expected = ANSWERS[case]
    path, _, part = target.partition(":")
    answer = server.post(f"/v1/models/{path}:predict", asked)
    body = answer.json()

    assert (200, expected) == (answer.status_code, body["outputs"]["raw_bytes"] if part else body)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("NaN", "NaN"), ("Infinity", "Infinity"), ("-Infinity", "-Infinity"), ("Inf", "Infinity"), ("-Inf", "-Infinity"),
        ("9000000", "9e+06"), ("0.00003", "3e-05"), ("0.5", "0.5"), ("7", "7.0"), ("0.1", "0.1"), ("16777217", "16777216.0"),
        ("1.2345678", "1.23456776"), ("1e-45", "1.4013e-45"), ("-0.0", "-0.0"),
    ],
)  # fmt: skip
def test_floats(server: Running, written: str, expected: str) -> None:
    """Six digits where they read back exactly, else nine; whole numbers get `.0`; NaN and infinities are bare."""
    body = f'{{"signature_name": "float32", "inputs": {written}}}'.encode()

    assert expected == server.post("/v1/models/types:predict", body).text.split(": ")[1].split("\n")[0]


WRONG = "Failed to process element: {} of 'instances' list. Error: INVALID_ARGUMENT: "
PLAIN = "{} is a plain {}, but expecting {} as multiple input tensors required as per tensorinfo_map"
ERRORS: dict[str, tuple[str, Any, str]] = {
    "empty": ("half", b"", "JSON Parse error: The document is empty"),
    "blank": ("half", b"  ", "JSON Parse error: The document is empty. at offset: 2"),
    "no JSON": ("half", b"hello", "JSON Parse error: Invalid value. at offset: 0"),
    "cut": ("half", b'{"instances": [1,', "JSON Parse error: Invalid value. at offset: 17"),
    "cut list": ("half", b'{"a": [1', "JSON Parse error: Missing a comma or ] after an array element. at offset: 8"),
    "cut object": ("half", b'{"a": 1', "JSON Parse error: Missing a comma or } after an object member. at offset: 7"),
    "no name": ("half", b"{1}", "JSON Parse error: Missing a name for object member. at offset: 1"),
    "no colon": ("half", b'{"a" 1}', "JSON Parse error: Missing a colon after a name of object member. at offset: 5"),
    "cut text": ("half", b'{"a', "JSON Parse error: Missing a closing quotation mark in string. at offset: 3"),
    "bad escape": ("half", b'{"\\x": 1}', "JSON Parse error: Invalid escape character in string. at offset: 2"),
    "too big": ("half", b'{"inputs": 1e400}', "JSON Parse error: Number too big to be stored in double. at offset: 11"),
    "no object": ("half", b"[]", "JSON Value: [] Is not object"),
    "model": ("no", {"instances": [1]}, "Servable not found for request: Latest(no)"),
    "neither": ("half", {}, "Missing 'inputs' or 'instances' key"),
    "signature": ("half", {"signature_name": "s"}, 'Serving signature name: "s" not found in signature def'),
    "plain rows": ("two", {"instances": [1]}, PLAIN.format("instances", "list", "list of objects")),
    "plain columns": ("two", {"inputs": [1]}, PLAIN.format("inputs", "value/list", "an object")),
    "object after values": ("half", {"instances": [1, {"x": 1}]}, "Expecting value/list but got object at item 1 of input list"),
    "values after object": ("half", {"instances": [{"x": 1}, 1]}, "Expecting object but got list at item 1 of input list"),
    "unknown name": (
        "half", {"instances": [{"a": 1}]},
        ("Failed to process element: 0 key: a of 'instances' list. Error: INVALID_ARGUMENT: JSON object: does not have "
        "named input: a"),
    ),
    "wrong type": ("half", {"instances": [1, "x"]}, WRONG.format(1) + 'JSON Value: "x" Type: String is not of expected type: float'),
    "text number": ("half", {"instances": ["1"]}, WRONG.format(0) + 'JSON Value: "1" Type: String is not of expected type: float'),
    "null": ("half", {"instances": [None]}, WRONG.format(0) + "JSON Value: null Type: Null is not of expected type: float"),
    "boolean": ("half", {"instances": [True]}, WRONG.format(0) + "JSON Value: true Type: True is not of expected type: float"),
    "decimal integer": (
        "types", {"signature_name": "int32", "inputs": [1.0]}, "JSON Value: 1.0 Type: Number is not of expected type: int32"
    ),
    "large integer": (
        "types", {"signature_name": "int32", "inputs": [2147483648]},
        "JSON Value: 2147483648 Type: Number is not of expected type: int32",
    ),
    "negative unsigned": (
        "types", {"signature_name": "uint32", "inputs": [-1]}, "JSON Value: -1 Type: Number is not of expected type: uint32"
    ),
    "number for text": ("words", {"inputs": [1]}, "JSON Value: 1 Type: Number is not of expected type: string"),
    "sizes": ("rows", {"instances": [[1, 2], [1]]}, WRONG.format(1) + "Expecting tensor size: 2 but got: 1"),
    "shapes": ("rows", {"instances": [[1, 2], [[1, 2]]]}, WRONG.format(1) + "Expecting shape [2] but got: [1,2]"),
    "ragged": ("half", {"inputs": [[1, 2], [3]]}, "Encountered list at unexpected size: 1 at level: 1 expected size: 2"),
    "shallow": ("half", {"inputs": [[1], 2]}, "JSON Value: 2 found at incorrect level: 2 in the JSON DOM. Expected at level: 2"),
    "deep": ("half", {"inputs": [1, [2]]}, "Encountered list at unexpected level: 1 expected < 1"),
    "missing column": ("two", {"inputs": {"numeric": [[1]]}}, "Missing named input: categorical in 'inputs' object."),
    "base64": ("words", {"inputs": [{"b64": "*"}]}, "Unable to base64 decode"),
    "rows of a scalar": ("total", {"instances": [1, 2]}, "Tensor name: total has no shape information "),
    "rows that differ": ("mixed", {"instances": [1, 2]}, "Tensor name: first has inconsistent batch size: 1 expecting: 2"),
}  # fmt: skip


@pytest.mark.parametrize("case", ERRORS)
def test_what_is_refused(server: Running, case: str) -> None:
    """The message alone, untruncated, and 400 (404 for a model that is not there)."""
    model, asked, message = ERRORS[case]
    answer = server.post(f"/v1/models/{model}:predict", asked)

    assert (404 if case == "model" else 400, message) == (answer.status_code, answer.json()["error"])


@pytest.mark.parametrize(
    ("asked", "begins", "ends"),
    [
        ({"signature_name": 1}, "JSON Value: {", "} not formatted correctly. 'signature_name' key must be a string value."),
        (
            {"instances": [1], "inputs": [1]}, "JSON Value: {",
            "} Not formatted correctly expecting only one of 'inputs' or 'instances' keys to exist ",
        ),
        ({"instances": 1}, "JSON Value: {", "} Expecting 'instances' to be an list/array"),
        ({"instances": []}, "JSON Value: {", "} No values in 'instances' array"),
        (
            {"instances": [{}]}, "Failed to process element: 0 of 'instances' list. JSON object: {",
            "} keys must be equal to: x",
        ),
        ({"inputs": {"x": [{"b": 1}]}}, "JSON Value: {", "} Type: Object is not of expected type: float"),
    ],
)  # fmt: skip
def test_messages_that_show_an_object(server: Running, asked: Any, begins: str, ends: str) -> None:
    """The object stands in the middle, however it is laid out."""
    message = server.post("/v1/models/half:predict", asked).json()["error"]

    assert (True, True) == (message.startswith(begins), message.endswith(ends))


def test_objects_that_are_no_base64(server: Running) -> None:
    """Among texts an object must have the one key."""
    message = server.post("/v1/models/words:predict", {"inputs": {"word": [{"b64": 1}]}}).json()["error"]

    assert message.endswith("not formatted correctly for base64 data")


@pytest.mark.parametrize(
    ("signature", "name"),
    [("float16", "half"), ("bfloat16", "bfloat16"), ("complex64", "complex64"), ("uint16", "uint16")],
)
def test_types_without_json(server: Running, signature: str, name: str) -> None:
    """501 by column; by row it is wrapped, and 400."""
    column = server.post("/v1/models/types:predict", {"signature_name": signature, "inputs": [1]})
    row = server.post("/v1/models/types:predict", {"signature_name": signature, "instances": [1]})
    message = f"Conversion of JSON Value: 1 to type: {name}"

    assert (501, message) == (column.status_code, column.json()["error"])
    assert (400, f"Failed to process element: 0 of 'instances' list. Error: UNIMPLEMENTED: {message}") == (
        row.status_code, row.json()["error"]
    )  # fmt: skip


def test_trailing_text_is_ignored(server: Running) -> None:
    """What follows the object does not matter, nor does the content type."""
    answer = server.post("/v1/models/total:predict", b'{"inputs": [1]} and more', Content_Type="text/plain")

    assert (200, {"outputs": 3.0}) == (answer.status_code, answer.json())


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (gzip.compress(b'{"inputs": [1]}'), 200),
        (gzip.compress(b'{"inputs": [1]}')[:-10], 400),
        (b'{"inputs": [1]}', 400),
        (gzip.compress(b" " * (100 << 20) + b'{"inputs": [1]}'), 400),
    ],
    ids=["whole", "cut", "plain", "too large"],
)
def test_compressed_requests(server: Running, body: bytes, code: int) -> None:
    """They are unpacked, up to 100 MiB; what does not unpack is empty; answers are never compressed."""
    answer = server.post("/v1/models/total:predict", body, Content_Encoding="gzip", Accept_Encoding="gzip")

    assert (code, False) == (answer.status_code, "content-encoding" in answer.headers)
    assert answer.json() in ({"outputs": 3.0}, {"error": "JSON Parse error: The document is empty"})


EXAMPLES: dict[str, tuple[str, Any, Any]] = {
    "classify": ("classify", {"examples": [{"x": 0.25}, {}]}, {"results": [[["no", 0.75], ["yes", 0.25]], [["no", 0.5], ["yes", 0.5]]]}),
    "scores": ("classify", {"signature_name": "scores", "examples": [{"x": [0.25]}]}, {"results": [[["", 0.75], ["", 0.25]]]}),
    "regress": ("regress", {"signature_name": "regress", "examples": [{"x": 0.25}]}, {"results": [0.5]}),
    "context": ("regress", {"signature_name": "regress", "context": {"x": 3.0}, "examples": [{}]}, {"results": [6.0]}),
}  # fmt: skip


@pytest.mark.parametrize("case", EXAMPLES)
def test_examples(server: Running, case: str) -> None:
    """Objects are examples: text, decimal and whole numbers are their three kinds."""
    verb, asked, expected = EXAMPLES[case]
    answer = server.post(f"/v1/models/examples:{verb}", asked)

    assert (200, expected) == (answer.status_code, answer.json())


@pytest.mark.parametrize(
    ("asked", "ends"),
    [
        ({}, "When method is classify, key 'examples' is expected and was not found"),
        ({"examples": 1}, "Expecting 'examples' value to be an list/array"),
        ({"examples": []}, "'examples' value is an empty array"),
        ({"examples": [1]}, "Example must be JSON object but got JSON Number"),
        ({"examples": [{"x": None}]}, "Feature: x has element with unexpected JSON type: Null"),
        ({"examples": [{"x": [[1]]}]}, "Feature: x has element with unexpected JSON type: Array"),
        ({"examples": [{"x": [1.0, "a"]}]}, "Unexpected element type in feature: x expecting type: float"),
        ({"examples": [{"x": 1 << 63}]}, "Feature: x has uint64 element. Only int64 is supported."),
        ({"signature_name": "gone", "examples": [{}]}, "No signature was found with the name: gone"),
    ],
)
def test_examples_that_are_none(server: Running, asked: Any, ends: str) -> None:
    """What cannot become an example is refused."""
    answer = server.post("/v1/models/examples:classify", asked)

    assert (400, True) == (answer.status_code, answer.json()["error"].endswith(ends))


def test_connections_are_kept(server: Running) -> None:
    """HTTP/1.1: one connection serves request after request."""
    with socket.create_connection(("127.0.0.1", server.rest_port), timeout=20) as connection:
        for _ in range(3):
            connection.sendall(b"GET /v1/models/total HTTP/1.1\r\nHost: a\r\n\r\n")
            answer = b""
            while b"model_version_status" not in answer or not answer.rstrip().endswith(b"}"):
                answer += connection.recv(65_536)
            assert answer.startswith(b"HTTP/1.1 200 ")


def test_chunked_bodies(server: Running) -> None:
    """A body in chunks is put together."""
    body = json.dumps({"inputs": [1]}).encode()
    with socket.create_connection(("127.0.0.1", server.rest_port), timeout=20) as connection:
        head = b"POST /v1/models/total:predict HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
        chunks = b"".join(b"1\r\n" + body[i : i + 1] + b"\r\n" for i in range(len(body))) + b"0\r\n\r\n"
        connection.sendall(head + chunks)
        answer = b"".join(iter(lambda: connection.recv(65_536), b""))

    assert (b"HTTP/1.1 200", True) == (answer[:12], b'"outputs": 3.0' in answer)
