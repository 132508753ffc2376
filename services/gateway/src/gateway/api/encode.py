"""How is an answer written? Once, from arrays: no object is made for an insurer.

The rows are one %-format over all of them, made once for each combination of what is known: for 60 insurers that takes a quarter of
what a list of objects takes to build and encode.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import lru_cache
from itertools import chain
from typing import Any, Final

import numpy as np
import orjson

from gateway.domain.answers import BallparkAnswer, Band, Caveats, Insurers, Panel, Prices, Question, QuoteAnswer

CURRENCY: Final = "GBP"
ROWS: Final = "rows"
COLUMNS: Final = "columns"


def encode_quotes(answer: QuoteAnswer, layout: str) -> bytes:
    """The body of an answer to `POST /v1/quotes`, with insurers as `rows` or `columns`."""
    head = {
        "quote_id": answer.quote_id,
        "bundle": answer.bundle,
        "currency": CURRENCY,
        "level": answer.level,
        **_caveats(answer.caveats),
        "panel": _panel(answer.panel),
    }
    return b'%b,"insurers":%b}' % (orjson.dumps(head)[:-1], INSURERS[layout](answer.insurers))


def encode_ballpark(answer: BallparkAnswer) -> bytes:
    """The body of an answer to `POST /v1/ballpark`."""
    body = {
        "bundle": answer.bundle,
        "level": answer.level,
        **_caveats(answer.caveats),
        "cheapest": _band(answer.cheapest),
        "mean_of_five_cheapest": _band(answer.mean_of_five_cheapest),
        "likely_insurers": answer.likely_insurers and asdict(answer.likely_insurers),
        "answered": answer.answered,
        "next_questions": _questions(answer.next_questions),
    }
    return orjson.dumps(body)


def _questions(questions: tuple[Question, ...] | None) -> list[dict[str, Any]] | None:
    return None if questions is None else [asdict(question) for question in questions]


def _caveats(caveats: Caveats) -> dict[str, Any]:
    return {
        "complete": caveats.complete,
        "degraded": caveats.degraded,
        "assumed": caveats.assumed,
        "out_of_range": caveats.out_of_range,
    }


def _band(band: Band | None) -> dict[str, float | None] | None:
    return None if band is None else {"premium": band.premium, "low": band.low, "high": band.high}


def _panel(panel: Panel) -> dict[str, Any]:
    cheapest = panel.cheapest and {"insurer": panel.cheapest[0], **(_band(panel.cheapest[1]) or {})}
    return {"likely": panel.likely, "cheapest": cheapest, "mean_of_five_cheapest": panel.mean_of_five_cheapest}


def _columns(insurers: Insurers) -> bytes:
    nothing = [None] * len(insurers.ids)

    def column(values: Prices | None) -> Any:
        return nothing if values is None else np.ascontiguousarray(values)

    columns = {
        "insurer": insurers.ids,
        "status": insurers.status,
        "probability": column(insurers.probability),
        "premium": column(insurers.premium),
        "low": column(insurers.low),
        "high": column(insurers.high),
    }
    return orjson.dumps(columns, option=orjson.OPT_SERIALIZE_NUMPY)


def _rows(insurers: Insurers) -> bytes:
    columns: list[list[Any]] = [insurers.status]
    columns += [insurers.probability.tolist()] if insurers.probability is not None else []
    for prices in (insurers.premium, insurers.low, insurers.high):
        columns += [prices.tolist()] if prices is not None else []
    text = _template(
        insurers.ids, insurers.probability is not None, insurers.premium is not None, insurers.low is not None
    )
    return (text % tuple(chain.from_iterable(zip(*columns, strict=True)))).encode()


@lru_cache(maxsize=64)  # the whole panel's are asked for again and again; subsets come and go
def _template(ids: tuple[str, ...], has_probability: bool, has_prices: bool, has_intervals: bool) -> str:
    probability, price = "%.4f" if has_probability else "null", "%.2f" if has_prices else "null"
    end = "%.2f" if has_intervals else "null"
    rest = f'"status":"%s","probability":{probability},"premium":{price},"low":{end},"high":{end}}}'
    return "[" + ",".join(f'{{"insurer":"{insurer}",{rest}' for insurer in ids) + "]"


INSURERS: Final[Mapping[str, Callable[[Insurers], bytes]]] = {ROWS: _rows, COLUMNS: _columns}
