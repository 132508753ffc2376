"""Section 7: GetModelMetadata."""

import pytest
from conftest import Running, refused
from tensorflow_serving.apis import get_model_metadata_pb2


def asked(name: str | None, *fields: str, version: int | None = None) -> get_model_metadata_pb2.GetModelMetadataRequest:
    made = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=fields)
    if name is not None:
        made.model_spec.name = name
    if version is not None:
        made.model_spec.version.value = version
    return made


@pytest.mark.parametrize(
    ("request_", "code", "message"),
    [
        (asked("half"), "INVALID_ARGUMENT", "GetModelMetadataRequest must specify at least one metadata_field"),
        (asked("half", "size"), "INVALID_ARGUMENT", "Metadata field size is not supported"),
        (asked("half", "signature_def", "size"), "INVALID_ARGUMENT", "Metadata field size is not supported"),
        (asked(None, "signature_def"), "INVALID_ARGUMENT", "Missing ModelSpec"),
        (asked("", "signature_def"), "INVALID_ARGUMENT", "ModelSpec has no name specified."),
        (asked("no", "signature_def"), "NOT_FOUND", "Servable not found for request: Latest(no)"),
        (asked("half", "signature_def", version=9), "NOT_FOUND", "Servable not found for request: Specific(half, 9)"),
    ],
)
def test_what_is_refused(server: Running, request_: object, code: str, message: str) -> None:
    """Fields and models that are missing or unknown."""
    assert (code, message) == refused(lambda: server.metadata(request_))


def signatures(answer: get_model_metadata_pb2.GetModelMetadataResponse) -> get_model_metadata_pb2.SignatureDefMap:
    found = get_model_metadata_pb2.SignatureDefMap()
    assert answer.metadata["signature_def"].Unpack(found)
    return found


def test_all_signatures(server: Running) -> None:
    """Every signature of the SavedModel is there, the one that initialises it included."""
    found = signatures(server.metadata(asked("two", "signature_def")))

    assert {"serving_default", "other", "__saved_model_init_op"} == set(found.signature_def)
    assert {"numeric", "categorical"} == set(found.signature_def["serving_default"].inputs)


def test_the_spec(server: Running) -> None:
    """Name and number, but no signature."""
    spec = server.metadata(asked("half", "signature_def", version=1)).model_spec

    assert ("half", 1, "") == (spec.name, spec.version.value, spec.signature_name)


def test_defaults(server: Running) -> None:
    """Defaults of inputs are told."""
    found = signatures(server.metadata(asked("filled", "signature_def")))

    assert ["numeric"] == list(found.signature_def["serving_default"].defaults)
