"""Which values does the chart refuse, and what does it say?"""

import json
import re
from pathlib import Path
from typing import Any

import helm_python
import kubernetes_validate
import pytest
import yaml
from chart.manifests import Render

FLEET = Path(__file__).parents[2] / "helm" / "fleet"


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("gateway.replica", 3, "replica"),
        ("gateway.replicas", 0, "/gateway/replicas"),
        ("gateway.budgetMs", 3000, "/gateway/budgetMs"),
        ("gateway.logLevel", "loud", "/gateway/logLevel"),
        ("gateway.resources.limits.cpu", "1", "/gateway/resources"),
        ("gateway.keysSecret", "", "gateway.keysSecret"),
        ("gateway.drain.graceSeconds", 10, "gateway.drain.graceSeconds"),
        ("images.tag", "latest", "/images/tag"),
        ("images.registry", "", "/images/registry"),
        ("models.quote-classifier.replica", 2, "replica"),
        ("models.quote-classifier.image", "registry.example/serving", "/models/quote-classifier/image"),
        ("models.quote-classifier.image", "registry.example/serving:latest", "/models/quote-classifier/image"),
        ("models.quote-classifier.branch", "regressor", "models: branch"),
        ("models.quote-classifier.extraFlags", ["-v"], "/models/quote-classifier/extraFlags"),
        ("models.quote-classifier.drain.graceSeconds", 12, "models.quote-classifier.drain.graceSeconds"),
        ("models.quote-classifier.batching.grpcThreads", 8, "models.quote-classifier.batching.grpcThreads"),
        ("release.stable.bundle", "newest", "/release/stable/bundle"),
        ("release.stable.bundle", "", "release.stable.bundle"),
        (
            "release.stable.artefacts.quote-classifier.sha256",
            "abc",
            "/release/stable/artefacts/quote-classifier/sha256",
        ),
        (
            "release.stable.artefacts.quote-classifier.version",
            "7",
            "/release/stable/artefacts/quote-classifier/version",
        ),
        ("release.stable.artefacts.premium", {"version": 1, "sha256": "c" * 64}, "release.stable.artefacts.premium"),
        ("release.canary", {}, "canary"),
        ("store.url", "", "store.url"),
        ("store.image", "busybox", "/store/image"),
        ("featureStore.dataImage", "", "featureStore.dataImage"),
        ("redis.host", "elsewhere", "redis.host"),
        ("redis.port", 70000, "/redis/port"),
        ("redis.password", "secret", "password"),
        ("network.clients", [{"everybody": {}}], "everybody"),
        ("monitoring.dashboard", True, "dashboard"),
        ("ingress", {}, "ingress"),
    ],
)
def test_a_bad_value_is_refused_by_name(render: Render, key: str, value: object, said: str) -> None:
    """A typo, a value out of range and values that contradict each other stop the install; none falls back to a default in silence."""
    with pytest.raises(helm_python.HelmError, match=re.escape(said)):
        render(**{key: value})


def test_a_model_without_an_artefact_is_refused(render: Render) -> None:
    """A release names a version of every model."""
    artefacts = {"premium-regressor": {"version": 9, "sha256": "b" * 64}}

    with pytest.raises(helm_python.HelmError, match=r"release\.stable\.artefacts\.quote-classifier"):
        render(**{"release.stable.artefacts": artefacts})


def test_the_chart_alone_asks_for_a_release(chart: helm_python.Chart) -> None:
    """Without values the first thing that is missing is named."""
    with pytest.raises(helm_python.HelmError, match=r"release\.stable\.bundle: name the bundle to serve"):
        chart.render({}, name="ballpark", namespace="quotes")


def test_a_fleet_with_a_registry_and_a_store_of_its_own(chart: helm_python.Chart) -> None:
    """The other way to run it: TensorFlow Serving's image, a blob store, an outside Redis, a Prometheus operator."""
    values = yaml.safe_load((FLEET / "ci" / "remote-values.yaml").read_text())

    pages = chart.render(values, name="ballpark", namespace="quotes")

    documents = [document for page in pages.values() for document in yaml.safe_load_all(page) if document]
    kinds = [document["kind"] for document in documents]
    assert (1, 3, 0) == (kinds.count("ServiceMonitor"), kinds.count("Deployment"), kinds.count("Job"))
    for document in documents:
        if document["kind"] != "ServiceMonitor":
            kubernetes_validate.validate(document, kubernetes_validate.latest_version(), strict=True)
    images = {
        container["image"]
        for document in documents
        if document["kind"] == "Deployment"
        for container in document["spec"]["template"]["spec"]["containers"]
    }
    assert {"registry.example/ballpark/gateway:0.1.0", "docker.io/tensorflow/serving:2.20.0"} == images


def test_the_schema_is_closed() -> None:
    """Every object of the schema says what it may hold."""
    schema = json.loads((FLEET / "values.schema.json").read_text())
    free = {"global", "podSelector", "namespaceSelector", "ipBlock"}  # Helm's own, and Kubernetes' own shapes

    assert [] == [
        path
        for path, node in objects(schema, "")
        if "additionalProperties" not in node and path.rpartition("/")[2] not in free
    ]


def objects(node: Any, path: str) -> list[tuple[str, dict[str, Any]]]:
    """Every sub-schema of type object with its path."""
    if not isinstance(node, dict):
        return []
    here = [(path, node)] if node.get("type") == "object" else []
    return here + [found for key, child in node.items() for found in objects(child, f"{path}/{key}")]


def test_every_value_is_described() -> None:
    """Each leaf of the first model and of every other section has a `# --` line above it, or a neighbour's that covers it."""
    lines = (FLEET / "values.yaml").read_text().splitlines()
    copied = lines.index("  premium-regressor:")
    plain = {"port", "resources", "requests", "limits", "cpu", "memory", "matchLabels", "kubernetes.io/metadata.name"}
    undescribed = [
        line.strip()
        for number, line in enumerate(lines)
        if (leaf := re.fullmatch(r"\s+([\w./-]+): \S.*", line))
        and leaf[1] not in plain
        and not lines[number - 1].lstrip().startswith("# --")
        and not copied <= number < lines.index("featureStore:")
    ]

    assert [] == undescribed
