"""How are both models asked at once, so that a slow one cannot hold back what the other has said?

`gather` would wait for the slowest or throw the finished half away, a `TaskGroup` would cancel it. Here whatever is there when the
time is over is the answer, and every call's end is told to the trace.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from gateway.domain.errors import BranchFailed, BudgetEnded, NobodyAnswered
from gateway.domain.reasons import OF_CALLS, OF_READS, OUT_OF_TIME, Branch, CallOutcome, Reason
from gateway.domain.trace import Call, Trace
from gateway.ports import Answer
from gateway.pricing.coalescer import OUTCOMES, Coalescer, Part
from gateway.pricing.row import Row

Clock = Callable[[], float]
Ask = Callable[[float], Awaitable[Answer]]  # is told its timeout in seconds


async def ask_each(
    row: Row, of: Sequence[tuple[Branch, Coalescer]], *, timeout: float, clock: Clock, trace: Trace
) -> list[Part]:
    """One row's part of each model in order, in calls shared with other requests; 0.0 seconds make no call at all."""
    if timeout <= 0.0:
        trace.calls += [Call(branch, CallOutcome.SKIPPED, 0.0) for branch, _ in of]
        return [Part(CallOutcome.SKIPPED, 0.0) for _ in of]
    loop, began = asyncio.get_running_loop(), clock()
    parts: list[Part | None] = [None] * len(of)
    left = len(of)
    ended = loop.create_future()

    def done(place: int, part: Part) -> None:
        nonlocal left
        parts[place] = part
        left -= 1
        if not left:
            end()

    def end() -> None:
        if not ended.done():
            ended.set_result(None)

    until = began + timeout
    waiting = [coalescer.ask(row, until=until, done=partial(done, place)) for place, (_, coalescer) in enumerate(of)]
    timer = loop.call_later(timeout, end)
    try:
        await ended
    finally:  # also when whoever asked was cancelled
        timer.cancel()
        if left:
            for one in waiting:
                one.leave()
    late = Part(CallOutcome.TIMEOUT, clock() - began)
    found = [part or late for part in parts]
    for (branch, _), part in zip(of, found, strict=True):
        if part.fault is not None:
            raise part.fault
        trace.calls.append(Call(branch, part.outcome, part.took_s))
        trace.stages[branch] = part.took_s
    return found


async def ask_all(
    asks: Sequence[tuple[Branch, Ask]], *, timeout: float, clock: Clock, trace: Trace
) -> list[Answer | None]:
    """The answer of each ask in order, or None where there is none within `timeout` seconds; 0.0 makes no call at all."""
    if timeout <= 0.0:
        trace.calls += [Call(branch, CallOutcome.SKIPPED, 0.0) for branch, _ in asks]
        return [None] * len(asks)
    started = clock()
    tasks = [asyncio.create_task(_attempt(ask, timeout, clock)) for _, ask in asks]
    try:
        await asyncio.wait(tasks, timeout=timeout)
        late = CallOutcome.TIMEOUT, clock() - started, None
        ended = [task.result() if task.done() else late for task in tasks]
    finally:  # also when whoever asked was cancelled
        for task in tasks:
            task.cancel()
    calls = [Call(branch, outcome, took) for (branch, _), (outcome, took, _) in zip(asks, ended, strict=True)]
    trace.calls += calls
    for branch in {call.branch for call in calls}:  # calls of one branch run side by side: the longest is its stage
        longest = max(call.took for call in calls if call.branch is branch)
        trace.stages[branch] = trace.stages.get(branch, 0.0) + longest
    return [answer for _, _, answer in ended]


async def _attempt(ask: Ask, timeout: float, clock: Clock) -> tuple[CallOutcome, float, Answer | None]:
    started = clock()
    try:
        answer = await ask(timeout)
    except BranchFailed as failed:
        return OUTCOMES[type(failed)], clock() - started, None
    return CallOutcome.OK, clock() - started, answer


def reasons(trace: Trace) -> tuple[Reason, ...]:
    """Why the answer is less than it could be, each reason once, in the order of the closed list."""
    found = {OF_CALLS[call.branch, call.outcome] for call in trace.calls if call.outcome is not CallOutcome.OK}
    for _, outcome in trace.reads:
        found.update(OF_READS[outcome])
    return tuple(reason for reason in Reason if reason in found) if found else ()


def refuse_nothing(trace: Trace) -> None:
    """Raises `BudgetEnded` or `NobodyAnswered` when no call of the trace was answered."""
    if any(call.outcome is CallOutcome.OK for call in trace.calls):
        return
    if any(call.outcome in OUT_OF_TIME for call in trace.calls):
        raise BudgetEnded
    raise NobodyAnswered
