"""What is said to a model server, and what does it answer? Raw bytes both ways, and nothing in the answer is trusted."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from gateway.adapters.attempts import Attempts
from gateway.domain.errors import BranchRubbish
from gateway.ports import Answer, Categorical, Numeric
from kit.tensors import BadTensor, answered_by, decode_response, encode_request


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
    """The premium regressor's signatures: log pounds, from a penny to a million."""
    return {
        "packed": Output("log_premium", (insurers, 3), -5.0, 13.8),
        "panel": Output("log_premium", (2, 3), -5.0, 13.8),
    }


class ModelServer:
    """One version of one model behind TensorFlow Serving's Predict, on all of its replicas."""

    def __init__(self, attempts: Attempts, model: str, version: int, outputs: Mapping[str, Output]) -> None:
        self._attempts, self._model, self._version, self._outputs = attempts, model, version, outputs

    async def predict(self, signature: str, numeric: Numeric, categorical: Categorical, *, timeout: float) -> Answer:
        """As `gateway.ports.Model` says."""
        output, rows = self._outputs[signature], len(numeric)
        inputs = {"numeric": numeric, "categorical": categorical}
        request = encode_request(self._model, self._version, signature, inputs, (output.name,))
        return await self._attempts.ask(request, lambda response: self._read(response, output, rows), timeout=timeout)

    def _read(self, response: bytes, output: Output, rows: int) -> Answer:
        try:
            is_ours = answered_by(response) == (self._model, self._version)
        except BadTensor:
            is_ours = False
        if not is_ours:  # a price of another bundle would look like one of this
            raise BranchRubbish("another model or version")
        return read_answer(response, output, rows)


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
