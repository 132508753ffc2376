"""How are the steps of the preparation run: side by side as far as they do not wait for each other, and all ended when one fails?"""

import asyncio
import os
import signal
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, Protocol

from local_fleet.steps import Step

GRACE_S: Final = 5.0
LAST_LINES: Final = 15


class StepFailed(Exception):
    """A step's command did not end with 0; the message has its last lines."""

    def __init__(self, step: Step, code: int, last: Sequence[str], log: Path) -> None:
        super().__init__(
            "\n".join([f"{step.name} failed (exit code {code}):", *(f"  {line}" for line in last), f"All of it: {log}"])
        )
        self.code = code


class Watcher(Protocol):
    """Who is told how far the steps are."""

    def begin(self, step: Step) -> None:
        """It starts now."""
        ...

    def says(self, step: Step, line: str) -> None:
        """It printed a line."""
        ...

    def done(self, step: Step, seconds: float) -> None:
        """It has finished well."""
        ...


async def run(
    steps: Sequence[Step],
    *,
    environment: Mapping[str, str],
    folder: Path,
    logs: Path,
    watcher: Watcher,
    finished: Callable[[Step], None],
) -> None:
    """Run the steps in `folder`, each as soon as those it comes after are done; `finished` is called after each. Raises `StepFailed`.

    Each command writes to its own file in the folder `logs`.
    """
    over = {s.name: asyncio.Event() for s in steps}

    async def one(step: Step) -> None:
        for name in step.after:
            if name in over:
                await over[name].wait()
        watcher.begin(step)
        begun = time.monotonic()
        await _command(step, environment, folder, logs / f"{step.name.replace(' ', '-')}.log", watcher)
        finished(step)
        watcher.done(step, time.monotonic() - begun)
        over[step.name].set()

    try:
        async with asyncio.TaskGroup() as group:
            for step in steps:
                group.create_task(one(step))
    except* StepFailed as failed:
        raise failed.exceptions[0] from None


async def _command(step: Step, environment: Mapping[str, str], folder: Path, log: Path, watcher: Watcher) -> None:
    last: deque[str] = deque(maxlen=LAST_LINES)
    process = await asyncio.create_subprocess_exec(
        *step.command,
        cwd=folder,
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,  # Ctrl-C reaches this process alone, which then ends the others in order
    )
    try:
        with log.open("w", encoding="utf-8") as file:
            assert process.stdout is not None  # noqa: S101 -- it is a pipe, and mypy cannot know
            async for raw in process.stdout:
                line = raw.decode(errors="replace").rstrip()
                file.write(line + "\n")
                file.flush()
                last.append(line)
                watcher.says(step, line)
        code = await process.wait()
    finally:
        await _end(process)
    if code != 0:
        raise StepFailed(step, code, last, log)


async def _end(process: asyncio.subprocess.Process) -> None:
    """End the command and whatever it started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
        with suppress(TimeoutError):
            async with asyncio.timeout(GRACE_S):
                await process.wait()
        os.killpg(process.pid, signal.SIGKILL)
