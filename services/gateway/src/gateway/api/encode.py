"""How is an answer written? Once, from arrays: no object is made for an insurer.

The rows of many answers are one array of bytes: a template in which every insurer has a record of the same width, with the numbers
written into their fields (see `digits`). It is made once for each panel, and filled once for all answers that are ready together.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import lru_cache
from typing import Any, Final

import numpy as np
import orjson
from numpy.typing import NDArray

from gateway.api import digits
from gateway.domain.answers import BallparkAnswer, Band, Caveats, Insurers, Panel, Question, QuoteAnswers

CURRENCY: Final = "GBP"
ROWS: Final = "rows"
COLUMNS: Final = "columns"

STATUSES: Final = ("unlikely", "likely", "unknown")
UNKNOWN: Final = 2


def encode_quotes(answers: QuoteAnswers, layout: str) -> list[bytes]:
    """The bodies of answers to `POST /v1/quotes`, with insurers as `rows` or `columns`."""
    of_all = {"bundle": answers.bundle, "currency": CURRENCY, "level": answers.level}
    return [
        b'%b,"insurers":%b}'
        % (orjson.dumps({"quote_id": quote_id, **of_all, **_caveats(caveats), "panel": _panel(panel)})[:-1], insurers)
        for quote_id, caveats, panel, insurers in zip(
            answers.quote_ids, answers.caveats, answers.panels, INSURERS[layout](answers.insurers), strict=True
        )
    ]


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


def _columns(insurers: Insurers) -> list[bytes]:
    rows = len(insurers.is_outside)
    nothing: list[Any] = [[None] * len(insurers.ids)] * rows
    shares = nothing if insurers.steps is None else np.ascontiguousarray(insurers.steps / digits.STEPS)
    prices = [nothing] * 3 if insurers.pence is None else np.ascontiguousarray(insurers.pence / digits.PENCE)
    low, premium, high = prices
    return [
        orjson.dumps(
            {
                "insurer": insurers.ids,
                "status": [STATUSES[place] for place in status],
                "probability": shares[row],
                "premium": premium[row],
                "low": nothing[row] if outside else low[row],
                "high": nothing[row] if outside else high[row],
            },
            option=orjson.OPT_SERIALIZE_NUMPY,
        )
        for row, (status, outside) in enumerate(
            zip(_statuses(insurers).tolist(), insurers.is_outside.tolist(), strict=True)
        )
    ]


def _rows(insurers: Insurers) -> list[bytes]:
    template, at = _template(insurers.ids)
    rows = len(insurers.is_outside)
    text = np.empty((rows, *template.shape), np.uint8)
    text[:] = template
    digits.column(text, at["status"], _STATUS_TEXTS.itemsize)[...] = _STATUS_TEXTS.take(_statuses(insurers))
    if insurers.steps is None:
        digits.write_no_shares(text, at["probability"])
    else:
        digits.write_shares(text, at["probability"], insurers.steps)
    for place, name in enumerate(("low", "premium", "high")):
        if insurers.pence is None:
            digits.write_no_prices(text, at[name])
        else:
            digits.write_prices(text, at[name], insurers.pence[place])
    for row in np.flatnonzero(insurers.is_outside).tolist():
        for name in ("low", "high"):
            digits.write_no_prices(text[row : row + 1], at[name])
    text[:, -1, -1] = ord("]")
    return [b"[" + record.tobytes() for record in text]


def _statuses(insurers: Insurers) -> NDArray[np.intp]:
    """Places in `STATUSES`, [B, K]."""
    if insurers.is_likely is None:
        return np.full((len(insurers.is_outside), len(insurers.ids)), UNKNOWN, np.intp)
    return insurers.is_likely.astype(np.intp)


_LONGEST: Final = max(map(len, STATUSES)) + 2
_STATUS_TEXTS: Final = np.frombuffer("".join(f'"{s}"'.ljust(_LONGEST) for s in STATUSES).encode(), f"V{_LONGEST}")

_FIELDS: Final = (
    ("status", _LONGEST),
    ("probability", digits.SHARE_WIDTH),
    ("premium", digits.PRICE_WIDTH),
    ("low", digits.PRICE_WIDTH),
    ("high", digits.PRICE_WIDTH),
)


@lru_cache(maxsize=64)  # the whole panel's is asked for again and again; subsets come and go
def _template(ids: tuple[str, ...]) -> tuple[NDArray[np.uint8], Mapping[str, int]]:
    """The records of insurers, each ending in a comma, as uint8[K, W]; and where in a record each field lies."""
    widest = max(map(len, ids))
    records, at = [], {}
    for insurer in ids:
        record = f'{{"insurer":"{insurer}"'.ljust(widest + len('{"insurer":""'))
        for name, width in _FIELDS:
            record += f',"{name}":'
            at[name] = len(record)
            record += " " * width
        records.append(record + "},")
    return np.frombuffer("".join(records).encode(), np.uint8).reshape(len(ids), -1), at


INSURERS: Final[Mapping[str, Callable[[Insurers], list[bytes]]]] = {ROWS: _rows, COLUMNS: _columns}
