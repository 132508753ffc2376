"""What does a stage take? It runs as a process of its own, its lines are passed on, and the kernel says what it used."""

import os
import re
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from accuracy.costs import Cost

WORK: Final = re.compile(r"^scoring: done \(([0-9.]+) s\)", re.MULTILINE)
"""How `kit.stage.Lines` ends a task: the time without the interpreter, TensorFlow and the model's loading."""


class StageFailed(Exception):
    """A stage's process ended with another exit code than 0."""

    def __init__(self, name: str, code: int, log: Path) -> None:
        super().__init__(f"{name} ended with {code}; its output is in {log}")
        self.code = code


def measured(
    name: str, command: Sequence[str], log: Path, say: Callable[[str], None], environment: Mapping[str, str]
) -> Cost:
    """Run a command, pass on its lines and keep them in `log`. Raises `StageFailed`.

    The memory is that of the process itself or of the largest child that it waited for. The kernel counts what a new process shares
    with the one that started it, so nothing large may be held here meanwhile.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    begun = time.monotonic()
    with (
        log.open("w", encoding="utf-8") as kept,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=dict(environment)
        ) as process,
    ):
        for line in process.stdout or ():
            kept.write(line)
            say(f"  {name}: {line.rstrip()}")
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)  # it was waited for here, and not by Popen
    if process.returncode:
        raise StageFailed(name, process.returncode, log)
    work = WORK.search(log.read_text(encoding="utf-8"))
    return Cost(
        wall_s=time.monotonic() - begun,
        cpu_s=used.ru_utime + used.ru_stime,
        memory=used.ru_maxrss * 1024,
        work_s=float(work[1]) if work else None,
    )
