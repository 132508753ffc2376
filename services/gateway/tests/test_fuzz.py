"""Bytes from strangers: bodies of requests, asked of the whole app, and answers of model servers. Nothing but a verdict ever comes out.

A few hundred every time; `make fuzz` (hypothesis' profile `thorough`) runs 100,000.
"""

import asyncio
import json
import tracemalloc
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import pytest
from hypothesis import event, given, settings, strategies as st
from starlette.types import ASGIApp, Message
from support import BY_IDS, HEADERS, INSURERS, MOTOR, QUOTE, World, running
from test_request import requests

from gateway.adapters.model_server import Output, read_answer
from gateway.api import explain
from gateway.api.contradictions import Contradictions
from gateway.api.json_text import parse
from gateway.api.problems import Refusal
from gateway.api.request import DISAGREEMENT
from gateway.api.shape import quotes_request
from gateway.domain.errors import BranchRubbish
from kit.tensors import BadTensor, decode_response, encode_response

pytestmark = pytest.mark.timeout(3600)

HEAD: Final = [
    (b"authorization", HEADERS["Authorization"].encode()),
    (b"content-type", b"application/json"),
    (b"x-request-timeout-ms", b"2000"),  # a stop of the machine is no finding
]
PROFILE: Final = settings().max_examples  # of a test that says nothing itself
SHAPE: Final = quotes_request(MOTOR)
CONTRADICTIONS: Final = Contradictions(MOTOR)


class Gateway:
    """The app, asked with bytes from ordinary code."""

    def __init__(self, runner: asyncio.Runner, app: ASGIApp) -> None:
        self._runner, self._app = runner, app

    def ask(self, body: bytes) -> tuple[int, Any]:
        """The status and the answer."""
        return self._runner.run(self._ask(body))

    async def _ask(self, body: bytes) -> tuple[int, Any]:
        told: list[Message] = []

        async def receive() -> Message:
            return {"type": "http.request", "body": body}

        async def send(message: Message) -> None:
            told.append(message)

        scope = {
            "type": "http",
            "method": "POST",
            "path": "/v1/quotes",
            "query_string": b"",
            "headers": [*HEAD, (b"content-length", b"%d" % len(body))],
        }
        await self._app(scope, receive, send)
        return told[0]["status"], json.loads(told[1]["body"])


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    """One app for all of a module's bodies."""
    with asyncio.Runner() as runner:
        context = running(World())
        app = runner.run(context.__aenter__())
        yield Gateway(runner, app)
        runner.run(context.__aexit__(None, None, None))


def verdict_of_the_slow_path(body: bytes) -> int:
    """What the path that explains says of a body, which knows nothing of the fast decoder."""
    try:
        value = parse(body)
    except Refusal as refusal:
        return refusal.code.status
    if explain.problems(SHAPE, value) or CONTRADICTIONS.find(value["risk"]):
        return 422
    chosen = value.get("insurers", [])
    return 422 if len(set(chosen)) < len(chosen) or not set(chosen) <= set(INSURERS) else 200


def assert_verdict(gateway: Gateway, body: bytes) -> Any:
    """Both paths come to the same, with a reason where it is no; the answer."""
    status, answer = gateway.ask(body)
    event(str(status))
    assert verdict_of_the_slow_path(body) == status
    if status != 200:
        assert 422 != status or answer["errors"]
        assert DISAGREEMENT not in [wrong["message"] for wrong in answer["errors"]]
    return answer


# What decoders stumble over.
TOKENS: Final = st.sampled_from(
    [
        b"NaN", b"-Infinity", b"1e400", b"-0", b"1E1", b"30.0", b"017", b"9" * 50, b"null", b"true",
        b'"', b"\\", b"\\u0000", b"\\ud800", b"\\u0061", b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\x00", b"\xc2\xa0",
        b"{", b"}", b"[", b"]", b",", b":", b" ", b"\r\n", b"[" * 40, b'{"a":' * 20, b"/**/",
        b'"age":31,', b'"risk":{}', b'"\\u0061ge":31,', b'"a:b":1,',
    ]
)  # fmt: skip
SEEDS: Final = st.sampled_from([json.dumps(body).encode() for body in (QUOTE, BY_IDS)]) | requests().map(
    lambda value: json.dumps(value).encode()
)


@st.composite
def mutated(draw: st.DrawFn, seeds: st.SearchStrategy[bytes], tokens: st.SearchStrategy[bytes]) -> bytes:
    """Bytes with up to three places cut out, doubled, overwritten or widened."""
    data = draw(seeds)
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.integers(0, 8)))
        middle = draw(tokens | st.binary(max_size=4) | st.sampled_from([b"", data[start:end] * 2]))
        data = data[:start] + middle + data[end:]
    return data


@given(requests())
def test_a_body_is_judged_alike_by_both_paths(gateway: Gateway, value: Any) -> None:
    """Bodies that fit the contract, or miss it by little."""
    assert_verdict(gateway, json.dumps(value).encode())


@given(mutated(SEEDS, TOKENS))
def test_a_broken_body_is_judged_alike_by_both_paths(gateway: Gateway, body: bytes) -> None:
    """Bodies whose bytes were tampered with: JSON that is none, and JSON that nobody writes."""
    assert_verdict(gateway, body)


@st.composite
def respelt(draw: st.DrawFn, value: Any) -> str:
    """The same JSON value in another spelling: escapes, blanks, the order of keys, the form of numbers."""
    blank = draw(st.sampled_from(["", " ", "\n\t", "\r\n  "]))
    match value:
        case dict():
            items = draw(st.permutations(list(value.items())))
            inside = [f"{draw(respelt(k))}{blank}:{blank}{draw(respelt(v))}" for k, v in items]
            return f"{{{blank}{f'{blank},{blank}'.join(inside)}{blank}}}"
        case list():
            return f"[{blank}{f',{blank}'.join(draw(respelt(v)) for v in value)}{blank}]"
        case str():
            escaped = "".join(
                f"\\u{ord(char):04x}" if draw(st.booleans()) else json.dumps(char)[1:-1] for char in value
            )
            return f'"{draw(st.sampled_from([json.dumps(value)[1:-1], escaped]))}"'
        case float():
            return draw(st.sampled_from([repr(value), f"{value:.17e}", f"{value:.17E}"]))
    return json.dumps(value)


@settings(max_examples=PROFILE // 10)
@given(st.data())
def test_the_spelling_of_a_body_changes_nothing(gateway: Gateway, data: st.DataObject) -> None:
    """Equal values have equal answers, whichever path has read them."""
    value = data.draw(requests().filter(lambda value: isinstance(value, dict))) | {"quote_id": "q-1"}
    text = json.dumps(value).encode()

    first, second = gateway.ask(text), gateway.ask(data.draw(respelt(value)).encode())

    for _, answer in (first, second):
        answer.pop("request_id", None)
        if isinstance(answer.get("errors"), list):
            answer["errors"].sort(key=lambda wrong: (wrong["loc"], wrong["message"]))
    event(str(first[0]))
    assert first == second


ROWS: Final = 2
OUTPUT: Final = Output("y", (3,), 0.0, 1.0)
RIGHT: Final = encode_response("m", 1, "packed", {"y": np.linspace(0, 1, 6, dtype=np.float32).reshape(2, 3)})
RESPONSES: Final = st.sampled_from(
    [
        RIGHT,
        encode_response("m", 1, "packed", {"y": np.zeros((2, 3), np.float64)}, tensor_content=True),
        encode_response("m", 1, "packed", {"y": np.zeros((2, 3), np.float16), "z": np.arange(300)}),
        encode_response("m", 1, "packed", {"y": np.array([[b"a", b""], [b"b", b"c"]], object)}),
        encode_response("m", 1, "packed", {"y": np.ones((2, 3), np.complex64), "x": np.ones(5, bool)}),
    ]
)
# Declared sizes and numbers that are far from what follows.
WIRE_TOKENS: Final = st.sampled_from(
    [
        b"\xff" * 9 + b"\x01", b"\xff\xff\xff\xff\x07", b"\x80" * 11, b"\x0a\x80\x80\x80\x80\x20",
        b"\x12\x0a\x12\x08\x08\x80\x80\x80\x80\x80\x20", b"\x0a\x12\x1a\x22\x28\x2a\x2d\x32\x3a\x42\x4a\x52\x5a\x6a\x7a",
        *(bytes([8, data_type]) for data_type in range(24)),
    ]
)  # fmt: skip


def test_the_right_response_is_right() -> None:
    """The seed of the mutations is an answer."""
    assert (ROWS, *OUTPUT.shape) == read_answer(RIGHT, OUTPUT, ROWS).shape


@settings(max_examples=PROFILE * 2)
@given(mutated(RESPONSES, WIRE_TOKENS) | st.binary(max_size=120))
def test_a_response_is_a_right_answer_or_rubbish(response: bytes) -> None:
    """Finite numbers of the right shape and range, or `BranchRubbish`; from the codec a tensor or `BadTensor`."""
    tracemalloc.start()
    try:
        tensors = decode_response(response)
    except BadTensor:
        tensors = {}
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 200_000  # bytes: for whatever sizes are declared
    assert all(isinstance(tensor, np.ndarray) for tensor in tensors.values())

    try:
        answer = read_answer(response, OUTPUT, ROWS)
    except BranchRubbish:
        event("rubbish")
        return
    assert ((ROWS, *OUTPUT.shape), "float64") == (answer.shape, answer.dtype.name)
    assert np.all((answer >= OUTPUT.least) & (answer <= OUTPUT.most))  # no NaN either
