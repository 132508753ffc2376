"""Requests that nobody should send: mutated bytes, tensors that lie about themselves, JSON without end. Drawn from a seed."""

import json
from collections.abc import Callable
from random import Random
from typing import Any

from tensorflow.core.framework import types_pb2
from tensorflow_serving.apis import predict_pb2

HUGE = (1 << 31, 1 << 40, (1 << 63) - 1)
SIGNATURES = ("float32", "string", "int64", "complex64", "qint8", "bfloat16", "bool")


def mutated(random: Random) -> bytes:
    """A good request with some bytes changed, cut, doubled or put in."""
    data = bytearray(lying(random))
    for _ in range(random.randint(1, 8)):
        place = random.randrange(len(data) + 1)
        match random.randrange(4):
            case 0 if data:
                data[place % len(data)] = random.randrange(256)
            case 1:
                del data[place:]
            case 2:
                data[place:place] = random.randbytes(random.randint(1, 12))
            case _:
                data += data[place:]
        del data[100_000:]
    return bytes(data)


def lying(random: Random) -> bytes:
    """A request whose tensor has any type, shape and values, declared sizes of any size among them."""
    made = predict_pb2.PredictRequest()
    made.model_spec.name = random.choice(("types", "half", "two", "examples", "rows", ""))
    made.model_spec.signature_name = random.choice((*SIGNATURES, "", "s"))
    if random.random() < 0.1:
        made.model_spec.version.value = random.choice((0, 1, 3, -1, (1 << 63) - 1))
    for name in random.sample(("x", "numeric", "inputs", "é" * 100), random.randint(0, 2)):
        tensor = made.inputs[name]
        tensor.dtype = random.choice(types_pb2.DataType.values())
        for _ in range(random.choice((0, 1, 1, 2, 3, 300))):
            tensor.tensor_shape.dim.add(size=random.choice((0, 1, 2, 3, -1, 1 << 20, *HUGE)))
        if random.random() < 0.5:
            tensor.tensor_content = random.randbytes(random.choice((0, 1, 4, 8, 64)))
        tensor.float_val.extend([1.0] * random.randint(0, 3))
        tensor.string_val.extend([random.randbytes(3)] * random.randint(0, 3))
        tensor.int_val.extend([random.randint(-9, 9)] * random.randint(0, 3))
        tensor.half_val.extend([random.randrange(1 << 16)] * random.randint(0, 2))
        tensor.scomplex_val.extend([1.0] * random.randint(0, 3))
    made.output_filter.extend(random.choice(([], ["y"], ["y", "y"], ["n" * 5000])))
    data: bytes = made.SerializeToString()
    return data


def noise(random: Random) -> bytes:
    """No message at all."""
    return random.randbytes(random.randint(0, 200))


GRPC: tuple[Callable[[Random], bytes], ...] = (mutated, lying, noise)


def value(random: Random, depth: int = 0) -> Any:
    """Any JSON value."""
    simple: tuple[Any, ...] = (
        None,
        True,
        False,
        0,
        -1,
        1.5,
        1e308,
        1 << 63,
        1 << 64,
        "x",
        "\x00",
        "é",
        {"b64": "YQ=="},
        {"b64": "*"},
        [],
        {},
    )
    if depth > 4 or random.random() < 0.5:
        return random.choice(simple)
    if random.random() < 0.6:
        return [value(random, depth + 1) for _ in range(random.randint(0, 4))]
    return {
        random.choice(("x", "inputs", "b64", "numeric", "")): value(random, depth + 1)
        for _ in range(random.randint(0, 3))
    }


def document(random: Random) -> bytes:
    """A body: a document of any content, or its text cut, changed, or nested beyond reason."""
    keys = ("instances", "inputs", "signature_name", "examples", "context")
    text = json.dumps({key: value(random) for key in random.sample(keys, random.randint(0, 3))}).encode()
    place = random.randrange(len(text) + 1)
    spoilt = (
        text[:place],
        text.replace(b'"', b"'"),
        text[:place] + random.randbytes(2) + text[place:],
        b'{"instances": ' + b"[" * 50_000,
        b'{"inputs": ' + b"9" * random.choice((10, 400, 6000)) + b"}",
        b'{"inputs": ["\\ud800", "\\u00zz", "\\x"]}',
    )
    return random.choice((*spoilt, text, text))


def path(random: Random) -> str:
    """A route, right or nearly."""
    model = random.choice(("half", "types", "words", "examples", "no", "%00", "a" * 3000))
    part = random.choice(("", "/versions/1", "/versions/99999999999999999999999", "/labels/l"))
    return f"/v1/models/{model}{part}" + random.choice((":predict", ":classify", ":regress", "/metadata", ":x", ""))
