"""The whole gateway as its own process, with model servers on real ports and without Redis."""

import asyncio
import contextlib
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bundle as bundles
import httpx2
import pytest
from support import BY_IDS, QUOTE, K, until
from wire import fixed, model_server

MOST_RSS_MB = 120
LATE_MS = 50  # the client's part, on a machine that does other things, too


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


@dataclass(frozen=True)
class Gateway:
    """A running process and how to reach it."""

    process: subprocess.Popen[str]
    public: httpx2.AsyncClient
    admin: httpx2.AsyncClient

    async def quote(self, body: Any = BY_IDS, budget_ms: int = 1000) -> httpx2.Response:
        """One quote."""
        return await self.public.post("/v1/quotes", json=body, headers={"X-Request-Timeout-Ms": str(budget_ms)})


def environment(folder: Path, **changes: str) -> dict[str, str]:
    """What a gateway with a bundle, and with nothing that answers, is started with."""
    store, release, _ = bundles.make(folder)
    own = {name: value for name, value in os.environ.items() if not name.startswith(("GATEWAY_", "BALLPARK_"))}
    nowhere = f"127.0.0.1:{free_port()}"
    return (
        own
        | {
            "GATEWAY_STORE": store,
            "GATEWAY_RELEASE": release,
            "GATEWAY_CLASSIFIER_TARGET": nowhere,
            "GATEWAY_REGRESSOR_TARGET": nowhere,
            "GATEWAY_REDIS_URL": f"redis://{nowhere}",
            "GATEWAY_PORT": str(free_port()),
            "GATEWAY_ADMIN_PORT": str(free_port()),
            "GATEWAY_DRAIN_S": "0.3",
        }
        | changes
    )


@contextmanager
def started(environ: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """A process that is gone at the end."""
    command = [sys.executable, "-m", "gateway"]
    with subprocess.Popen(command, env=environ, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


@asynccontextmanager
async def gateway(folder: Path, **changes: str) -> AsyncIterator[Gateway]:
    """A gateway that is ready."""
    environ = environment(folder, **changes)
    urls = [f"http://127.0.0.1:{environ[name]}" for name in ("GATEWAY_PORT", "GATEWAY_ADMIN_PORT")]
    key = {"Authorization": "Bearer ballpark-dev"}
    with started(environ) as process:
        async with AsyncExitStack() as stack:
            public, admin = [await stack.enter_async_context(httpx2.AsyncClient(base_url=u, headers=key)) for u in urls]
            running = Gateway(process, public, admin)
            await until(lambda: is_up(running), within=30)
            yield running


async def is_ready(admin: httpx2.AsyncClient) -> bool:
    """What the readiness probe says."""
    try:
        return (await admin.get("/readyz")).status_code == 200
    except httpx2.TransportError:
        return False


async def is_up(running: Gateway) -> bool:
    """Whether it is ready; fails at once when it has ended instead."""
    assert running.process.poll() is None, running.process.stderr and running.process.stderr.read()
    return await is_ready(running.admin)


async def is_out_of_rotation(running: Gateway) -> bool:
    """Whether a balancer would leave it out."""
    return not await is_ready(running.admin)


async def is_busy(running: Gateway) -> bool:
    """Whether one quote is in flight."""
    return "ballpark_in_flight 1.0" in (await running.admin.get("/metrics")).text


async def is_complete(running: Gateway) -> bool:
    """Whether a quote is complete."""
    return bool((await running.quote(QUOTE)).json()["complete"])


@asynccontextmanager
async def both_models(first: int = 0, second: int = 0) -> AsyncIterator[dict[str, str]]:
    """Two servers, and the settings that name them."""
    async with model_server(fixed(K), first) as classifier, model_server(fixed(K), second) as regressor:
        yield {
            "GATEWAY_CLASSIFIER_TARGET": f"127.0.0.1:{classifier}",
            "GATEWAY_REGRESSOR_TARGET": f"dns:///localhost:{regressor}",
        }


async def test_a_quote_without_redis_is_answered_from_defaults(tmp_path: Path) -> None:
    """200 and complete, the missing store is named; series and probes are on the other port; the process stays small."""
    async with both_models() as targets, gateway(tmp_path, **targets) as running:
        answers = [await running.quote() for _ in range(5)]
        metrics = (await running.admin.get("/metrics")).text
        probes = [(await running.admin.get(f"/{probe}")).status_code for probe in ("livez", "readyz", "startupz")]
        nothing = (await running.admin.get("/v1/quotes")).status_code
        process = Path(f"/proc/{running.process.pid}")
        rss_mb = int(re.findall(r"VmRSS:\s+(\d+)", (process / "status").read_text())[0]) / 1024
        mapped = (process / "maps").read_text()

    body = answers[-1].json()
    assert [200] * 5 == [answer.status_code for answer in answers]
    assert (True, ["features_unavailable"], K) == (body["complete"], body["degraded"], len(body["insurers"]))
    assert 'ballpark_requests_total{outcome="200",route="/v1/quotes"} 5.0' in metrics
    assert ([200, 200, 200], 404) == (probes, nothing)
    assert rss_mb < MOST_RSS_MB
    assert "tensorflow" not in mapped


async def test_models_that_come_back_are_used_again(tmp_path: Path) -> None:
    """One gone: a partial answer inside the budget. Both gone: 503. Back: complete within three seconds, nothing restarted."""
    async with AsyncExitStack() as servers:
        first = await servers.enter_async_context(model_server(fixed(K)))
        async with AsyncExitStack() as other:
            second = await other.enter_async_context(model_server(fixed(K)))
            targets = {
                "GATEWAY_CLASSIFIER_TARGET": f"127.0.0.1:{first}",
                "GATEWAY_REGRESSOR_TARGET": f"127.0.0.1:{second}",
            }
            running = await servers.enter_async_context(gateway(tmp_path, **targets))
            assert (await running.quote(QUOTE)).json()["complete"]
        partial = await running.quote(QUOTE, budget_ms=1000)

        assert (200, ["regressor_unavailable"]) == (partial.status_code, partial.json()["degraded"])
        assert int(partial.headers["x-budget-left-ms"]) > 0

        async with model_server(fixed(K), second):
            await until(lambda: is_complete(running), within=3)


async def test_without_any_model_it_starts_and_says_so(tmp_path: Path) -> None:
    """Ready, because restarting it would mend nothing; 503, because nobody can answer."""
    async with gateway(tmp_path) as running:
        answer = await running.quote()

        assert await is_ready(running.admin)
        assert (503, "urn:ballpark:error:no_branch") == (answer.status_code, answer.json()["type"])


@pytest.mark.parametrize("budget_ms", [5, 20, 150])
async def test_a_silent_model_costs_the_budget_and_no_more(budget_ms: int, tmp_path: Path) -> None:
    """A server that accepts and never answers is cut off, whatever the budget."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        target = f"127.0.0.1:{silent.getsockname()[1]}"
        async with gateway(tmp_path, GATEWAY_CLASSIFIER_TARGET=target, GATEWAY_REGRESSOR_TARGET=target) as running:
            took_ms = []
            for _ in range(5):
                began = time.monotonic()
                answer = await running.quote(QUOTE, budget_ms)
                took_ms.append(1000 * (time.monotonic() - began))

    assert answer.status_code in (503, 504)  # late, until gRPC has given up connecting; then gone
    assert statistics.median(took_ms) < budget_ms + LATE_MS


async def test_sigterm_loses_nothing(tmp_path: Path) -> None:
    """Readiness ends first; every request until connections are refused is answered, and its answer ends its connection."""
    statuses: list[int] = []

    async def keep_asking(running: Gateway) -> None:
        with contextlib.suppress(httpx2.ConnectError):  # a reset while an answer is awaited is another error
            while True:
                statuses.append((await running.quote(QUOTE)).status_code)

    async def have_come(number: int) -> bool:
        return len(statuses) >= number

    async with both_models() as targets, gateway(tmp_path, **targets, GATEWAY_DRAIN_S="1") as running:
        askers = [asyncio.create_task(keep_asking(running)) for _ in range(4)]
        await until(lambda: have_come(20), within=10)
        running.process.send_signal(signal.SIGTERM)
        await until(lambda: is_out_of_rotation(running), within=10)
        so_far = len(statuses)
        await until(lambda: have_come(so_far + 4), within=10)
        await asyncio.gather(*askers)
        code = await asyncio.to_thread(running.process.wait, 10)

    assert (0, {200}) == (code, set(statuses))


async def test_what_is_in_flight_at_the_end_is_answered(tmp_path: Path) -> None:
    """The port closes while a request waits for a silent model: it still gets its answer."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        targets = {"GATEWAY_CLASSIFIER_TARGET": f"127.0.0.1:{silent.getsockname()[1]}", "GATEWAY_DRAIN_S": "0"}
        async with (
            model_server(fixed(K)) as port,
            gateway(tmp_path, **targets, GATEWAY_REGRESSOR_TARGET=f"127.0.0.1:{port}") as running,
        ):
            waiting = asyncio.create_task(running.quote(QUOTE, budget_ms=1000))
            await until(lambda: is_busy(running), within=10)
            running.process.terminate()
            answer = await waiting
            code = await asyncio.to_thread(running.process.wait, 10)

    assert (200, False, K, 0) == (answer.status_code, answer.json()["complete"], len(answer.json()["insurers"]), code)


async def test_nothing_that_was_sent_is_logged(tmp_path: Path) -> None:
    """Refused and failed requests each leave a line, without a value of theirs."""
    canary = "CANARY12"
    async with gateway(tmp_path) as running:
        await running.quote({"risk": {"driver": {"age": 30, canary: canary, "occupation": canary}}, "subject": canary})
        await running.quote({"risk": {"driver": {"age": 30}}, "subject": canary, "quote_id": canary})
        await running.public.get(f"/v1/{canary}?{canary}={canary}", headers={"User-Agent": canary})
        running.process.terminate()
        _, logged = await asyncio.to_thread(running.process.communicate)

    assert {'"code": "bad_request"', '"code": "no_branch"'} <= set(re.findall(r'"code": "\w+"', logged))
    assert canary not in logged


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"GATEWAY_HOST": "0.0.0.0", "BALLPARK_DEV_KEY": "ballpark-dev"}, "BALLPARK_DEV_KEY is for loopback only"),
        ({"GATEWAY_REDIS_URL": "http://:secret@127.0.0.1"}, "GATEWAY_REDIS_URL must be redis://"),
        ({"GATEWAY_REDIS_URL": "redis://:secret@127.0.0.1:many"}, "GATEWAY_REDIS_URL must be redis://"),
        ({"GATEWAY_STORE": "foo://x"}, "GATEWAY_STORE: "),
        ({"GATEWAY_CLASSIFIER_TARGET": ""}, "GATEWAY_CLASSIFIER_TARGET: "),
    ],
)
def test_a_wrong_start_is_refused(changes: dict[str, str], says: str, tmp_path: Path) -> None:
    """Exit code 2, and one line that says what is wrong, without a password."""
    with started(environment(tmp_path, **changes)) as process:
        _, said = process.communicate(timeout=30)

    assert (2, 1, True, False) == (process.returncode, said.count("\n"), says in said, "secret" in said), said


def test_importing_it_has_no_effect_and_no_tensorflow() -> None:
    """No thread, no channel, no socket, and none of the large packages."""
    code = (
        "import gateway.__main__, sys, threading, os\n"
        "print(threading.active_count(), len([m for m in sys.modules if m.split('.')[0] in {'tensorflow', 'google', 'pyarrow', 'pandas'}]),"
        " any('socket' in os.readlink(f'/proc/self/fd/{n}') for n in os.listdir('/proc/self/fd') if os.path.exists(f'/proc/self/fd/{n}')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )

    assert "1 0 False" == done.stdout.strip()
