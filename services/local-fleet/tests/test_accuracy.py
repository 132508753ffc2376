"""The verdict: the same figures from the same answers, and every way in which they may fail to hold."""

import math
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kit import contract
from local_fleet import accuracy
from local_fleet.accuracy import Answers, Enquiries, Figure

INSURERS = ("i-0001", "i-0002")


def enquiries() -> Enquiries:
    """Two enquiries, two insurers: each quotes one and declines the other."""
    return Enquiries([], np.array([[1, 0], [0, 1]], np.int8), np.array([[100.0, np.nan], [np.nan, 200.0]]))


def answers(premium: float) -> Answers:
    """Right about who quotes; the first premium is given, intervals are 10 % to both sides of the second."""
    price = np.array([[premium, 150.0], [150.0, 200.0]])
    return Answers(np.array([[0.9, 0.1], [0.2, 0.8]]), price, price * 0.9, price * 1.1)


def test_figures_are_those_of_the_answers() -> None:
    """A premium that is 30 % too high is half of the quotes, and outside its interval."""
    mape, auc, coverage, out_of_range = accuracy.figures(enquiries(), answers(130.0), {})

    assert pytest.approx(0.15) == mape.served
    assert 1.0 == auc.served
    assert 0.5 == coverage.served
    assert (0.0, None) == (out_of_range.served, out_of_range.fault)


def test_enquiries_without_intervals_are_counted_where_they_are_not_covered() -> None:
    """The first one's price is far off; its missing interval leaves the coverage whole, and shows as out of range."""
    given = answers(130.0)
    given.low[0] = given.high[0] = np.nan

    _, _, coverage, out_of_range = accuracy.figures(enquiries(), given, {"out_of_range": 0.5})

    assert (1.0, 0.5, 0.0) == (coverage.served, out_of_range.served, out_of_range.difference)
    assert "must be from 0% to 2%" == out_of_range.fault


@pytest.mark.parametrize(
    ("figure", "fault"),
    [
        (Figure("f", 0.12, 0.1209, at_most=0.14), None),
        (Figure("f", 0.12, None, at_most=0.14), None),
        (Figure("f", 0.12, 0.1211, at_most=0.14), "differs by more than 0.1% points"),
        (Figure("f", 0.15, 0.15, at_most=0.14), "must be from 0% to 14%"),
        (Figure("f", 0.89, 0.89, at_least=0.90), "must be from 90% to 100%"),
        (Figure("f", math.nan, None), "must be from 0% to 100%"),
        (Figure("f", 0.5, math.nan), "differs by more than 0.1% points"),
    ],
)
def test_a_figure_holds_or_says_why_not(figure: Figure, fault: str | None) -> None:
    """Limits come first, then agreement; what is not a number never holds."""
    assert fault == figure.fault


def test_the_table_shows_both_sides() -> None:
    """A person sees what was served, what was tested, and the verdict."""
    lines = accuracy.table([Figure("premium MAPE", 0.12, 0.1201, at_most=0.14)])

    assert ["premium", "MAPE", "12.000%", "12.010%", "0.0100%", "holds"] == lines[1].split()


def test_a_request_names_entities_and_sends_the_rest() -> None:
    """What the feature store knows is not sent, nor what is not known."""
    motor = contract.load()
    row: dict[str, Any] = {f.name: None for f in motor.fields} | {
        "vehicle_id": "v-00001",
        "sector": "R01-0000",
        "age": 30,
        "make": "mk-01",
    }

    risk = accuracy.request(motor, row)

    assert {"vehicle_id": "v-00001"} == risk["vehicle"]
    assert {"sector": "R01-0000"} == risk["area"]
    assert {"age": 30} == risk["driver"]
    assert {"consent": True} == risk["history"]


def test_answers_are_put_in_the_order_of_the_artefact() -> None:
    """The gateway may list insurers in any order."""
    columns: dict[str, list[Any]] = {
        "insurer": ["i-0002", "i-0001"],
        "probability": [0.2, 0.1],
        "premium": [2.0, 1.0],
        "low": [1.9, 0.9],
        "high": [2.1, 1.1],
    }

    found = accuracy.answers_of([columns], INSURERS)

    assert [[1.0, 2.0]] == found.premium.tolist()
    assert [[0.1, 0.2]] == found.probability.tolist()


def test_held_out_enquiries_are_the_first_of_the_test_slice(tmp_path: Path) -> None:
    """In the order of time, not of the files; the market's answers go with them."""
    count, motor = 20, contract.load()
    write_market(tmp_path, count)

    found = accuracy.held_out(tmp_path, motor, {"train": 0.8, "calibration": 0.1}, 5, INSURERS)

    assert [1, 0] == [risk["driver"]["age"] - 20 for risk in found.risks]
    assert [[1, 0], [-1, 1]] == found.quoted.tolist()
    assert [[101.0, None], [None, 200.0]] == [
        [None if math.isnan(p) else p for p in row] for row in found.premium.tolist()
    ]


def write_market(folder: Path, count: int) -> None:
    """Enquiries whose time runs backwards in the file; `age` is 20 + enquiry_id, premiums are 100 * insurer + enquiry_id."""
    motor = contract.load()
    columns: dict[str, Any] = {f.name: pa.nulls(count, pa.string()) for f in motor.fields}
    columns |= {
        "enquiry_id": range(count),
        "asked_at": [datetime(2025, 10, 6, tzinfo=UTC) + timedelta(minutes=count - i) for i in range(count)],
        "vehicle_id": ["v-00001"] * count,
        "sector": ["R01-0000"] * count,
        "age": [20 + i for i in range(count)],
    }
    answers: dict[str, Any] = {
        "enquiry_id": [i for i in range(count) for _ in INSURERS],
        "insurer": pa.array([name for _ in range(count) for name in INSURERS]).dictionary_encode(),
        "outcome": pa.array(
            [
                "no_response" if (i, k) == (0, 0) else "quote" if (i + k) % 2 else "decline"
                for i in range(count)
                for k in range(2)
            ]
        ),
        "premium": [float(100 * (k + 1) + i) if (i + k) % 2 else None for i in range(count) for k in range(2)],
    }
    for name, table in (("risks", columns), ("answers", answers)):
        (folder / name).mkdir()
        pq.write_table(pa.table(table), folder / name / "part-00000.parquet")
