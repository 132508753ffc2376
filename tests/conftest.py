"""Where a layer is required, skipping it is failing: a machine that could run it must not pass by looking away."""

import os
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
REQUIRED = frozenset(os.environ.get("BALLPARK_REQUIRE", "").split(","))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skip inside a folder that BALLPARK_REQUIRE names into a failure."""
    report = yield
    layer = item.path.relative_to(HERE).parts[0]
    if report.skipped and layer in REQUIRED:
        reason: Any = report.longrepr
        report.outcome = "failed"
        report.longrepr = f"BALLPARK_REQUIRE names {layer}, and this was skipped: {reason[2] if isinstance(reason, tuple) else reason}"
    return report
