"""Section 3: the model config, as a file at the start and as a call, with its checks in their order."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import MODEL, Running, Start, arrays, config_of, floats, refused, request, run_to_end
from google.protobuf import text_format
from tensorflow_serving.apis import model_management_pb2

ONE = "config {{ name: 'a' base_path: '{path}' model_platform: 'tensorflow' }}"
LABEL = "config { name: 'a' base_path: '/a' model_platform: 'tensorflow' version_labels { key: 'best' value: 2 } }"
NEITHER = (
    "Illegal setting neither ModelServerConfig::model_type (deprecated) nor ModelServerConfig::model_platform, model "
    "name is a"
)
UNAVAILABLE = "Request to assign label to version 2 of model a, which is not currently available for inference"
CHECKS = {
    "twice": (
        ONE.format(path="/a") + ONE.format(path="/b"),
        "INVALID_ARGUMENT",
        "Illegal to list model a multiple times in config list",
    ),
    "relative": (
        ONE.format(path="a/b"),
        "INVALID_ARGUMENT",
        "Expected model a to have an absolute path or URI; got base_path()=a/b",
    ),
    "label": (LABEL, "FAILED_PRECONDITION", UNAVAILABLE),
    "no platform": ("config { name: 'a' base_path: '/a' }", "INVALID_ARGUMENT", NEITHER),
    "platform": (
        "config { name: 'a' base_path: '/a' model_platform: 'caffe' }",
        "INVALID_ARGUMENT",
        "Model a requests unsupported platform caffe",
    ),
    "twice before relative": (
        ONE.format(path="a") + ONE.format(path="a"),
        "INVALID_ARGUMENT",
        "Illegal to list model a multiple times in config list",
    ),
    "relative before label": (
        LABEL.replace("/a", "a"),
        "INVALID_ARGUMENT",
        "Expected model a to have an absolute path or URI; got base_path()=a",
    ),
    "label before platform": (LABEL.replace("tensorflow", "caffe"), "FAILED_PRECONDITION", UNAVAILABLE),
}


@pytest.fixture(scope="module")
def live(start: Start, models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server that is told other configs."""
    path = tmp_path_factory.mktemp("live") / "models.config"
    path.write_text(config_of(models / "half"))
    with start(f"--model_config_file={path}") as running:
        yield running


def reload(server: Running, text: str) -> model_management_pb2.ReloadConfigResponse:
    asked = model_management_pb2.ReloadConfigRequest()
    text_format.Parse(text, asked.config)
    return server.call(MODEL + "HandleReloadConfigRequest", asked, model_management_pb2.ReloadConfigResponse)


@pytest.mark.parametrize("case", CHECKS)
def test_a_file_at_the_start(tmp_path: Path, case: str) -> None:
    """A bad list ends the process with TensorFlow Serving's reason."""
    text, code, message = CHECKS[case]
    path = tmp_path / "models.config"
    path.write_text(f"model_config_list {{ {text} }}")

    assert (255, f"Failed to start server. Error: {code}: {message}\n") == run_to_end(f"--model_config_file={path}")


@pytest.mark.parametrize("case", CHECKS)
def test_a_call(live: Running, case: str) -> None:
    """The same list by a call is refused with the same code and words, and changes nothing."""
    text, code, message = CHECKS[case]

    assert (code, message) == refused(lambda: reload(live, f"model_config_list {{ {text} }}"))
    assert [3.0] == arrays(live.predict(request("half", {"x": floats(0)})))["y"]


def test_a_changed_platform(live: Running, models: Path) -> None:
    """A model that is known keeps its platform."""
    text = config_of(models / "half").replace("'tensorflow'", "'other'")

    assert (
        "INVALID_ARGUMENT",
        "Illegal to change a model's platform. For model half platform was tensorflow and new platform requested is other",
    ) == refused(lambda: reload(live, text))


@pytest.mark.parametrize(
    "text",
    ["", "custom_model_config { type_url: 'type.googleapis.com/google.protobuf.Empty' }"],
    ids=["none", "custom"],
)
def test_another_kind_of_config(live: Running, text: str) -> None:
    """Only lists are taken by a call."""
    assert (
        "INVALID_ARGUMENT",
        "ServerModelConfig type not supported by HandleReloadConfigRequest. Only ModelConfigList is currently supported",
    ) == refused(lambda: reload(live, text))


FORMS = {
    "commas": 'model_config_list: {{ config: {{ name: "m", base_path: "{path}", model_platform: "tensorflow" }}, }}',
    "comments": "# of models\nmodel_config_list {{ config {{ name: 'm' base_path: '{path}' model_platform: 'tensorflow' }} }}",
    "type": "model_config_list {{ config {{ name: 'm' base_path: '{path}' model_type: TENSORFLOW }} }}",
    "policy": (
        "model_config_list {{ config {{ name: 'm' base_path: '{path}' model_platform: 'tensorflow' "
        "model_version_policy {{ latest {{ num_versions: 1 }} }} logging_config {{ }} }} }}"
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_how_a_list_may_be_written(start: Start, models: Path, tmp_path: Path, form: str) -> None:
    """Commas, colons, comments, and the deprecated type instead of a platform."""
    path = tmp_path / "models.config"
    path.write_text(FORMS[form].format(path=models / "half"))
    with start(f"--model_config_file={path}") as server:
        assert [3.0] == arrays(server.predict(request("m", {"x": floats(0)})))["y"]
