"""Who runs a call, and when? Straight away on a thread, or merged with others by one scheduler over all models.

Both answer a future of the event loop. All queues live in the loop's thread, so nothing here is locked; only the merged
run itself, which gives up the interpreter lock inside TensorFlow, happens on a batch thread.
"""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from model_server import batching
from model_server.batching import Queue, Task
from model_server.config import BatchingParameters
from model_server.errors import Code, ServingError
from model_server.metrics import Metrics
from model_server.servable import Execute

Array = NDArray[Any]
Outputs = asyncio.Future[list[Array]]

_POOL_LABEL: Final = ""  # TensorFlow Serving leaves thread_pool_name empty
_FULL_FOR_S: Final = 0.01
"""A call that finds its queue full tries again for so long before it is refused, as TensorFlow Serving's retrier does."""
_AGAIN_S: Final = 0.001
_LOOKS: Final = 16


class Runner(Protocol):
    """Runs a loaded model for calls that may come at once."""

    def submit(self, feeds: Mapping[str, Array], fetches: Sequence[str], timeout_ms: int) -> Outputs:
        """Start a run (0 ms or less: no limit); the future has the fetched arrays in order, or a `ServingError`.

        Called in the event loop. Cancelling the future does not stop a run.
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

    def __init__(self, execute: Execute, pool: ThreadPoolExecutor) -> None:
        self._execute, self._pool = execute, pool

    def submit(self, feeds: Mapping[str, Array], fetches: Sequence[str], timeout_ms: int) -> Outputs:
        loop = asyncio.get_running_loop()
        return loop.run_in_executor(self._pool, self._execute, feeds, fetches, timeout_ms)

    def waiting(self) -> int:
        return 0

    def close(self) -> None:
        """Holds nothing."""


class BatchScheduler:
    """Shares a number of batch threads among the queues of all models, in turn."""

    def __init__(self, threads: int, metrics: Metrics) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="batch")
        self._metrics = metrics
        self._free = threads
        self._queues: list[_Lane] = []
        self._next = 0
        self._kicked = False
        self._joined = 0
        self._timer: asyncio.TimerHandle | None = None

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

    def kick(self, *, full: bool) -> None:
        """Look for a batch to run: now if one is full, else as soon as no more calls are joining.

        A busy loop brings calls in one by one. A turn of it that brought a call is followed by another look, a few times at
        most: so calls that are here already share a run, and a call that is alone waits for one turn of an idle loop.
        """
        self._joined += 1
        if full:
            self._dispatch()
        elif not self._kicked:
            self._kicked = True
            asyncio.get_running_loop().call_soon(self._look, self._joined, _LOOKS)

    def _look(self, joined: int, left: int) -> None:
        if joined != self._joined and left:
            asyncio.get_running_loop().call_soon(self._look, self._joined, left - 1)
            return
        self._kicked = False
        self._dispatch()

    def _dispatch(self) -> None:
        loop = asyncio.get_running_loop()
        while self._free and (lane := self._first_ready(loop.time())):
            self._free -= 1
            lane.start(self._pool)
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if self._free and (soonest := min((q.queue.ready_at() for q in self._queues), default=float("inf"))) < float(
            "inf"
        ):
            self._timer = loop.call_at(soonest, self._dispatch)

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
        loop = asyncio.get_running_loop()
        future: Outputs = loop.create_future()
        self._metrics.wrapped_runs.add()
        now = loop.time()
        order = sorted(fetches)  # calls that want the same outputs share a queue, in whatever order each wants them
        try:
            task = Task(feeds, batching.rows_of(feeds), now + timeout_ms / 1000 if timeout_ms > 0 else float("inf"))
            lane = self._lane(feeds, order)
        except ServingError as error:
            future.set_exception(error)
            return future
        for _ in feeds:  # as there: once for each tensor
            self._metrics.input_rows.observe(task.rows)
        self._join(lane, task, _Waiting(future, now, [order.index(fetch) for fetch in fetches]))
        return future

    def waiting(self) -> int:
        return sum(lane.queue.rows for lane in self._lanes.values())

    def close(self) -> None:
        self._scheduler.remove(list(self._lanes.values()))
        self._lanes.clear()

    def _join(self, lane: "_Lane", task: Task, waiting: "_Waiting") -> None:
        """Let the call wait in its queue; while that is full, for a moment before it."""
        loop = asyncio.get_running_loop()
        try:
            sizes = lane.queue.pieces(task.rows)
        except ServingError as error:
            if error.code is Code.UNAVAILABLE and loop.time() < waiting.since + _FULL_FOR_S:
                loop.call_later(_AGAIN_S, self._join, lane, task, waiting)
            elif not waiting.future.done():
                waiting.future.set_exception(error)
            return
        if len(sizes) == 1:
            lane.add(task, waiting)
        else:
            pieces = [_Waiting(loop.create_future(), waiting.since, waiting.outputs) for _ in sizes]
            for piece, one in zip(batching.split(task, sizes), pieces, strict=True):
                lane.add(piece, one)
            _gather([one.future for one in pieces], waiting.future)
        self._scheduler.kick(full=lane.queue.ready_at() == float("-inf"))

    def _lane(self, feeds: Mapping[str, Array], fetches: Sequence[str]) -> "_Lane":
        key = (tuple(sorted(feeds)), tuple(fetches))
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = _Lane(self._scheduler, self._execute, self._parameters, self._metrics, key[1])
            self._scheduler.add(lane)
        return lane


def _gather(pieces: Sequence[Outputs], whole: Outputs) -> None:
    """When all pieces have ended, the call has its rows end to end, or the first piece's error."""
    left = len(pieces)

    def ended(_: object) -> None:
        nonlocal left
        left -= 1
        errors = [error for piece in pieces if piece.done() and (error := piece.exception())]
        if left or whole.done():
            return
        if errors:
            whole.set_exception(errors[0])
        else:
            outputs = zip(*(piece.result() for piece in pieces), strict=True)
            whole.set_result([np.concatenate(parts) for parts in outputs])

    for piece in pieces:
        piece.add_done_callback(ended)


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A call in a queue: since when, and the places of its outputs among those that its queue fetches."""

    future: Outputs
    since: float
    outputs: Sequence[int]


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

    def start(self, pool: ThreadPoolExecutor) -> None:
        """Hand the first batch to a thread."""
        loop = asyncio.get_running_loop()
        tasks = self.queue.take()
        waiting = [self._waiting.pop(task) for task in tasks]
        now = loop.time()
        for one in waiting:
            self._metrics.queuing_latency.observe((now - one.since) * 1e6, _POOL_LABEL)

        def work() -> None:
            try:
                results: list[list[Array]] | ServingError = self._run(tasks, now)
            except ServingError as error:
                results = error
            except Exception as error:  # noqa: BLE001 -- the outermost of its thread: callers must not wait for ever
                results = ServingError(Code.INTERNAL, repr(error))
            loop.call_soon_threadsafe(self._finish, waiting, results)

        pool.submit(work)

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

    def _finish(self, waiting: Sequence["_Waiting"], results: list[list[Array]] | ServingError) -> None:
        """In the loop again: every call gets its rows, or all get the one error."""
        self._scheduler.freed()
        for place, one in enumerate(waiting):
            if one.future.done():  # its caller went away
                continue
            if isinstance(results, ServingError):
                one.future.set_exception(results)
            else:
                one.future.set_result([results[place][output] for output in one.outputs])
