# ruff: noqa: INP001, T201 - a script that prints
"""How many enquiries a second does the score stage answer for all insurers? Rows/s without and with start-up, CPU, peak memory.

Runs the stage as its command line does, in a process of its own, over the market's risks repeated to the asked number of rows. Exit 1
when it misses the targets (for 60 insurers on two free cores: 20,000 rows/s and 2 GiB); other machines and other loads have other times.
"""

import argparse
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

ROWS_PER_S: Final = 20_000
MEMORY: Final = 2 * 1024**3
STAGES: Final = {"premium-regressor": "premium_regressor", "quote-classifier": "quote_classifier"}


@dataclass(frozen=True, slots=True)
class Cost:
    """What one run took. `scoring_s` is what the stage says of itself, and `wall_s` has the start of the process in it."""

    rows: int
    scoring_s: float
    wall_s: float
    cpu_s: float
    memory: int
    disk: int


def repeat(risks: Path, rows: int, to: Path) -> None:
    """Write the rows of a folder or file of risks again and again until there are so many."""
    found = pq.read_table(risks)
    with pq.ParquetWriter(to, found.schema) as writer:
        left = rows
        while left > 0:
            part: pa.Table = found.slice(0, left)
            writer.write_table(part)
            left -= len(part)


def run(package: str, risks: Path, store: str, rows: int, folder: Path) -> Cost:
    """Score in a process of its own. Raises CalledProcessError when it fails."""
    answers = folder / "answers.parquet"
    command = [sys.executable, "-m", package, "score", "--in", str(risks), "--out", str(answers), "--store", store]
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
    wall_s = time.monotonic() - begun
    said = re.search(r"^scoring: done \(([\d.]+) s\)", done.stderr, re.MULTILINE)
    if done.returncode or said is None:
        sys.stderr.write(done.stderr)
        raise subprocess.CalledProcessError(done.returncode or 1, command)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(rows, float(said[1]), wall_s, cpu_s, 1024 * after.ru_maxrss, answers.stat().st_size)


def main() -> int:
    """Exit 0 when the targets hold, 1 when not."""
    home = Path(os.environ.get("BALLPARK_HOME", ".ballpark"))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--in", dest="source", type=Path, default=home / "market" / "risks", help="risks (default: %(default)s)"
    )
    parser.add_argument("--store", default=str(home / "store"), help="where the models are (default: %(default)s)")
    parser.add_argument(
        "--project", choices=STAGES, default="premium-regressor", help="whose model (default: %(default)s)"
    )
    parser.add_argument("--rows", type=int, default=1_000_000, help="enquiries (default: %(default)s)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as beside:
        risks = Path(beside) / "risks.parquet"
        repeat(options.source, options.rows, risks)
        cost = run(STAGES[options.project], risks, options.store, options.rows, Path(beside))
    per_s = cost.rows / cost.scoring_s
    print(
        f"{options.project}: {cost.rows:,} enquiries in {cost.scoring_s:.1f} s: {per_s:,.0f} rows/s; "
        f"{cost.rows / cost.wall_s:,.0f} rows/s with start-up ({cost.wall_s:.1f} s), {cost.cpu_s:.1f} s of CPU, "
        f"{cost.memory / 1024**2:,.0f} MiB at most, {cost.disk / 1024**2:,.0f} MiB written"
    )
    return int(per_s < ROWS_PER_S or cost.memory > MEMORY)


if __name__ == "__main__":
    sys.exit(main())
