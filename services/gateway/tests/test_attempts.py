"""Calls over several real servers: who is asked, who is asked again, who is left alone, and when nobody is asked at all."""

import asyncio
import time
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path

import grpc
import pytest
from asking import PATIENT, RESPONSE, Server, ask, branch, delayed_server, listed, stand
from support import until
from wire import model_server

from gateway.adapters.attempts import STARTING, Attempts
from gateway.domain.errors import BranchFailed, BranchRubbish, BranchTimeout, BranchUnavailable
from gateway.domain.outliers import Why
from gateway.domain.readings import Second, Standing
from gateway.domain.retries import Retries
from kit.breaker import State


async def started(stack: AsyncExitStack, servers: list[Server], retries: Retries = STARTING) -> Attempts:
    """A branch of these servers, connected to all of them."""
    ports = [await stack.enter_async_context(model_server(server.answers)) for server in servers]
    attempts = await stack.enter_async_context(branch(listed(ports), retries))

    async def are_connected() -> bool:
        return stand(attempts, Standing.SERVING) == len(servers)

    await until(are_connected, within=5)
    return attempts


async def is_all_serving(attempts: Attempts) -> bool:
    """Whether nobody is aside; asks once, for only calls bring somebody back."""
    await ask(attempts)
    return stand(attempts, Standing.ASIDE) == 0


async def test_calls_are_shared_out() -> None:
    """One after the other, they go round."""
    servers = [Server(), Server(), Server()]
    async with AsyncExitStack() as stack:
        attempts = await started(stack, servers, PATIENT)
        ends = [await ask(attempts) for _ in range(30)]

    assert ([None] * 30, [10, 10, 10]) == (ends, [server.asked for server in servers])


async def test_the_least_busy_is_asked() -> None:
    """Whoever has calls in flight gets no more while others have none."""
    busy, free = Server(None), Server()
    async with AsyncExitStack() as stack:
        attempts = await started(stack, [busy, free], PATIENT)
        waiting = [asyncio.create_task(ask(attempts, 30)) for _ in range(2)]

        async def is_stuck() -> bool:
            return busy.asked == 1

        await until(is_stuck, within=5)
        ends = [await ask(attempts, 30) for _ in range(10)]
        for call in waiting:
            call.cancel()

    assert ([None] * 10, 1) == (ends, busy.asked)


async def test_a_refused_call_is_made_again_elsewhere() -> None:
    """One of three refuses: everybody is answered, and after three refusals it is left alone."""
    refusing = Server(grpc.StatusCode.UNAVAILABLE)
    async with AsyncExitStack() as stack:
        attempts = await started(stack, [Server(), refusing, Server()], PATIENT)
        ends = [await ask(attempts) for _ in range(60)]
        readings = attempts.readings()

    assert [None] * 60 == ends
    assert 3 <= refusing.asked <= 4  # a trial may have come due
    assert ({Second.ANSWERED: 3, Second.FAILED: 0, Second.LATE: 0}, {Why.FAILING: 1, Why.SLOW: 0}) == (
        readings.second_attempts,
        readings.set_aside,
    )


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (grpc.StatusCode.RESOURCE_EXHAUSTED, BranchUnavailable),  # who is overloaded is not helped by more calls
        (grpc.StatusCode.INVALID_ARGUMENT, BranchRubbish),  # the other one would say the same
        (grpc.StatusCode.INTERNAL, BranchUnavailable),
        (grpc.StatusCode.DEADLINE_EXCEEDED, BranchTimeout),
        (b"rubbish", BranchRubbish),
    ],
)
async def test_what_is_not_made_again(answer: bytes | grpc.StatusCode, error: type[BranchFailed]) -> None:
    """Only UNAVAILABLE is: anything else would fail again, or has taken its time."""
    servers = [Server(answer), Server(answer)]
    async with AsyncExitStack() as stack:
        attempts = await started(stack, servers, PATIENT)
        end = await ask(attempts, 5.0)

    assert (error, 1) == (end, sum(server.asked for server in servers))


@pytest.mark.parametrize(
    ("answer", "lost"),
    [(b"rubbish", 3), (grpc.StatusCode.INTERNAL, 3), (None, 0)],  # who says nothing is overtaken
)
async def test_whoever_is_worse_than_the_others_is_set_aside(answer: bytes | grpc.StatusCode | None, lost: int) -> None:
    """It costs three calls at most; then a copy of a call finds out that it is well again, and nobody has to wait for that."""
    bad = Server(answer)
    async with AsyncExitStack() as stack:
        attempts = await started(stack, [bad, Server()])
        ends = Counter([await ask(attempts) for _ in range(40)])
        was_aside = stand(attempts, Standing.ASIDE)
        bad.answer = RESPONSE
        await until(lambda: is_all_serving(attempts), within=8)

    assert (1, 40 - lost) == (was_aside, ends[None])


async def test_a_call_that_hangs_is_overtaken() -> None:
    """One in twenty calls of one server never ends: everybody is answered, for no more than a twentieth of calls on top."""
    hanging = Server()
    calls = 200
    async with AsyncExitStack() as stack:
        attempts = await started(stack, [hanging, Server(), Server()])
        ends = []
        for number in range(calls):
            hanging.answer = None if number % 60 < 3 else RESPONSE
            ends.append(await ask(attempts))
        second = attempts.readings().second_attempts

    assert [None] * calls == ends
    assert 1 <= second[Second.ANSWERED] <= sum(second.values()) <= 3 + calls / 20


async def test_nobody_is_overtaken_for_long_when_all_hang() -> None:
    """Three calls are made twice, and then no more: it is not this server that is slow."""
    servers = [Server(None), Server(None), Server(None)]
    async with AsyncExitStack() as stack:
        attempts = await started(stack, servers)
        ends = await asyncio.gather(*(ask(attempts, 0.5) for _ in range(9)))
        second = attempts.readings().second_attempts

    assert ({BranchTimeout}, 3) == (set(ends), sum(second.values()))
    assert 9 + 3 == sum(server.asked for server in servers)


@pytest.mark.parametrize("answer", [grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.INVALID_ARGUMENT])
async def test_nobody_is_set_aside_for_being_busy(answer: grpc.StatusCode) -> None:
    """Nor for saying that what we asked is wrong: its share of the load would only fall on the others."""
    async with AsyncExitStack() as stack:
        attempts = await started(stack, [Server(answer), Server()], PATIENT)
        ends = Counter([await ask(attempts) for _ in range(20)])

        assert (10, 0) == (ends[None], stand(attempts, Standing.ASIDE))


async def test_a_call_with_little_time_accuses_nobody() -> None:
    """Less than calls usually take says nothing of the server that did not answer in it."""
    async with AsyncExitStack() as stack:
        attempts = await started(stack, [Server(None), Server()])
        for _ in range(20):
            await ask(attempts, 0.004)

        assert 0 == stand(attempts, Standing.ASIDE)


async def test_no_call_is_made_with_too_little_time() -> None:
    """A server would take less than a millisecond for no deadline at all."""
    server = Server()
    async with AsyncExitStack() as stack:
        attempts = await started(stack, [server], PATIENT)
        ends = [await ask(attempts, 0.0019) for _ in range(20)]

    assert ([BranchTimeout] * 20, 0) == (ends, server.asked)


async def test_retries_are_few_when_everybody_refuses() -> None:
    """Half a bucket, and then the breaker: at most a tenth on top of so many calls."""
    servers = [Server(grpc.StatusCode.UNAVAILABLE), Server(grpc.StatusCode.UNAVAILABLE)]
    async with AsyncExitStack() as stack:
        attempts = await started(stack, servers, PATIENT)
        ends = [await ask(attempts) for _ in range(50)]
        readings = attempts.readings()

    assert {BranchUnavailable} == set(ends)
    assert {Second.ANSWERED: 0, Second.FAILED: 5, Second.LATE: 0} == readings.second_attempts
    assert 10 + 5 == sum(server.asked for server in servers)  # until the breaker opens
    assert State.OPEN is readings.breaker


async def test_a_branch_that_is_gone_costs_no_time_and_comes_back() -> None:
    """Every server away: an error at once. Back: answers within five seconds, and at once everywhere."""
    server = Server()
    async with AsyncExitStack() as stack:
        async with AsyncExitStack() as first:
            ports = [await first.enter_async_context(model_server(server.answers)) for _ in range(2)]
            attempts = await stack.enter_async_context(branch(listed(ports)))
            assert None is await ask(attempts)
        gone = [await ask(attempts) for _ in range(20)]
        began = time.monotonic()
        more = [await ask(attempts) for _ in range(1000)]
        took = time.monotonic() - began
        readings = attempts.readings()
        for port in ports:
            await stack.enter_async_context(model_server(server.answers, port))

        async def is_answered() -> bool:
            return await ask(attempts) is None

        await until(is_answered, within=5)
        again = [await ask(attempts) for _ in range(10)]
        healed = attempts.readings()

    assert {BranchUnavailable} == {*gone, *more}
    assert took < 0.5  # a thousand calls
    assert (State.OPEN, 2) == (readings.breaker, readings.replicas[Standing.UNCONNECTED])
    assert ([None] * 10, State.CLOSED) == (again, healed.breaker)


async def test_a_silent_branch_is_asked_once_in_a_while() -> None:
    """A server that hangs holds ten calls up, and then none but a probe every second."""
    server = Server(None)
    async with AsyncExitStack() as stack:
        attempts = await started(stack, [server])
        await asyncio.gather(*(ask(attempts, 0.3) for _ in range(10)))
        ends = [await ask(attempts, 0.3) for _ in range(50)]

    assert {BranchUnavailable} == set(ends)
    assert server.asked <= 10


async def test_a_slow_server_is_set_aside() -> None:
    """Ten times as slow as the others, it gets no more calls; as quick as they are, it is back."""
    async with AsyncExitStack() as stack:
        slow = await stack.enter_async_context(delayed_server(0.03))
        quick = [await stack.enter_async_context(delayed_server(0.003)) for _ in range(2)]
        attempts = await stack.enter_async_context(branch(listed([slow.port, *(each.port for each in quick)])))

        async def is_aside() -> bool:
            assert await ask(attempts) is None
            return stand(attempts, Standing.ASIDE) == 1

        await until(is_aside, within=10)
        before = slow.asked
        for _ in range(30):
            assert await ask(attempts) is None
        while_aside = slow.asked - before
        slow.delay_s = 0.003
        await until(lambda: is_all_serving(attempts), within=8)
        set_aside = attempts.readings().set_aside

    assert {Why.FAILING: 0, Why.SLOW: 1} == set_aside
    assert while_aside <= 1  # a trial


async def test_a_call_that_is_cancelled_ends_and_counts_for_nothing() -> None:
    """Nobody waits for it any more: not the server, not the breaker."""
    server = Server(None)
    async with AsyncExitStack() as stack:
        attempts = await started(stack, [server], Retries(p95_s=5.0))
        calls = [asyncio.create_task(ask(attempts, 5)) for _ in range(20)]

        async def are_out() -> bool:
            return server.asked == 20

        await until(are_out, within=5)
        for call in calls:
            call.cancel()
        ends = await asyncio.gather(*calls, return_exceptions=True)

        assert ({asyncio.CancelledError}, State.CLOSED) == ({type(end) for end in ends}, attempts.readings().breaker)


async def test_nothing_is_left_at_the_end() -> None:
    """Calls in flight are cut off; no task and no descriptor outlives the branch."""
    silent = Server(None)

    async def ask_and_leave(port: int) -> set[type[BranchFailed] | None]:
        asked = silent.asked
        async with branch(listed([port])) as attempts:
            calls = [asyncio.create_task(ask(attempts, 5)) for _ in range(3)]

            async def are_out() -> bool:
                return silent.asked == asked + 3

            await until(are_out, within=5)
        return {await call for call in calls}

    def held() -> tuple[int, int]:
        tasks = sum(task.get_name() != "rpc_task" for task in asyncio.all_tasks())  # those are the server's
        return tasks, sum(1 for _ in Path("/proc/self/fd").iterdir())

    async with model_server(silent.answers) as port:
        ends = await ask_and_leave(port)  # gRPC opens something for itself, once
        before = held()
        for _ in range(3):
            ends |= await ask_and_leave(port)

        async def is_gone() -> bool:
            return all(now <= then for now, then in zip(held(), before, strict=True))

        await until(is_gone, within=5)

    assert {BranchUnavailable} == ends
