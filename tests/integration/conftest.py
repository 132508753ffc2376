"""Small artefacts as the model projects publish them, and the model server over real sockets."""

import subprocess
from pathlib import Path

import pytest
from e2e.fleets import ENQUIRIES, HOME, PYTHON, ROOT, small_params


@pytest.fixture(scope="session")
def store() -> Path:
    """The store of the end-to-end tests' home; made when it is not there, and used again by them."""
    subprocess.run([ROOT / "scripts" / "venv", "services/local-fleet"], check=True)
    command = [PYTHON, "-m", "local_fleet", "prepare", "--home", str(HOME), "--enquiries", str(ENQUIRIES)]
    subprocess.run([*command, *small_params()], check=True)
    return HOME / "store"
