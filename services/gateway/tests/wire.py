"""A model server on a real port, without a model: real frames, real codes, real deadlines."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

import grpc
import grpc.aio
import numpy as np

from kit.tensors import Request, decode_request, encode_response

Answers = Callable[[Request], "bytes | grpc.StatusCode | None"]  # None never answers

SERVICE: Final = "tensorflow.serving.PredictionService"


@asynccontextmanager
async def model_server(answers: Answers, port: int = 0) -> AsyncIterator[int]:
    """Serves `Predict` on loopback; gives the port."""

    async def predict(data: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        answer = answers(decode_request(data))
        if answer is None:
            await asyncio.Event().wait()
        if isinstance(answer, grpc.StatusCode):
            await context.abort(answer, "an address and a path")
        assert isinstance(answer, bytes)
        return answer

    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    method = grpc.unary_unary_rpc_method_handler(predict)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {"Predict": method}),))
    bound = server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    try:
        yield bound
    finally:
        await server.stop(grace=None)


def fixed(insurers: int) -> Answers:
    """Both models in one: every row gets the same probabilities and prices."""
    probability = np.linspace(0.9, 0.2, insurers, dtype=np.float32)
    log_premium = (np.log(np.linspace(700, 400, insurers))[:, np.newaxis] + np.array([-0.2, 0, 0.2])).astype(np.float32)
    panel = (np.log([[400], [470]]) + np.array([-0.3, 0, 0.3])).astype(np.float32)
    answers = {
        ("quote-classifier", "packed"): ("probability", probability),
        ("premium-regressor", "packed"): ("log_premium", log_premium),
        ("premium-regressor", "panel"): ("log_premium", panel),
    }

    def answer(request: Request) -> bytes:
        name, row = answers[request.model, request.signature]
        rows = len(request.inputs["numeric"])
        outputs = {name: np.repeat(row[np.newaxis], rows, 0)}
        return encode_response(request.model, request.version or 0, request.signature, outputs)

    return answer
