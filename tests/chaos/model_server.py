"""Both models of a fleet in a process of their own that can be killed, stopped and told to behave badly: real frames, no TensorFlow.

    python model_server.py --insurers 8 --port 0

The first line printed is the port. Each line on standard input is a `Behaviour` as JSON, and is answered with the number of calls so far.
It ends when its input does, so nothing is left of it when whoever started it dies.

A price depends on the driver's age and on nothing else: an answer that belongs to another question is seen by its prices, and a
feature store that is away changes none.
"""

import argparse
import asyncio
import json
import sys
from dataclasses import dataclass, replace
from typing import Any, Final

import grpc
import grpc.aio
import numpy as np

from kit import contract
from kit.tensors import Request, decode_request, encode_response

SERVICE: Final = "tensorflow.serving.PredictionService"
AGE_AT: Final = [field.name for field in contract.load().numeric].index("age")
PER_YEAR: Final = 0.01
"""Log pounds that a year of age adds."""

RUBBISH: Final = ("nan", "infinity", "impossible", "shape", "name", "version", "type", "bytes", "empty")
REFUSALS: Final = ("RESOURCE_EXHAUSTED", "UNAVAILABLE", "NOT_FOUND", "INTERNAL")


@dataclass(frozen=True, slots=True)
class Behaviour:
    """`delay_s` before every answer, which is a proper one unless `fault` is one of `RUBBISH`, a status of `REFUSALS`, or "silent"."""

    delay_s: float = 0.001
    fault: str = ""


class Models:
    """What both models answer, as they are told to behave."""

    def __init__(self, insurers: int) -> None:
        self.behaviour, self.calls = Behaviour(), 0
        log_premium = np.log(np.linspace(700, 400, insurers))[:, np.newaxis] + np.array([-0.2, 0.0, 0.2])
        panel = np.log([[400.0], [470.0]]) + np.array([-0.3, 0.0, 0.3])
        self._answers = {
            ("quote-classifier", "packed"): ("probability", np.linspace(0.9, 0.2, insurers), 0.0),
            ("premium-regressor", "packed"): ("log_premium", log_premium, PER_YEAR),
            ("premium-regressor", "panel"): ("log_premium", panel, PER_YEAR),
        }

    async def predict(self, data: bytes, context: "grpc.aio.ServicerContext[bytes, bytes]") -> bytes:
        """As gRPC calls it."""
        self.calls += 1
        behaviour = self.behaviour
        if behaviour.fault == "silent":
            await asyncio.Event().wait()
        if behaviour.delay_s:
            await asyncio.sleep(behaviour.delay_s)
        if behaviour.fault in REFUSALS:
            await context.abort(getattr(grpc.StatusCode, behaviour.fault), "/a/path at 10.0.0.1:8500")
        return self._answer(decode_request(data), behaviour.fault)

    def _answer(self, request: Request, fault: str) -> bytes:
        name, row, per_year = self._answers[request.model, request.signature]
        ages = request.inputs["numeric"][:, AGE_AT]
        version = request.version or 0
        values = row + per_year * ages.reshape(-1, *[1] * row.ndim)
        values = {
            "nan": np.full_like(values, np.nan),
            "infinity": np.full_like(values, np.inf),
            "impossible": np.full_like(values, 1e6),
            "shape": values[:, :-1],
        }.get(fault, values)
        outputs: dict[str, Any] = {name if fault != "name" else "other": values.astype(np.float32)}
        if fault == "type":
            outputs = {name: values.astype(np.int64)}
        answer = encode_response(request.model, version + (fault == "version"), request.signature, outputs)
        return {"bytes": answer[: len(answer) // 2] + b"\xff\xff", "empty": b""}.get(fault, answer)


async def serve(insurers: int, port: int) -> None:
    """Serve until standard input ends."""
    models = Models(insurers)
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    method = grpc.unary_unary_rpc_method_handler(models.predict)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {"Predict": method}),))
    bound = server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    print(bound, flush=True)
    orders = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    while order := await orders.readline():
        models.behaviour = replace(Behaviour(), **json.loads(order))
        print(models.calls, flush=True)
    await server.stop(grace=None)


def main() -> None:
    """As the module says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--insurers", type=int, default=8)
    parser.add_argument("--port", type=int, default=0)
    options = parser.parse_args()
    asyncio.run(serve(options.insurers, options.port))


if __name__ == "__main__":
    main()
