"""Does the repository say of itself what is true?"""

import re
import runpy
import tomllib
from pathlib import Path

import pytest

from kit import contract

ROOT = Path(__file__).resolve().parents[2]
PROJECTS = [
    *sorted(p.parent for p in ROOT.glob("services/*/pyproject.toml")),
    ROOT / "services" / "gateway" / "client",
    ROOT / "loadtests",
    ROOT / "loadtests" / "baseline",
    ROOT / "accuracy",
    ROOT / "tests",
]


def test_the_readme_lists_every_service() -> None:
    """The table of services and the folder `services` name the same projects."""
    listed = re.findall(r"^\| \[(services/[a-z-]+)\]", (ROOT / "README.md").read_text(), re.MULTILINE)

    assert sorted(listed) == sorted(f"services/{p.name}" for p in (ROOT / "services").iterdir() if p.is_dir())


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "docs/architecture.md"])
def test_no_link_is_dead(page: str) -> None:
    """Every relative link of a page leads to a file or folder."""
    links = re.findall(r"\]\(([^)#]+)\)", (ROOT / page).read_text())

    assert [] == [link for link in links if "://" not in link and not (ROOT / page).parent.joinpath(link).exists()]


@pytest.mark.parametrize("project", PROJECTS, ids=lambda p: p.name)
@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock"])
def test_every_lock_is_hashed_and_names_no_index(project: Path, lock: str) -> None:
    """What is installed is what was locked, wherever it is fetched from."""
    text = (project / lock).read_text()
    pinned = re.findall(r"^[a-zA-Z0-9_.-]+(?:\[.*\])?==", text, re.MULTILINE)

    assert "--hash=sha256:" in text or not pinned
    assert [] == re.findall(r"https?://|--(?:extra-)?index-url|--find-links", text)


@pytest.mark.parametrize(
    "project", [p for p in PROJECTS if p.name in {"gateway", "feature-store", "market"}], ids=lambda p: p.name
)
def test_the_request_path_does_not_install_tensorflow(project: Path) -> None:
    """Neither TensorFlow nor the serving API, which imports all of it for two messages."""
    names = re.findall(r"^([a-zA-Z0-9_.-]+)==", (project / "requirements.lock").read_text(), re.MULTILINE)

    assert set() == {"tensorflow", "tensorflow-cpu", "tensorflow-serving-api", "keras"} & set(names)


def test_the_contract_page_is_the_contract() -> None:
    """docs/contract.md is what the script makes of the data."""
    page = runpy.run_path(str(ROOT / "scripts" / "contract_table.py"))["table"](contract.load())

    assert page == (ROOT / "docs" / "contract.md").read_text()


def test_every_project_needs_the_same_python() -> None:
    """One version floor for all."""
    floors = {tomllib.loads((p / "pyproject.toml").read_text())["project"]["requires-python"] for p in PROJECTS}

    assert {">=3.11"} == floors


def test_make_prints_every_command_that_the_readme_names() -> None:
    """A command in the README is a target of the Makefile."""
    named = set(re.findall(r"\bmake ([a-z][a-z0-9-]+)", (ROOT / "README.md").read_text()))
    targets = set(re.findall(r"^([a-z][a-z0-9-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))

    assert set() == named - targets
