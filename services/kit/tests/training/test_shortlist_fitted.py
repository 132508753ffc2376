"""Does the fitted table keep what it promises?"""

from dataclasses import replace

import numpy as np
import pytest

from kit.training.judging import shortlist
from kit.training.judging.shortlist import KEEPS, Seen

INSURERS = 12


def enquiries(count: int, seed: int, temper: float = 1.0) -> Seen:
    """A market of insurers whose prices scatter around a tariff; the model knows the tariff, and is too sure or too unsure by `temper`."""
    rng = np.random.default_rng(seed)
    keys = rng.integers(0, 2, count) * 2
    spread = np.where(keys == 0, 0.02, 0.1)[:, None]
    tariff = 6.3 + 0.1 * rng.normal(size=(count, INSURERS))
    premium = np.exp(tariff + spread * rng.normal(size=tariff.shape))
    premium[rng.random(premium.shape) < 0.2] = np.nan
    weight = np.exp(-(tariff - tariff.min(axis=1, keepdims=True)) / (spread * temper))
    log_premium = tariff[..., None] + spread[..., None] * np.array([-1.3, 0.0, 1.3])
    return Seen(weight / weight.sum(axis=1, keepdims=True), log_premium, premium, keys)


@pytest.mark.parametrize("temper", [0.5, 1.0, 2.0])
def test_the_best_price_is_kept_as_often_as_promised(temper: float) -> None:
    """In each key, on enquiries that the table was not fitted on, whether the model is too sure or not sure enough."""
    section = shortlist.fit(enquiries(20_000, 1, temper), least_rows=500)
    later = enquiries(20_000, 2, temper)

    for key in (0, 2):
        here = later.keys == key
        of = Seen(later.p[here], later.log_premium[here], later.premium[here], later.keys[here])
        for keep, figures in zip(KEEPS, shortlist.measure(section, of).values(), strict=True):
            assert pytest.approx(keep + shortlist.SPARE * (1 - keep), abs=0.012) == figures["kept"]
            assert pytest.approx(figures["kept"], abs=0.012) == figures["promised"]
            assert pytest.approx(figures["regret"], abs=1.0) == figures["expected_regret"]


def test_a_better_model_asks_fewer() -> None:
    """The key whose prices scatter less needs fewer insurers for the same promise."""
    section = shortlist.fit(enquiries(10_000, 1), least_rows=500)
    later = enquiries(10_000, 2)
    asked = [
        shortlist.measure(
            section, Seen(*(a[later.keys == key] for a in (later.p, later.log_premium, later.premium, later.keys)))
        )["0.95"]["asked"]
        for key in (0, 2)
    ]

    assert asked[0] < asked[1]


def test_rare_keys_have_no_row() -> None:
    """They take that of their half key, or of all."""
    seen = enquiries(1000, 1)
    section = shortlist.fit(replace(seen, keys=np.where(np.arange(1000) < 10, 3, seen.keys)), least_rows=100)

    assert {"0", "2"} == set(section["keys"])
    assert {"0", "2"} == set(section["half"])


def test_nobody_quoted_anything() -> None:
    """Then there is no best price to keep."""
    seen = enquiries(50, 1)

    with pytest.raises(ValueError, match="no best price"):
        shortlist.fit(replace(seen, premium=np.full_like(seen.premium, np.nan)), least_rows=10)


def test_a_gate_sees_the_profiles_at_once() -> None:
    """The least and the most that is kept, and the mean share asked."""
    report = {
        "shortlist": {"full": {"0.95": {"kept": 0.96, "asked": 0.1}}, "few": {"0.95": {"kept": 0.94, "asked": 0.3}}}
    }

    assert {"shortlist": {"kept_least": 0.94, "kept_most": 0.96, "asked": 0.2}} == shortlist.figures(report)
    assert {} == shortlist.figures({})
