"""Do the chart, docker-compose.yml and the architecture's table give the same names and ports?"""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from chart.manifests import Render, of_kind

ROOT = Path(__file__).parents[2]
Ports = dict[str, set[int]]


@pytest.fixture(scope="module")
def documented() -> Ports:
    """The table of ports and names in the architecture."""
    table: Ports = {}
    for line in (ROOT / "docs" / "architecture.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) < 3 or not re.fullmatch(r"[\d, /]+", cells[1]):
            continue
        services, numbers = re.findall(r"`([^`]+)`", cells[2]), [int(n) for n in re.findall(r"\d+", cells[1])]
        for index, service in enumerate(services):
            # "9090 / 9091" are two ports of one service, "9090, 3000" one of each
            table[service] = {numbers[index]} if "," in cells[1] else set(numbers)
    return table


def test_the_table_was_read(documented: Ports) -> None:
    """The pattern still fits the page."""
    assert {8080, 9090} == documented["gateway"]
    assert {3000} == documented["grafana"]
    assert {8500, 8501} == documented["premium-regressor-stable"]


def test_the_chart_keeps_the_table(render: Render, documented: Ports) -> None:
    """Every Service of the chart is in the table, with its ports."""
    services = {
        d["metadata"]["name"]: {p["port"] for p in d["spec"]["ports"]} for d in render() if d["kind"] == "Service"
    }

    assert {name: documented[name] for name in services} == services


def test_compose_keeps_the_table(compose: dict[str, Any], documented: Ports) -> None:
    """Every service of compose that listens is in the table, with the ports that it shows to its neighbours."""
    listening = {
        name: {int(str(p).rpartition(":")[2]) for p in [*service.get("expose", ()), *service.get("ports", ())]}
        for name, service in compose["services"].items()
        if "expose" in service or "ports" in service
    }

    assert {name: documented[name] for name in listening} == listening
    assert set(documented) == set(listening)


def test_compose_has_what_the_chart_has(render: Render, compose: dict[str, Any]) -> None:
    """The same workloads under the same names, and beside them only what watches them."""
    chart = {d["metadata"]["name"] for d in render() if d["kind"] in {"Deployment", "Job"}}

    assert chart | {"prometheus", "grafana"} == set(compose["services"])


def test_the_model_servers_are_started_alike(render: Render, compose: dict[str, Any]) -> None:
    """The same flags but for what only one of them needs, and the same batching."""
    documents = render(**{"models.quote-classifier.extraFlags": []})
    server = next(
        d for d in documents if (d["kind"], d["metadata"]["name"]) == ("Deployment", "quote-classifier-stable")
    )
    in_chart = set(server["spec"]["template"]["spec"]["containers"][0]["args"])
    config = next(
        d for d in documents if (d["kind"], d["metadata"]["name"]) == ("ConfigMap", "quote-classifier-stable")
    )

    flags = set(compose["services"]["quote-classifier-stable"]["command"])
    assert {"--grpc_channel_arguments=grpc.max_connection_age_ms=300000"} == in_chart - flags
    assert set() == flags - in_chart
    for name in ("batching", "monitoring"):
        assert config["data"][f"{name}.config"].split() == compose["configs"][name]["content"].split()


def test_the_gateway_is_told_the_same(render: Render, compose: dict[str, Any]) -> None:
    """Compose sets no variable that the chart does not set, and reaches the same addresses."""
    gateway = of_kind(render(), "Deployment")["gateway"]
    in_chart = {e["name"]: e["value"] for e in gateway["spec"]["template"]["spec"]["containers"][0]["env"]}
    in_compose = compose["services"]["gateway"]["environment"]

    assert set() == set(in_compose) - set(in_chart)
    for name in ("GATEWAY_CLASSIFIER_TARGET", "GATEWAY_REGRESSOR_TARGET", "GATEWAY_REDIS_URL"):
        assert in_chart[name] == in_compose[name]


def test_every_service_of_compose_is_healthy_or_ends(compose: dict[str, Any]) -> None:
    """Whoever stays up has a health check, whoever is waited for can be, and no port leaves this machine."""
    services = compose["services"]

    assert {"feature-store"} == {name for name, service in services.items() if "healthcheck" not in service}
    for service in services.values():
        for other, condition in service.get("depends_on", {}).items():
            wanted = "service_completed_successfully" if other == "feature-store" else "service_healthy"
            assert {"condition": wanted} == condition
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))


def test_prometheus_asks_services_that_are_there(compose: dict[str, Any]) -> None:
    """Each target of the scrape configuration is a service of compose and a port that it shows."""
    config = yaml.safe_load((ROOT / "observability" / "prometheus" / "prometheus.yml").read_text())
    targets = [
        target for job in config["scrape_configs"] for static in job["static_configs"] for target in static["targets"]
    ]

    assert targets
    for target in targets:
        name, _, port = target.partition(":")
        assert port in compose["services"][name]["expose"]
