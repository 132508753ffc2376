"""The whole server from its flags: everything is loaded and warm before any port opens, and closes in reverse."""

import asyncio
import gc
import signal
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Final

from kit import logs
from model_server import capi, grpc_server, metrics as series
from model_server.config import Plan
from model_server.core import Core
from model_server.flags import CPUS, Flags, channel_arguments
from model_server.grpc_server import Handlers, Slots
from model_server.http_server import HttpServer, Limits
from model_server.inference import Inference
from model_server.loading import Loader
from model_server.manager import Manager, Patience, Threads
from model_server.metrics import Metrics
from model_server.rest import Rest
from model_server.service import Options, Service
from model_server.source import Source
from model_server.states import Registry

_SWITCH_INTERVAL_S: Final = 0.0005
"""How soon a batch thread that is back from TensorFlow may take the interpreter lock from a busy event loop."""


async def serve(flags: Flags, plan: Plan) -> None:
    """Serve until the process is told to end. Raises `ServingError` if it cannot start."""
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    stop = _stop_on_sigterm() if flags.ballpark_drain_on_sigterm else asyncio.Event()
    metrics, registry = Metrics(), Registry()
    if flags.ballpark_version_metrics:
        metrics.versions = series.version_metrics(lambda: _loaded(registry), lambda: _waiting(registry))
    await asyncio.to_thread(capi.library)
    inference = Inference(metrics, check_method=flags.enable_signature_method_name_check)
    loader = Loader(flags, plan, registry, inference)
    patience = Patience(flags.max_num_load_retries, flags.load_retry_interval_micros / 1e6)
    threads = Threads(4 * CPUS, flags.num_load_threads, flags.num_unload_threads)
    manager = Manager(registry, loader.load, patience, threads)
    source = Source(manager.aspire, flags.file_system_poll_wait_seconds)
    core = Core(registry, manager, source, labels_for_unavailable=flags.allow_version_labels_for_unavailable_models)
    options = Options(flags.enable_serialization_as_tensor_content, flags.rest_api_timeout_in_ms)
    async with core.running():
        await core.start(plan.models)
        gc.collect()
        gc.freeze()  # modules and signatures live as long as the process: full collections need not walk them
        await _open_doors(flags, plan, Service(registry, core, inference, metrics, options), core, stop)


async def _open_doors(flags: Flags, plan: Plan, service: Service, core: Core, stop: asyncio.Event) -> None:
    async with AsyncExitStack() as doors:
        handlers = Handlers(
            service,
            Slots(flags.grpc_max_threads - 1),
            health=flags.enable_grpc_healthcheck_service,
            trace=flags.ballpark_trace_context,
        )
        server = await grpc_server.start(handlers, _addresses(flags), channel_arguments(flags.grpc_channel_arguments))
        doors.push_async_callback(server.stop, flags.ballpark_drain_seconds)
        if flags.rest_api_port:
            await _open_rest(flags, service, plan.metrics_path, doors)
        if flags.model_config_file and flags.model_config_file_poll_wait_seconds > 0:
            polling = asyncio.ensure_future(
                core.poll(flags.model_config_file, flags.model_config_file_poll_wait_seconds)
            )
            doors.callback(polling.cancel)
        logs.get().info(
            "serving", port=flags.port, rest_api_port=flags.rest_api_port, models=sorted(service.registry.ready())
        )
        await stop.wait()
        logs.get().info("draining", at_most_s=flags.ballpark_drain_seconds)


def _stop_on_sigterm() -> asyncio.Event:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    return stop


def _addresses(flags: Flags) -> list[str]:
    host = f"[{flags.ballpark_host}]" if ":" in flags.ballpark_host else flags.ballpark_host or "0.0.0.0"  # noqa: S104 -- as there
    addresses = [f"{host}:{flags.port}"] if flags.port else []
    return addresses + ([f"unix:{flags.grpc_socket_path}"] if flags.grpc_socket_path else [])


async def _open_rest(flags: Flags, service: Service, metrics_path: str | None, doors: AsyncExitStack) -> None:
    """A REST port that cannot be had is reported, and gRPC serves all the same."""
    log = logs.get()
    if flags.rest_api_port == flags.port:
        log.warning("rest_port_is_grpc_port", port=flags.port)
        return
    rest = Rest(
        service,
        metrics_path=metrics_path,
        threads=flags.rest_api_num_threads,
        cors=flags.rest_api_enable_cors_support,
    )
    limits = Limits(
        flags.ballpark_rest_connections, flags.ballpark_rest_silence_seconds, flags.ballpark_rest_body_bytes
    )
    door = HttpServer(rest.answer, limits)
    try:
        await door.start(flags.ballpark_host, flags.rest_api_port)
    except OSError as error:
        log.warning("rest_port_not_opened", port=flags.rest_api_port, reason=error.strerror or str(error))
        return
    doors.push_async_callback(door.close)


def _loaded(registry: Registry) -> Mapping[tuple[str, ...], float]:
    return {(model, str(number)): 1 for model, versions in registry.ready().items() for number in versions}


def _waiting(registry: Registry) -> Mapping[tuple[str, ...], float]:
    return {
        (model, str(number)): loaded.runner.waiting()
        for model, versions in registry.ready().items()
        for number, loaded in versions.items()
    }
