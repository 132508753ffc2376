"""Are the images built, lean, and willing to start as anybody with a read-only root?"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCKERFILES = sorted([*ROOT.glob("services/*/Dockerfile"), *ROOT.glob("tests/*/*/Dockerfile")])
STAGES = ("wrangle", "train", "test", "score")
STARTS = {
    "gateway": ["--help"],
    "feature-store": ["--help"],
    "market": ["--help"],
    "model-server": ["--version"],
    "artefacts": ["--help"],
    "redis": ["valkey-server", "--version"],
    **{f"{model}-{stage}": ["--help"] for model in ("quote-classifier", "premium-regressor") for stage in STAGES},
    "quote-classifier-serve": ["--version"],
    "premium-regressor-serve": ["--version"],
}
"""Every image with arguments that make it say something and end well."""

PODMAN = str(ROOT / "scripts" / "podman")

pytestmark = pytest.mark.timeout(1800)


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.parent.name)
def test_hadolint_finds_nothing(dockerfile: Path) -> None:
    """The linter of Dockerfiles is content, its few exceptions being named in place."""
    hadolint = Path(sys.executable).parent / "hadolint"

    done = subprocess.run([hadolint, "--no-color", dockerfile], capture_output=True, text=True, check=False)

    assert (0, "") == (done.returncode, done.stdout)


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.parent.name)
def test_a_base_is_an_argument_and_a_user_is_a_number(dockerfile: Path) -> None:
    """The base can be replaced at build time, and Kubernetes can see that the user is not root."""
    text = dockerfile.read_text()

    assert re.search(r"^ARG BASE=\S+:\S+$", text, re.MULTILINE)
    users = re.findall(r"^USER (.+)$", text, re.MULTILINE)
    assert users
    assert {"10001:10001"} == set(users)


def test_every_service_has_an_image() -> None:
    """All but the local fleet, which is what runs where there are no containers."""
    services = {path.name for path in (ROOT / "services").iterdir() if (path / "pyproject.toml").exists()}

    assert services - {"local-fleet"} == {path.parent.name for path in DOCKERFILES if "services" in path.parts}


@pytest.fixture(scope="session", params=STARTS)
def image(request: pytest.FixtureRequest) -> str:
    """One image, built; a skip where podman is missing and only root could install it."""
    if shutil.which("podman") is None and os.geteuid() != 0:
        pytest.skip("needs podman")
    name: str = request.param
    done = subprocess.run([ROOT / "scripts" / "images", name], capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stderr
    print(done.stderr.strip())
    return name


def test_it_starts_as_anybody_with_a_read_only_root(image: str) -> None:
    """A cluster may give it any user, and nothing but /tmp to write to."""
    started = run_in(image, *STARTS[image], options=["--user", "54321:54321", "--read-only", "--cap-drop", "all"])

    assert 0 == started.returncode, started.stderr


def test_its_user_is_not_root(image: str) -> None:
    """Neither by name nor by number."""
    inspected = subprocess.run(
        [PODMAN, "image", "inspect", f"localhost/ballpark/{image}:dev"], capture_output=True, text=True, check=True
    )

    assert "10001:10001" == json.loads(inspected.stdout)[0]["Config"]["User"]


def test_it_holds_no_build_tools(image: str) -> None:
    """No compiler, no pip and no uv beside the application, and no cache of either."""
    looked = run_in(
        image,
        "-c",
        "command -v cc gcc strip uv; ls -d /opt/venv/bin/pip* /var/cache/pip /build 2>/dev/null; true",
        options=["--user", "0", "--entrypoint", "sh"],
    )

    assert "" == looked.stdout


@pytest.mark.parametrize("image", ["gateway", "feature-store", "market"], indirect=True)
def test_the_request_path_has_no_tensorflow(image: str) -> None:
    """Neither TensorFlow nor its serving API is installed where requests are answered and data is made."""
    listed = run_in(
        image,
        "-c",
        "from importlib.metadata import distributions; print(*sorted(d.name for d in distributions()))",
        options=["--entrypoint", "python"],
    )

    assert "kit" in listed.stdout.split()
    assert [] == [name for name in listed.stdout.split() if "tensorflow" in name or "keras" in name]


def run_in(image: str, *arguments: str, options: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a command in a fresh container without a network."""
    command = [PODMAN, "run", "--rm", "--network", "none", *options, f"localhost/ballpark/{image}:dev", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)
