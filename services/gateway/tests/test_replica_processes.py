"""Servers that are killed and stopped, as processes of their own: what the gateway's callers notice of it, and for how long."""

import asyncio
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import numpy as np
import pytest
from asking import branch, listed, stand
from support import until

from gateway.adapters.attempts import Attempts
from gateway.adapters.model_server import ModelServer, classifier_outputs
from gateway.domain.errors import BranchFailed
from gateway.domain.readings import Standing

SCRIPT: Final = Path(__file__).with_name("one_server.py")
ROW: Final = np.zeros((1, 2), np.float32), np.zeros((1, 2), np.int32)


@asynccontextmanager
async def process(port: int = 0) -> AsyncIterator[tuple[int, "subprocess.Popen[str]"]]:
    """A server that listens, and is gone at the end."""
    command = [sys.executable, str(SCRIPT), str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:  # noqa: ASYNC220 -- quick enough
        try:
            assert server.stdout is not None
            yield int(await asyncio.to_thread(server.stdout.readline)), server
        finally:
            server.send_signal(signal.SIGCONT)
            server.kill()


class Caller:
    """Asks on and on, and counts how that ends."""

    def __init__(self, attempts: Attempts, timeout: float = 0.3) -> None:
        self._model = ModelServer(attempts, "quote-classifier", 1, classifier_outputs(3))
        self._timeout, self.ends = timeout, Counter[str]()

    async def ask(self) -> None:
        """One call."""
        try:
            await self._model.predict("packed", *ROW, timeout=self._timeout)
        except BranchFailed as failed:
            self.ends[type(failed).__name__] += 1
        else:
            self.ends["answered"] += 1

    async def keep_asking(self) -> None:
        """Until it is cancelled."""
        while True:
            await self.ask()
            await asyncio.sleep(0)  # an open breaker answers without ever letting anybody else run


@asynccontextmanager
async def asking_on(caller: Caller) -> AsyncIterator[None]:
    """Four at a time, all the while."""
    asking = [asyncio.create_task(caller.keep_asking()) for _ in range(4)]
    try:
        yield
    finally:
        for task in asking:
            task.cancel()
        await asyncio.wait(asking)


async def stands(attempts: Attempts, standing: Standing, number: int, *, within: float) -> float:
    """Seconds until so many stand so."""
    began = time.monotonic()

    async def do() -> bool:
        return stand(attempts, standing) == number

    await until(do, within=within)
    return time.monotonic() - began


async def test_a_killed_server_is_not_missed_and_is_back_in_three_seconds() -> None:
    """kill -9 under load: whoever was waiting for it asks the other one. Restarted, it has its share within three seconds."""
    async with process() as (one, _), process() as (two, killed), branch(listed([one, two])) as attempts:
        await stands(attempts, Standing.SERVING, 2, within=10)
        caller = Caller(attempts, timeout=2.0)
        async with asking_on(caller):
            killed.kill()
            await stands(attempts, Standing.UNCONNECTED, 1, within=5)
            async with process(two):
                took = await stands(attempts, Standing.SERVING, 2, within=5)

    assert took < 3.0
    assert caller.ends["answered"] > 100
    assert sum(caller.ends.values()) - caller.ends["answered"] <= 1


async def test_a_stopped_server_is_set_aside_and_comes_back() -> None:
    """SIGSTOP: its port is open and nobody answers. The other one overtakes, a few are lost at most; after SIGCONT it serves again."""
    async with process() as (one, _), process() as (two, stopped), branch(listed([one, two])) as attempts:
        await stands(attempts, Standing.SERVING, 2, within=10)
        caller = Caller(attempts)
        for _ in range(50):
            await caller.ask()
        before = caller.ends.copy()
        async with asking_on(caller):
            stopped.send_signal(signal.SIGSTOP)
            aside = await stands(attempts, Standing.ASIDE, 1, within=5)
            lost = caller.ends - before
            while_aside = caller.ends.copy()

            async def have_gone_on() -> bool:
                return (caller.ends - while_aside)["answered"] > 500

            await until(have_gone_on, within=30)
            unanswered = caller.ends - while_aside
            stopped.send_signal(signal.SIGCONT)
            await stands(attempts, Standing.SERVING, 2, within=12)

    assert {"answered": 50} == before
    assert aside < 3.0
    assert lost["BranchTimeout"] <= 6
    assert unanswered["BranchTimeout"] <= 4  # those that were in flight when it was set aside


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
async def test_a_branch_with_nobody_left_costs_nothing_and_is_back_in_five_seconds(number: signal.Signals) -> None:
    """Killed or stopped, every server: after a few calls everybody hears at once that the branch is away."""
    async with process() as (one, first), process() as (two, second), branch(listed([one, two])) as attempts:
        await stands(attempts, Standing.SERVING, 2, within=10)
        caller = Caller(attempts)
        await asyncio.gather(*(caller.ask() for _ in range(20)))
        for server in (first, second):
            server.send_signal(number)
        for _ in range(3):
            await asyncio.gather(*(caller.ask() for _ in range(20)))
        before = caller.ends.copy()
        began = time.monotonic()
        for _ in range(500):
            await caller.ask()
        took, ends = time.monotonic() - began, caller.ends - before

        async def is_answered() -> bool:
            answered = caller.ends["answered"]
            await caller.ask()
            return caller.ends["answered"] > answered

        if number is signal.SIGSTOP:
            for server in (first, second):
                server.send_signal(signal.SIGCONT)
            await until(is_answered, within=5)
        else:
            async with process(one), process(two):
                await until(is_answered, within=5)

    assert {"BranchUnavailable"} == set(ends)
    assert took < 0.5


def test_importing_the_gateway_starts_nothing() -> None:
    """No thread and no connection: a fork of the process would share it."""
    code = "import threading, gateway.app; print(threading.active_count())"
    threads = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout

    assert "1\n" == threads
