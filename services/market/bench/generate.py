# ruff: noqa: INP001, T201 - a script that prints
"""How fast does a market get to the disk, and in how much memory? Prints one line per size: wall, CPU, peak memory of all processes.

With several sizes it also prints the time per million, which should not grow. Exit 1 when the first size misses the targets (for a million
enquiries of 60 insurers on two free cores: 60 s of wall clock and 2 GiB); other machines and other loads have other times.
"""

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

WALL_S: Final = 60.0
MEMORY: Final = 2 * 1024**3
LOOK_EVERY_S: Final = 0.2


@dataclass(frozen=True, slots=True)
class Cost:
    """What one run took."""

    enquiries: int
    wall_s: float
    cpu_s: float
    memory: int
    """Bytes resident, all processes together, at the worst moment seen."""
    disk: int


def run(enquiries: int, insurers: int, workers: int, folder: Path) -> Cost:
    """Generate a market in processes of their own. Raises CalledProcessError when it fails."""
    arguments = ["--enquiries", enquiries, "--insurers", insurers, "--seed", 1, "--workers", workers]
    places = ["--out", folder / "market", "--truth", folder / "truth", "--quiet"]
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    command = [sys.executable, "-m", "market", "generate", *map(str, arguments + places)]
    with subprocess.Popen(command, start_new_session=True) as process:
        peak = 0
        while process.poll() is None:
            peak = max(peak, resident(process.pid))
            time.sleep(LOOK_EVERY_S)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    disk = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
    return Cost(enquiries, time.monotonic() - begun, cpu, peak, disk)


def resident(session: int) -> int:
    """Bytes resident of all processes of a session; those that end meanwhile count nothing."""
    total = 0
    for process in Path("/proc").glob("[0-9]*"):
        try:
            fields = (process / "stat").read_text().rpartition(")")[2].split()
            if int(fields[3]) == session:
                total += int((process / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        except OSError:
            continue
    return total


def main() -> int:
    """Measure each size, and hold the first to the targets."""
    parser = argparse.ArgumentParser(prog="bench/generate.py", description=__doc__)
    parser.add_argument("--enquiries", type=int, nargs="+", default=[1_000_000], metavar="N", help="default 1000000")
    parser.add_argument("--insurers", type=int, default=60, metavar="K", help="default 60")
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="default 2")
    options = parser.parse_args()
    costs = []
    for enquiries in options.enquiries:
        folder = Path(tempfile.mkdtemp(prefix="market-bench-"))
        try:
            cost = run(enquiries, options.insurers, options.workers, folder)
        finally:
            shutil.rmtree(folder)
        costs.append(cost)
        print(
            f"{enquiries:,} x {options.insurers}: wall {cost.wall_s:.1f} s, CPU {cost.cpu_s:.1f} s, memory {cost.memory / 2**20:.0f} MiB, "
            f"disk {cost.disk / 2**20:.0f} MiB, {1e6 * cost.wall_s / enquiries:.1f} s per million (load {os.getloadavg()[0]:.1f} of {os.cpu_count()} cores)",
            flush=True,
        )
    return int(costs[0].wall_s > WALL_S or costs[0].memory > MEMORY)


if __name__ == "__main__":
    sys.exit(main())
