"""The whole server from its flags: everything is loaded and warm before any port opens, and closes in reverse."""

import asyncio
import gc
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

from kit import logs
from kit.tensors import Envelope
from model_server import config, grpc_server, loading, predict, rest, runtime, servable, warmup
from model_server.config import BatchingParameters, Plan
from model_server.errors import Code
from model_server.flags import Flags, channel_arguments
from model_server.grpc_server import Handlers, Slots
from model_server.loading import Patience
from model_server.metrics import Metrics
from model_server.models import Loaded, Models
from model_server.scheduler import BatchScheduler, DirectRunner, Runner
from model_server.service import Options, Service

_SWITCH_INTERVAL_S: Final = 0.0005
"""How soon a batch thread that is back from TensorFlow may take the interpreter lock from a busy event loop."""


async def serve(flags: Flags, plan: Plan) -> None:
    """Serve until the process is told to end. Raises `ServingError` if it cannot start."""
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    stop = _stop_on_sigterm() if flags.ballpark_drain_on_sigterm else asyncio.Event()
    metrics = Metrics()
    models = await _load(flags, plan, metrics)
    gc.collect()
    gc.freeze()  # graphs and signatures live as long as the process: full collections need not walk them
    options = Options(flags.enable_signature_method_name_check, flags.enable_serialization_as_tensor_content)
    service = Service(models, metrics, options)
    async with AsyncExitStack() as doors:
        handlers = Handlers(service, Slots(flags.grpc_max_threads - 1), health=flags.enable_grpc_healthcheck_service)
        server = await grpc_server.start(handlers, _addresses(flags), channel_arguments(flags.grpc_channel_arguments))
        doors.push_async_callback(server.stop, flags.ballpark_drain_seconds)
        if flags.rest_api_port:
            _open_rest(flags, service, plan.metrics_path, doors)
        logs.get().info("serving", port=flags.port, rest_api_port=flags.rest_api_port, models=sorted(models.versions))
        await stop.wait()
        logs.get().info("draining", at_most_s=flags.ballpark_drain_seconds)


def _stop_on_sigterm() -> asyncio.Event:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    return stop


async def _load(flags: Flags, plan: Plan, metrics: Metrics) -> Models:
    loader = Loader(flags, plan.batching, metrics)
    patience = Patience(
        flags.max_num_load_retries, flags.load_retry_interval_micros / 1e6, flags.file_system_poll_wait_seconds
    )
    return await loading.load_all(plan.models, loader.load, patience)


class Loader:
    """Makes a version ready: reads it, gives it its runner, replays its warm-up requests."""

    def __init__(self, flags: Flags, batching: BatchingParameters, metrics: Metrics) -> None:
        self._flags, self._metrics = flags, metrics
        self._session_config = _session_config(flags)
        self._pool = ThreadPoolExecutor(max(flags.grpc_max_threads, 1), thread_name_prefix="run")
        self._shared = batching
        self._scheduler = BatchScheduler(self._shared.num_batch_threads, metrics) if flags.enable_batching else None

    async def load(self, number: int, folder: Path) -> Loaded:
        """One version, ready to answer. Raises `ServingError`."""
        tags = self._flags.saved_model_tags.split(",")
        read = await asyncio.to_thread(servable.load, folder, tags, self._session_config)
        loaded = Loaded(number, read, self._runner(read, folder))
        if self._flags.enable_model_warmup:
            await self._warm_up(loaded, folder)
        return loaded

    def _runner(self, read: servable.Servable, folder: Path) -> Runner:
        parameters: BatchingParameters | None = self._shared
        if self._flags.enable_per_model_batching_parameters:
            own = folder / config.PER_MODEL_FILE
            parameters = config.batching(str(own)) if own.exists() else None
        if self._scheduler is None or parameters is None:
            return DirectRunner(read.execute, self._pool)
        return self._scheduler.runner(read.execute, parameters)

    async def _warm_up(self, loaded: Loaded, folder: Path) -> None:
        async def run(request: Envelope) -> None:
            plan = predict.plan(loaded.servable.signatures, request)
            await loaded.runner.submit(plan.feeds, plan.fetches, 0)

        begun = asyncio.get_running_loop().time()
        iterations = max(self._flags.num_request_iterations_for_warmup, 1)
        count = await warmup.replay(folder, run, iterations=iterations)
        took = asyncio.get_running_loop().time() - begun
        if count:
            self._metrics.warmup_latency.observe(took * 1e6, str(folder), Code.OK.name)
            logs.get().info("warmed_up", folder=str(folder), records=count, seconds=round(took, 3))


def _session_config(flags: Flags) -> Any:
    both = flags.tensorflow_session_parallelism
    return runtime.config_pb2.ConfigProto(
        intra_op_parallelism_threads=flags.tensorflow_intra_op_parallelism or both,
        inter_op_parallelism_threads=flags.tensorflow_inter_op_parallelism or both,
    )


def _addresses(flags: Flags) -> list[str]:
    host = f"[{flags.ballpark_host}]" if ":" in flags.ballpark_host else flags.ballpark_host or "0.0.0.0"  # noqa: S104 -- as there
    addresses = [f"{host}:{flags.port}"] if flags.port else []
    return addresses + ([f"unix:{flags.grpc_socket_path}"] if flags.grpc_socket_path else [])


def _open_rest(flags: Flags, service: Service, metrics_path: str | None, doors: AsyncExitStack) -> None:
    """A REST port that cannot be had is reported, and gRPC serves all the same."""
    log = logs.get()
    if flags.rest_api_port == flags.port:
        log.warning("rest_port_is_grpc_port", port=flags.port)
        return
    try:
        door = rest.RestServer((flags.ballpark_host, flags.rest_api_port), service, metrics_path)
    except OSError as error:
        log.warning("rest_port_not_opened", port=flags.rest_api_port, reason=error.strerror or str(error))
        return
    doors.callback(door.close)
