"""On what was it measured? What a reader needs to judge a time, and nothing that names the machine or its owner."""

import os
import platform
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

UNKNOWN: Final = "unknown"


@dataclass(frozen=True, slots=True)
class Machine:
    """The hardware and the software below the measured processes. `memory` is in bytes."""

    processor: str
    cores: int
    memory: int
    system: str
    python: str

    def __str__(self) -> str:
        return (
            f"{self.processor}, {self.cores} cores, {self.memory / 2**30:.0f} GiB, {self.system}, Python {self.python}"
        )


def this_machine() -> Machine:
    """The one that this runs on."""
    return Machine(
        processor=_processor(),
        cores=len(os.sched_getaffinity(0)),
        memory=os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        system=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or UNKNOWN
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), UNKNOWN)


def commit(root: Path) -> str:
    """What git calls the checkout, with `-dirty` when files differ from it; `unknown` where there is no history."""
    try:
        # Without optional locks: looking must not rewrite the index while somebody commits.
        found = subprocess.run(
            ["git", "--no-optional-locks", "describe", "--always", "--dirty"],
            cwd=root, capture_output=True, text=True, check=True,
        )  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        return UNKNOWN
    return found.stdout.strip()
