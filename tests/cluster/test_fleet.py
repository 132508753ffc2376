"""Does the chart make a fleet that answers, on a real Kubernetes, from the images built here?

The cluster is the one that KUBECONFIG names; else the one that the command in BALLPARK_CLUSTER_UP starts, whose last line is the path
of a kubeconfig, and which a command `down` beside it ends. Images get in by the command in BALLPARK_CLUSTER_LOAD, which is given an
image's name; by default `load-image` beside BALLPARK_CLUSTER_UP. What is served is in BALLPARK_STORE and BALLPARK_MARKET, by default what
`make models` made.
"""

import json
import os
import shlex
import shutil
import subprocess
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import pytest

from kit.artefacts import Store
from kit.bundles import Bundle, list_bundles, read_bundle
from kit.deploy import chart_values

ROOT: Final = Path(__file__).parents[2]
FLEET: Final = ROOT / "helm" / "fleet"
HOME: Final = Path(os.environ.get("BALLPARK_HOME", ROOT / ".ballpark"))
STORE: Final = Path(os.environ.get("BALLPARK_STORE", HOME / "store"))
MARKET: Final = Path(os.environ.get("BALLPARK_MARKET", HOME / "market"))
IMAGES: Final = ("gateway", "model-server", "feature-store", "redis", "baked")
PODS: Final = "app.kubernetes.io/part-of=ballpark"
INSURERS: Final = 60
RISK: Final = {
    "driver": {"age": 34, "licence_years": 12},
    "vehicle": {"vehicle_id": "v-00123"},
    "area": {"sector": "R07-0123"},
}

pytestmark = pytest.mark.timeout(1800)


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster and a namespace of it. Commands are run with `environment`."""

    environment: Mapping[str, str]
    namespace: str

    def run(self, *command: str, stdin: str | None = None) -> str:
        """A command's output; a command that fails fails the test, with what it said."""
        done = subprocess.run(
            command, env=self.environment, input=stdin, capture_output=True, text=True, check=False, cwd=ROOT
        )
        if done.returncode != 0:
            pytest.fail(f"{shlex.join(command)}: {done.stderr or done.stdout}")
        return done.stdout

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """kubectl in the namespace."""
        return self.run("kubectl", "--namespace", self.namespace, *arguments, stdin=stdin)

    def objects(self, kind: str) -> list[dict[str, Any]]:
        """All objects of a kind in the namespace."""
        items: list[dict[str, Any]] = json.loads(self.kubectl("get", kind, "-o", "json"))["items"]
        return items


@dataclass(frozen=True, slots=True)
class Fleet:
    """An installed chart, what it serves, and a key of its API."""

    cluster: Cluster
    bundle: Bundle
    key: str


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment in which kubectl and helm find the cluster."""
    up = os.environ.get("BALLPARK_CLUSTER_UP")
    if os.environ.get("KUBECONFIG"):
        yield {**os.environ}
    elif up is None:
        pytest.skip("needs a cluster: KUBECONFIG, or in BALLPARK_CLUSTER_UP a command that starts one")
    else:
        settings = {**os.environ, **apart(), "K8S_KIT": str(tmp_path_factory.mktemp("kit"))}
        down = str(Path(shlex.split(up)[0]).with_name("down"))
        try:
            started = subprocess.run(shlex.split(up), env=settings, stdout=subprocess.PIPE, text=True, check=True)
            tools = [str(p / "bin") for p in (Path(down).parent, Path(settings["K8S_KIT"])) if (p / "bin").is_dir()]
            path = os.pathsep.join([*tools, settings["PATH"]])
            yield {**settings, "PATH": path, "KUBECONFIG": started.stdout.splitlines()[-1]}
        finally:
            subprocess.run([down], env=settings, check=False)


def apart() -> dict[str, str]:
    """Settings that keep this cluster apart from another on the same machine: its state, its addresses, its link."""
    taken = Path("/proc/net/route").read_text(encoding="ascii")
    # /proc writes addresses as little-endian hex: 10.96.x.x ends in 600A.
    net = next(n for n in range(96, 128) if f"{n:02X}0A\t" not in taken)
    return {"K8S_HOME": f"/tmp/bp{os.getpid()}", "K8S_NET": f"10.{net}", "K8S_LINK": f"bp{os.getpid()}"}  # noqa: S108


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    """The newest bundle of the store."""
    store = Store(str(STORE))
    bundles = list_bundles(store)
    if not bundles:
        pytest.fail(f"no bundle in {STORE}: run make models first")
    return read_bundle(store, bundles[-1])


@pytest.fixture(scope="module")
def cluster(environment: dict[str, str]) -> Iterator[Cluster]:
    """A namespace with Pod Security "restricted" enforced, and every image in the cluster."""
    beside = Path(shlex.split(os.environ.get("BALLPARK_CLUSTER_UP", "."))[0]).with_name("load-image")
    load = os.environ.get("BALLPARK_CLUSTER_LOAD", str(beside) if shutil.which(beside) else "")
    if not load:
        pytest.fail(
            "say how images get into the cluster: BALLPARK_CLUSTER_LOAD, a command that is given an image's name"
        )
    made = Cluster(environment, f"ballpark-{uuid4().hex[:8]}")
    with_store = {**environment, "BALLPARK_STORE": str(STORE), "BALLPARK_MARKET": str(MARKET)}
    print(
        subprocess.run(
            [ROOT / "scripts" / "images", *IMAGES], env=with_store, check=True, stderr=subprocess.PIPE, text=True
        ).stderr
    )
    for image in IMAGES:
        made.run(*shlex.split(load), f"localhost/ballpark/{image}:dev")
    made.run("kubectl", "create", "namespace", made.namespace)
    made.run("kubectl", "label", "namespace", made.namespace, "pod-security.kubernetes.io/enforce=restricted")
    yield made
    made.run("kubectl", "delete", "namespace", made.namespace, "--wait=false")


@pytest.fixture(scope="module")
def fleet(bundle: Bundle, cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    """The chart, installed: Helm has waited until everything was ready and the feature store was filled."""
    folder = tmp_path_factory.mktemp("fleet")
    key = cluster.run(str(ROOT / "scripts" / "keys"), str(folder / "keys")).strip()
    files = [f"--from-file={folder / 'keys' / name}" for name in ("keys.json", "secret")]
    cluster.kubectl("create", "secret", "generic", "gateway-keys", *files)
    release = folder / "release.json"
    release.write_text(json.dumps(chart_values(bundle)))
    values = [f"--values={FLEET / 'ci' / 'local-values.yaml'}", f"--values={release}"]
    helm = ["helm", f"--namespace={cluster.namespace}", "install", "ballpark", str(FLEET), *values]
    done = subprocess.run(
        [*helm, "--wait", "--timeout=4m"], env=cluster.environment, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        pods = cluster.kubectl("get", "pods", "--output=wide")
        logs = cluster.kubectl(
            "logs", f"--selector={PODS}", "--all-containers", "--prefix", "--tail=5", "--ignore-errors"
        )
        pytest.fail(f"{done.stderr}\n{pods}\n{logs}")
    return Fleet(cluster, bundle, key)


def test_every_pod_is_ready(fleet: Fleet) -> None:
    """Each workload of the chart has all its pods ready, without one restart, and from the images built here."""
    pods = {pod["metadata"]["labels"]["app.kubernetes.io/name"]: pod for pod in fleet.cluster.objects("pods")}

    assert {"gateway", "quote-classifier-stable", "premium-regressor-stable", "redis", "feature-store"} == set(pods)
    for name, pod in pods.items():
        statuses = pod["status"]["containerStatuses"]
        assert ("Succeeded" if name == "feature-store" else "Running") == pod["status"]["phase"], name
        assert [name == "feature-store" or status["ready"] for status in statuses] == [True], name
        assert [status["restartCount"] for status in statuses] == [0], name
        assert all(status["image"].startswith("localhost/ballpark/") for status in statuses), name


def test_a_quote_through_the_service(fleet: Fleet) -> None:
    """A neighbour in the cluster asks the Service, and every insurer of the panel is in a complete answer."""
    answer = asked(fleet, {"risk": RISK})

    assert (True, [], fleet.bundle.id) == (answer["complete"], answer["degraded"], answer["bundle"])
    assert INSURERS == len(answer["insurers"])
    assert INSURERS == len([one for one in answer["insurers"] if one["probability"] is not None and one["premium"] > 0])


def asked(fleet: Fleet, body: Mapping[str, object]) -> dict[str, Any]:
    """The first answer that lacks nothing, asked from a pod that is not part of the fleet: a connection's first call may be late."""
    client = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "client"},
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "securityContext": {"runAsNonRoot": True, "runAsUser": 10001, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [
                {
                    "name": "client",
                    "image": "localhost/ballpark/gateway:dev",
                    "command": ["sleep", "infinity"],
                    "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
                }
            ],
        },
    }
    fleet.cluster.kubectl("apply", "-f", "-", stdin=json.dumps(client))
    fleet.cluster.kubectl("wait", "--for=condition=Ready", "pod/client", "--timeout=60s")
    asks = textwrap.dedent("""
        import json, sys, time, urllib.error, urllib.request
        key, body = sys.argv[1], sys.argv[2].encode()
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        end = time.monotonic() + 30
        while True:
            try:
                with urllib.request.urlopen(urllib.request.Request("http://gateway:8080/v1/quotes", body, headers), timeout=5) as answer:
                    text = answer.read().decode()
            except urllib.error.HTTPError as error:
                text = error.read().decode()
            answered = json.loads(text)
            if (answered.get("complete") and not answered["degraded"]) or time.monotonic() > end:
                break
            time.sleep(0.5)
        print(text)
    """)
    try:
        answer: dict[str, Any] = json.loads(
            fleet.cluster.kubectl("exec", "client", "--", "python", "-c", asks, fleet.key, json.dumps(body))
        )
    finally:
        fleet.cluster.kubectl("delete", "pod", "client", "--wait=false")
    return answer
