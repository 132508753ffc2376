"""What does the chart promise about the workloads that it makes?"""

from pathlib import Path

import kubernetes_validate
import pytest
import yaml
from chart.manifests import Manifest, Render, of_kind

MODELS = ("quote-classifier", "premium-regressor")
CHART = yaml.safe_load((Path(__file__).parents[2] / "helm" / "fleet" / "Chart.yaml").read_text())
OLDEST = CHART["kubeVersion"].removeprefix(">=").removesuffix("-0")


def pod_specs(documents: list[Manifest]) -> dict[str, Manifest]:
    return {
        d["metadata"]["name"]: d["spec"]["template"]["spec"] for d in documents if d["kind"] in {"Deployment", "Job"}
    }


def containers(spec: Manifest) -> list[Manifest]:
    return [*spec.get("initContainers", ()), *spec["containers"]]


@pytest.mark.parametrize("version", [OLDEST, kubernetes_validate.latest_version()])
def test_every_manifest_is_valid(render: Render, version: str) -> None:
    """The API's own schemas accept every object, unknown fields refused, at the oldest version that the chart takes and at the newest."""
    documents = render()

    for document in documents:
        kubernetes_validate.validate(document, version, strict=True)
    assert len(documents) > 20


def test_one_headless_service_per_model_and_track(render: Render) -> None:
    """Each entry of `models` becomes a Service of its own name for its track, and no other Service is headless."""
    services = of_kind(render(), "Service")

    headless = {name for name, service in services.items() if service["spec"].get("clusterIP") == "None"}
    assert {f"{model}-stable" for model in MODELS} == headless


def test_a_starting_models_pods_have_addresses(render: Render) -> None:
    """A name with no address at all would make gRPC wait for minutes before it asked again."""
    services = of_kind(render(), "Service")

    assert all(services[f"{model}-stable"]["spec"]["publishNotReadyAddresses"] for model in MODELS)


def test_every_pod_is_restricted(render: Render) -> None:
    """Pod Security "restricted" for each pod and container, a read-only root, and no token of the API server."""
    for name, spec in pod_specs(render()).items():
        pod = spec["securityContext"]
        assert (True, "RuntimeDefault", False) == (
            pod["runAsNonRoot"],
            pod["seccompProfile"]["type"],
            spec["automountServiceAccountToken"],
        ), name
        assert pod["runAsUser"] >= 10000, name
        assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys(), name
        assert not [v for v in spec.get("volumes", ()) if "hostPath" in v], name
        for container in containers(spec):
            expected = {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert expected == container["securityContext"], (name, container["name"])


def test_every_container_asks_for_what_it_needs(render: Render) -> None:
    """CPU and memory are requested, and memory is limited; the gateway's CPU is not, since a throttled one misses budgets."""
    for name, spec in pod_specs(render()).items():
        for container in containers(spec):
            resources = container["resources"]
            assert {"cpu", "memory"} == set(resources["requests"]), name
            assert "memory" in resources["limits"], name
    gateway = pod_specs(render())["gateway"]["containers"][0]
    assert {"memory"} == set(gateway["resources"]["limits"])


def test_the_gateways_probes_ask_nobody_else(render: Render) -> None:
    """All three are on the admin port, and liveness is generous: half a minute or more."""
    gateway = pod_specs(render())["gateway"]["containers"][0]
    paths = {
        kind: gateway[kind]["httpGet"]["path"]
        for kind in gateway
        if kind.endswith("Probe") and "httpGet" in gateway[kind]
    }

    assert {"startupProbe": "/startupz", "readinessProbe": "/readyz", "livenessProbe": "/livez"} == paths
    assert {"admin"} == {gateway[kind]["httpGet"]["port"] for kind in paths}
    assert 30 <= gateway["livenessProbe"]["periodSeconds"] * gateway["livenessProbe"]["failureThreshold"]


@pytest.mark.parametrize("model", MODELS)
def test_a_models_probes_follow_its_loading(render: Render, model: str) -> None:
    """Ready is that the exact version answers; the start may take the allowance, since the ports open when all is warm."""
    server = pod_specs(render())[f"{model}-stable"]["containers"][0]
    startup = server["startupProbe"]

    assert "grpc" == startup["tcpSocket"]["port"]
    assert 300 <= startup["periodSeconds"] * startup["failureThreshold"]
    version = {"quote-classifier": 7, "premium-regressor": 9}[model]
    assert {"path": f"/v1/models/{model}/versions/{version}", "port": "rest"} == server["readinessProbe"]["httpGet"]


@pytest.mark.parametrize("model", MODELS)
def test_a_model_pod_serves_one_checked_version(render: Render, model: str) -> None:
    """The init container names version and sha256, the server's configuration that version and never "latest"."""
    documents = render()
    fetch = pod_specs(documents)[f"{model}-stable"]["initContainers"][0]
    version, sha256 = {"quote-classifier": (7, "a" * 64), "premium-regressor": (9, "b" * 64)}[model]

    assert {f"--project={model}", f"--version={version}", f"--sha256={sha256}"} < set(fetch["args"])
    config = of_kind(documents, "ConfigMap")[f"{model}-stable"]["data"]["models.config"]
    assert f"specific {{ versions: {version} }}" in config
    assert "latest" not in config


def test_a_new_release_is_new_pods(render: Render) -> None:
    """Another artefact or bundle changes the pod templates, and so rolls the pods; nothing is reloaded in place."""
    before, after = (
        of_kind(documents, "Deployment")
        for documents in (
            render(),
            render(**{"release.stable.bundle": "2026-11-24.1", "release.stable.artefacts.quote-classifier.version": 8}),
        )
    )
    changed = {name for name in before if before[name]["spec"]["template"] != after[name]["spec"]["template"]}

    assert {"gateway", "quote-classifier-stable"} == changed


def test_the_drain_fits_the_grace(render: Render) -> None:
    """SIGKILL comes after the endpoints' notice, the drain and a margin of 5 s."""
    specs = pod_specs(render())
    for name in ("gateway", *(f"{model}-stable" for model in MODELS)):
        spec = specs[name]
        wait = spec["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
        env = {e["name"]: e["value"] for e in spec["containers"][0].get("env", ())}
        assert wait + float(env.get("GATEWAY_DRAIN_S", 0)) + 5 < spec["terminationGracePeriodSeconds"], name


def test_a_budget_holds_up_no_drain_of_a_node(render: Render) -> None:
    """One pod of each kind may always go, and a broken one never stands in the way."""
    budgets = of_kind(render(), "PodDisruptionBudget")

    assert {"gateway", "quote-classifier-stable", "premium-regressor-stable"} == set(budgets)
    assert {(1, "AlwaysAllow")} == {
        (b["spec"]["maxUnavailable"], b["spec"]["unhealthyPodEvictionPolicy"]) for b in budgets.values()
    }


def test_selectors_find_their_pods_and_no_others(render: Render) -> None:
    """Each Service, budget and policy selects exactly the pods of its own name, and no selector holds a version."""
    documents = render()
    pods = {
        d["metadata"]["name"]: d["spec"]["template"]["metadata"]["labels"]
        for d in documents
        if d["kind"] in {"Deployment", "Job"}
    }
    for document in documents:
        match document["kind"]:
            case "Service":
                selector = document["spec"]["selector"]
            case "PodDisruptionBudget" | "Deployment":
                selector = document["spec"]["selector"]["matchLabels"]
            case "NetworkPolicy":
                selector = document["spec"]["podSelector"]["matchLabels"]
            case _:
                continue
        name = document["metadata"]["name"]
        found = {pod for pod, labels in pods.items() if selector.items() <= labels.items()}
        assert (set(pods) if name == "default-deny" else {name}) == found, (document["kind"], name)


def test_the_policies_draw_these_edges_and_no_others(render: Render) -> None:
    """Inside the fleet: the gateway asks models and Redis, the job fills Redis. Everything else is denied."""
    documents = render()
    pods = {name: labels for name, labels in labelled(documents).items() if name != "fleet"}
    policies = of_kind(documents, "NetworkPolicy")
    deny = policies.pop("default-deny")

    assert ({"Ingress", "Egress"}, False) == (
        set(deny["spec"]["policyTypes"]),
        "ingress" in deny["spec"] or "egress" in deny["spec"],
    )
    expected = {
        ("gateway", "quote-classifier-stable", 8500),
        ("gateway", "premium-regressor-stable", 8500),
        ("gateway", "redis", 6379),
        ("feature-store", "redis", 6379),
    }
    assert expected == edges(policies, pods, "egress", "to")
    assert expected == {(source, target, port) for target, source, port in edges(policies, pods, "ingress", "from")}


def labelled(documents: list[Manifest]) -> dict[str, Manifest]:
    """Each workload's pod labels by its name."""
    return {
        d["metadata"]["name"]: d["spec"]["template"]["metadata"]["labels"]
        for d in documents
        if d["kind"] in {"Deployment", "Job"}
    }


def edges(policies: dict[str, Manifest], pods: dict[str, Manifest], way: str, peers: str) -> set[tuple[str, str, int]]:
    """(policy's pod, peer, port) for every peer that is a pod of the fleet."""
    return {
        (name, pod, port["port"])
        for name, policy in policies.items()
        for rule in policy["spec"][way]
        for peer in rule.get(peers, ())
        if "podSelector" in peer
        for pod, labels in pods.items()
        if peer["podSelector"]["matchLabels"].items() <= labels.items()
        for port in rule["ports"]
    }


def test_keys_are_files_of_a_secret(render: Render) -> None:
    """Neither the environment nor an argument nor a ConfigMap holds them."""
    documents = render()
    spec = pod_specs(documents)["gateway"]
    volume = next(v for v in spec["volumes"] if v["name"] == "keys")

    assert {"secretName": "gateway-keys", "defaultMode": 0o440} == volume["secret"]
    assert [] == [e for e in spec["containers"][0]["env"] if "valueFrom" in e]
    assert [] == list(of_kind(documents, "Secret"))


def test_the_gateway_is_told_where_everything_is(render: Render) -> None:
    """Each address in its environment is a Service of this chart and a port of that Service."""
    documents = render()
    env = {e["name"]: e["value"] for e in pod_specs(documents)["gateway"]["containers"][0]["env"]}
    services = of_kind(documents, "Service")

    for variable in ("GATEWAY_CLASSIFIER_TARGET", "GATEWAY_REGRESSOR_TARGET", "GATEWAY_REDIS_URL"):
        host, _, port = env[variable].rpartition("//")[2].strip("/").removesuffix("/0").partition(":")
        assert int(port) in {p["port"] for p in services[host.strip("/")]["spec"]["ports"]}, variable


def test_metrics_are_found(render: Render) -> None:
    """By annotation: each pod with metrics names its port and path, and the policy lets Prometheus in there."""
    documents = render()
    policies = of_kind(documents, "NetworkPolicy")
    for name, port in (("gateway", 9090), ("quote-classifier-stable", 8501), ("premium-regressor-stable", 8501)):
        annotations = of_kind(documents, "Deployment")[name]["spec"]["template"]["metadata"]["annotations"]
        assert ("true", str(port)) == (annotations["prometheus.io/scrape"], annotations["prometheus.io/port"])
        assert [port] == [
            rule["ports"][0]["port"]
            for rule in policies[name]["spec"]["ingress"]
            if any("namespaceSelector" in peer for peer in rule.get("from", ()))
        ]
