"""Section 2: nothing listens until every model is up."""

from pathlib import Path

import pytest
from conftest import (
    Start,
    accepts,
    arrays,
    config_of,
    copy_of,
    end,
    floats,
    free_port,
    publish,
    refused,
    request,
    run_to_end,
    spawn,
    states,
    wait_until,
)

ONCE = ("--max_num_load_retries=0", "--load_retry_interval_micros=0")
FAILED = "Failed to start server. Error: UNKNOWN: 1 servable(s) did not become available: {{name: half version: "


@pytest.mark.parametrize("present", [True, False], ids=["empty", "missing"])
def test_ports_stay_closed_until_there_is_a_version(models: Path, tmp_path: Path, present: bool) -> None:
    """A base path that is empty or missing is waited for; when a version appears, both ports open."""
    base = tmp_path / "half"
    if present:
        base.mkdir()
    ports = (free_port(), free_port())
    process = spawn([f"--model_base_path={base}"], tmp_path / "log", ports)
    try:
        wait_until(lambda: b"half" in (tmp_path / "log").read_bytes(), "a word about the base path")
        assert [False, False] == [accepts(port) for port in ports]
        publish(models / "half" / "1", base, 1)
        wait_until(lambda: all(accepts(port) for port in ports), "the ports")
    finally:
        end(process)


def test_a_missing_base_path_keeps_every_model_waiting(models: Path, tmp_path: Path) -> None:
    """Nothing opens for the model that is there, either."""
    config = tmp_path / "models.config"
    config.write_text(config_of(models / "half", tmp_path / "later"))
    port, log = free_port(), tmp_path / "log"
    process = spawn([f"--model_config_file={config}"], log, (port, 0))
    try:
        wait_until(lambda: log.read_bytes().count(b"later") >= 2, "two looks")
        assert not accepts(port)
        publish(models / "words" / "1", tmp_path / "later", 1)
        wait_until(lambda: accepts(port), "the port")
    finally:
        end(process)


@pytest.mark.parametrize("retries", [0, 2])
def test_a_load_that_fails_ends_the_start(models: Path, tmp_path: Path, retries: int) -> None:
    """After all tries the process says which version failed and why."""
    base = copy_of(models, "half", tmp_path)
    (base / "00000003" / "variables" / "variables.data-00000-of-00001").unlink()
    flags = (f"--max_num_load_retries={retries}", "--load_retry_interval_micros=1000", "--model_name=half")
    status, output = run_to_end(f"--model_base_path={base}", *flags)

    assert (255, True) == (status, (FAILED + "3} due to error: ") in output)


def test_a_version_without_a_model_is_not_found(tmp_path: Path) -> None:
    """The loader's own words come with its code."""
    (tmp_path / "half" / "7").mkdir(parents=True)
    status, output = run_to_end(f"--model_base_path={tmp_path / 'half'}", "--model_name=half", *ONCE)
    reason = "NOT_FOUND: Could not find SavedModel .pb or .pbtxt at supplied export directory path: "

    assert (255, True) == (status, FAILED + "7} due to error: " + reason in output)


def test_tags_that_no_graph_has(models: Path) -> None:
    """So do those about tags."""
    flags = (f"--model_base_path={models / 'words'}", "--model_name=half", "--saved_model_tags=gpu", *ONCE)
    status, output = run_to_end(*flags)

    assert (255, True) == (status, "Could not find meta graph def matching supplied tags: { gpu }" in output)


def test_a_lower_version_does_not_help(models: Path, tmp_path: Path) -> None:
    """The latest version is the only one that is tried."""
    base = copy_of(models, "half", tmp_path)
    (base / "9").mkdir()
    config = tmp_path / "models.config"
    config.write_text(config_of(base))
    status, output = run_to_end(f"--model_config_file={config}", *ONCE)

    assert (255, True) == (status, FAILED + "9} due to error: NOT_FOUND" in output)


def test_an_empty_config_serves_no_model(start: Start, tmp_path: Path) -> None:
    """The server starts without a list; labels are then said not to be there yet."""
    config = tmp_path / "models.config"
    config.write_text("")
    with start(f"--model_config_file={config}") as server:
        asked = request("a", {"x": floats(1)}, label="best")
        assert ("UNAVAILABLE", "Model labels does not init yet.best") == server.refusal(asked)
        assert ("NOT_FOUND", "Servable not found for request: Latest(a)") == refused(
            lambda: server.predict(request("a", {"x": floats(1)}))
        )


def test_several_models_are_up_together(start: Start, models: Path, tmp_path: Path) -> None:
    """When the port opens, every model answers."""
    config = tmp_path / "models.config"
    config.write_text(config_of(models / "half", models / "total"))
    with start(f"--model_config_file={config}") as server:
        assert [{3: "AVAILABLE"}, {1: "AVAILABLE"}] == [states(server, name) for name in ("half", "total")]
        assert {"total": 5.0} == arrays(server.predict(request("total", {"x": floats(1, 2)})))
