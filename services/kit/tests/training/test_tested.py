"""What does the test stage say of where a model comes from?"""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from kit import calibration
from kit.artefacts import Manifest, Store
from kit.training import tested

COMMIT = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false", "commit", "-qm", "x")


def git(folder: Path, *command: str) -> str:
    """What Git says."""
    return subprocess.run(["git", *command], cwd=folder, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A committed checkout with the test stage in its place; its folder."""
    folder = tmp_path / "checkout" / tested.FOLDER
    folder.mkdir(parents=True)
    shutil.copy(tested.__file__, folder)
    git(tmp_path / "checkout", "init", "-q")
    git(tmp_path / "checkout", "add", "-A")
    git(tmp_path / "checkout", *COMMIT)
    monkeypatch.delenv(tested.GIT_REVISION, raising=False)
    monkeypatch.setattr(tested, "__file__", str(folder / "tested.py"))
    return folder


def test_the_revision_is_the_commit(code: Path) -> None:
    """All forty digits, when nothing differs from it."""
    assert git(code, "rev-parse", "HEAD") == tested.git_revision()


def test_uncommitted_changes_show(code: Path) -> None:
    """No commit says what was trained then."""
    (code / "tested.py").write_text("changed")

    assert f"{git(code, 'rev-parse', 'HEAD')}-dirty" == tested.git_revision()


def test_another_projects_repository_says_nothing(code: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy that is installed inside it is not of its commits."""
    installed = code.parents[4] / "venv" / "kit"
    installed.mkdir(parents=True)
    monkeypatch.setattr(tested, "__file__", str(installed / "tested.py"))

    assert tested.UNKNOWN == tested.git_revision()


def test_a_build_without_history_says_its_revision(code: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment comes first."""
    monkeypatch.setenv(tested.GIT_REVISION, "c0ffee")

    assert code.is_dir()
    assert "c0ffee" == tested.git_revision()


def test_the_tables_are_tied_to_the_model(tmp_path: Path) -> None:
    """calibration.json has the fingerprint that a reader computes of the manifest, whatever lies beside the SavedModel."""
    model = tmp_path / "model"
    (model / "variables").mkdir(parents=True)
    (model / "saved_model.pb").write_bytes(b"a graph")
    (model / "variables" / "variables.index").write_bytes(b"weights")
    written = json.loads(tested.tied({"level": 0.8}, model))
    (model / calibration.FILE).write_text("{}")
    store = Store(str(tmp_path / "store"))
    store.publish(model, Manifest("p", 0, "now", "unknown", "contract", "data", ("i-0001",)))

    assert written == {
        "scheme": calibration.SCHEME,
        "model": calibration.fingerprint(store.manifest("p", 1).files),
        "level": 0.8,
    }
