"""CPU of each stage of a quote by itself, on the functions that the gateway runs: nothing else is in the way."""

import time
from collections.abc import Callable, Iterator

import numpy as np
from support import MOTOR, entity

from gateway.api.encode import COLUMNS, ROWS, encode_quotes
from gateway.api.ids import new_id
from gateway.api.request import quotes_reader
from gateway.app import layouts
from gateway.domain.answers import Caveats, QuoteAnswers
from gateway.domain.serving import Serving
from gateway.pricing.merge import merge
from gateway.pricing.row import Packer
from gateway.pricing.standing import stand
from kit.tensors import decode_response, encode_request, encode_response

REPEAT_S = 0.2


def cpu_us(work: Callable[[], object], each: int) -> float:
    """CPU microseconds of one of the `each` units that the work does; the best of three."""
    best = float("inf")
    for _ in range(3):
        work()
        calls, began = 0, time.process_time()
        while (took := time.process_time() - began) < REPEAT_S:
            work()
            calls += 1
        best = min(best, took / calls / each)
    return best * 1e6


def stages(serving: Serving, body: bytes, batch: int) -> Iterator[tuple[str, float]]:
    """Each stage's CPU microseconds a quote, when so many are answered together."""
    insurers = len(serving.insurers)
    reader, packer = quotes_reader(MOTOR, serving.position, new_id), Packer(MOTOR, layouts(MOTOR))
    random = np.random.default_rng(1)
    probability = random.random((batch, insurers))
    log_premium = np.sort(random.normal(6.0, 0.5, (batch, insurers, 3)), axis=2)
    request = reader.read(body)
    known = {(name, "x"): entity(name) for name in layouts(MOTOR)}
    rows = [packer.pack(request.risk, {})] * batch
    factors = np.ones(batch)

    def answers() -> QuoteAnswers:
        stood = stand(MOTOR, serving, rows)
        merged = merge(
            serving, stood.at, probability, log_premium, chosen=None, factors=factors, is_outside=stood.is_outside
        )
        caveats = [Caveats(complete=True, degraded=(), assumed=row.assumed, out_of_range=()) for row in rows]
        ids = [request.quote_id] * batch
        return QuoteAnswers(serving.bundle, serving.level, ids, caveats, merged.panels, merged.insurers)

    stood, merged = stand(MOTOR, serving, rows), answers()
    inputs = {"numeric": stood.numeric, "categorical": stood.categorical}
    response = encode_response("m", 1, "packed", {"log_premium": log_premium.astype(np.float32)})
    yield "read", cpu_us(lambda: reader.read(body), 1)
    yield "pack", cpu_us(lambda: packer.pack(request.risk, {}), 1)
    yield "pack with a car and an area of the store", cpu_us(lambda: packer.pack(request.risk, known), 1)
    yield (
        "messages to and from two models",
        2 * cpu_us(lambda: (encode_request("m", 1, "packed", inputs, ("y",)), decode_response(response)), batch),
    )
    yield "stand (keys, bands, out of range)", cpu_us(lambda: stand(MOTOR, serving, rows), batch)
    yield "merge (with stand)", cpu_us(answers, batch)
    yield "write rows", cpu_us(lambda: encode_quotes(merged, ROWS), batch)
    yield "write columns", cpu_us(lambda: encode_quotes(merged, COLUMNS), batch)
