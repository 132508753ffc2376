"""How many answers a second come when so many customers each wait for theirs? wrk, because it costs next to nothing."""

import math
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

SCRIPT: Final = Path(__file__).with_name("questions.lua")
INSTALL: Final = str(Path(__file__).resolve().parents[2] / "scripts" / "wrk")
LEAVES_S: Final = 30.0
FIGURES: Final = re.compile(r"^figures (\d+) (\d+) (\d+) (\d+) (\d+) (\d+) (\d+)$", re.MULTILINE)
SHOWN: Final = re.compile(r"^shown (.*)$", re.MULTILINE)


class NoWrk(Exception):
    """wrk is missing, or failed; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Closed:
    """What a number of connections gave: whole `answers`, and `errors`, which are other answers, broken connections and time-outs."""

    connections: int
    answers: int
    seconds: float
    p50_ms: float
    p99_ms: float
    errors: int
    shown: str = ""

    @property
    def per_s(self) -> float:
        """Whole answers a second."""
        return self.answers / self.seconds if self.seconds else 0.0


def read(said: str, connections: int) -> Closed:
    """Of what wrk and the script print. Raises `NoWrk` for anything else."""
    found = FIGURES.search(said)
    if found is None:
        raise NoWrk(f"wrk did not end well: {said.strip()[-500:]}")
    requests, duration_us, p50_us, p99_us, lacking, broken, late = map(int, found.groups())
    shown = SHOWN.search(said)
    return Closed(
        connections,
        requests - lacking,
        duration_us / 1e6,
        p50_us / 1e3 if requests else math.inf,
        p99_us / 1e3 if requests else math.inf,
        lacking + broken + late,
        shown[1] if shown else "",
    )


def find() -> str:
    """wrk's path; where there is none, it is installed if that can be. Raises `NoWrk`."""
    if shutil.which("wrk") is None:
        done = subprocess.run([INSTALL, "-v"], capture_output=True, text=True, check=False)
        if shutil.which("wrk") is None:
            raise NoWrk(done.stderr.strip()[-500:])
    return "wrk"


@dataclass(frozen=True, slots=True)
class Questions:
    """The files that the script reads: bodies, a line each, and headers."""

    bodies: Path
    headers: Path

    @property
    def environ(self) -> Mapping[str, str]:
        """What tells the script."""
        return {**os.environ, "FLEET_QUESTIONS": str(self.bodies), "FLEET_HEADERS": str(self.headers)}


def run(ports: Sequence[int], questions: Questions, connections: int, seconds: float) -> list[Closed]:
    """So many connections to each port, all ports at once. Raises `NoWrk`."""
    wrk = find()
    started = [
        subprocess.Popen(
            [wrk, "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--timeout", "5s", "-s", str(SCRIPT), f"http://127.0.0.1:{port}"],
            env=questions.environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        for port in ports
    ]  # fmt: skip
    try:
        return [read(one.communicate(timeout=seconds + LEAVES_S)[0], connections) for one in started]
    finally:
        for one in started:
            one.kill()
            one.wait()
