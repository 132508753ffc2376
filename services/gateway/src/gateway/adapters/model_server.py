"""How is a model server asked? One gRPC channel for each model, raw bytes both ways, and nothing in the answer is trusted."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import grpc
import grpc.aio
import numpy as np

from gateway.domain.errors import BranchFailed, BranchRubbish, BranchTimeout, BranchUnavailable
from gateway.ports import Answer, Categorical, Numeric
from kit.tensors import BadTensor, decode_response, encode_request

PREDICT: Final = "/tensorflow.serving.PredictionService/Predict"

# Every pod behind a name gets its share. Retries are off: gRPC's own ones hang or lose calls at a few milliseconds of back-off.
SERVICE_CONFIG: Final = '{"loadBalancingConfig": [{"round_robin": {}}]}'
CHANNEL_OPTIONS: Final = (
    ("grpc.service_config", SERVICE_CONFIG),
    ("grpc.enable_retries", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1000),  # also how long one attempt to connect may take
    ("grpc.max_reconnect_backoff_ms", 2000),
    ("grpc.dns_min_time_between_resolutions_ms", 5000),
)

# Any other status means that the server refused, or is not there.
ERRORS: Final[Mapping[grpc.StatusCode, type[BranchFailed]]] = {grpc.StatusCode.DEADLINE_EXCEEDED: BranchTimeout}


@dataclass(frozen=True, slots=True)
class Output:
    """What one signature answers: the tensor's name, its shape after the rows' dimension, and the range that can be true."""

    name: str
    shape: tuple[int, ...]
    least: float
    most: float


def classifier_outputs(insurers: int) -> Mapping[str, Output]:
    """The quote classifier's signatures."""
    return {"packed": Output("probability", (insurers,), 0.0, 1.0)}


def regressor_outputs(insurers: int) -> Mapping[str, Output]:
    """The premium regressor's signatures: log pounds, from a penny to half a billion."""
    return {
        "packed": Output("log_premium", (insurers, 3), -5.0, 20.0),
        "panel": Output("log_premium", (2, 3), -5.0, 20.0),
    }


def open_channel(target: str) -> grpc.aio.Channel:
    """A channel to one model's servers; `target` is `host:port`, or `dns:///name:port` for all pods behind a name."""
    return grpc.aio.insecure_channel(target, options=CHANNEL_OPTIONS)


class ModelServer:
    """One version of one model behind TensorFlow Serving's Predict. Holds no channel: the life cycle owns that."""

    def __init__(self, channel: grpc.aio.Channel, model: str, version: int, outputs: Mapping[str, Output]) -> None:
        self._predict = channel.unary_unary(
            PREDICT, request_serializer=None, response_deserializer=None
        )  # bytes as they are
        self._model, self._version, self._outputs = model, version, outputs

    async def predict(self, signature: str, numeric: Numeric, categorical: Categorical, *, timeout: float) -> Answer:
        """As `gateway.ports.Model` says."""
        output = self._outputs[signature]
        inputs = {"numeric": numeric, "categorical": categorical}
        request = encode_request(self._model, self._version, signature, inputs, (output.name,))
        try:
            response = await self._predict(request, timeout=timeout)
        except grpc.aio.AioRpcError as error:
            raise ERRORS.get(error.code(), BranchUnavailable)(error.code().name) from None
        return read_answer(response, output, len(numeric))


def read_answer(response: bytes, output: Output, rows: int) -> Answer:
    """The tensor of a response. Raises `BranchRubbish` unless it has the right form and every number can be true."""
    try:
        answer = decode_response(response)[output.name]
    except (BadTensor, KeyError) as error:
        raise BranchRubbish(type(error).__name__) from None
    if answer.dtype.kind != "f" or answer.shape != (rows, *output.shape):
        raise BranchRubbish("wrong type or shape")
    if not (answer.min() >= output.least and answer.max() <= output.most):  # false for NaN, too
        raise BranchRubbish("numbers that cannot be")
    return answer.astype(np.float64)
