"""What does a quote cost the gateway? Its CPU a quote, beside a static answer of the same size from bare uvicorn, in turns.

    make bench-gateway BENCH_GATEWAY_ARGS="--insurers 120 --rounds 3 --seconds 4"

The model servers, which answer at once, and the load (wrk) are processes of their own: what is read from /proc is the gateway's alone.
The machine's speed swings, and so does what a request costs with how many are in flight: the ratios count.
"""

# ruff: noqa: S101, S310 -- a script, which asks nobody but loopback

import argparse
import asyncio
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

HERE: Final = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests"))

import bundle as bundles  # noqa: E402 -- the tests' own bundle and servers
from stages import stages  # noqa: E402
from support import MOTOR  # noqa: E402
from test_process import free_port  # noqa: E402
from wire import fixed, model_server  # noqa: E402

from gateway.adapters.release import load_serving  # noqa: E402

WRK: Final = HERE.parents[2] / "scripts" / "wrk"
TICKS: Final = os.sysconf("SC_CLK_TCK")
KEY: Final = "ballpark-dev"

MOST_OF_STATIC: Final = 2.0
MOST_OF_SHED: Final = 0.3
MOST_RSS_MB: Final = 100
MOST_START_S: Final = 1.0

RISK: Final = {
    "driver": {
        "age": 34,
        "licence_years": 12,
        "licence_type": "full_uk",
        "employment": "employed",
        "home_owner": True,
        "ncd_years": 5,
    },
    "vehicle": {"make": "mk-01", "fuel": "petrol", "vehicle_group": 20, "vehicle_age": 4, "vehicle_value": 9000},
    "area": {"region": "R07"},
    "use": {"annual_mileage": 8000, "class_of_use": "commuting", "overnight": "drive"},
    "cover": {"cover": "comprehensive", "voluntary_excess": 250, "days_to_start": 10},
    "history": {"consent": True, "fault_claims": 0, "conviction": "none", "points": 0},
}
BODY: Final = json.dumps({"risk": RISK}).encode()


async def serve_models(insurers: int, *, is_silent: bool) -> None:
    """Both models on one port, which is printed, until the process ends."""
    async with model_server((lambda _: None) if is_silent else fixed(insurers)) as port:
        print(port, flush=True)
        await asyncio.Event().wait()


def cpu_s(pid: int) -> float:
    """User and system time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def rss_mb(pid: int) -> float:
    """Memory in use."""
    return int(re.findall(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[0]) / 1024


@contextmanager
def process(*command: str, **environ: str) -> Iterator["subprocess.Popen[str]"]:
    """A program of ours, ended at the end."""
    started = subprocess.Popen(
        [sys.executable, *command], env=os.environ | environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        yield started
    finally:
        started.kill()
        started.communicate()


@contextmanager
def models(insurers: int, *, is_silent: bool = False) -> Iterator[str]:
    """The gRPC target of a process with both models."""
    extra = ["--silent"] if is_silent else []
    with process(__file__, "--models", "--insurers", str(insurers), *extra) as server:
        assert server.stdout is not None
        yield f"127.0.0.1:{server.stdout.readline().strip()}"


@contextmanager
def gateway(store: str, release: str, targets: tuple[str, str], **more: str) -> Iterator[tuple[Any, int, int, float]]:
    """A gateway that answers: the process, its ports, and the seconds from its start to the first answer."""
    public, admin = free_port(), free_port()
    environ = {
        "GATEWAY_STORE": store,
        "GATEWAY_RELEASE": release,
        "GATEWAY_CLASSIFIER_TARGET": targets[0],
        "GATEWAY_REGRESSOR_TARGET": targets[1],
        "GATEWAY_REDIS_URL": "redis://127.0.0.1:1",
        "GATEWAY_PORT": str(public),
        "GATEWAY_ADMIN_PORT": str(admin),
        "GATEWAY_DRAIN_S": "0",
    }
    began = time.perf_counter()
    with process("-m", "gateway", **environ, **more) as started:
        while not answers(public):
            assert started.poll() is None, started.stderr and started.stderr.read()
            time.sleep(0.005)
        yield started, public, admin, time.perf_counter() - began


def answers(port: int, path: str = "/v1/contract") -> bool:
    """Whether somebody answers."""
    try:
        with urllib.request.urlopen(asking(port, path), timeout=1):
            return True
    except OSError:
        return False


def asking(port: int, path: str, body: bytes | None = None) -> urllib.request.Request:
    """A request with the key."""
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
    return urllib.request.Request(f"http://127.0.0.1:{port}{path}", body, headers)


def drive(pid: int, port: int, script: Path, connections: int, seconds: float) -> tuple[float, float, int]:
    """CPU microseconds a request, requests a second, and answers that were no 200."""
    command = [
        str(WRK),
        "-t1",
        f"-c{connections}",
        f"-d{seconds:g}s",
        "-s",
        str(script),
        f"http://127.0.0.1:{port}/v1/quotes",
    ]
    before = cpu_s(pid)
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    spent = cpu_s(pid) - before
    count = int(re.findall(r"(\d+) requests in", said)[0])
    other = re.findall(r"Non-2xx or 3xx responses: (\d+)", said)
    return 1e6 * spent / count, count / seconds, int(other[0]) if other else 0


def verdict(what: str, value: float, most: float, unit: str) -> bool:
    """One line; whether it is good enough."""
    good = value <= most
    print(f"{what}: {value:.3g}{unit} (at most {most:g}{unit}: {'yes' if good else 'NO'})")
    return good


def main() -> int:
    """Start everything, measure in turns, stop everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--insurers", type=int, default=120)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--models", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--silent", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.models:
        asyncio.run(serve_models(options.insurers, is_silent=options.silent))
        return 0
    subprocess.run([str(WRK), "-v"], check=False, capture_output=True)  # installs it where it is missing
    with tempfile.TemporaryDirectory() as folder:
        return measure(Path(folder), options)


def measure(folder: Path, options: argparse.Namespace) -> int:
    """All figures; 1 when one is not good enough."""
    ids = tuple(f"i-{n:04d}" for n in range(1, options.insurers + 1))
    store, release, _ = bundles.make(folder, insurers=ids)
    serving = load_serving(store, release, MOTOR)
    for batch in (1, 8, 32):
        print(f"CPU us a quote of {options.insurers} insurers, stage by stage, {batch} answered together:")
        for name, spent in stages(serving, BODY, batch):
            print(f"    {name:<42}{spent:7.1f}")
    script = folder / "quotes.lua"
    script.write_text(
        f'wrk.method = "POST"\nwrk.body = [[{BODY.decode()}]]\n'
        f'wrk.headers["Authorization"] = "Bearer {KEY}"\nwrk.headers["Content-Type"] = "application/json"\n'
    )
    with (
        models(options.insurers) as classifier,
        models(options.insurers) as regressor,
        models(options.insurers, is_silent=True) as silent,
        gateway(store, release, (classifier, regressor)) as (quoting, port, admin, start_s),
        gateway(store, release, (silent, silent), GATEWAY_MAX_IN_FLIGHT="1") as (shedding, shedding_port, _, _),
    ):
        with urllib.request.urlopen(asking(port, "/v1/quotes", BODY)) as answer:
            size = len(answer.read())
        static_port = free_port()
        with process(str(HERE / "static.py"), str(static_port), str(size)) as static:
            while not answers(static_port):
                time.sleep(0.01)
            systems = {"static": (static, static_port), "quote": (quoting, port), "shed": (shedding, shedding_port)}
            figures: dict[str, list[float]] = {name: [] for name in systems}
            for round_ in range(options.rounds):
                for name, (server, at) in systems.items():
                    spent, rate, other = drive(server.pid, at, script, options.connections, options.seconds)
                    figures[name].append(spent)
                    print(
                        f"round {round_ + 1}: {name:<8}{spent:7.1f} us of CPU a request, {rate:8,.0f}/s, {other} refused"
                    )
            one, _, _ = drive(quoting.pid, port, script, 1, options.seconds)
            print(
                f"one connection: {one:.0f} us of CPU a quote; answer of {size} bytes; load average {os.getloadavg()[0]:.1f}"
            )
            with urllib.request.urlopen(f"http://127.0.0.1:{admin}/metrics") as page:
                print(of_calls(page.read().decode()))
            median = {name: statistics.median(values) for name, values in figures.items()}
            good = [
                verdict("a quote / a static answer", median["quote"] / median["static"], MOST_OF_STATIC, "x"),
                verdict("a shed request / a static answer", median["shed"] / median["static"], MOST_OF_SHED, "x"),
                verdict("RSS", rss_mb(quoting.pid), MOST_RSS_MB, " MB"),
                verdict("start to the first answer", start_s, MOST_START_S, " s"),
            ]
    return 0 if all(good) else 1


def of_calls(page: str) -> str:
    """How many rows a shared call had, of the metrics page."""
    found = dict(
        re.findall(
            r'^(ballpark_shared_(?:calls|rows)_total)\{branch="regressor",signature="packed"\} (\S+)',
            page,
            re.MULTILINE,
        )
    )
    if len(found) < 2:
        return "no shared calls were counted"
    return f"{float(found['ballpark_shared_rows_total']) / float(found['ballpark_shared_calls_total']):.1f} rows a call"


if __name__ == "__main__":
    sys.exit(main())
