"""Makes a version ready: reads it, gives it its runner, replays its warm-up requests. Those who call others must not notice."""

import asyncio
import os
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from numpy.typing import NDArray

from kit import logs
from model_server import config, protos, servable, warmup
from model_server.config import BatchingParameters, Plan
from model_server.errors import Code, ServingError
from model_server.flags import CPUS, Flags
from model_server.inference import Inference
from model_server.scheduler import BatchScheduler, DirectRunner, Runner
from model_server.servable import Execute, Servable
from model_server.states import Loaded, Registry
from model_server.workers import Workers

Array = NDArray[Any]

_NICE: Final = 10
"""How far behind the calls the threads stand that load while others answer. On a busy machine a tenth of a core is left."""


class Loader:
    """Loads with the machine's full strength while nothing answers yet, and in the background from then on."""

    def __init__(self, flags: Flags, plan: Plan, registry: Registry, inference: Inference) -> None:
        self._flags, self._registry, self._inference, self._metrics = flags, registry, inference, inference.metrics
        self._session_config = config.session_config(flags)
        workers = max(flags.grpc_max_threads, 1) + max(flags.rest_api_num_threads, 1)
        self._workers = Workers(workers, "run")
        self._shared = plan.batching
        self._scheduler = (
            BatchScheduler(max(self._shared.num_batch_threads, 1), self._metrics) if flags.enable_batching else None
        )
        self._background = (
            None if _own_threads(self._session_config) else ThreadPoolExecutor(4 * CPUS, "load", _step_back)
        )

    async def load(self, number: int, folder: Path) -> Loaded:
        """One version, ready to answer. Raises `ServingError`."""
        background = self._background if any(self._registry.ready().values()) else None
        tags = self._flags.saved_model_tags.split(",")
        loop = asyncio.get_running_loop()
        read = await loop.run_in_executor(background, servable.load, folder, tags, self._session_config)
        try:
            loaded = Loaded(number, read, self._runner(read, folder))
            if self._flags.enable_model_warmup:
                await self._warm_up(self._standing_back(loaded, folder, background), folder)
        except BaseException:
            await asyncio.to_thread(read.close)
            raise
        return loaded

    def _standing_back(self, loaded: Loaded, folder: Path, background: ThreadPoolExecutor | None) -> Loaded:
        """The version as its warm-up sees it: the first runs, which optimise the graph, take as long as the loading."""
        if background is None:
            return loaded
        elsewhere = replace(loaded.servable, execute=_on(background, loaded.servable.execute))
        return replace(loaded, runner=self._runner(elsewhere, folder))

    def _runner(self, read: Servable, folder: Path) -> Runner:
        parameters: BatchingParameters | None = self._shared
        if self._flags.enable_per_model_batching_parameters:
            own = folder / config.PER_MODEL_FILE
            parameters = config.batching(str(own)) if own.exists() else None
        if self._scheduler is None or parameters is None:
            return DirectRunner(read.execute, self._workers)
        return self._scheduler.runner(read.execute, parameters)

    async def _warm_up(self, loaded: Loaded, folder: Path) -> None:
        begun = time.perf_counter()
        iterations = max(self._flags.num_request_iterations_for_warmup, 1)
        status, count = Code.OK.name, 0
        try:
            count = await warmup.replay(
                folder, lambda request: self._inference.warm_up(loaded, request), iterations=iterations
            )
        except ServingError as error:
            status = str(error)
            raise
        finally:
            took = time.perf_counter() - begun
            if count or status != Code.OK.name:
                self._metrics.warmup_latency.observe(took * 1e6, str(folder), status)
                self._metrics.warmup_records.add(str(folder), status, by=count)
        if count:
            logs.get().info("warmed_up", folder=str(folder), records=count, seconds=round(took, 3))


def _on(pool: ThreadPoolExecutor, execute: Execute) -> Execute:
    """The same run on a thread of the pool, for which the caller waits."""

    def run(feeds: Mapping[str, Array], fetches: Sequence[str], timeout_ms: int) -> list[Array]:
        return pool.submit(execute, feeds, fetches, timeout_ms).result()

    return run


def _step_back() -> None:
    """Let the present thread, and threads that it starts, have what the others leave. There is no way back."""
    if sys.platform == "linux":  # elsewhere a priority is the whole process's
        me = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, me, os.getpriority(os.PRIO_PROCESS, me) + _NICE)


def _own_threads(session_config: bytes) -> bool:
    """Would a session start threads of its own? They would have the priority of the thread that loads it, for ever."""
    asked = protos.config_pb2.ConfigProto.FromString(session_config)
    return bool(asked.use_per_session_threads or asked.session_inter_op_thread_pool)
