"""Which processes of a fleet are still there after its parent was killed, and how are they ended?

Every process of a fleet has its folder in the environment variable BALLPARK_FLEET. That mark survives whatever happens to the
parent, and nobody else's process carries it: nothing is ever ended by its name or by a pid read from a file.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import psutil

MARK: Final = "BALLPARK_FLEET"
ROUNDS: Final = 5


def marked(folder: Path) -> list[psutil.Process]:
    """This user's processes that carry a fleet's mark; never this process, nor those it was started by."""
    me = psutil.Process()
    spared = {me.pid, *(p.pid for p in me.parents())}
    return [p for p in psutil.process_iter() if p.pid not in spared and _carries(p, str(folder))]


def _carries(process: psutil.Process, mark: str) -> bool:
    try:
        if process.uids().real != os.getuid() or process.status() == psutil.STATUS_ZOMBIE:
            return False
        return process.environ().get(MARK) == mark
    except (psutil.Error, OSError):  # gone meanwhile, or not ours to read
        return False


def end(processes: Sequence[psutil.Process], *, grace_s: float) -> None:
    """Ask each to end, wait, then kill; supervisord first, or it would start the others again."""
    for process in sorted(processes, key=lambda p: p.create_time()):
        _tell(process, resume=True, kill=False)
    _, alive = psutil.wait_procs(processes, timeout=grace_s)
    for process in alive:
        _tell(process, resume=False, kill=True)
    psutil.wait_procs(alive, timeout=grace_s)


def _tell(process: psutil.Process, *, resume: bool, kill: bool) -> None:
    try:
        if resume:
            process.resume()  # a stopped process would keep the SIGTERM for later
        (process.kill if kill else process.terminate)()
    except psutil.NoSuchProcess:
        return


def clear(folder: Path, *, grace_s: float = 5.0) -> int:
    """End everything that carries a fleet's mark, also what is born meanwhile; gives how many there were."""
    ended = 0
    for _ in range(ROUNDS):
        processes = marked(folder)
        ended += len(processes)
        end(processes, grace_s=grace_s)
        if not processes:
            break
    return ended
