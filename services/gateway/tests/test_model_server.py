"""The gRPC adapter over a real wire: what is sent, what every kind of answer means, and how it recovers."""

import asyncio
import socket
from collections.abc import Mapping
from typing import Any

import grpc
import numpy as np
import pytest
from asking import branch
from support import MOTOR
from wire import Answers, fixed, model_server

from gateway.adapters.model_server import ModelServer, Output, classifier_outputs, read_answer, regressor_outputs
from gateway.domain.errors import BranchFailed, BranchRubbish, BranchTimeout, BranchUnavailable
from gateway.ports import Answer
from kit.tensors import Request, encode_response

N, M = len(MOTOR.numeric), len(MOTOR.categorical)
OUTPUTS: Mapping[str, Output] = classifier_outputs(3)


PROBABILITY: Any = np.array([[0.1, 0.2, 0.3]], np.float32)


def response(array: Answer, name: str = "probability", *, model: str = "quote-classifier", version: int = 7) -> bytes:
    """A response of one tensor."""
    return encode_response(model, version, "packed", {name: array})


async def ask(port: int, *, rows: int = 1, timeout: float = 2.0, outputs: Mapping[str, Output] = OUTPUTS) -> Answer:
    """One call through a connection of its own."""
    numeric, categorical = np.full((rows, N), 0.5, np.float32), np.full((rows, M), 2, np.int32)
    async with branch(f"127.0.0.1:{port}") as attempts:
        server = ModelServer(attempts, "quote-classifier", 7, outputs)
        return await server.predict("packed", numeric, categorical, timeout=timeout)


async def test_the_request_names_exactly_what_is_wanted() -> None:
    """Model, pinned version, signature, both arrays bit for bit, and the one output that is read."""
    seen: list[Request] = []

    def answers(request: Request) -> bytes:
        seen.append(request)
        return response(np.array([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]], np.float32))

    async with model_server(answers) as port:
        answer = await ask(port, rows=2)

    (request,) = seen
    assert ("quote-classifier", 7, "packed", ("probability",)) == (
        request.model,
        request.version,
        request.signature,
        request.output_filter,
    )
    assert (np.dtype(np.float32), np.dtype(np.int32)) == tuple(
        request.inputs[n].dtype for n in ("numeric", "categorical")
    )
    assert ((2, N), (2, M)) == tuple(request.inputs[n].shape for n in ("numeric", "categorical"))
    assert pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5, 0.6]) == answer.ravel()


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (None, BranchTimeout),
        (grpc.StatusCode.DEADLINE_EXCEEDED, BranchTimeout),
        (grpc.StatusCode.UNAVAILABLE, BranchUnavailable),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, BranchUnavailable),
        (grpc.StatusCode.NOT_FOUND, BranchUnavailable),
        (grpc.StatusCode.INTERNAL, BranchUnavailable),
        (b"", BranchRubbish),
        (b"\xff\xff\xff", BranchRubbish),
        (response(np.array([[0.1, 0.2, 0.3]], np.float32), "something_else"), BranchRubbish),
        (response(np.array([[0.1, 0.2]], np.float32)), BranchRubbish),
        (response(np.array([0.1, 0.2, 0.3], np.float32)), BranchRubbish),
        (response(np.array([[0.1, 0.2, 0.3]] * 2, np.float32)), BranchRubbish),
        (response(np.array([[0.1, np.nan, 0.3]], np.float32)), BranchRubbish),
        (response(np.array([[0.1, np.inf, 0.3]], np.float32)), BranchRubbish),
        (response(np.array([[0.1, 1.5, 0.3]], np.float32)), BranchRubbish),
        (response(np.array([[1, 0, 1]], np.int32)), BranchRubbish),
        (response(PROBABILITY, version=8), BranchRubbish),
        (response(PROBABILITY, model="premium-regressor"), BranchRubbish),
        (response(PROBABILITY).replace(b"quote-classifier", b"quote-classifie\xff"), BranchRubbish),
    ],
)
async def test_every_kind_of_answer_has_one_meaning(
    answer: bytes | grpc.StatusCode | None, error: type[BranchFailed]
) -> None:
    """An error of ours, never of gRPC's, and never with what the server said about itself."""
    async with model_server(lambda _: answer) as port:
        with pytest.raises(BranchFailed) as caught:
            await ask(port, timeout=0.3)

    assert error is type(caught.value)
    assert "path" not in str(caught.value)


async def test_a_server_that_is_not_there_is_unavailable_at_once() -> None:
    """A refused connection does not use up the budget."""
    async with model_server(fixed(3)) as port:
        pass
    with pytest.raises(BranchUnavailable):
        async with asyncio.timeout(1):
            await ask(port, timeout=2.0)


async def test_a_server_that_accepts_and_says_nothing_is_a_timeout() -> None:
    """A stopped process still has an open port: the call ends with its time, not with TCP's."""
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(BranchTimeout):
        async with asyncio.timeout(1):
            await ask(silent.getsockname()[1], timeout=0.2)


def test_log_pounds_beyond_belief_are_rubbish() -> None:
    """exp of it would be infinite, and the answer no JSON."""
    output = regressor_outputs(1)["packed"]
    data = encode_response("premium-regressor", 1, "packed", {"log_premium": np.full((1, 1, 3), 800.0, np.float32)})

    with pytest.raises(BranchRubbish):
        read_answer(data, output, 1)


async def test_one_model_is_asked_by_both_names() -> None:
    """The fixture's two models are told apart by what the request names."""
    answers: Answers = fixed(3)
    async with model_server(answers) as port, branch(f"127.0.0.1:{port}") as attempts:
        server = ModelServer(attempts, "premium-regressor", 1, regressor_outputs(3))
        row = np.zeros((4, N), np.float32), np.zeros((4, M), np.int32)

        assert (4, 2, 3) == (await server.predict("panel", *row, timeout=2.0)).shape
        assert (4, 3, 3) == (await server.predict("packed", *row, timeout=2.0)).shape
