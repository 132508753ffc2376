"""Where is everything put together, opened and closed? Here, and nowhere else."""

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Final

import uvicorn
from fastapi import FastAPI
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector

from feature_store.layout import entity_layout
from feature_store.reader import FeatureReader
from gateway.adapters.keys import read_keys, read_secret
from gateway.adapters.model_server import ModelServer, classifier_outputs, open_channel, regressor_outputs
from gateway.api import calls, pages
from gateway.api.access import Access, hash_key
from gateway.api.admin import create_admin
from gateway.api.edge import Api, Edge, Limits
from gateway.api.health import Health
from gateway.api.ids import new_id
from gateway.api.metrics import TRACK, Metrics
from gateway.api.protocol import BoundedProtocol
from gateway.domain.deadline import Deadline
from gateway.domain.errors import GatewayError
from gateway.domain.keys import Key, Scope
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


def create_app(parts: Parts) -> FastAPI:
    """The public app. Nothing is opened here: the lifespan connects, and closes in reverse order."""
    metrics = Metrics.register(parts.registry)
    metrics.bundle.labels(parts.serving.bundle, TRACK).set(1)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, Api]]:
        async with parts.connect() as outside:
            pricer = Pricer(parts.contract, parts.serving, outside, layouts(parts.contract), parts.clock)
            await warm_up(pricer, parts.clock)
            table = calls.calls(parts.contract, parts.serving, pricer, clock=parts.clock, new_id=new_id)
            yield {
                "api": Api(table, parts.access, parts.limits, parts.health, metrics, clock=parts.clock, new_id=new_id)
            }

    app = FastAPI(
        title="Ballpark", lifespan=lifespan, openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False
    )
    app.add_middleware(Edge)
    pages.add(app, parts.contract, parts.serving, docs=parts.docs)
    return app


def layouts(contract: Contract) -> Layouts:
    """Where each entity's values belong in the packed row."""
    return {entity.name: entity_layout(contract, entity.name) for entity in contract.entities}


async def warm_up(pricer: Pricer, clock: Callable[[], float]) -> None:
    """Ask once for a price, so that no customer waits for connections and first calls; who does not answer is no reason to wait."""
    request = QuoteRequest(Risk({"age": 40}), quote_id="warm-up")
    with contextlib.suppress(GatewayError):
        await pricer.quotes(request, Deadline.after(WARM_UP_S, now=clock()), Trace())


def connect(settings: Settings, contract: Contract, serving: Serving) -> Connect:
    """How the real app reaches its models and its feature store. Raises `BadSettings` for a URL that no client understands."""
    try:
        features = FeatureReader(settings.redis_url, contract)  # opens nothing yet
    except ValueError:  # whose text may hold the password
        raise BadSettings("GATEWAY_REDIS_URL must be redis://HOST:PORT, rediss://HOST:PORT or unix:///PATH") from None

    @asynccontextmanager
    async def opened() -> AsyncIterator[Outside]:
        async with AsyncExitStack() as stack:
            stack.push_async_callback(features.close)
            servers = []
            for target, model, outputs in (
                (settings.classifier_target, serving.classifier, classifier_outputs(len(serving.insurers))),
                (settings.regressor_target, serving.regressor, regressor_outputs(len(serving.insurers))),
            ):
                channel = await stack.enter_async_context(open_channel(target))
                servers.append(ModelServer(channel, model.project, model.version, outputs))
            yield Outside(features, *servers)

    return opened


def read_access(settings: Settings) -> Access:
    """The keys that are accepted. Raises `BadSettings` or `BadKeys`."""
    dev_key, keys, secret = settings.accepted_dev_key(), [], os.urandom(32)
    if settings.keys_file is not None:
        if settings.keys_secret_file is None:
            raise BadSettings("GATEWAY_KEYS_FILE needs GATEWAY_KEYS_SECRET_FILE")
        keys, secret = read_keys(settings.keys_file), read_secret(settings.keys_secret_file)
    if dev_key is not None:
        keys.append(Key("dev", hash_key(dev_key.encode(), secret), frozenset(Scope)))
    return Access(keys, secret)


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
