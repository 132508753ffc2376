"""Ten thousand requests that nobody should send, and versions that come, go and fail under load: nobody else notices."""

import http.client
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from conftest import PREDICTION, Running, Start, arrays, config_of, floats, publish, request, states, wait_until
from hostile import GRPC, document, path

OVER_GRPC, OVER_REST, AT_ONCE = 7_000, 3_000, 50
GROWTH_MB = 250
VALID = request("half", {"x": floats(1)}).SerializeToString()


@pytest.fixture(scope="module")
def target(start: Start, models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server for bad guests."""
    config = tmp_path_factory.mktemp("hostile") / "models.config"
    names = ("half", "two", "words", "types", "examples", "rows")
    config.write_text(config_of(*(models / name for name in names)))
    with start(f"--model_config_file={config}", "--grpc_max_threads=100") as running:
        yield running


def memory_mb(server: Running, field: str = "VmRSS") -> int:
    lines = Path(f"/proc/{server.process.pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(field)).split()[1]) // 1024


def outcome(call: Any) -> str:
    error = call.exception(60)
    return "OK" if error is None else str(error.code().name)


@pytest.mark.timeout(600)
def test_thousands_of_bad_calls(target: Running) -> None:
    """Every one gets an answer, most a refusal; nothing that is only declared is allocated; good calls go on."""
    before = memory_mb(target)
    seen: Counter[str] = Counter()
    random = Random(11)  # noqa: S311 -- repeatable, not secret
    with target.channel() as channel:
        methods = [
            channel.unary_unary(PREDICTION + name) for name in ("Predict", "Predict", "Classify", "MultiInference")
        ]
        for _ in range(OVER_GRPC // AT_ONCE):
            made = [random.choice(GRPC)(random) for _ in range(AT_ONCE)]
            calls = [random.choice(methods).future(data, timeout=60) for data in made]
            seen.update(outcome(call) for call in calls)
            assert methods[0](VALID, timeout=20)

    assert OVER_GRPC == sum(seen.values())
    assert not {"UNKNOWN", "UNAVAILABLE", "DEADLINE_EXCEEDED"} & set(seen), seen
    assert target.process.poll() is None
    assert memory_mb(target, "VmHWM") < before + GROWTH_MB


@pytest.mark.timeout(600)
def test_thousands_of_bad_documents(target: Running) -> None:
    """The same over REST: an answer to each, never a 500, and the server goes on."""
    before = memory_mb(target)
    seen: Counter[int] = Counter()
    random = Random(12)  # noqa: S311
    connection = http.client.HTTPConnection("127.0.0.1", target.rest_port, timeout=60)
    for _ in range(OVER_REST):
        connection.request("POST" if random.random() < 0.9 else "GET", path(random), document(random))
        answer = connection.getresponse()
        answer.read()
        seen[answer.status] += 1
    connection.close()

    assert OVER_REST == sum(seen.values())
    assert set(seen) <= {200, 400, 404, 501}, seen
    assert target.process.poll() is None
    assert memory_mb(target, "VmHWM") < before + GROWTH_MB
    assert [3.5] == arrays(target.predict(request("half", {"x": floats(1)})))["y"]


@pytest.mark.timeout(300)
def test_versions_change_under_load(start: Start, models: Path, tmp_path: Path) -> None:
    """Good versions, broken ones and half-copied ones come and go: no call of the model fails."""
    base = tmp_path / "half"
    publish(models / "half" / "1", base, 1)
    flags = ("--model_name=half", "--max_num_load_retries=0", "--num_load_threads=1", "--grpc_max_threads=64")
    with start(f"--model_base_path={base}", *flags) as server, server.channel() as channel:
        method = channel.unary_unary(PREDICTION + "Predict")
        sent: list[Any] = []

        def until(state: dict[int, str]) -> bool:
            sent.extend(method.future(VALID, timeout=60) for _ in range(8))
            sent[-1].result(60)
            return state.items() <= states(server, "half").items()

        publish(models / "half" / "00000003", base, 3)
        wait_until(lambda: until({3: "AVAILABLE", 1: "END"}), "a good version")
        (base / "4").mkdir()
        wait_until(lambda: until({4: "END", 3: "AVAILABLE"}), "a broken version")
        graph = (models / "half" / "1" / "saved_model.pb").read_bytes()
        (base / "5").mkdir()
        (base / "5" / "saved_model.pb").write_bytes(graph[: len(graph) // 2])
        wait_until(lambda: until({5: "END", 3: "AVAILABLE"}), "a half-copied version")
        shutil.rmtree(base / "4")
        shutil.rmtree(base / "5")
        publish(models / "half" / "1", base, 6)
        wait_until(lambda: until({6: "AVAILABLE", 3: "END"}), "another good version")
        (base / "6").rename(tmp_path / "gone")
        wait_until(lambda: until({3: "AVAILABLE", 6: "END"}), "the version before")

        assert {"OK": len(sent)} == Counter(outcome(call) for call in sent)
