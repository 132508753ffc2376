"""Section 4: which versions on disk are served, and what happens when they come and go."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import (
    Running,
    Start,
    accepts,
    arrays,
    config_of,
    end,
    floats,
    free_port,
    publish,
    request,
    spawn,
    states,
    wait_until,
)

ASKED = {"x": floats(0)}
QUICK = ("--file_system_poll_wait_seconds=1", "--max_num_load_retries=0", "--num_load_threads=2")
# name -> (its versions by folder name, its policy, the versions that serve)
POLICIES = {
    "latest": (["1", "2"], "", {2}),
    "latest-two": (["1", "2", "3"], "latest { num_versions: 2 }", {2, 3}),
    "latest-none": (["1", "2"], "latest { num_versions: 0 }", {2}),
    "latest-many": (["1", "2"], "latest { num_versions: 9 }", {1, 2}),
    "all": (["1", "2", "5"], "all {}", {1, 2, 5}),
    "specific": (["1", "2", "3"], "specific { versions: 1 versions: 3 }", {1, 3}),
    "specific-missing": (["1", "2"], "specific { versions: 2 versions: 7 }", {2}),
    "zeros": (["00000123", "7"], "", {123}),
    "specific-zeros": (["00000123", "7"], "specific { versions: 123 }", {123}),
    "twice": (["1", "001"], "", {1}),
    "strangers": (["1", "2a", "x3", "latest"], "all {}", {1}),
    "negative": (["-4", "-9"], "", {-4}),
    "huge": (["1", "9223372036854775808"], "", {1}),
}


def entry(base: Path, policy: str) -> str:
    more = f"model_version_policy {{ {policy} }}" if policy else ""
    return f"config {{ name: '{base.name}' base_path: '{base}' model_platform: 'tensorflow' {more} }}\n"


@pytest.fixture(scope="module")
def policies(start: Start, models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One server with a model for each policy; a version's folder and its model are one."""
    root = tmp_path_factory.mktemp("policies")
    for name, (folders, _, _) in POLICIES.items():
        for folder in folders:
            publish(models / "half" / "1", root / name, folder)
    entries = [entry(root / name, policy) for name, (_, policy, _) in POLICIES.items()]
    config = root / "models.config"
    config.write_text("model_config_list {" + "".join(entries) + "}")
    with start(f"--model_config_file={config}", *QUICK) as running:
        wait_until(
            lambda: all(available(running, name) == wanted for name, (_, _, wanted) in POLICIES.items()), "all versions"
        )
        yield running


def available(server: Running, model: str) -> set[int]:
    return {number for number, state in states(server, model).items() if state == "AVAILABLE"}


@pytest.mark.parametrize("name", POLICIES)
def test_a_policy(policies: Running, name: str) -> None:
    """The versions that the policy wants serve, and no others are known."""
    assert POLICIES[name][2] == set(states(policies, name))


@pytest.mark.parametrize("name", POLICIES)
def test_the_highest_is_the_default(policies: Running, name: str) -> None:
    """A request without a version goes to the highest that is ready."""
    answer = policies.predict(request(name, ASKED))

    assert max(POLICIES[name][2]) == answer.model_spec.version.value


@pytest.fixture
def live(start: Start, models: Path, tmp_path: Path) -> Iterator[tuple[Running, Path]]:
    """A server with the model `half` in version 1, and its base path; `other` serves beside it."""
    base = tmp_path / "half"
    publish(models / "half" / "1", base, 1)
    publish(models / "words" / "1", tmp_path / "other", 1)
    config = tmp_path / "models.config"
    config.write_text(config_of(base, tmp_path / "other"))
    with start(f"--model_config_file={config}", *QUICK) as running:
        yield running, base


def test_a_new_version_replaces_the_old(live: tuple[Running, Path], models: Path) -> None:
    """It is found without a word from anybody, serves, and only then the old one goes."""
    server, base = live
    publish(models / "half" / "00000003", base, 3)
    wait_until(lambda: {3: "AVAILABLE", 1: "END"} == states(server, "half"), "the new version")

    assert [3.0] == arrays(server.predict(request("half", ASKED)))["y"]
    assert ("NOT_FOUND", "Servable not found for request: Specific(half, 1)") == server.refusal(
        request("half", ASKED, version=1)
    )


def test_a_lower_version_is_not_wanted(live: tuple[Running, Path], models: Path) -> None:
    """`latest` looks at numbers, not at times."""
    server, base = live
    publish(models / "half" / "00000003", base, 0)
    publish(models / "words" / "1", base.parent / "other", 2)
    wait_until(lambda: 2 in available(server, "other"), "a look later")

    assert {1: "AVAILABLE"} == states(server, "half")


def test_a_version_that_is_taken_away(live: tuple[Running, Path], models: Path) -> None:
    """Taking the latest away goes back to the one before."""
    server, base = live
    publish(models / "half" / "00000003", base, 3)
    wait_until(lambda: {3} == available(server, "half"), "the new version")
    (base / "3").rename(base.parent / "gone")
    wait_until(lambda: {1: "AVAILABLE", 3: "END"} == states(server, "half"), "the old version")

    assert [2.0] == arrays(server.predict(request("half", ASKED)))["y"]


def test_a_half_copied_version_fails_and_the_old_one_serves(live: tuple[Running, Path], models: Path) -> None:
    """There is no settling time: it is loaded at once, fails, and ends with its error."""
    server, base = live
    (base / "4").mkdir()
    graph = (models / "half" / "1" / "saved_model.pb").read_bytes()
    (base / "4" / "saved_model.pb").write_bytes(graph[: len(graph) // 2])
    wait_until(lambda: states(server, "half").get(4) == "END", "the failure")

    assert {1: "AVAILABLE", 4: "END"} == states(server, "half")
    assert [2.0] == arrays(server.predict(request("half", ASKED)))["y"]


def test_a_failed_version_is_tried_again_after_it_was_away(live: tuple[Running, Path], models: Path) -> None:
    """While it stays it is not tried again; away for a look and back, it is."""
    server, base = live
    (base / "4").mkdir()
    wait_until(lambda: states(server, "half").get(4) == "END", "the failure")
    (base / "4").rename(base.parent / "away")
    publish(models / "words" / "1", base.parent / "other", 2)
    wait_until(lambda: 2 in available(server, "other"), "a look without it")
    publish(models / "half" / "00000003", base, 4)
    wait_until(lambda: {4} == available(server, "half"), "the second try")


def test_a_plain_file_counts_as_a_version(live: tuple[Running, Path]) -> None:
    """Whatever has a number for a name is tried, and a file fails."""
    server, base = live
    (base / "6").write_text("no folder")
    wait_until(lambda: states(server, "half").get(6) == "END", "the failure")


def test_an_empty_base_path_unloads_the_model(live: tuple[Running, Path], models: Path) -> None:
    """Without a version left, every version goes; when one comes, it serves again."""
    server, base = live
    (base / "1").rename(base.parent / "away")
    wait_until(lambda: {1: "END"} == states(server, "half"), "the end of the version")
    assert ("NOT_FOUND", "Servable not found for request: Latest(half)") == server.refusal(request("half", ASKED))
    publish(models / "half" / "1", base, 1)
    wait_until(lambda: {1: "AVAILABLE"} == states(server, "half"), "the version again")


def test_a_missing_base_path_stops_every_model(live: tuple[Running, Path], models: Path) -> None:
    """The loaded versions stay, and nobody gets a new one until it is back."""
    server, base = live
    base.rename(base.parent / "away")
    seen = server.log.read_bytes().count(b"half")
    wait_until(lambda: server.log.read_bytes().count(b"half") > seen, "a look that fails")
    publish(models / "words" / "1", base.parent / "other", 2)
    seen = server.log.read_bytes().count(b"half")
    wait_until(lambda: server.log.read_bytes().count(b"half") >= seen + 2, "two more looks")
    assert [{1}, {1}] == [available(server, name) for name in ("half", "other")]
    (base.parent / "away").rename(base)
    wait_until(lambda: {2} == available(server, "other"), "the other model's new version")


@pytest.mark.parametrize("seconds", ["0", "-1"])
def test_looking_once_or_never(start: Start, models: Path, tmp_path: Path, seconds: str) -> None:
    """0 looks once, at the start; a negative number never: then no port opens."""
    base = tmp_path / "half"
    publish(models / "half" / "1", base, 1)
    if seconds == "0":
        with start(f"--model_base_path={base}", "--model_name=half", "--file_system_poll_wait_seconds=0") as server:
            publish(models / "half" / "00000003", base, 3)
            for _ in range(20):
                assert 1 == server.predict(request("half", ASKED)).model_spec.version.value
            assert {1: "AVAILABLE"} == states(server, "half")
        return
    port = free_port()
    process = spawn([f"--model_base_path={base}", "--file_system_poll_wait_seconds=-1"], tmp_path / "log", (port, 0))
    try:
        with pytest.raises(AssertionError, match="waited"):
            wait_until(lambda: accepts(port), "a port that never opens", within_s=6)
    finally:
        end(process)
