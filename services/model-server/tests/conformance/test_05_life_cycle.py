"""Section 5: transitions, labels, reload and status."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from conftest import (
    MODEL,
    PREDICTION,
    Running,
    Start,
    arrays,
    config_of,
    floats,
    publish,
    refused,
    request,
    running_calls,
    states,
    wait_until,
)
from google.protobuf import text_format
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2, model_management_pb2

ASKED = {"x": floats(0)}
QUICK = ("--max_num_load_retries=0", "--load_retry_interval_micros=0")
ALLOW = "--allow_version_labels_for_unavailable_models=true"
ALL = "model_version_policy { all {} }"


def label(name: str, version: int) -> str:
    return f" version_labels {{ key: '{name}' value: {version} }}"


def reload_request(text: str, *metrics: str) -> model_management_pb2.ReloadConfigRequest:
    asked = model_management_pb2.ReloadConfigRequest(metric_names=metrics)
    text_format.Parse(text, asked.config)
    return asked


def reload(server: Running, text: str, *metrics: str, timeout: float = 30) -> Any:
    kind = model_management_pb2.ReloadConfigResponse
    return server.call(MODEL + "HandleReloadConfigRequest", reload_request(text, *metrics), kind, timeout)


@pytest.fixture(scope="module")
def library(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The base path of `half`, with versions 1 and 3."""
    base = tmp_path_factory.mktemp("library") / "half"
    publish(models / "half" / "1", base, 1)
    publish(models / "half" / "00000003", base, 3)
    return base


@pytest.fixture(scope="module")
def labelled(start: Start, library: Path) -> Iterator[Running]:
    """A server whose labels are given by calls."""
    path = library.parent / "models.config"
    path.write_text(config_of(library, more=ALL))
    with start(f"--model_config_file={path}", *QUICK) as running:
        wait_until(lambda: {1: "AVAILABLE", 3: "AVAILABLE"} == states(running, "half"), "both versions")
        yield running


def test_a_label_names_a_version(labelled: Running, library: Path) -> None:
    """A label given to an available version can be asked for; the answer has the number and no label."""
    assert 0 == reload(labelled, config_of(library, more=ALL + label("old", 1))).status.error_code
    answer = labelled.predict(request("half", ASKED, label="old"))

    assert ([2.0], 1, "") == (arrays(answer)["y"], answer.model_spec.version.value, answer.model_spec.version_label)


def test_a_label_moves(labelled: Running, library: Path) -> None:
    """The table is swapped whole."""
    reload(labelled, config_of(library, more=ALL + label("best", 1)))
    reload(labelled, config_of(library, more=ALL + label("best", 3)))

    assert 3 == labelled.predict(request("half", ASKED, label="best")).model_spec.version.value


def test_a_label_that_is_left_out_disappears(labelled: Running, library: Path) -> None:
    """What the new list does not have, nobody can ask for."""
    reload(labelled, config_of(library, more=ALL + label("a", 1) + label("b", 3)))
    reload(labelled, config_of(library, more=ALL + label("b", 3)))

    assert ("INVALID_ARGUMENT", "Unrecognized servable version label: a") == labelled.refusal(
        request("half", ASKED, label="a")
    )
    assert 3 == labelled.predict(request("half", ASKED, label="b")).model_spec.version.value


def test_a_label_for_a_version_that_is_not_there(labelled: Running, library: Path) -> None:
    """It is refused, and the labels stay as they were."""
    reload(labelled, config_of(library, more=ALL + label("b", 3)))
    message = "Request to assign label to version 9 of model half, which is not currently available for inference"

    assert ("FAILED_PRECONDITION", message) == refused(
        lambda: reload(labelled, config_of(library, more=ALL + label("c", 9)))
    )
    assert 3 == labelled.predict(request("half", ASKED, label="b")).model_spec.version.value


def test_metadata_by_label(labelled: Running, library: Path) -> None:
    """Labels hold for metadata, too."""
    reload(labelled, config_of(library, more=ALL + label("old", 1)))
    asked = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    asked.model_spec.name, asked.model_spec.version_label = "half", "old"

    assert 1 == labelled.metadata(asked).model_spec.version.value


def test_status_ignores_labels(labelled: Running) -> None:
    """All versions are listed, whatever the label."""
    asked = get_model_status_pb2.GetModelStatusRequest()
    asked.model_spec.name, asked.model_spec.version_label = "half", "nobody"

    assert [3, 1] == [version.version for version in labelled.status(asked).model_version_status]


def test_labels_at_the_start_need_their_flag(start: Start, library: Path, tmp_path: Path) -> None:
    """With it a new label may name any version, and one without a version is NOT_FOUND, not a fallback."""
    path = tmp_path / "models.config"
    path.write_text(config_of(library, more=ALL + label("old", 1) + label("next", 9)))
    with start(f"--model_config_file={path}", ALLOW, *QUICK) as server:
        wait_until(lambda: states(server, "half").get(1) == "AVAILABLE", "version 1")
        assert 1 == server.predict(request("half", ASKED, label="old")).model_spec.version.value
        assert ("NOT_FOUND", "Servable not found for request: Specific(half, 9)") == server.refusal(
            request("half", ASKED, label="next")
        )
        assert ("FAILED_PRECONDITION", True) == (
            (bad := refused(lambda: reload(server, config_of(library, more=ALL + label("old", 8)))))[0],
            "version 8 of model half" in bad[1],
        )
        assert 0 == reload(server, config_of(library, more=ALL + label("new", 8))).status.error_code
        assert 0 == reload(server, config_of(library, more=ALL + label("new", 3))).status.error_code


@pytest.fixture
def live(start: Start, models: Path, tmp_path: Path) -> Iterator[tuple[Running, Path]]:
    """A server with `half` in version 1, and the folder of its base path."""
    publish(models / "half" / "1", tmp_path / "half", 1)
    path = tmp_path / "models.config"
    path.write_text(config_of(tmp_path / "half"))
    with start(f"--model_config_file={path}", "--num_load_threads=1", *QUICK) as running:
        yield running, tmp_path


def test_a_reload_waits_for_new_models(live: tuple[Running, Path], models: Path) -> None:
    """When the call returns, the model whose name is new answers."""
    server, folder = live
    publish(models / "words" / "1", folder / "words", 1)

    assert 0 == reload(server, config_of(folder / "half", folder / "words")).status.error_code
    assert {1: "AVAILABLE"} == states(server, "words")


def test_a_model_that_is_left_out_goes(live: tuple[Running, Path], models: Path) -> None:
    """It is unloaded in the background, and its status stays, all at END."""
    server, folder = live
    publish(models / "words" / "1", folder / "words", 1)
    reload(server, config_of(folder / "words"))
    wait_until(lambda: {1: "END"} == states(server, "half"), "the end of the model")

    assert ("NOT_FOUND", "Servable not found for request: Latest(half)") == server.refusal(request("half", ASKED))


def test_a_model_comes_back(live: tuple[Running, Path]) -> None:
    """Left out and listed again, it is new, and the call waits for it."""
    server, folder = live
    reload(server, "model_config_list {}")
    wait_until(lambda: {1: "END"} == states(server, "half"), "the end of the model")
    reload(server, config_of(folder / "half"))

    assert [2.0] == arrays(server.predict(request("half", ASKED)))["y"]


def test_an_empty_list_unloads_everything(live: tuple[Running, Path]) -> None:
    """It is a list, and so it is accepted."""
    server, _ = live

    assert 0 == reload(server, "model_config_list {}").status.error_code
    wait_until(lambda: {1: "END"} == states(server, "half"), "the end of the model")


def test_another_policy_is_not_waited_for(live: tuple[Running, Path], models: Path) -> None:
    """Of a model that is known, other versions come up after the call."""
    server, folder = live
    publish(models / "half" / "00000003", folder / "half", 0)
    reload(server, config_of(folder / "half", more=ALL))
    wait_until(lambda: {0: "AVAILABLE", 1: "AVAILABLE"} == states(server, "half"), "both versions")


def test_another_base_path(live: tuple[Running, Path], models: Path) -> None:
    """A model that is known may move; the version of the same number stays as it was loaded."""
    server, folder = live
    publish(models / "half" / "00000003", folder / "moved", 5)
    reload(server, config_of(folder / "moved").replace("name: 'moved'", "name: 'half'"))
    wait_until(lambda: {5: "AVAILABLE", 1: "END"} == states(server, "half"), "the version of the other folder")


def test_a_new_model_that_fails(live: tuple[Running, Path]) -> None:
    """The call fails with the reason, and the config stays in force."""
    server, folder = live
    (folder / "bad" / "1").mkdir(parents=True)
    code, message = refused(lambda: reload(server, config_of(folder / "half", folder / "bad")))

    assert ("UNKNOWN", True) == (
        code, message.startswith("1 model(s) did not become available: {{name: bad version: 1} due to error: NOT_FOUND: ")
    )  # fmt: skip
    assert {1: "END"} == states(server, "bad")
    assert {1: "AVAILABLE"} == states(server, "half")


def test_a_new_model_without_a_base_path_blocks_reloads(live: tuple[Running, Path], models: Path) -> None:
    """The call does not return, nor does the next one, until the folder appears."""
    server, folder = live
    missing, same = config_of(folder / "half", folder / "later"), config_of(folder / "half")

    assert "DEADLINE_EXCEEDED" == refused(lambda: reload(server, missing, timeout=1))[0]
    assert "DEADLINE_EXCEEDED" == refused(lambda: reload(server, same, timeout=1))[0]
    assert [2.0] == arrays(server.predict(request("half", ASKED)))["y"]
    publish(models / "words" / "1", folder / "later", 1)
    wait_until(lambda: states(server, "later") != {}, "the late model")
    assert 0 == reload(server, same).status.error_code


def test_metrics_of_a_reload(live: tuple[Running, Path]) -> None:
    """Each metric that was asked for is answered with its increase."""
    server, folder = live
    name = "/tensorflow/serving/request_count"
    answer = reload(server, config_of(folder / "half"), name)

    assert [(name, 0)] == [(metric.name, metric.int64_value_increase) for metric in answer.metric]


def test_a_polled_file(start: Start, models: Path, tmp_path: Path) -> None:
    """Another list is taken from the file; a file that does not parse, or is refused, changes nothing."""
    publish(models / "half" / "1", tmp_path / "half", 1)
    publish(models / "words" / "1", tmp_path / "words", 1)
    path = tmp_path / "models.config"
    path.write_text(config_of(tmp_path / "half"))
    with start(f"--model_config_file={path}", "--model_config_file_poll_wait_seconds=1", *QUICK) as server:
        path.write_text("no { text")
        wait_until(lambda: b"Failed to read ModelServerConfig file" in server.log.read_bytes(), "a bad look")
        assert [2.0] == arrays(server.predict(request("half", ASKED)))["y"]
        path.write_text(config_of(tmp_path / "half", tmp_path / "words"))
        wait_until(lambda: {1: "AVAILABLE"} == states(server, "words"), "the new model")


def test_first_models_after_an_empty_start(start: Start, models: Path, tmp_path: Path) -> None:
    """A server that started without a list takes one later."""
    publish(models / "half" / "1", tmp_path / "half", 1)
    path = tmp_path / "models.config"
    path.write_text("")
    with start(f"--model_config_file={path}", *QUICK) as server:
        assert 0 == reload(server, config_of(tmp_path / "half")).status.error_code
        assert [2.0] == arrays(server.predict(request("half", ASKED)))["y"]
        assert ("INVALID_ARGUMENT", "Unrecognized servable version label: l") == server.refusal(
            request("half", ASKED, label="l")
        )


def test_a_version_is_held_to_the_end_of_its_calls(start: Start, models: Path, tmp_path: Path) -> None:
    """A call that runs keeps its version in memory; new calls do not find it; the next version is reported after it only."""
    base = tmp_path / "loop"
    publish(models / "loop" / "1", base, 1)
    with start(f"--model_base_path={base}", "--model_name=loop", *QUICK) as server, server.channel() as channel:
        turns = request("loop", {"turns": np.full(1, 2_000_000, np.int32)}).SerializeToString()
        call = channel.unary_unary(PREDICTION + "Predict").future(turns, timeout=100)
        wait_until(lambda: running_calls(server), "the call")
        publish(models / "loop" / "1", base, 2)
        short = request("loop", {"turns": np.full(1, 1, np.int32)})
        wait_until(lambda: 2 == server.predict(short).model_spec.version.value, "the next version")
        during = states(server, "loop")
        in_time = not call.done()
        assert call.result(100)
        assert (True, {2: "LOADING", 1: "AVAILABLE"}) == (in_time, during)
        wait_until(lambda: {2: "AVAILABLE", 1: "END"} == states(server, "loop"), "the change of versions")


def test_states_while_a_load_is_tried_again(start: Start, models: Path, tmp_path: Path) -> None:
    """While tries are left the state is LOADING and OK."""
    base = tmp_path / "half"
    publish(models / "half" / "1", base, 1)
    flags = ("--max_num_load_retries=9", "--load_retry_interval_micros=60000000", "--num_load_threads=1")
    with start(f"--model_base_path={base}", "--model_name=half", *flags) as server:
        (base / "2").mkdir()
        wait_until(lambda: b"Could not find SavedModel" in server.log.read_bytes(), "the first failure")
        asked = get_model_status_pb2.GetModelStatusRequest()
        asked.model_spec.name = "half"
        found = server.status(asked).model_version_status
        assert [(2, 20, 0, ""), (1, 30, 0, "")] == [
            (v.version, v.state, v.status.error_code, v.status.error_message) for v in found
        ]
        shutil.rmtree(base / "2")
        wait_until(lambda: {2: "END", 1: "AVAILABLE"} == states(server, "half"), "the end of the tries")


def test_a_failed_version_says_why(live: tuple[Running, Path]) -> None:
    """END with a code and a message."""
    server, folder = live
    (folder / "half" / "9").mkdir()
    wait_until(lambda: states(server, "half").get(9) == "END", "the failure")
    asked = get_model_status_pb2.GetModelStatusRequest()
    asked.model_spec.name = "half"
    asked.model_spec.version.value = 9
    (found,) = server.status(asked).model_version_status

    assert (5, True) == (found.status.error_code, found.status.error_message.startswith("Could not find SavedModel"))


@pytest.mark.parametrize(
    ("name", "version", "code", "message"),
    [
        (None, None, "INVALID_ARGUMENT", "Missing ModelSpec"),
        ("no", None, "NOT_FOUND", "Could not find any versions of model no"),
        ("half", 9, "NOT_FOUND", "Could not find version 9 of model half"),
    ],
)
def test_status_of_what_is_not_there(
    labelled: Running, name: str | None, version: int | None, code: str, message: str
) -> None:
    """A missing spec, model or version is said in these words."""
    asked = get_model_status_pb2.GetModelStatusRequest()
    if name is not None:
        asked.model_spec.name = name
    if version is not None:
        asked.model_spec.version.value = version

    assert (code, message) == refused(lambda: labelled.status(asked))


def test_status_is_from_the_highest(labelled: Running) -> None:
    """Versions are listed in descending order."""
    asked = get_model_status_pb2.GetModelStatusRequest()
    asked.model_spec.name = "half"

    assert [(3, 30), (1, 30)] == [(v.version, v.state) for v in labelled.status(asked).model_version_status]


def test_no_call_fails_while_versions_change(live: tuple[Running, Path], models: Path) -> None:
    """A caller that names no version is answered all the time by one version or the other."""
    server, folder = live
    asked = request("half", ASKED).SerializeToString()
    with server.channel() as channel:
        method = channel.unary_unary(PREDICTION + "Predict")
        publish(models / "half" / "00000003", folder / "half", 3)

        def is_over() -> bool:
            method(asked, timeout=20)
            return states(server, "half") == {3: "AVAILABLE", 1: "END"}

        wait_until(is_over, "the change of versions")


def test_other_calls_of_the_service_are_not_there(labelled: Running) -> None:
    """A method that nobody has is UNIMPLEMENTED."""
    with labelled.channel() as channel, pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary(MODEL + "NoSuchCall")(b"", timeout=20)

    assert grpc.StatusCode.UNIMPLEMENTED == caught.value.code()
