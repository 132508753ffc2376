"""Where is everything put together, opened and closed? Here, and nowhere else."""

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import uvicorn
from fastapi import FastAPI
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from starlette.types import Receive, Scope as AsgiScope, Send

from feature_store.layout import entity_layout
from feature_store.quotas import SharedQuotas
from feature_store.reader import FeatureReader
from feature_store.remembered import Remembered
from gateway.adapters.addresses import BadTarget, read_target
from gateway.adapters.attempts import Attempts
from gateway.adapters.keys import BadKeys, KeysFile, read_keys, read_secret
from gateway.adapters.model_server import ModelServer, classifier_outputs, regressor_outputs
from gateway.adapters.quotas import StoredQuotas
from gateway.adapters.replicas import Replicas
from gateway.api import calls, pages
from gateway.api.access import Access, hash_key
from gateway.api.admin import create_admin
from gateway.api.branches import BranchSeries
from gateway.api.edge import Api, Limits
from gateway.api.health import Health
from gateway.api.ids import new_id
from gateway.api.memory import Memory
from gateway.api.metrics import TRACK, Metrics
from gateway.api.protocol import BoundedProtocol
from gateway.api.quotas import Quotas
from gateway.api.sharing import SharedSeries
from gateway.domain.deadline import Deadline
from gateway.domain.errors import GatewayError
from gateway.domain.keys import Key, Scope
from gateway.domain.reasons import Branch
from gateway.domain.risk import QuoteRequest, Risk
from gateway.domain.serving import Serving
from gateway.domain.trace import Trace
from gateway.pricing.pricer import Outside, Pricer
from gateway.pricing.row import Layouts
from gateway.settings import BadSettings, Settings
from kit import logs
from kit.contract import Contract

LAST_REQUESTS_S: Final = 0.5  # whoever has just connected is about to ask; an idle connection is not waited for longer
STOP_WITHIN_S: Final = 5  # what is in flight at the end has so long; every budget is shorter
WARM_UP_S: Final = 0.5
BACKLOG: Final = 2048
SWITCH_INTERVAL_S: Final = (
    0.0005  # how soon gRPC's own thread may tell a busy event loop of an answer; Python's 5 ms would be felt
)
KEYS_EVERY_S: Final = 2.0
GC_THRESHOLDS: Final = (50_000, 10, 10)

Connect = Callable[[], AbstractAsyncContextManager[Outside]]


@dataclass(frozen=True, slots=True)
class Parts:
    """What an app is made of, all of it read and checked and none of it opened."""

    contract: Contract
    serving: Serving
    access: Access
    limits: Limits
    docs: bool
    health: Health
    registry: CollectorRegistry
    connect: Connect
    clock: Callable[[], float] = time.monotonic
    keys_file: KeysFile | None = None  # followed while we run
    answers_s: int = 0  # how long a quote that its caller has named has the same answer


def create_app(parts: Parts) -> FastAPI:
    """The public app. Nothing is opened here: the lifespan connects, and closes in reverse order."""
    metrics = Metrics.register(parts.registry)
    metrics.bundle.set(1, parts.serving.bundle, TRACK)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, Api]]:
        async with parts.connect() as outside:
            pricer = Pricer(parts.contract, parts.serving, outside, layouts(parts.contract), parts.clock)
            await warm_up(parts.contract, pricer, parts.clock)
            table = calls.calls(
                parts.contract,
                parts.serving,
                pricer,
                Memory(outside.remembered, parts.answers_s),
                clock=parts.clock,
                new_id=new_id,
            )
            api = Api(table, parts.access, parts.limits, parts.health, metrics, clock=parts.clock, new_id=new_id)
            works = [api.admission.watch()]
            if parts.keys_file is not None:
                works.append(follow_keys(parts.keys_file, parts.access))
            shared = SharedSeries(pricer.coalescers)
            parts.registry.register(shared)
            try:
                async with in_background(*works):
                    yield {"api": api}
            finally:
                parts.registry.unregister(shared)
                pricer.close()

    app = App(
        title="Ballpark", lifespan=lifespan, openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False
    )
    pages.add(app, parts.contract, parts.serving, docs=parts.docs)
    return app


class App(FastAPI):
    """The edge stands before the framework, of which no layer is on the way of a call."""

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] == "http":
            api: Api = scope["state"]["api"]
            await api.handle(super().__call__, scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


@asynccontextmanager
async def in_background(*works: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """These go on until the block ends. Raises then what ended one of them before."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task


async def follow_keys(file: KeysFile, access: Access) -> None:
    """Take up the keys of a file whenever it changes; while it is bad, the keys that were good stay."""
    while True:
        await asyncio.sleep(KEYS_EVERY_S)
        try:
            keys = file.changed()
        except BadKeys as error:
            logs.get().error("keys_refused", error=str(error))
            continue
        if keys is not None:
            access.replace(keys)
            logs.get().info("keys_read", keys=len(keys))


def layouts(contract: Contract) -> Layouts:
    """Where each entity's values belong in the packed row."""
    return {entity.name: entity_layout(contract, entity.name) for entity in contract.entities}


async def warm_up(contract: Contract, pricer: Pricer, clock: Callable[[], float]) -> None:
    """Ask once for a price, so that no customer waits for connections and first calls; who does not answer is no reason to wait."""
    nobodys = {entity.name: "warm-up" for entity in contract.entities}
    request = QuoteRequest(Risk({"age": 40}, nobodys), quote_id="warm-up")
    with contextlib.suppress(GatewayError):
        pricer.answers([await pricer.quotes(request, Deadline.after(WARM_UP_S, now=clock()), Trace())])


def connect(
    settings: Settings, contract: Contract, serving: Serving, access: Access, registry: CollectorRegistry
) -> Connect:
    """How the real app reaches its models and its feature store. Raises `BadSettings` for what no client understands."""
    try:
        features = FeatureReader(settings.redis_url, contract)  # opens nothing yet
    except ValueError:  # whose text may hold the password
        raise BadSettings("GATEWAY_REDIS_URL must be redis://HOST:PORT, rediss://HOST:PORT or unix:///PATH") from None
    insurers = len(serving.insurers)
    branches = (
        (Branch.CLASSIFIER, settings.classifier_target, serving.classifier, classifier_outputs(insurers)),
        (Branch.REGRESSOR, settings.regressor_target, serving.regressor, regressor_outputs(insurers)),
    )
    for branch, target, _, _ in branches:
        try:
            read_target(target)
        except BadTarget as error:
            raise BadSettings(f"GATEWAY_{branch.upper()}_TARGET: {error}") from None

    @asynccontextmanager
    async def opened() -> AsyncIterator[Outside]:
        async with AsyncExitStack() as stack:
            stack.push_async_callback(features.close)
            stored = SharedQuotas(features.store)
            stack.push_async_callback(stored.close)
            quotas = Quotas(StoredQuotas(stored), time.monotonic)
            stack.push_async_callback(quotas.close)
            access.share(quotas)
            attempts = {}
            servers = []
            for branch, target, model, outputs in branches:
                replicas = await stack.enter_async_context(Replicas(branch, read_target(target)).opened())
                attempts[branch] = Attempts(branch, replicas)
                servers.append(ModelServer(attempts[branch], model.project, model.version, outputs))
            series = BranchSeries({branch: each.readings for branch, each in attempts.items()})
            registry.register(series)
            stack.callback(registry.unregister, series)
            remembered = Remembered(features.store, serving.bundle)
            stack.push_async_callback(remembered.close)
            classifier, regressor = servers
            yield Outside(features, classifier, regressor, remembered)

    return opened


def read_access(settings: Settings) -> Access:
    """The keys that are accepted. Raises `BadSettings` or `BadKeys`."""
    dev_key, keys, own, secret = settings.accepted_dev_key(), [], [], os.urandom(32)
    if settings.keys_file is not None:
        if settings.keys_secret_file is None:
            raise BadSettings("GATEWAY_KEYS_FILE needs GATEWAY_KEYS_SECRET_FILE")
        keys, secret = read_keys(settings.keys_file), read_secret(settings.keys_secret_file)
    if dev_key is not None:
        own.append(Key("dev", (hash_key(dev_key.encode(), secret),), frozenset(Scope)))
    return Access(keys, secret, own=own)


def bind(host: str, port: int, setting: str) -> socket.socket:
    """A listening socket. Raises `BadSettings` when the address is taken or not ours."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise BadSettings(f"{setting}: cannot listen on {host}:{port}: {error.strerror}") from error


async def serve(parts: Parts, public: socket.socket, admin: socket.socket, *, drain_s: float) -> bool:
    """Serve both ports until SIGTERM or SIGINT, then drain and close. Whether the start went well."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    servers = Server(create_app(parts)), Server(create_admin(parts.health, parts.registry))
    tasks = [asyncio.create_task(s.serve([sock])) for s, sock in zip(servers, (public, admin), strict=True)]
    started = await servers[0].has_started()
    if started:
        _settle()
        parts.health.started = True
        logs.get().info(
            "started", bundle=parts.serving.bundle, port=public.getsockname()[1], admin_port=admin.getsockname()[1]
        )
        await asyncio.wait([asyncio.create_task(stop.wait()), *tasks], return_when=asyncio.FIRST_COMPLETED)
        parts.health.draining = True
        logs.get().info("draining", seconds=drain_s)
        await asyncio.sleep(drain_s)
        await servers[0].stop_listening([public])
    for server, task in zip(servers, tasks, strict=True):  # the admin port answers until the last request has gone
        server.should_exit = True
        await task
    logs.get().info("stopped")
    return started


def _settle() -> None:
    """Take what lives for ever out of the collector's sight: a full collection then has nothing to walk through."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    sys.setswitchinterval(SWITCH_INTERVAL_S)


class Server(uvicorn.Server):
    """uvicorn in somebody else's loop: two of them run here, and signals are not theirs."""

    def __init__(self, app: FastAPI) -> None:
        config = uvicorn.Config(
            app,
            http=BoundedProtocol,
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            backlog=BACKLOG,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=STOP_WITHIN_S,
        )
        config.load()
        if config.http_protocol_class is not BoundedProtocol:
            raise RuntimeError("uvicorn must run on the bounded protocol: its own lets one stranger stop everybody")
        super().__init__(config)
        self._start_ended = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Run the lifespan and listen; when that fails, end."""
        try:
            await super().startup(sockets)
        except SystemExit:  # uvicorn's way to say that the lifespan failed
            self.should_exit = True
        finally:
            self._start_ended.set()

    async def has_started(self) -> bool:
        """Wait for the start to end, well or not."""
        await self._start_ended.wait()
        return self.started

    async def stop_listening(self, sockets: list[socket.socket]) -> None:
        """Let nobody connect any more, and give whoever has connected time to ask: nothing that reached us is lost.

        Closing a listening socket resets what the kernel has connected and nobody has accepted yet. So a copy outlives uvicorn's
        own until it is empty.
        """
        loop = asyncio.get_running_loop()
        copies = [listening.dup() for listening in sockets]
        for server in self.servers:
            server.close()
        waiting = [connection for copy in copies for connection in _accepted(copy)]
        for connection in waiting:
            await loop.connect_accepted_socket(self._protocol, connection)
        until = loop.time() + LAST_REQUESTS_S
        while self.server_state.connections and loop.time() < until:  # noqa: ASYNC110 -- uvicorn sets no event for it
            await asyncio.sleep(LAST_REQUESTS_S / 10)

    def _protocol(self) -> BoundedProtocol:
        return BoundedProtocol(self.config, self.server_state, self.lifespan.state)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave them alone."""
        yield


def _accepted(listening: socket.socket) -> Iterator[socket.socket]:
    """Everybody who waits at a listening socket, which is closed right after the last of them."""
    with listening, contextlib.suppress(BlockingIOError):
        listening.setblocking(False)
        while True:
            connection, _ = listening.accept()
            connection.setblocking(False)
            yield connection


class LogBridge(logging.Handler):
    """The few lines that libraries have to say, in our form."""

    def emit(self, record: logging.LogRecord) -> None:
        """One event, named after whose it is, with the last line of what it says."""
        logs.get().log(record.levelno, record.name, message="".join(record.getMessage().splitlines()[-1:]))


def registry() -> CollectorRegistry:
    """A fresh registry with the process's own series in it."""
    made = CollectorRegistry()
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=made)
    return made
