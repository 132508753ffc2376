"""Two models' arrays become statuses, prices and the panel's figures."""

import json
from typing import Any

import numpy as np
import pytest
from baseline.answers import Merger, Tables
from baseline.rows import Packer
from conftest import INSURERS

PROBABILITIES = [0.9, 0.2, 0.8, 0.7, 0.6, 0.51, 0.95, 0.1]
PRICES = [500.0, 100.0, 400.0, 450.0, 300.0, 800.0, 350.0, 50.0]


def answers(tables: Tables, ages: list[int], probability: list[float], ipt_rate: float = 0.12) -> list[dict[str, Any]]:
    """The JSON of one batch, a row for each age."""
    packed = [Packer(tables.contract, ()).pack({"age": age}) for age in ages]
    numeric, categorical = (np.stack(part) for part in zip(*packed, strict=True))
    middle = np.log(np.array(PRICES, np.float32))
    log_premium = np.tile(np.stack([middle - 0.2, middle, middle + 0.2], axis=-1), (len(ages), 1, 1))
    chances = np.tile(np.array(probability, np.float32), (len(ages), 1))
    merger = Merger(tables)
    batch = merger.merge(numeric, categorical, chances, log_premium, [ipt_rate] * len(ages))
    return [json.loads(merger.body(batch, row, f"q-{row}")) for row in range(len(ages))]


def test_a_row_says_what_each_insurer_does(tables: Tables) -> None:
    """Likely from the threshold on; the interval is the model's, widened by the calibration."""
    (answer,) = answers(tables, [40], PROBABILITIES)

    first, second = answer["insurers"][:2]
    assert list(INSURERS) == [row["insurer"] for row in answer["insurers"]]
    assert {"insurer": "i-0001", "status": "likely", "probability": 0.9} == {k: first[k] for k in list(first)[:3]}
    assert [500.0, 500 * np.exp(-0.3), 500 * np.exp(0.3)] == pytest.approx(
        [first["premium"], first["low"], first["high"]], abs=0.01
    )
    assert ("unlikely", 100.0) == (second["status"], second["premium"])
    assert ("q-0", "2026-11-24.1", 0.8, True) == tuple(answer[k] for k in ("quote_id", "bundle", "level", "complete"))


def test_the_panel_counts_only_those_that_will_quote(tables: Tables) -> None:
    """The two cheapest are unlikely: the third is the best price, and the mean is of the next five."""
    (answer,) = answers(tables, [40], PROBABILITIES)

    panel = answer["panel"]
    assert (6, "i-0005", 300.0) == (panel["likely"], panel["cheapest"]["insurer"], panel["cheapest"]["premium"])
    assert 400.0 == panel["mean_of_five_cheapest"]


def test_few_likely_insurers_have_a_mean_of_their_own(tables: Tables) -> None:
    """Two of them: the mean of two; none: nothing can be said."""
    two, none = (answers(tables, [40], chances)[0]["panel"] for chances in ([0.9] * 2 + [0.1] * 6, [0.1] * 8))

    assert (2, 300.0, "i-0002") == (two["likely"], two["mean_of_five_cheapest"], two["cheapest"]["insurer"])
    assert {"likely": 0, "cheapest": None, "mean_of_five_cheapest": None} == none


def test_a_row_of_a_batch_is_that_row_alone(tables: Tables) -> None:
    """Sharing a call changes no answer; a row that is out of range has no interval, and its neighbours have theirs."""
    together = answers(tables, [25, 95, 70], PROBABILITIES)
    alone = [answers(tables, [age], PROBABILITIES)[0] for age in (25, 95, 70)]

    assert [one["insurers"] for one in alone] == [one["insurers"] for one in together]
    assert [False, True, False] == [one["insurers"][0]["low"] is None for one in together]


def test_prices_hold_the_tax_that_was_asked_for(tables: Tables) -> None:
    """The models have learnt prices with 12 %."""
    (answer,) = answers(tables, [40], PROBABILITIES, ipt_rate=0.0)

    assert round(500 / 1.12, 2) == pytest.approx(answer["insurers"][0]["premium"], abs=0.01)
