"""Is what the stages wrote told to MLflow by the wire, and is a server that fails no reason to fail?"""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from kit.artefacts import Manifest, Published, Store
from kit.training import tracking

PROJECT = "premium-regressor"
REPORT = {
    "contract": "c" * 64,
    "data": "d" * 64,
    "enquiries": 5,
    "profiles": {"full": {"coverage": 0.8, "width": None}},
    "segments": {"age": {"80+": {"coverage": 0.79}}},
    "fairness": {"passes": True},
    "history": [{"loss": 1.0}],
}


@dataclass
class Server:
    """What an MLflow server was told: bodies by the last word of the path, files by name."""

    url: str
    told: dict[str, list[Any]] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)


@pytest.fixture
def mlflow(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server that knows as much of MLflow's API as a run needs, and where the environment says it is."""
    pytest.importorskip("mlflow")

    class Handler(BaseHTTPRequestHandler):
        def answer(self, status: int, body: Any) -> None:
            text = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def run(self) -> Any:
            name = f"r{http.server_port}"  # MLflow remembers the server of a run
            info = {"run_id": name, "run_uuid": name, "experiment_id": "7", "start_time": 1, "status": "RUNNING"}
            return {"run": {"info": info | {"artifact_uri": f"mlflow-artifacts:/7/{name}/artifacts"}, "data": {}}}

        def do_GET(self) -> None:
            if "get-by-name" in self.path:
                self.answer(404, {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no"})
            else:
                self.answer(200, self.run())

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            verb = self.path.rpartition("mlflow/")[2]
            server.told.setdefault(verb, []).append(body)
            self.answer(200, {"experiment_id": "7"} if verb == "experiments/create" else self.run())

        def do_PUT(self) -> None:
            server.files[self.path.rpartition("/")[2]] = self.rfile.read(int(self.headers["Content-Length"]))
            self.answer(200, {})

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        server = Server(f"http://127.0.0.1:{http.server_port}")
        thread = Thread(target=http.serve_forever)
        thread.start()
        monkeypatch.setenv(tracking.ADDRESS, server.url)
        yield server
        http.shutdown()
        thread.join()


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    """What of a trained folder is told."""
    story = {
        "params": {"net": {"width": 16, "block_sizes": [8]}},
        "seeds": {"fit": 7},
        "weights": 123,
        "history": [{"loss": 2.0, "seconds": 1.0}, {"loss": 1.5, "seconds": 2.0}],
    }
    (tmp_path / "fit.json").write_text(json.dumps(story))
    (tmp_path / "manifest.json").write_text(json.dumps({"contract": "c" * 64, "data": "d" * 64}))
    return tmp_path


def published(store: Store, folder: Path) -> Published:
    """An artefact with a report."""
    folder.mkdir()
    for name, text in (("report.json", json.dumps(REPORT)), ("card.md", "# Card"), ("saved_model.pb", "graph")):
        (folder / name).write_text(text)
    return store.publish(folder, Manifest(PROJECT, 0, "", "abc", "c" * 64, "d" * 64, ("i-0001",), {"level": 0.8}))


def pairs(entries: Any) -> dict[str, Any]:
    """Tags, parameters or metrics as a mapping."""
    return {e["key"]: e["value"] for e in entries}


@pytest.mark.filterwarnings("ignore")  # MLflow's own
def test_a_training_is_a_run(mlflow: Server, trained: Path) -> None:
    """With its parameters by their path, the loss of each epoch, and what it was made of."""
    said: list[str] = []

    tracking.tell_training(PROJECT, trained, "abc", said.append)

    assert [] == said
    assert [PROJECT] == [e["name"] for e in mlflow.told["experiments/create"]]
    (begun,) = mlflow.told["runs/create"]
    tags = {"stage": "train", "git_revision": "abc", "contract": "c" * 64, "data": "d" * 64}
    assert tags.items() <= pairs(begun["tags"]).items()
    (batch,) = mlflow.told["runs/log-batch"]
    expected = {"weights": "123", "seeds.fit": "7", "net.width": "16", "net.block_sizes": "[8]"}
    assert expected == pairs(batch["params"])
    losses = [(int(m["step"]), m["value"]) for m in batch["metrics"] if m["key"] == "loss"]
    assert [(1, 2.0), (2, 1.5)] == losses
    assert ["FINISHED"] == [e["status"] for e in mlflow.told["runs/update"]]


@pytest.mark.filterwarnings("ignore")  # MLflow's own
def test_a_test_is_a_run_with_its_report(mlflow: Server, tmp_path: Path) -> None:
    """Every finite figure under its path, the version, and the files that a person reads; never the model."""
    store = Store(str(tmp_path / "store"))
    said: list[str] = []

    tracking.tell_test(PROJECT, store, published(store, tmp_path / "artefact"), said.append)

    assert [] == said
    (batch,) = mlflow.told["runs/log-batch"]
    expected = {"profiles.full.coverage": 0.8, "segments.age.80 and over.coverage": 0.79}
    assert expected == pairs(batch["metrics"])
    (begun,) = mlflow.told["runs/create"]
    assert {"version": "1", "verdict": "published"}.items() <= pairs(begun["tags"]).items()
    assert {"report.json", "card.md"} == set(mlflow.files)
    assert REPORT == json.loads(mlflow.files["report.json"])


@pytest.mark.filterwarnings("ignore")  # MLflow's own
def test_a_refused_model_is_a_run_too(mlflow: Server, tmp_path: Path) -> None:
    """With the report that the gate left in the store."""
    store = Store(str(tmp_path / "store"))
    store.write(json.dumps(REPORT).encode(), "refused", PROJECT, "report.json")

    tracking.tell_refusal(PROJECT, store, ("refused", PROJECT), "abc", pytest.fail)

    (begun,) = mlflow.told["runs/create"]
    assert "refused" == pairs(begun["tags"])["verdict"]
    assert {"report.json"} == set(mlflow.files)


def test_without_an_address_nothing_is_imported(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor read, nor said."""
    monkeypatch.delenv(tracking.ADDRESS, raising=False)
    monkeypatch.setitem(sys.modules, "mlflow", None)

    tracking.tell_training(PROJECT, trained / "nowhere", "abc", pytest.fail)


def test_a_missing_library_is_named(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the training goes on."""
    monkeypatch.setenv(tracking.ADDRESS, "http://127.0.0.1:1")
    monkeypatch.setitem(sys.modules, "mlflow", None)
    said: list[str] = []

    tracking.tell_training(PROJECT, trained, "abc", said.append)

    (note,) = said
    assert "MLflow is not installed (the project's extra `mlflow`)" in note


@pytest.mark.filterwarnings("ignore")  # MLflow's own
def test_a_server_that_is_down_fails_nothing(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said, once."""
    pytest.importorskip("mlflow")
    monkeypatch.setenv(tracking.ADDRESS, "http://127.0.0.1:1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    said: list[str] = []

    tracking.tell_training(PROJECT, trained, "abc", said.append)

    (note,) = said
    assert "MLflow could not be told everything" in note
