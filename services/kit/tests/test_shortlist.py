"""Are those asked who keep the best price, and how sure is it?"""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st

from kit.rows import UPPER_BITS
from kit.shortlist import BadKeep, BadShortlist, Shortlists

ROW = {"thresholds": [0.5, 0.8], "shifts": [0.0, -0.1], "regrets": [2.0, 1.0], "rows": 900}


def section(**changes: Any) -> dict[str, Any]:
    """A table of two keeps, with another row for key 7, and one for the half key of 9."""
    careful = ROW | {"thresholds": [0.9, 0.99]}
    found = {"keeps": [0.8, 0.9], "pooled": ROW, "keys": {"7": careful}, "half": {str(9 & UPPER_BITS): careful}}
    written: dict[str, Any] = json.loads(json.dumps(found | changes))
    return written


TABLE = Shortlists.read(section())
P = np.array([[0.15, 0.6, 0.05, 0.2]])
ANY = np.array([0])


@pytest.mark.parametrize(
    ("key", "keep", "asked"),
    [(0, 0.8, [1]), (0, 0.85, [1, 3]), (0, 0.9, [1, 3, 0]), (7, 0.8, [1, 3, 0]), (7, 0.9, [1, 3, 0, 2]), (9, 0.9, [1, 3, 0, 2])],
)  # fmt: skip
def test_insurers_are_asked_until_the_others_hardly_matter(key: int, keep: float, asked: list[int]) -> None:
    """In falling order, those before whom no more than the threshold lies: that of the key, its half, or of any."""
    ask, defer = TABLE.ask(P, np.array([key]), keep).split(0, "abcd")

    assert ([list("abcd")[place] for place in asked], 4) == (ask, len(ask) + len(defer))


def test_what_is_kept_is_said() -> None:
    """The set's probability, moved by what it was off on average."""
    kept = TABLE.ask(P, ANY, 0.9).kept

    assert [0.85] == pytest.approx(kept)


def test_what_deferring_costs_is_said() -> None:
    """Over those deferred: to be the cheapest, times how far below the best of those asked, as calibrated."""
    log_premium = np.log([[[500, 600, 700], [300, 400, 500], [250, 500, 900], [350, 450, 600]]])
    asked = TABLE.ask(P, ANY, 0.8)

    assert [2.0 * (0.05 * (400 - 250) + 0.2 * (400 - 350))] == pytest.approx(
        TABLE.regret(asked, P, log_premium, ANY, 0.8)
    )


@given(st.integers(1, 6).flatmap(lambda k: st.lists(st.floats(0, 1), min_size=k, max_size=k)), st.floats(0.8, 0.9))
def test_somebody_is_always_asked(weights: list[float], keep: float) -> None:
    """More for a larger keep, and nobody twice."""
    p = np.array([weights]) / max(1e-9, sum(weights))
    least, asked, most = (TABLE.ask(p, ANY, k) for k in (0.8, keep, 0.9))

    assert 1 <= least.count[0] <= asked.count[0] <= most.count[0] <= len(weights)
    assert list(range(len(weights))) == sorted(asked.order[0].tolist())
    assert asked.count[0] == asked.mask().sum()
    assert 0 <= asked.kept[0] <= 1


@pytest.mark.parametrize("keep", [0.5, 0.95, 1.0, float("nan")])
def test_what_cannot_be_promised_is_refused(keep: float) -> None:
    """With what can."""
    with pytest.raises(BadKeep, match=r"from 0\.8 to 0\.9"):
        TABLE.ask(P, ANY, keep)


@pytest.mark.parametrize(
    "raw",
    [
        {},
        section(keeps=[0.9, 0.8]),
        section(keeps=[]),
        section(pooled=ROW | {"thresholds": [0.5]}),
        section(pooled=ROW | {"shifts": [0.0, float("nan")]}),
        section(keys={"x": ROW}),
    ],
)
def test_a_table_that_cannot_be_used_is_refused(raw: dict[str, Any]) -> None:
    """Before anybody relies on it."""
    with pytest.raises(BadShortlist):
        Shortlists.read(raw)
