"""Runs that are not over, and the threads that they are on."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from model_server.pending import Pending
from model_server.workers import Workers


def test_the_end_is_told_to_all() -> None:
    """What was asked for before the end happens at the end, and what is asked for later at once."""
    told: list[object] = []
    run: Pending[int] = Pending()

    run.then(told.append)
    before = list(told)
    run.end(7)
    run.then(told.append)

    assert ([], [7, 7]) == (before, told)


def test_a_result_or_an_error_comes_out() -> None:
    """Whoever waits has the result, or the error is raised, whether the run is over already or not."""

    async def wait(result: int | Exception, *, late: bool) -> int:
        run: Pending[int] = Pending()
        if late:
            asyncio.get_running_loop().call_soon(run.end, result)
        else:
            run.end(result)
        return await run

    assert [7, 7] == [asyncio.run(wait(7, late=late)) for late in (False, True)]
    for late in (False, True):
        with pytest.raises(KeyError):
            asyncio.run(wait(KeyError("x"), late=late))


def test_a_caller_that_goes_ends_nothing() -> None:
    """A wait that is cancelled leaves the run as it is: its end still frees what it held."""

    async def go() -> tuple[object, list[object]]:
        told: list[object] = []
        run: Pending[int] = Pending()
        run.then(told.append)

        async def wait() -> int:
            return await run

        caller = asyncio.ensure_future(wait())
        await asyncio.sleep(0)
        caller.cancel()
        with suppress(asyncio.CancelledError):
            await caller
        over = run.result
        run.end(7)
        return over, told

    assert (None, [7]) == asyncio.run(go())


def on(workers: Workers, act: Callable[..., object], *arguments: object) -> "Pending[Any]":
    run: Pending[Any] = Pending()
    workers.submit(run.end, act, *arguments)
    return run


def test_work_is_done_on_a_thread_and_told_in_the_loop() -> None:
    """The result, or the exception, arrives in the thread of the loop."""

    async def go() -> tuple[Any, Any, set[int]]:
        where: set[int] = set()
        workers = Workers(2, "test")
        good, bad = on(workers, divmod, 7, 2), on(workers, divmod, 7, 0)
        for run in (good, bad):
            run.then(lambda _: where.add(threading.get_ident()))
        first = await good
        with pytest.raises(ZeroDivisionError) as caught:
            await bad
        return first, type(caught.value), where

    assert ((3, 1), ZeroDivisionError, {threading.get_ident()}) == asyncio.run(go())


def test_as_many_threads_as_are_needed() -> None:
    """One call after another shares a thread; calls at once have one each, up to the limit, and the others wait for one."""

    async def go() -> tuple[int, int]:
        workers = Workers(3, "test")
        one = {await on(workers, threading.get_ident) for _ in range(5)}
        together = threading.Barrier(3, timeout=10)

        def meet() -> int:
            together.wait()
            return threading.get_ident()

        many = {await run for run in [on(workers, meet) for _ in range(6)]}
        return len(one), len(many)

    assert (1, 3) == asyncio.run(go())
