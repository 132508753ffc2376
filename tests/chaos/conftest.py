"""Gateways and what they depend on: made once for each file of tests, hurt by each test, and mended by it."""

import json
import subprocess
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx2
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from chaos.course import Course, course
from chaos.footprint import Footprint, check_nothing_is_left, settled
from chaos.load import CARS, SECTOR, Background
from chaos.processes import GATEWAY_PYTHON, ROOT, STARTS_WITHIN_S, Gateway, ModelServer, Part, Store, until
from chaos.starvation import MOST, UNJUDGED

from kit import contract
from kit.files import sha256_of

NO_SETTINGS: Final[Mapping[str, str]] = {}
MAKE_BUNDLE: Final = "import sys; from pathlib import Path; import bundle; bundle.make(Path(sys.argv[1]))"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let the report of a test say when the machine had too much other work for a judgement."""
    if call.when == "call" and UNJUDGED:
        item.user_properties.append(("unjudged", max(UNJUDGED)))
        UNJUDGED.clear()
    return (yield)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how often that was."""
    reports = [*terminalreporter.getreports("passed"), *terminalreporter.getreports("failed")]
    if found := [name for report in reports for name, _ in report.user_properties if name == "unjudged"]:
        said = f"chaos: in {len(found)} tests our processes waited for a processor for more than {MOST:.0%} of the time"
        terminalreporter.write_line(f"{said}: there only what holds for every single answer was judged")


@pytest.fixture(scope="session")
def environments() -> None:
    """The gateway's and the feature store's own; the gateway's with its tests, of which we use the made bundle."""
    subprocess.run([ROOT / "scripts" / "venv", "--dev", "services/gateway"], check=True)
    subprocess.run([ROOT / "scripts" / "venv", "services/feature-store"], check=True)


@pytest.fixture(scope="session")
def released(environments: None, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:  # noqa: ARG001
    """The settings that name a store with a bundle in it, made without training anything."""
    folder = tmp_path_factory.mktemp("bundle")
    tests = ROOT / "services" / "gateway" / "tests"
    subprocess.run([GATEWAY_PYTHON, "-c", MAKE_BUNDLE, folder], env={"PYTHONPATH": str(tests)}, check=True)
    return {"GATEWAY_STORE": str(folder / "store"), "GATEWAY_RELEASE": str(folder / "release.json")}


@pytest.fixture(scope="session")
def tables(environments: None, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: ARG001
    """Tables of cars and areas as the market makes them, of values in the middle."""
    folder = tmp_path_factory.mktemp("tables")
    law = contract.load()
    for entity, file, ids in (
        ("vehicle", "vehicles.parquet", [f"v-{number:05d}" for number in range(CARS)]),
        ("area", "areas.parquet", [SECTOR]),
    ):
        columns: dict[str, Any] = {law.entity(entity).id: ids}
        for each in law.fields_of(entity):
            if each.name not in columns:
                middle = int((each.minimum + each.maximum) / 2) if each.is_numeric else each.values[0]
                columns[each.name] = [middle] * len(ids)
        pq.write_table(pa.table(columns), folder / file)
    files = {path.name: sha256_of(path) for path in folder.glob("*.parquet")}
    (folder / "manifest.json").write_text(json.dumps({"contract": law.fingerprint, "files": files}))
    return folder


@pytest.fixture(scope="session")
def background() -> Iterator[Background]:
    """Where loads and proxies run."""
    made = Background()
    yield made
    made.close()


@dataclass
class Fleet:
    """A gateway and what it depends on. `footprint` is what it held when it was well and nobody asked."""

    gateway: Gateway
    store: Store
    classifiers: list[ModelServer]
    regressors: list[ModelServer]
    background: Background
    footprint: Footprint | None = None

    def course(self, **load: Any) -> AbstractContextManager[Course]:
        """See `chaos.course.course`."""
        return course(self.background, self.gateway, **load)

    def drill(
        self,
        harm: Callable[[], object],
        mend: Callable[[], object],
        *,
        lasts_s: float = 1.5,
        back_within_s: float,
        **load: Any,
    ) -> Course:
        """Break something under load, mend it, and wait until answers are whole again."""
        with self.course(**load) as made:
            with made.hurt(harm, mend):
                made.goes_on(lasts_s)
            made.is_back(within_s=back_within_s)
        return made


@dataclass
class Starter:
    """Starts fleets, and ends what it has started."""

    stack: ExitStack
    folder: Path
    released: dict[str, str]
    tables: Path
    background: Background

    def part(self, made: Part) -> Any:
        """It is ended with the others."""
        self.stack.callback(made.end)
        return made

    def fleet(self, *, replicas: int = 1, settings: Mapping[str, str] = NO_SETTINGS) -> Fleet:
        """Everything that a gateway depends on, and a gateway that is ready."""
        folder = self.folder / f"store-{len(list(self.folder.iterdir()))}"
        folder.mkdir()
        store = self.part(Store(folder))
        store.fill(self.tables)
        classifiers, regressors = [[self.part(ModelServer()) for _ in range(replicas)] for _ in range(2)]
        gateway = self.gateway(
            f"gateway-{store.port}",
            **{
                "GATEWAY_CLASSIFIER_TARGET": target(classifiers),
                "GATEWAY_REGRESSOR_TARGET": target(regressors),
                "GATEWAY_REDIS_URL": store.url,
                **settings,
            },
        )
        return Fleet(gateway, store, classifiers, regressors, self.background)

    def keys(self, **options: Sequence[str]) -> tuple[dict[str, str], dict[str, str]]:
        """The settings that name a file with a key for each id, made with these options of `new-key`; and each key's text."""
        secret, file, texts, entries = self.folder / "secret", self.folder / "keys.json", {}, []
        secret.write_text("s" * 32)
        for key_id, more in options.items():
            command = [GATEWAY_PYTHON, "-m", "gateway", "new-key", "--id", key_id, "--scopes", "quotes", *more]
            made = subprocess.run([*command, "--secret-file", secret], check=True, capture_output=True, text=True)
            texts[key_id] = made.stderr.split()[made.stderr.split().index("once:") + 1]
            entries.append(json.loads(made.stdout))
        file.write_text(json.dumps({"keys": entries}))
        return {"GATEWAY_KEYS_FILE": str(file), "GATEWAY_KEYS_SECRET_FILE": str(secret)}, texts

    def gateway(self, name: str, *, logs: Any = None, **settings: str) -> Gateway:
        """A gateway that is ready."""
        made: Gateway = self.part(Gateway({**self.released, **settings}, self.folder / name, logs))
        until(lambda: is_ready(made), within_s=STARTS_WITHIN_S, what="the gateway's start")
        return made


def target(servers: list[ModelServer]) -> str:
    """All of them, as a target of the gateway."""
    return "ipv4:" + ",".join(server.address for server in servers)


def is_ready(gateway: Gateway) -> bool:
    """What the readiness probe says; fails when it has ended instead."""
    assert gateway.process.poll() is None, gateway.log_file.read_text()
    try:
        return httpx2.get(f"{gateway.admin_url}/readyz").status_code == 200
    except httpx2.TransportError:
        return False


@pytest.fixture(scope="module")
def starter(
    released: dict[str, str], tables: Path, background: Background, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Starter]:
    """For tests that need a fleet of their own."""
    with ExitStack() as stack:
        yield Starter(stack, tmp_path_factory.mktemp("fleet"), released, tables, background)


@contextmanager
def watched_over(fleet: Fleet) -> Iterator[None]:
    """Whatever happens in the block: the same process still runs, holds no more than before, and logged no error."""
    pid = fleet.gateway.process.pid
    if fleet.footprint is None:
        with fleet.course():
            pass  # it has answered, and every cache and connection is there
        fleet.footprint = settled(fleet.gateway)
    yield
    assert (pid, None) == (fleet.gateway.process.pid, fleet.gateway.process.poll())
    check_nothing_is_left(fleet.gateway, fleet.footprint)
    assert [] == [line for line in fleet.gateway.logged() if line["level"] in ("error", "critical")]


@pytest.fixture
def unharmed(fleet: Fleet) -> Iterator[None]:
    """See `watched_over`."""
    with watched_over(fleet):
        yield
