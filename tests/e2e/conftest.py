"""One fleet for all tests that leave it as they found it."""

import subprocess
from collections.abc import Iterator

import pytest
from e2e.fleets import ROOT, Fleet, started


@pytest.fixture(scope="session")
def environment() -> None:
    """The fleet's own environment is there; it makes those of the services itself."""
    subprocess.run([ROOT / "scripts" / "venv", "services/local-fleet"], check=True)


@pytest.fixture(scope="session")
def fleet(environment: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:  # noqa: ARG001
    """A fleet that runs."""
    with started(tmp_path_factory.mktemp("fleet") / "output") as running:
        yield running
