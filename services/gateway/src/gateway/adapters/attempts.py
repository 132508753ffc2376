"""How is a branch asked, so that one bad server costs nobody an answer and a dead branch costs nobody time?

    breaker     above the replicas: a branch that has stopped answering is asked once in a while, and everybody else hears so at once
    attempt     on one replica, with a deadline that gRPC keeps and a timer that keeps it if gRPC does not
    retry       one, when a replica refused at once, on another one, if the budget for second attempts and the time that is left allow
    overtaking  one, when a replica says nothing for three times as long as nearly every call takes, on another one; the first answer counts
    trial       a copy of a call to a replica that was set aside; nobody waits for its answer

The statuses are those of TensorFlow Serving: UNAVAILABLE is a server that is not there, or whose queue is full; RESOURCE_EXHAUSTED one
that has no thread for the call, or that let it wait until it was late. Neither is cured by calling again where it came from; after the
second nothing is, because whoever is busy has told so, and a second attempt would be more of the same.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

import grpc
import grpc.aio

from gateway.adapters.replicas import Clock, Replica, Replicas
from gateway.domain.deadline import LEAST_CALL_S
from gateway.domain.errors import BranchFailed, BranchRubbish, BranchTimeout, BranchUnavailable
from gateway.domain.outliers import Verdict
from gateway.domain.readings import Readings, Second
from gateway.domain.retries import Retries
from gateway.ports import Answer
from kit import logs
from kit.breaker import Breaker, State

Read = Callable[[bytes], Answer]  # raises `BranchRubbish`
Call = grpc.aio.UnaryUnaryCall[bytes, bytes]

LATE_S: Final = 0.005  # gRPC ends a call at its deadline; when it has not so long after it, we do
TRIAL_S: Final = 1.0
STARTING: Final = Retries()
BREAKER: Final = Breaker(limit=10, share=0.8, window_s=2.0, pause_s=1.0)

# What a status says of the replica; any other one says that it failed.
VERDICTS: Final[Mapping[grpc.StatusCode, Verdict]] = {
    grpc.StatusCode.RESOURCE_EXHAUSTED: Verdict.BUSY,
}
QUEUE_IS_FULL: Final = "scheduling queue"  # in the text of TensorFlow Serving's UNAVAILABLE


class Ended(NamedTuple):
    """How one attempt ended: with an answer or with an error."""

    verdict: Verdict
    answer: Answer | None = None
    error: BranchFailed | None = None
    may_retry: bool = False


class Attempts:
    """The calls of one branch, over all of its replicas."""

    def __init__(
        self, branch: str, replicas: Replicas, *, retries: Retries = STARTING, clock: Clock = time.monotonic
    ) -> None:
        self._log = logs.get().bind(branch=branch)
        self._replicas, self._clock = replicas, clock
        self._breaker, self._retries = BREAKER, retries
        self._second_attempts = dict.fromkeys(Second, 0)
        replicas.connected = self._hurry

    async def ask(self, request: bytes, read: Read, *, timeout: float) -> Answer:
        """The answer that `read` makes of a response, within `timeout` seconds. Raises `BranchFailed`."""
        if timeout < LEAST_CALL_S:  # a server may take less than a millisecond for "no deadline"
            raise BranchTimeout("too little time for a call")
        began = self._clock()
        if not self._breaker.allows(now=began):
            raise BranchUnavailable("not asked: it has stopped answering")
        replica = self._pick(began)
        if replica is None:
            raise BranchUnavailable("no server has an address")
        self._breaker = self._breaker.called()
        is_probe = self._breaker.state is State.PROBING
        ended = Ended(Verdict.UNCLEAR)
        try:
            self._try_again_whoever_is_due(request, read, began)
            ended = await self._first(replica, request, read, began, timeout)
            if ended.may_retry:
                ended = await self._second(ended, replica, request, read, began + timeout)
        except asyncio.CancelledError:
            ended = Ended(self._unanswered(min(timeout, self._clock() - began)))
            raise
        finally:
            self._tell_breaker(ended.verdict, is_probe=is_probe)
        if ended.answer is None:
            raise ended.error or BranchUnavailable("no answer")
        return ended.answer

    def readings(self) -> Readings:
        """How it stands now."""
        replicas = self._replicas
        return Readings(replicas.standings, replicas.set_aside, dict(self._second_attempts), self._breaker.state)

    def _pick(self, now: float, other_than: Replica | None = None) -> Replica | None:
        return self._replicas.pick(now=now, patience_s=self._retries.patience_s, other_than=other_than)

    async def _first(self, replica: Replica, request: bytes, read: Read, began: float, timeout: float) -> Ended:
        """An attempt that another one may overtake."""
        call = self._start(replica, request, began, timeout)
        overtaking: asyncio.Task[Ended] | None = None

        def overtake() -> None:
            nonlocal overtaking
            now = self._clock()
            left_s = began + timeout - now
            other = self._pick(now, other_than=replica)
            if other is None or self._breaker.state is not State.CLOSED or not self._retries.allows(left_s=left_s):
                return
            self._retries = self._retries.overtook()
            overtaking = asyncio.create_task(self._attempt(other, request, read, left_s))
            overtaking.add_done_callback(lambda done: _has_answer(done) and call.cancel())

        patience = asyncio.get_running_loop().call_later(self._retries.patience_s, overtake)
        try:
            ended = await self._end(replica, call, read, began, timeout)
            if overtaking is None:
                return ended
            if ended.answer is None:
                ended = await overtaking
                self._count(Second.FAILED if ended.answer is None else Second.ANSWERED)
            else:
                self._count(Second.LATE)
            return ended._replace(may_retry=False)
        finally:
            patience.cancel()
            if overtaking is not None:
                overtaking.cancel()

    async def _second(self, first: Ended, replica: Replica, request: bytes, read: Read, until: float) -> Ended:
        """Another attempt on another replica; what the first one said when there is none."""
        now = self._clock()
        other = self._pick(now, other_than=replica)
        if other is None or not self._retries.allows(left_s=until - now):
            return first
        self._retries = self._retries.retried()
        ended = await self._attempt(other, request, read, until - now)
        self._count(Second.FAILED if ended.answer is None else Second.ANSWERED)
        return ended

    def _count(self, end: Second) -> None:
        self._second_attempts[end] += 1

    async def _attempt(
        self, replica: Replica, request: bytes, read: Read, timeout: float, *, is_trial: bool = False
    ) -> Ended:
        began = self._clock()
        call = self._start(replica, request, began, timeout)
        return await self._end(replica, call, read, began, timeout, is_trial=is_trial)

    def _start(self, replica: Replica, request: bytes, began: float, timeout: float) -> Call:
        self._replicas.begins(replica, now=began)
        return replica.predict(request, timeout=timeout)

    async def _end(
        self, replica: Replica, call: Call, read: Read, began: float, timeout: float, *, is_trial: bool = False
    ) -> Ended:
        """How a call ends, in which it is cut off when gRPC does not do it."""
        ended = Ended(Verdict.UNCLEAR)
        belt = asyncio.get_running_loop().call_later(timeout + LATE_S, call.cancel)
        try:
            ended = Ended(Verdict.ANSWERED, read(await call))
        except BranchRubbish as error:
            ended = Ended(Verdict.FAILED, error=error)
        except grpc.aio.AioRpcError as error:
            ended = self._refused(error, min(timeout, self._clock() - began))
        except asyncio.CancelledError:
            waited = min(timeout, self._clock() - began)
            late, cut = BranchTimeout("gRPC did not keep the deadline"), BranchUnavailable("cut off")
            ended = Ended(self._unanswered(waited), error=late if waited == timeout else cut)
            if _is_cancelled():
                raise
        finally:
            belt.cancel()
            now = self._clock()
            self._replicas.ended(replica, ended.verdict, now - began, now=now, is_trial=is_trial)
        if ended.verdict is Verdict.ANSWERED and not is_trial:
            self._retries = self._retries.answered(now - began)
        return ended

    def _refused(self, error: grpc.aio.AioRpcError, seconds: float) -> Ended:
        code = error.code()
        if code is grpc.StatusCode.DEADLINE_EXCEEDED:
            return Ended(self._unanswered(seconds), error=BranchTimeout(code.name))
        if (
            code is grpc.StatusCode.INVALID_ARGUMENT
        ):  # a row that it does not take spoils its call, as one with a wrong answer does
            return Ended(Verdict.UNCLEAR, error=BranchRubbish(code.name))
        is_gone = code is grpc.StatusCode.UNAVAILABLE
        verdict = VERDICTS.get(code, Verdict.FAILED)
        if is_gone and QUEUE_IS_FULL in (error.details() or ""):
            verdict = Verdict.BUSY
        return Ended(verdict, error=BranchUnavailable(code.name), may_retry=is_gone)

    def _unanswered(self, seconds: float) -> Verdict:
        """What it says of a replica that it was silent for so long."""
        return Verdict.FAILED if seconds >= self._retries.patience_s else Verdict.UNCLEAR

    def _try_again_whoever_is_due(self, request: bytes, read: Read, now: float) -> None:
        replica = self._replicas.due(now=now)
        if replica is not None:
            self._replicas.spawn(self._trial(replica, request, read))

    async def _trial(self, replica: Replica, request: bytes, read: Read) -> None:
        await self._attempt(replica, request, read, TRIAL_S, is_trial=True)

    def _tell_breaker(self, verdict: Verdict, *, is_probe: bool) -> None:
        before = self._breaker.state
        if verdict is Verdict.ANSWERED:
            self._breaker = self._breaker.succeeded()
        elif is_probe or verdict is not Verdict.UNCLEAR:
            self._breaker = self._breaker.failed(now=self._clock(), was_probe=is_probe)
        if (before is State.CLOSED) != (self._breaker.state is State.CLOSED):
            self._log.warning("breaker", state=self._breaker.state)

    def _hurry(self) -> None:
        """A server is connected again: the branch is worth asking at once."""
        self._breaker = self._breaker.hurried(now=self._clock())


def _has_answer(attempt: "asyncio.Task[Ended]") -> bool:
    return not attempt.cancelled() and attempt.exception() is None and attempt.result().answer is not None


def _is_cancelled() -> bool:
    """Whether somebody cancelled us, rather than the timer the call."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
