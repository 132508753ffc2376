"""The gateway as it is, in a process that tells on SIGUSR1 how many asyncio tasks it has: into the file that CHAOS_TASKS names.

No series of the gateway counts them, because a scrape would have to walk through the heap.
"""

import asyncio
import gc
import os
import runpy
import signal
from pathlib import Path
from typing import Any


def tell(*_: object) -> None:
    """Replace the file in one step, so that nobody reads half of it."""
    here, partial = Path(os.environ["CHAOS_TASKS"]), Path(os.environ["CHAOS_TASKS"] + ".partial")
    found = [one for one in gc.get_objects() if isinstance(one, asyncio.Task) and not one.done()]
    partial.write_text("\n".join([waits_for(one.get_coro()) for one in found]))
    partial.replace(here)


def waits_for(coroutine: Any) -> str:
    """The names from the outermost coroutine to the innermost."""
    names = []
    while (name := getattr(coroutine, "__qualname__", None)) is not None:
        names.append(name)
        coroutine = getattr(coroutine, "cr_await", None) or getattr(coroutine, "ag_await", None)
    return " > ".join(names)


if __name__ == "__main__":
    signal.signal(signal.SIGUSR1, tell)
    runpy.run_module("gateway", run_name="__main__", alter_sys=True)
