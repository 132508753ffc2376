"""Does every panel show a series that exists, in a unit, with words?"""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from chart.manifests import Render

from kit import series

OBSERVABILITY = Path(__file__).parents[2] / "observability"
DASHBOARDS = sorted((OBSERVABILITY / "grafana" / "dashboards").glob("*.json"))
SUFFIXES = ("_bucket", "_sum", "_count")


@pytest.fixture(params=DASHBOARDS, ids=lambda path: path.stem)
def panels(request: pytest.FixtureRequest) -> list[dict[str, Any]]:
    """The panels of one dashboard, without its rows."""
    dashboard = json.loads(request.param.read_text())
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def expressions(panels: list[dict[str, Any]]) -> list[str]:
    return [target["expr"] for panel in panels for target in panel["targets"]]


def test_there_is_a_dashboard() -> None:
    """An empty folder would pass everything below."""
    assert ["ballpark"] == [path.stem for path in DASHBOARDS]


def test_every_series_exists(panels: list[dict[str, Any]]) -> None:
    """Each name in a query is in the table of series, with the suffix that its kind has."""
    known = {
        name + suffix
        for name, one in series.load().items()
        for suffix in (SUFFIXES if one.kind == "histogram" else ("",))
    }
    used = {name for expression in expressions(panels) for name in re.findall(r"\bballpark_\w+", expression)}

    assert set() == used - known


def test_every_series_is_shown(panels: list[dict[str, Any]]) -> None:
    """What the gateway exports, somebody can see."""
    used = {name for expression in expressions(panels) for name in re.findall(r"\bballpark_\w+", expression)}

    assert set() == {name for name in series.load() if not any(one.startswith(name) for one in used)}


def test_every_label_exists(panels: list[dict[str, Any]]) -> None:
    """A query groups by labels that its series have, or that Prometheus adds."""
    for expression in expressions(panels):
        of_series = {
            label
            for name, one in series.load().items()
            if re.search(rf"\b{name}(_bucket|_sum|_count)?\b", expression)
            for label in one.labels
        }
        grouped = {label.strip() for labels in re.findall(r"by \(([^)]*)\)", expression) for label in labels.split(",")}
        assert set() == grouped - of_series - {"le", "instance"}, expression


def test_a_share_within_a_limit_is_of_a_real_bucket(panels: list[dict[str, Any]]) -> None:
    """`le` in a query is an edge of that histogram, else the panel stays empty."""
    for expression in expressions(panels):
        for name, edge in re.findall(r'(ballpark_\w+)_bucket\{le="([^"]+)"\}', expression):
            assert float(edge) in series.load()[name].buckets


def test_every_panel_has_words_and_a_unit(panels: list[dict[str, Any]]) -> None:
    """Somebody who sees it for the first time, at night, can read it."""
    for panel in panels:
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]


def test_rates_follow_the_scrape_interval(panels: list[dict[str, Any]]) -> None:
    """A fixed window would be empty, or lie, when somebody changes the interval."""
    windows = {window for expression in expressions(panels) for window in re.findall(r"\[([^\]]+)\]", expression)}

    assert {"$__rate_interval"} == windows


def test_panels_do_not_overlap(panels: list[dict[str, Any]]) -> None:
    """Each cell of the grid belongs to one panel."""
    cells = [
        (x, y)
        for panel in panels
        for grid in [panel["gridPos"]]
        for x in range(grid["x"], grid["x"] + grid["w"])
        for y in range(grid["y"], grid["y"] + grid["h"])
    ]

    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) < 24


def test_the_chart_ships_the_same_dashboards(render: Render) -> None:
    """The chart's ConfigMaps hold the files that compose mounts, byte for byte."""
    shipped = {
        name: text
        for document in render()
        if document["kind"] == "ConfigMap" and document["metadata"]["labels"].get("grafana_dashboard") == "1"
        for name, text in document["data"].items()
    }

    assert {path.name: json.loads(path.read_text()) for path in DASHBOARDS} == {
        name: json.loads(text) for name, text in shipped.items()
    }
