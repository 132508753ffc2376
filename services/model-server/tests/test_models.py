"""What a server says of its models: status and metadata, over gRPC and REST."""

import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import httpx2
import pytest
from conftest import MODEL, OURS, PREDICTION, Running, Start, wait_until
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2

only_ours = pytest.mark.skipif(not OURS, reason="limits of this server only")

AVAILABLE = get_model_status_pb2.ModelVersionStatus.AVAILABLE


def status_request(name: str, version: int | None = None) -> get_model_status_pb2.GetModelStatusRequest:
    made = get_model_status_pb2.GetModelStatusRequest()
    made.model_spec.name = name
    if version is not None:
        made.model_spec.version.value = version
    return made


def metadata_request(name: str, *fields: str) -> get_model_metadata_pb2.GetModelMetadataRequest:
    made = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=fields)
    made.model_spec.name = name
    return made


def test_status_lists_versions_from_the_highest(server: Running) -> None:
    """All versions of a model, descending, each AVAILABLE and OK."""
    answer = server.status(status_request("half"))

    assert [(3, AVAILABLE, 0, ""), (1, AVAILABLE, 0, "")] == [
        (v.version, v.state, v.status.error_code, v.status.error_message) for v in answer.model_version_status
    ]


@pytest.mark.parametrize(
    ("asked", "code", "message"),
    [
        (get_model_status_pb2.GetModelStatusRequest(), "INVALID_ARGUMENT", "Missing ModelSpec"),
        (status_request("no"), "NOT_FOUND", "Could not find any versions of model no"),
        (status_request("half", 9), "NOT_FOUND", "Could not find version 9 of model half"),
    ],
)
def test_status_of_what_is_not_there(
    server: Running, asked: get_model_status_pb2.GetModelStatusRequest, code: str, message: str
) -> None:
    """A missing spec, model or version is said in TensorFlow Serving's words."""
    with pytest.raises(grpc.RpcError) as caught:
        server.status(asked)

    assert (code, message) == (caught.value.code().name, caught.value.details())


def test_metadata_has_all_signatures(server: Running) -> None:
    """The signature map names every signature with its tensors, and the spec has a version but no signature."""
    answer = server.metadata(metadata_request("two", "signature_def"))
    signatures = get_model_metadata_pb2.SignatureDefMap()
    answer.metadata["signature_def"].Unpack(signatures)

    assert ("two", 7, "") == (
        answer.model_spec.name, answer.model_spec.version.value, answer.model_spec.signature_name
    )  # fmt: skip
    assert {"serving_default", "other", "__saved_model_init_op"} == set(signatures.signature_def)
    assert {"numeric", "categorical"} == set(signatures.signature_def["serving_default"].inputs)


@pytest.mark.parametrize(
    ("asked", "code", "message"),
    [
        (
            metadata_request("half"),
            "INVALID_ARGUMENT",
            "GetModelMetadataRequest must specify at least one metadata_field",
        ),
        (metadata_request("half", "size"), "INVALID_ARGUMENT", "Metadata field size is not supported"),
        (
            get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"]),
            "INVALID_ARGUMENT",
            "Missing ModelSpec",
        ),
        (metadata_request("no", "signature_def"), "NOT_FOUND", "Servable not found for request: Latest(no)"),
    ],
)
def test_metadata_of_what_is_not_there(
    server: Running, asked: get_model_metadata_pb2.GetModelMetadataRequest, code: str, message: str
) -> None:
    """A bad metadata request is refused in TensorFlow Serving's words."""
    with pytest.raises(grpc.RpcError) as caught:
        server.metadata(asked)

    assert (code, message) == (caught.value.code().name, caught.value.details())


@pytest.mark.parametrize("method", [PREDICTION + "NoSuchCall", MODEL + "NoSuchCall", "/grpc.health.v1.Health/Check"])
def test_other_methods_are_unimplemented(server: Running, method: str) -> None:
    """What is not there, health checks without their flag included, is UNIMPLEMENTED."""
    with server.channel() as channel, pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary(method)(b"", timeout=20)

    assert grpc.StatusCode.UNIMPLEMENTED == caught.value.code()


OK = {"error_code": "OK", "error_message": ""}
THREE = {"version": "3", "state": "AVAILABLE", "status": OK}
ONE = {"version": "1", "state": "AVAILABLE", "status": OK}


@pytest.mark.parametrize(
    ("path", "code", "body"),
    [
        ("/v1/models/half", 200, {"model_version_status": [THREE, ONE]}),
        ("/v1/models/half/versions/1", 200, {"model_version_status": [ONE]}),
        ("/v1/models/half/labels/any", 200, {"model_version_status": [THREE, ONE]}),
        ("/V1/MODELS/half", 200, {"model_version_status": [THREE, ONE]}),
        ("/v1/models/no", 404, {"error": "Could not find any versions of model no"}),
        ("/v1/models/half/versions/9", 404, {"error": "Could not find version 9 of model half"}),
        (
            "/v1/models/half/versions/99999999999999999999",
            400,
            {"error": "Failed to convert version: 99999999999999999999 to numeric."},
        ),
        ("/v1/models", 400, {"error": "Missing model name in request."}),
        ("/v1/models/half/", 400, {"error": "Malformed request: GET /v1/models/half/"}),
        ("/v1/models/half?x=1", 400, {"error": "Malformed request: GET /v1/models/half?x=1"}),
    ],
)
def test_rest_status(server: Running, path: str, code: int, body: object) -> None:
    """The status route answers protobuf's JSON: numbers of versions as strings, states and codes by name."""
    answer = server.get(path)

    assert (code, body, "application/json") == (answer.status_code, answer.json(), answer.headers["content-type"])


def test_rest_outside_its_routes_is_not_found(server: Running) -> None:
    """Other paths are 404, other methods under /v1/ are malformed."""
    assert 404 == server.get("/").status_code
    assert (400, {"error": "Malformed request: PUT /v1/models/half"}) == (
        (answer := server.get("/v1/models/half", "PUT")).status_code,
        answer.json(),
    )


@contextmanager
def dialled(server: Running) -> Iterator[socket.socket]:
    """A bare connection to the REST port."""
    with socket.create_connection(("127.0.0.1", server.rest_port), timeout=20) as connection:
        yield connection


def everything(connection: socket.socket) -> bytes:
    """What the server says until it closes."""
    return b"".join(iter(lambda: connection.recv(65_536), b""))


@only_ours
@pytest.mark.parametrize(
    "header",
    [
        b"Content-Length: -1",
        b"Content-Length: 1x",
        b"Content-Length: 1\r\nContent-Length: 2",
    ],
)
def test_rest_without_a_clear_length_is_refused(server: Running, header: bytes) -> None:
    """Where the next request begins is then unknown: 400, and the connection ends."""
    with dialled(server) as connection:
        connection.sendall(b"POST /v1/models/half HTTP/1.1\r\nHost: a\r\n" + header + b"\r\n\r\n")

        assert b"HTTP/1.1 400" == everything(connection)[:12]


def test_rest_bodies_are_passed_over(server: Running) -> None:
    """A body larger than one piece is read and dropped, and the next request is found behind it."""
    size = 300_000
    with dialled(server) as connection:
        connection.sendall(f"POST /v1/models/half HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n".encode())
        connection.sendall(b"x" * size)
        connection.sendall(b"GET /v1/models/half/versions/1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        answers = everything(connection)

    assert [b"400", b"200"] == re.findall(rb"HTTP/1.1 (\d+)", answers)


def test_rest_preflight(server: Running) -> None:
    """OPTIONS is answered by the look of its Origin, with an empty body."""
    answers = [
        httpx2.request("OPTIONS", f"http://127.0.0.1:{server.rest_port}/v1/models/half", headers=headers, timeout=20)
        for headers in ({"Origin": "https://a.example"}, {"Origin": "a.example"}, {})
    ]

    assert [(200, b""), (400, b""), (400, b"")] == [(a.status_code, a.content) for a in answers]


@only_ours
def test_rest_connections_can_be_bounded_and_silent_ones_ended(start: Start, models: Path) -> None:
    """With our flags a third connection is told to come again; a silent one is closed and makes room."""
    flags = ("--ballpark_rest_connections=2", "--ballpark_rest_silence_seconds=1", "--ballpark_rest_body_bytes=10")
    with start(f"--model_base_path={models / 'half'}", *flags) as server:
        wait_until(lambda: asked(server, b"") == b"404", "room after the start's own connections")
        with dialled(server) as first, dialled(server) as second:
            wait_until(lambda: asked(server, b"") == b"503", "both to be accepted")
            assert (b"", b"") == (first.recv(1), second.recv(1))
            wait_until(lambda: asked(server, b"") == b"404", "room for another")
        assert b"413" == asked(server, b"x" * 11)


def asked(server: Running, body: bytes) -> bytes:
    """The status of one request over a connection of its own."""
    with dialled(server) as connection:
        head = f"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
        connection.sendall(head.encode() + body)
        return everything(connection)[9:12]
