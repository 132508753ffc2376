"""Answers as text: what stands in the arrays stands in the JSON."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st
from numpy.typing import NDArray

from gateway.api.encode import COLUMNS, ROWS, encode_quotes
from gateway.domain.answers import Band, Caveats, Insurers, Panel, QuoteAnswers

IDS = ("i-0001", "i-0002", "i-0100")
MOST = 99_999_999


def answers(insurers: Insurers) -> QuoteAnswers:
    """Of as many rows as the insurers' columns have."""
    rows = len(insurers.is_outside)
    panel = Panel(2, ("i-0002", Band(431.02, 391.1, None)), 470.23)
    caveats = Caveats(complete=True, degraded=(), assumed={"cover.voluntary_excess": 250}, out_of_range=())
    return QuoteAnswers("b.1", 0.8, [f"q-{row}" for row in range(rows)], [caveats] * rows, [panel] * rows, insurers)


@st.composite
def columns(draw: st.DrawFn) -> Insurers:
    """Some rows of three insurers, with either half missing."""
    rows = draw(st.integers(1, 4))

    def numbers(shape: tuple[int, ...], most: int) -> NDArray[np.int64]:
        size = int(np.prod(shape))
        edges = st.sampled_from([0, 1, 99, 100, 999, 9_999, 10_000, most]).filter(lambda n: n <= most)
        drawn = draw(st.lists(st.integers(0, most) | edges, min_size=size, max_size=size))
        return np.array(drawn, np.int64).reshape(shape)

    steps, pence = numbers((rows, 3), 10_000), numbers((3, rows, 3), MOST)
    has_steps, has_pence = draw(st.booleans()), draw(st.booleans())
    is_outside = np.array(draw(st.lists(st.booleans(), min_size=rows, max_size=rows)))
    return Insurers(
        IDS,
        steps >= 5_000 if has_steps else None,
        steps if has_steps else None,
        pence if has_pence else None,
        is_outside,
    )


def expected(insurers: Insurers, row: int, place: int) -> dict[str, Any]:
    """One insurer's record, made the plain way."""
    low, premium, high = (None,) * 3 if insurers.pence is None else (insurers.pence[:, row, place] / 100).tolist()
    likely = None if insurers.is_likely is None else bool(insurers.is_likely[row, place])
    outside = bool(insurers.is_outside[row])
    return {
        "insurer": IDS[place],
        "status": {None: "unknown", True: "likely", False: "unlikely"}[likely],
        "probability": None if insurers.steps is None else insurers.steps[row, place] / 10_000,
        "premium": premium,
        "low": None if outside else low,
        "high": None if outside else high,
    }


@given(columns())
def test_rows_say_what_the_columns_say(insurers: Insurers) -> None:
    """Every number to its last digit, and null where there is none."""
    bodies = [json.loads(body) for body in encode_quotes(answers(insurers), ROWS)]

    wanted = [[expected(insurers, row, place) for place in range(3)] for row in range(len(bodies))]
    assert wanted == [body["insurers"] for body in bodies]


@given(columns())
def test_both_layouts_say_the_same(insurers: Insurers) -> None:
    """They differ in form only."""
    rows, by_column = ([json.loads(b) for b in encode_quotes(answers(insurers), layout)] for layout in (ROWS, COLUMNS))

    for one, other in zip(rows, by_column, strict=True):
        assert {name: [record[name] for record in one["insurers"]] for name in one["insurers"][0]} == other["insurers"]


def test_the_head_is_each_requests_own() -> None:
    """What stands above the insurers."""
    insurers = Insurers(IDS, None, None, None, np.zeros(2, bool))
    first, second = (json.loads(body) for body in encode_quotes(answers(insurers), ROWS))

    assert ("q-0", "q-1") == (first.pop("quote_id"), second.pop("quote_id"))
    assert first == second
    assert {"insurer": "i-0002", "premium": 431.02, "low": 391.1, "high": None} == first["panel"]["cheapest"]


@pytest.mark.parametrize(
    ("pence", "text"), [(0, b" 0.00"), (5, b" 0.05"), (999_999, b" 9999.99"), (MOST, b"999999.99")]
)
def test_numbers_have_no_leading_zeros(pence: int, text: bytes) -> None:
    """JSON knows none; blanks stand there."""
    prices = np.full((3, 1, 3), pence, np.int64)
    (body,) = encode_quotes(answers(Insurers(IDS, None, None, prices, np.zeros(1, bool))), ROWS)

    assert b'"premium":' + text.rjust(9) + b"," in body
