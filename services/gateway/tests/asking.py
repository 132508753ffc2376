"""A branch that is asked over real wires, and rows small enough to read."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio
import numpy as np
from wire import SERVICE, Answers

from gateway.adapters.addresses import read_target
from gateway.adapters.attempts import STARTING, Attempts
from gateway.adapters.replicas import Replicas
from gateway.domain.errors import BranchFailed, BranchRubbish
from gateway.domain.readings import Standing
from gateway.domain.retries import Retries
from gateway.ports import Answer
from kit.tensors import encode_request, encode_response

REQUEST = encode_request("quote-classifier", 7, "packed", {"numeric": np.zeros((1, 2), np.float32)}, ("probability",))
PATIENT = Retries(p95_s=0.5)  # nobody is overtaken because this machine does other things, too
RESPONSE = encode_response("quote-classifier", 7, "packed", {"probability": np.full((1, 3), 0.5, np.float32)})


def read(response: bytes) -> Answer:
    """The only answer that is one."""
    if response != RESPONSE:
        raise BranchRubbish("not the response")
    return np.full((1, 3), 0.5)


class Server:
    """What a fake server does, which a test may change, and how often it was asked."""

    def __init__(self, answer: bytes | grpc.StatusCode | None = RESPONSE) -> None:
        self.answer, self.asked = answer, 0

    @property
    def answers(self) -> Answers:
        """As `wire.model_server` takes it."""

        def answers(_: Any) -> bytes | grpc.StatusCode | None:
            self.asked += 1
            return self.answer

        return answers


class Delayed:
    """A server that takes its time, which a test may change."""

    def __init__(self, delay_s: float) -> None:
        self.delay_s, self.port, self.asked = delay_s, 0, 0

    async def predict(self, _: bytes, __: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        """As gRPC calls it."""
        self.asked += 1
        await asyncio.sleep(self.delay_s)
        return RESPONSE


@asynccontextmanager
async def delayed_server(delay_s: float) -> AsyncIterator[Delayed]:
    """On a free port of loopback."""
    delayed = Delayed(delay_s)
    server = grpc.aio.server()
    method = grpc.unary_unary_rpc_method_handler(delayed.predict)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {"Predict": method}),))
    delayed.port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield delayed
    finally:
        await server.stop(grace=None)


def listed(ports: Sequence[int]) -> str:
    """A target of fixed addresses."""
    return "ipv4:" + ",".join(f"127.0.0.1:{port}" for port in ports)


@asynccontextmanager
async def branch(target: str, retries: Retries = STARTING, **options: Any) -> AsyncIterator[Attempts]:
    """The classifier behind a target; connected to nobody yet."""
    async with Replicas("classifier", read_target(target), **options).opened() as replicas:
        yield Attempts("classifier", replicas, retries=retries)


async def ask(attempts: Attempts, timeout: float = 1.0) -> type[BranchFailed] | None:
    """What one call failed with, None when it was answered."""
    try:
        await attempts.ask(REQUEST, read, timeout=timeout)
    except BranchFailed as failed:
        return type(failed)
    return None


def stand(attempts: Attempts, standing: Standing) -> int:
    """How many replicas stand so."""
    return attempts.readings().replicas[standing]
