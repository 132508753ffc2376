"""Who runs a call, and when? Straight away on a thread, or merged with others by one scheduler over all models.

Both answer a `Pending`. All queues live in the loop's thread, so nothing here is locked; only the run itself, which gives
up the interpreter lock inside TensorFlow, happens on a thread.
"""

import asyncio
import math
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from model_server import batching
from model_server.batching import Queue, Task
from model_server.config import BatchingParameters
from model_server.errors import Code, ServingError
from model_server.metrics import Metrics
from model_server.pending import Pending
from model_server.servable import Execute
from model_server.workers import Workers

Array = NDArray[Any]
Outputs = Pending[list[Array]]

_POOL_LABEL: Final = ""  # TensorFlow Serving leaves thread_pool_name empty
_FULL_FOR_S: Final = 0.01
"""A call that finds its queue full tries again for so long before it is refused, as TensorFlow Serving's retrier does."""
_AGAIN_S: Final = 0.001
_LOOKS: Final = 16


class Runner(Protocol):
    """Runs a loaded model for calls that may come at once."""

    def submit(self, feeds: Mapping[str, Array], fetches: Sequence[str], timeout_ms: int) -> Outputs:
        """Start a run (0 ms or less: no limit); it ends with the fetched arrays in order, or with a `ServingError`.

        Called in the event loop.
        """
        ...

    def waiting(self) -> int:
        """How many rows wait for a batch."""
        ...

    def close(self) -> None:
        """Nothing is submitted any more."""
        ...


class DirectRunner:
    """Each call by itself, on a thread of the pool."""

    def __init__(self, execute: Execute, workers: Workers) -> None:
        self._execute, self._workers = execute, workers

    def submit(self, feeds: Mapping[str, Array], fetches: Sequence[str], timeout_ms: int) -> Outputs:
        outputs: Outputs = Pending()
        self._workers.submit(outputs.end, self._execute, feeds, fetches, timeout_ms)
        return outputs

    def waiting(self) -> int:
        return 0

    def close(self) -> None:
        """Holds nothing."""


class BatchScheduler:
    """Shares a number of batch threads among the queues of all models, in turn."""

    def __init__(self, threads: int, metrics: Metrics) -> None:
        self._workers = Workers(threads, "batch")
        self._metrics = metrics
        self._free = threads
        self._queues: list[_Lane] = []
        self._next = 0
        self._kicked = False
        self._joined = 0
        self._timer: asyncio.TimerHandle | None = None
        self._wakes_at = float("inf")

    def runner(self, execute: Execute, parameters: BatchingParameters) -> Runner:
        """A runner whose calls this scheduler merges. Raises `ServingError` for parameters that are refused."""
        parameters.check()
        return _BatchRunner(self, execute, parameters, self._metrics)

    def add(self, lane: "_Lane") -> None:
        """Take a new queue into the round."""
        self._queues.append(lane)

    def remove(self, lanes: Collection["_Lane"]) -> None:
        """Let queues go that nobody joins any more."""
        self._queues = [lane for lane in self._queues if lane not in lanes]

    def kick(self, ready_at: float) -> None:
        """A call has joined a queue that may run at this time: now if it is full, at its time if its calls are to wait.

        Else it may run as soon as no more calls are joining. A busy loop brings them in one by one. A turn of it that brought a
        call is followed by another look, a few times at most: so calls that are here already share a run, and a call that is
        alone waits for one turn of an idle loop. While no thread is free, nobody needs to look.
        """
        self._joined += 1
        if not self._free:
            return
        if ready_at == float("-inf"):
            self._dispatch()
        elif self._kicked:
            return
        elif ready_at > time.monotonic():
            self._wake_at(ready_at)
        else:
            self._kicked = True
            asyncio.get_running_loop().call_soon(self._look, self._joined, _LOOKS)

    def _look(self, joined: int, left: int) -> None:
        if joined != self._joined and left:
            asyncio.get_running_loop().call_soon(self._look, self._joined, left - 1)
            return
        self._kicked = False
        self._dispatch()

    def _dispatch(self) -> None:
        now = time.monotonic()
        while self._free and (lane := self._first_ready(now)):
            self._free -= 1
            lane.start(self._workers)
        soonest = min((lane.queue.ready_at() for lane in self._queues), default=float("inf"))
        if self._free and soonest < float("inf"):
            self._wake_at(soonest)

    def _wake_at(self, soonest: float) -> None:
        """Look again then, if no look is due before."""
        if soonest >= self._wakes_at:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._wakes_at = soonest
        # The loop's timers have milliseconds: rather late than too early, which would only be another look.
        wait_ms = math.ceil((soonest - time.monotonic()) * 1000)
        self._timer = asyncio.get_running_loop().call_later(wait_ms / 1000, self._woken)

    def _woken(self) -> None:
        self._timer, self._wakes_at = None, float("inf")
        self._dispatch()

    def _first_ready(self, now: float) -> "_Lane | None":
        for step in range(len(self._queues)):
            place = (self._next + step) % len(self._queues)
            if self._queues[place].queue.ready_at() <= now:
                self._next = place + 1
                return self._queues[place]
        return None

    def freed(self) -> None:
        """A batch thread is free again."""
        self._free += 1
        self._dispatch()


class _BatchRunner:
    """One model's queues: one for each set of tensors fed and fetched."""

    def __init__(
        self, scheduler: BatchScheduler, execute: Execute, parameters: BatchingParameters, metrics: Metrics
    ) -> None:
        self._scheduler, self._execute, self._parameters, self._metrics = scheduler, execute, parameters, metrics
        self._lanes: dict[tuple[tuple[str, ...], tuple[str, ...]], _Lane] = {}

    def submit(self, feeds: Mapping[str, Array], fetches: Sequence[str], timeout_ms: int) -> Outputs:
        outputs: Outputs = Pending()
        self._metrics.wrapped_runs.add()
        now = time.monotonic()
        order = sorted(fetches)  # calls that want the same outputs share a queue, in whatever order each wants them
        try:
            task = Task(feeds, batching.rows_of(feeds), now + timeout_ms / 1000 if timeout_ms > 0 else float("inf"))
            lane = self._lane(feeds, order)
        except ServingError as error:
            outputs.end(error)
            return outputs
        for _ in feeds:  # as there: once for each tensor
            self._metrics.input_rows.observe(task.rows)
        self._join(lane, task, _Waiting(outputs, now, [order.index(fetch) for fetch in fetches]))
        return outputs

    def waiting(self) -> int:
        return sum(lane.queue.rows for lane in self._lanes.values())

    def close(self) -> None:
        self._scheduler.remove(list(self._lanes.values()))
        self._lanes.clear()

    def _join(self, lane: "_Lane", task: Task, waiting: "_Waiting") -> None:
        """Let the call wait in its queue; while that is full, for a moment before it."""
        try:
            sizes = lane.queue.pieces(task.rows)
        except ServingError as error:
            if error.code is Code.UNAVAILABLE and time.monotonic() < waiting.since + _FULL_FOR_S:
                asyncio.get_running_loop().call_later(_AGAIN_S, self._join, lane, task, waiting)
            else:
                waiting.outputs.end(error)
            return
        if len(sizes) == 1:
            lane.add(task, waiting)
        else:
            pieces: list[Outputs] = [Pending() for _ in sizes]
            for piece, outputs in zip(batching.split(task, sizes), pieces, strict=True):
                lane.add(piece, _Waiting(outputs, waiting.since, waiting.places))
            _gather(pieces, waiting.outputs)
        self._scheduler.kick(lane.queue.ready_at())

    def _lane(self, feeds: Mapping[str, Array], fetches: Sequence[str]) -> "_Lane":
        key = (tuple(sorted(feeds)), tuple(fetches))
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = _Lane(self._scheduler, self._execute, self._parameters, self._metrics, key[1])
            self._scheduler.add(lane)
        return lane


def _gather(pieces: Sequence[Outputs], whole: Outputs) -> None:
    """When all pieces have ended, the call has its rows end to end, or the first piece's error."""

    def ended(_: object) -> None:
        results = [piece.result for piece in pieces]
        if any(result is None for result in results):
            return
        errors = [result for result in results if isinstance(result, Exception)]
        parts = [result for result in results if isinstance(result, list)]
        whole.end(errors[0] if errors else [np.concatenate(part) for part in zip(*parts, strict=True)])

    for piece in pieces:
        piece.then(ended)


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A call in a queue: since when, and the places of its outputs among those that its queue fetches."""

    outputs: Outputs
    since: float
    places: Sequence[int]


class _Lane:
    """A queue and the futures of the calls in it."""

    def __init__(
        self,
        scheduler: BatchScheduler,
        execute: Execute,
        parameters: BatchingParameters,
        metrics: Metrics,
        fetches: tuple[str, ...],
    ) -> None:
        self.queue = Queue(parameters)
        self._scheduler, self._execute, self._parameters = scheduler, execute, parameters
        self._metrics, self._fetches = metrics, fetches
        self._waiting: dict[Task, _Waiting] = {}

    def add(self, task: Task, waiting: "_Waiting") -> None:
        self.queue.add(task, now=waiting.since)
        self._waiting[task] = waiting

    def start(self, workers: Workers) -> None:
        """Hand the first batch to a thread."""
        tasks = self.queue.take()
        waiting = [self._waiting.pop(task) for task in tasks]
        now = time.monotonic()
        for one in waiting:
            self._metrics.queuing_latency.observe((now - one.since) * 1e6, _POOL_LABEL)
        workers.submit(partial(self._finish, waiting), self._run, tasks, now)

    def _run(self, tasks: Sequence[Task], now: float) -> list[list[Array]]:
        """Merge, run with the longest deadline of the calls, cut apart. On a batch thread."""
        latest = max(task.expires for task in tasks)
        if latest <= now:
            raise ServingError(Code.RESOURCE_EXHAUSTED, "Run() timeout exceeded while waiting in batching queue")
        timeout_ms = 0 if latest == float("inf") else max(1, int((latest - now) * 1000))
        feeds = batching.merge(tasks, self._parameters)
        ran = len(next(iter(feeds.values())))
        rows = [task.rows for task in tasks]
        self._metrics.processed_rows.observe(ran)
        self._metrics.padding.observe(ran - sum(rows), str(ran))
        return batching.cut(self._execute(feeds, self._fetches, timeout_ms), rows, ran)

    def _finish(self, waiting: Sequence["_Waiting"], results: list[list[Array]] | Exception) -> None:
        """In the loop again: every call gets its rows, or all get the one error."""
        self._scheduler.freed()
        if isinstance(results, Exception):
            error = results if isinstance(results, ServingError) else ServingError(Code.INTERNAL, repr(results))
            for one in waiting:
                one.outputs.end(error)
            return
        for one, outputs in zip(waiting, results, strict=True):
            one.outputs.end([outputs[place] for place in one.places])
