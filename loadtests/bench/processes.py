"""What does a system cost? CPU, memory, descriptors and threads of its processes, from /proc, which costs them nothing."""

import os
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PROC: Final = Path("/proc")
TICKS: Final = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Held:
    """What processes hold at one moment: kilobytes, and counts."""

    pss_kb: int
    rss_kb: int
    descriptors: int
    threads: int


def cpu_s(pids: Iterable[int]) -> float:
    """User and system time of all their threads so far; one that has ended counts nothing."""
    total = 0
    for pid in pids:
        with suppress(OSError):
            fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
    return total / TICKS


def machine_cpu_s() -> float:
    """CPU time of everything on this machine so far: user, nice, system and interrupts."""
    fields = (PROC / "stat").read_text().split(maxsplit=8)
    return sum(int(fields[i]) for i in (1, 2, 3, 6, 7)) / TICKS


def own_cpu_s() -> float:
    """CPU time of this process and of those that it has waited for."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def held(pids: Iterable[int]) -> Held:
    """Of all of them together; a shared page counts its share in `pss_kb`."""
    pss = rss = descriptors = threads = 0
    for pid in pids:
        folder = PROC / str(pid)
        with suppress(OSError):  # it has ended
            rollup = (folder / "smaps_rollup").read_text()
            descriptors += sum(1 for _ in (folder / "fd").iterdir())
            threads += sum(1 for _ in (folder / "task").iterdir())
            pss += _kilobytes("Pss", rollup)
            rss += _kilobytes("Rss", rollup)
    return Held(pss, rss, descriptors, threads)


def _kilobytes(name: str, rollup: str) -> int:
    found = re.search(rf"^{name}: +(\d+) kB$", rollup, re.MULTILINE)
    return int(found[1]) if found else 0


def command(pid: int) -> list[str]:
    """Its command line."""
    return _parts(pid, "cmdline")


def environ(pid: int) -> dict[str, str]:
    """Its environment as it was started with."""
    return dict(part.split("=", 1) for part in _parts(pid, "environ") if "=" in part)


def _parts(pid: int, name: str) -> list[str]:
    return [part.decode(errors="replace") for part in (PROC / str(pid) / name).read_bytes().split(b"\0") if part]


def marked(mark: str, value: str) -> dict[int, list[str]]:
    """Pid to command line of every process of this user that has a variable in its environment."""
    found = {}
    for folder in PROC.iterdir():
        if folder.name.isdecimal():
            try:
                if environ(int(folder.name)).get(mark) == value:
                    found[int(folder.name)] = command(int(folder.name))
            except (OSError, ValueError):  # gone, or not ours
                continue
    return found


def children(pid: int) -> list[int]:
    """A process and everything below it."""
    parents = _parents()
    found = [pid]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found


def _parents() -> Mapping[int, int]:
    found = {}
    for folder in PROC.iterdir():
        if folder.name.isdecimal():
            try:
                found[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
    return found
