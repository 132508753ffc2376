"""How much does serving cost? The server beside a bare `Session` loop on the same model, in turns, in one run.

`make bench-model-server`. The ratios are what counts: absolute times are this machine's, at this minute. One process holds the
loop, one the server, and h2load the callers, which costs the two cores next to nothing; the same calls from a Python client, which
costs as much as the server, are printed beside them. While versions load, and beside a hostile caller, the callers are Python's.

The loop has TensorFlow's own choice of threads. The server has none to hand work to (`FLAGS`): each call runs from start to end on
the thread that has it. That is what pays where several calls run at once on few cores; what the loop does without threads is printed.
"""

import argparse
import asyncio
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final, Self

import grpc
import grpc.aio
import h2load
import numpy as np

from kit.tensors import decode_response, encode_request

HERE: Final = Path(__file__).parent
METHOD: Final = "/tensorflow.serving.PredictionService/Predict"
NAME: Final = "regressor"
BATCHING: Final = """max_batch_size { value: 64 } batch_timeout_micros { value: 2000 } max_enqueued_batches { value: 64 }
num_batch_threads { value: 2 }"""
TICKS: Final = os.sysconf("SC_CLK_TCK")
FLAGS: Final = ("--tensorflow_intra_op_parallelism=1", "--tensorflow_inter_op_parallelism=-1")
CALLERS, ROWS = 4, 32
CROWD: Final = 64


@dataclass
class Load:
    """What one stretch of calls gave."""

    seconds: float = 0.0
    took: list[float] = field(default_factory=list)
    failed: int = 0
    cpu_s: float = 0.0

    def quantile(self, share: float) -> float:
        """In microseconds."""
        return sorted(self.took)[min(int(share * len(self.took)), len(self.took) - 1)] * 1e6 if self.took else 0.0


def request(rows: int) -> bytes:
    """One call's bytes."""
    inputs = {"numeric": np.ones((rows, 20), np.float32), "categorical": np.ones((rows, 13), np.int32)}
    return encode_request(NAME, None, "packed", inputs)


class Server:
    """The process under test."""

    def __init__(self, folder: Path, more: Sequence[str], *, batching: bool) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        flags = [
            f"--port={self.port}", f"--model_name={NAME}", f"--model_base_path={folder / NAME}", "--grpc_max_threads=160",
            "--num_load_threads=1", "--file_system_poll_wait_seconds=1", *FLAGS, *more,
        ]  # fmt: skip
        if batching:
            (folder / "batching.config").write_text(BATCHING)
            flags += ["--enable_batching=true", f"--batching_parameters_file={folder / 'batching.config'}"]
        self.log = folder / f"server-{batching}.log"
        self.begun = time.perf_counter()
        with self.log.open("wb") as out:
            self.process = subprocess.Popen([sys.executable, "-m", "model_server", *flags], stdout=out, stderr=out)

    @classmethod
    def of(cls, process: "subprocess.Popen[bytes]", port: int) -> Self:
        """Any process that answers on this port."""
        made = cls.__new__(cls)
        made.process, made.port = process, port
        return made

    def cpu_s(self) -> float:
        """CPU time so far, of all its threads."""
        parts = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(parts[11]) + int(parts[12])) / TICKS

    def rss_mb(self) -> int:
        """Memory in use."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) // 1024

    async def until_up(self, channel: grpc.aio.Channel) -> float:
        """Seconds from the start to the first answer."""
        call = channel.unary_unary(METHOD)
        while True:
            try:
                await call(request(1), timeout=5)
            except grpc.aio.AioRpcError as error:
                if self.process.poll() is not None:
                    raise SystemExit(self.log.read_text()) from error
                await asyncio.sleep(0.02)
            else:
                return time.perf_counter() - self.begun


async def drive(server: Server, channel: grpc.aio.Channel, callers: int, rows: int, until: Callable[[], bool]) -> Load:
    """So many callers, one call after another each, until it is time."""
    call, data, load = channel.unary_unary(METHOD), request(rows), Load()

    async def caller() -> None:
        while not until():
            begun = time.perf_counter()
            try:
                await call(data, timeout=10)
            except grpc.aio.AioRpcError:
                load.failed += 1
            else:
                load.took.append(time.perf_counter() - begun)

    begun, cpu = time.perf_counter(), server.cpu_s()
    await asyncio.gather(*(caller() for _ in range(callers)))
    load.seconds, load.cpu_s = time.perf_counter() - begun, server.cpu_s() - cpu
    return load


def for_seconds(seconds: float) -> Callable[[], bool]:
    """True when they are over."""
    end = time.perf_counter() + seconds
    return lambda: time.perf_counter() >= end


@contextmanager
def bare_loop(folder: Path, *more: str) -> Iterator[Callable[[int, float], dict[str, float]]]:
    """Runs the bare loop in its own process when told so."""
    command = [sys.executable, str(HERE / "bare.py"), str(folder), *more]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdin is not None  # noqa: S101 -- for the type checker
    assert process.stdout is not None  # noqa: S101
    stdin, stdout = process.stdin, process.stdout

    def run(rows: int, seconds: float) -> dict[str, float]:
        stdin.write(f"{rows} {seconds}\n")
        stdin.flush()
        answer: dict[str, float] = json.loads(stdout.readline())
        return answer

    try:
        if stdout.readline().strip() != "ready":
            raise SystemExit("the bare loop did not start")
        yield run
    finally:
        stdin.close()
        process.wait(30)
        stdout.close()


@contextmanager
def serving(folder: Path, more: Sequence[str], *, batching: bool) -> Iterator[Server]:
    """The server, killed at the end."""
    server = Server(folder, more, batching=batching)
    try:
        yield server
    finally:
        server.process.kill()
        server.process.wait(30)


@dataclass(frozen=True)
class Scene:
    """A number of callers, the server that they call, and what is asked of it: a share of the bare loop, or time above it."""

    name: str
    callers: int
    rows: int
    says: str
    bound: float
    server: Server
    channel: grpc.aio.Channel
    answer_bytes: int

    @property
    def unit(self) -> str:
        """Of `bound`."""
        return "x" if self.callers > 1 else "µs"

    def calls(self, seconds: float) -> h2load.Calls:
        """By h2load."""
        target = f"http://127.0.0.1:{self.server.port}{METHOD}"
        return h2load.calls(target, request(self.rows), self.callers, seconds, answer_bytes=self.answer_bytes)

    def beside(self, per_s: float, p50_us: float, before: dict[str, float], after: dict[str, float]) -> float:
        """The figure, from the bare loop's before and after."""
        if self.callers == 1:
            return p50_us - (before["p50_us"] + after["p50_us"]) / 2
        return self.rows * per_s / ((before["rows_per_s"] + after["rows_per_s"]) / 2)


async def scene(
    name: str, callers: int, rows: int, says: str, bound: float, *, server: Server, channel: grpc.aio.Channel
) -> Scene:
    """Makes one, looks at an answer, and lets the server run for a moment. Exits if the answer is not right."""
    answer = await channel.unary_unary(METHOD)(request(rows))
    quantiles = decode_response(answer)["log_premium"]
    if quantiles.shape != (rows, 120, 3) or not np.isfinite(quantiles).all():
        raise SystemExit(f"the answer to {rows} rows has the shape {quantiles.shape}, or no numbers")
    made = Scene(name, callers, rows, says, bound, server, channel, len(answer))
    await asyncio.to_thread(made.calls, 1.0)
    return made


async def rounds(
    count: int, seconds: float, scenes: list[Scene], bare: Callable[[int, float], dict[str, float]]
) -> None:
    """The comparisons, in turns; the median of the rounds' ratios is printed."""
    ratios: dict[str, list[float]] = {scene.name: [] for scene in scenes}
    python: dict[str, list[float]] = {scene.name: [] for scene in scenes}
    cpu_us: dict[str, list[float]] = {scene.name: [] for scene in scenes}
    for _ in range(count):
        for scene in scenes:
            before = await asyncio.to_thread(bare, scene.rows, seconds / 2)
            cpu = scene.server.cpu_s()
            load = await asyncio.to_thread(scene.calls, seconds)
            cpu_us[scene.name].append((scene.server.cpu_s() - cpu) / len(load.took_us) * 1e6)
            after = await asyncio.to_thread(bare, scene.rows, seconds / 2)
            slow = await drive(scene.server, scene.channel, scene.callers, scene.rows, for_seconds(seconds / 2))
            last = await asyncio.to_thread(bare, scene.rows, seconds / 2)
            ratios[scene.name].append(scene.beside(load.per_s, load.quantile(0.5), before, after))
            python[scene.name].append(scene.beside(len(slow.took) / slow.seconds, slow.quantile(0.5), after, last))
            print(f"  {scene.name}: {scene.rows * load.per_s:,.0f} rows/s, p50 {load.quantile(0.5):,.0f} µs, p99 {load.quantile(0.99):,.0f} µs; "
                  f"bare {before['rows_per_s']:,.0f} and {after['rows_per_s']:,.0f} rows/s; failed in Python {slow.failed}")  # fmt: skip
    for scene in scenes:
        say(scene.says, statistics.median(ratios[scene.name]), scene.unit, scene.bound, above=scene.callers > 1)
        per_call = statistics.median(cpu_us[scene.name])
        print(f"  {per_call:,.0f} µs of the server's CPU a call, {per_call / scene.rows:,.1f} a row; "
              f"with a Python client {statistics.median(python[scene.name]):,.2f} {scene.unit}")  # fmt: skip


async def loading(seconds: float, folder: Path, server: Server, channel: grpc.aio.Channel) -> None:
    """The p99 of two callers while further versions load and warm up, against the p99 before."""
    before = await drive(server, channel, 2, 1, for_seconds(3 * seconds))
    during = Load()
    for number in (2, 3, 4):
        publish(folder, number)
        seen = server.log.read_text().count('"loaded"')
        load = await drive(server, channel, 2, 1, lambda seen=seen: server.log.read_text().count('"loaded"') > seen)  # type: ignore[misc]
        during.took += load.took
        during.failed += load.failed
    print(
        f"p99 {before.quantile(0.99):,.0f} µs before, {during.quantile(0.99):,.0f} µs while versions load; failed {during.failed}"
    )
    say(
        "p99 while another version loads / before", during.quantile(0.99) / before.quantile(0.99), "x", 2.0, above=False
    )


async def hostile(seconds: float, server: Server, channel: grpc.aio.Channel) -> None:
    """The p99 of two callers while another sends what nobody should, as fast as it is refused, against the p99 alone."""
    call, random = channel.unary_unary(METHOD), Random(5)  # noqa: S311 -- repeatable, not secret
    good, sent = request(1), 0

    async def attacker(until: Callable[[], bool]) -> None:
        nonlocal sent
        while not until():
            data = bytearray(good)
            for _ in range(random.randint(1, 8)):
                data[random.randrange(len(data))] = random.randrange(256)
            with suppress(grpc.aio.AioRpcError):
                await call(bytes(data[: random.randint(0, 2 * len(data))]), timeout=10)
            sent += 1

    alone, attacked = Load(), Load()
    for _ in range(3):
        alone.took += (await drive(server, channel, 3, 1, for_seconds(seconds))).took
        until = for_seconds(seconds)
        load, _ = await asyncio.gather(drive(server, channel, 2, 1, until), attacker(until))
        attacked.took += load.took
        attacked.failed += load.failed
    print(f"p99 {alone.quantile(0.99):,.0f} µs beside a third good caller, {attacked.quantile(0.99):,.0f} µs beside a bad one "
          f"({sent:,} malformed calls); failed {attacked.failed}")  # fmt: skip
    say(
        "p99 beside malformed calls / beside good ones",
        attacked.quantile(0.99) / alone.quantile(0.99),
        "x",
        1.5,
        above=False,
    )


async def floor(seconds: float) -> None:
    """What grpc.aio itself takes for a call of one caller and of a crowd: a handler that does nothing, in its own process."""
    for callers in (1, CROWD):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        process = subprocess.Popen([sys.executable, str(HERE / "echo.py"), str(port)])  # noqa: ASYNC220 -- nothing else is to be done meanwhile
        try:
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                await channel.channel_ready()
                empty = Server.of(process, port)
                await drive(empty, channel, callers, 1, for_seconds(seconds / 4))
                load = await drive(empty, channel, callers, 1, for_seconds(seconds))
            per_call = load.cpu_s / max(len(load.took), 1) * 1e6
            print(f"grpc.aio alone, {callers} caller(s): {len(load.took) / load.seconds:,.0f} calls/s, p50 {load.quantile(0.5):,.0f} µs, "
                  f"{per_call:,.0f} µs of CPU a call")  # fmt: skip
        finally:
            process.kill()
            process.wait(30)


def publish(folder: Path, number: int) -> None:
    """The first version once more, under another number, by renaming."""
    aside = folder / f"aside-{number}"
    subprocess.run(["cp", "-r", str(folder / NAME / "1"), str(aside)], check=True)
    aside.rename(folder / NAME / str(number))


def say(what: str, value: float, unit: str, bound: float, *, above: bool) -> None:
    """One figure, and whether it is where it should be."""
    held = value >= bound if above else value <= bound
    print(f"{what}: {value:,.2f} {unit} ({'at least' if above else 'at most'} {bound:g}: {'yes' if held else 'NO'})")


async def bench(count: int, seconds: float, folder: Path, more: Sequence[str]) -> None:
    """All of it."""
    print(
        f"load of the machine {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores; server with {' '.join([*FLAGS, *more])}"
    )
    with bare_loop(folder / NAME / "1") as bare, serving(folder, more, batching=False) as plain:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{plain.port}") as channel:
            say("cold start to the first answer", await plain.until_up(channel), "s", 6.0, above=False)
            with serving(folder, more, batching=True) as batched:
                async with grpc.aio.insecure_channel(f"127.0.0.1:{batched.port}") as other:
                    await batched.until_up(other)
                    large, crowd = (
                        f"{CALLERS} callers of {ROWS} rows / bare loop at {ROWS}",
                        f"{CROWD} callers of one row, batched / bare loop at 1",
                    )
                    scenes = [
                        await scene("large", CALLERS, ROWS, large, 0.75, server=plain, channel=channel),
                        await scene("crowd", CROWD, 1, crowd, 1.0, server=batched, channel=other),
                        await scene(
                            "single", 1, 1, "one caller of one row: added p50", 400, server=plain, channel=channel
                        ),
                    ]
                    await rounds(count, seconds, scenes, bare)
            await floor(seconds)
            await hostile(seconds, plain, channel)
            await loading(seconds, folder, plain, channel)
            print(f"RSS {plain.rss_mb()} MB")
        for rows in (1, ROWS):
            own = bare(rows, seconds)["p50_us"]
            with bare_loop(folder / NAME / "1", "--alone") as alone:
                print(
                    f"bare loop at {rows}: p50 {own:,.0f} µs, without threads {alone(rows, seconds)['p50_us']:,.0f} µs"
                )
    print(f"load of the machine {os.getloadavg()[0]:.1f}")


def main() -> None:
    """Read the command line, make the model, measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each stretch")
    parser.add_argument("--flag", action="append", default=[], help="one more flag of the server")
    asked = parser.parse_args()
    h2load.install()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made = subprocess.run(
            [sys.executable, str(HERE / "make_model.py"), str(folder / NAME / "1")],
            check=False,
            capture_output=True,
            text=True,
        )
        if made.returncode:
            raise SystemExit(made.stderr)
        asyncio.run(bench(asked.rounds, asked.seconds, folder, asked.flag))


if __name__ == "__main__":
    main()
