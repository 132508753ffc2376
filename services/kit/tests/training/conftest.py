"""These tests need the extra `training`: they run in the model projects' environments, and are left out where it is not installed."""

from importlib.util import find_spec
from pathlib import Path

import pytest

from kit.contract import Contract, load

if find_spec("tensorflow") is None:
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture(scope="session")
def contract() -> Contract:
    """The contract that is shipped."""
    return load()


@pytest.fixture(scope="session")
def market(tmp_path_factory: pytest.TempPathFactory, contract: Contract) -> Path:
    """Made-up risks and answers of 400 enquiries and 6 insurers."""
    import fabricated  # noqa: PLC0415 -- it needs the extra

    return fabricated.write(tmp_path_factory.mktemp("market"), contract)
