"""The chart, rendered by Helm's own engine without a cluster, and the files that must agree with it."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import helm_python
import pytest
import yaml
from chart.manifests import Manifest, Render

ROOT = Path(__file__).parents[2]
FLEET = ROOT / "helm" / "fleet"
RELEASE = {
    "stable": {
        "bundle": "2026-11-23.1",
        "artefacts": {
            "quote-classifier": {"version": 7, "sha256": "a" * 64},
            "premium-regressor": {"version": 9, "sha256": "b" * 64},
        },
    }
}


@pytest.fixture(scope="session")
def chart() -> Iterator[helm_python.Chart]:
    with helm_python.Chart.load(str(FLEET)) as loaded:
        yield loaded


@pytest.fixture(scope="session")
def local_values() -> Manifest:
    values: Manifest = yaml.safe_load((FLEET / "ci" / "local-values.yaml").read_text())
    return values | {"release": RELEASE}


@pytest.fixture
def render(chart: helm_python.Chart, local_values: Manifest) -> Render:
    def rendered(**values: object) -> list[Manifest]:
        merged = local_values
        for key, value in values.items():
            merged = with_value(merged, key.split("."), value)
        pages = chart.render(merged, name="ballpark", namespace="quotes")
        return [document for page in pages.values() for document in yaml.safe_load_all(page) if document]

    return rendered


@pytest.fixture(scope="session")
def compose() -> Manifest:
    loaded: Manifest = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return loaded


def with_value(values: Mapping[str, Any], path: list[str], value: object) -> Manifest:
    """A copy of nested values with one of them set."""
    head, *rest = path
    return {**values, head: with_value(values.get(head) or {}, rest, value) if rest else value}
