"""What does a quote cost the gateway? CPU of its process per quote, and wall time by stage, with models that answer at once.

    .venv/bin/python benchmarks/cpu.py [--insurers 60] [--connections 1 64] [--seconds 5]

The model servers and the client are processes of their own, so that what is read from /proc is the gateway's alone.
"""

# ruff: noqa: INP001, S101, T201 -- a script, which prints

import argparse
import asyncio
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any, Final

TESTS: Final = Path(__file__).parents[1] / "tests"
sys.path.insert(0, str(TESTS))

import bundle as bundles  # noqa: E402 -- the tests' own bundle and servers
from test_process import free_port  # noqa: E402
from wire import fixed, model_server  # noqa: E402

BODY: Final = json.dumps(
    {
        "risk": {
            "driver": {
                "age": 34,
                "licence_years": 12,
                "licence_type": "full_uk",
                "employment": "employed",
                "home_owner": True,
                "ncd_years": 5,
            },
            "vehicle": {
                "make": "mk-01",
                "fuel": "petrol",
                "vehicle_group": 20,
                "vehicle_age": 4,
                "vehicle_value": 9000,
            },
            "area": {"region": "R07"},
            "use": {"annual_mileage": 8000, "class_of_use": "commuting", "overnight": "drive"},
            "cover": {"cover": "comprehensive", "voluntary_excess": 250, "days_to_start": 10},
            "history": {"consent": True, "fault_claims": 0, "conviction": "none", "points": 0},
        }
    }
).encode()


async def serve_models(insurers: int) -> None:
    """Both models on one port, which is printed, until the process ends."""
    async with model_server(fixed(insurers)) as port:
        print(port, flush=True)
        await asyncio.Event().wait()


async def ask(port: int, connections: int, seconds: float) -> int:
    """Quotes over kept connections, each waiting for its answer before it asks again; how many were answered."""
    head = f"POST /v1/quotes HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ballpark-dev\r\nContent-Type: application/json\r\nX-Request-Timeout-Ms: 2000\r\nContent-Length: {len(BODY)}\r\n\r\n"
    request, until, answered = head.encode() + BODY, time.monotonic() + seconds, 0

    async def connection() -> None:
        nonlocal answered
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while time.monotonic() < until:
            writer.write(request)
            answer = await reader.readuntil(b"\r\n\r\n")
            length = int(re.findall(rb"content-length: (\d+)", answer)[0])
            body = await reader.readexactly(length)
            answered += b'"complete":true' in body
        writer.close()

    await asyncio.gather(*(connection() for _ in range(connections)))
    return answered


def cpu_s(pid: int) -> float:
    """User and system time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def stages(admin: int) -> dict[str, tuple[float, float]]:
    """(sum, count) of each stage so far."""
    text = urllib.request.urlopen(f"http://127.0.0.1:{admin}/metrics").read().decode()
    found = re.findall(r'ballpark_stage_duration_seconds_(sum|count)\{stage="(\w+)"\} (\S+)', text)
    sums = {stage: float(value) for kind, stage, value in found if kind == "sum"}
    return {stage: (sums[stage], float(value)) for kind, stage, value in found if kind == "count"}


def measure(gateway: subprocess.Popen[Any], public: int, admin: int, connections: int, seconds: float) -> None:
    """One line of figures for each number of connections."""
    client = [
        sys.executable,
        __file__,
        "--client",
        str(public),
        "--connections",
        str(connections),
        "--seconds",
        str(seconds),
    ]
    cpu, before = cpu_s(gateway.pid), stages(admin)
    quotes = int(subprocess.run(client, check=True, capture_output=True, text=True).stdout)
    spent, after = cpu_s(gateway.pid) - cpu, stages(admin)
    rss = re.findall(r"VmRSS:\s+(\d+)", Path(f"/proc/{gateway.pid}/status").read_text())[0]
    print(
        f"{connections} connections: {quotes / seconds:.0f} quotes/s, {1e6 * spent / quotes:.0f} us of CPU a quote, RSS {int(rss) / 1024:.0f} MB"
    )
    for stage, (total, count) in after.items():
        was = before.get(stage, (0.0, 0.0))
        print(f"    {stage:<11}{1e6 * (total - was[0]) / max(1.0, count - was[1]):8.1f} us")


def main() -> None:
    """Start everything, measure, stop everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--insurers", type=int, default=60)
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 64])
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--client", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--models", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.models:
        asyncio.run(serve_models(options.insurers))
    if options.client:
        print(asyncio.run(ask(options.client, options.connections[0], options.seconds)))
        return
    with tempfile.TemporaryDirectory() as folder:
        insurers = tuple(f"i-{n:04d}" for n in range(1, options.insurers + 1))
        store, release, _ = bundles.make(Path(folder), insurers=insurers)
        command = [sys.executable, __file__, "--models", "--insurers", str(options.insurers)]
        models = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
        targets = [f"127.0.0.1:{model.stdout.readline().strip()}" for model in models if model.stdout]
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
        gateway = subprocess.Popen([sys.executable, "-m", "gateway"], env=os.environ | environ, stderr=subprocess.PIPE)
        try:
            assert gateway.stderr is not None
            gateway.stderr.readline()
            asyncio.run(ask(public, 4, 1.0))
            for connections in options.connections:
                measure(gateway, public, admin, connections, options.seconds)
        finally:
            for process in (gateway, *models):
                process.terminate()
                process.wait()


if __name__ == "__main__":
    main()
