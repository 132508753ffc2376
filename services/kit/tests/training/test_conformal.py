"""Do the fitted tables keep their promise on data that were not used to fit them?"""

import numpy as np
import pytest

from kit.calibration import Intervals, Probabilities, Table
from kit.training import conformal, measures

KEYS = np.array([3, 7])
ROWS = 4000


def noisy(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Quantiles that are too narrow for key 3 and too wide for key 7, log premiums with gaps, and keys."""
    keys = np.repeat(KEYS, ROWS // 2)
    middle = rng.normal(6.5, 0.5, (ROWS, 5))
    scale = np.where(keys == 3, 0.4, 0.05)[:, None] * np.linspace(0.5, 1.5, 5)
    actual = middle + scale * rng.standard_t(4, (ROWS, 5))
    actual[rng.random(actual.shape) < 0.3] = np.nan
    return np.stack([middle - 0.15, middle, middle + 0.15], axis=2), actual, keys


@pytest.mark.parametrize("level", [0.5, 0.8, 0.95])
def test_intervals_cover_in_each_key(level: float) -> None:
    """On new data each key's coverage lies within four binomial standard errors of the level, though the quantiles were wrong."""
    rng = np.random.default_rng(1)
    table = Table.read(conformal.intervals(*noisy(rng), level, 500), "low", "high")
    quantiles, actual, keys = noisy(rng)

    low, _, high = Intervals(table).apply(quantiles, keys)

    for key in KEYS:
        own = keys == key
        cells = np.isfinite(actual[own]).sum()
        error = 4 * np.sqrt(2 * level * (1 - level) / cells)  # twice the variance: the table is an estimate too
        assert abs(measures.coverage(low[own], high[own], actual[own]) - level) < error


def test_a_key_with_few_rows_has_no_row_of_its_own() -> None:
    """It takes the pooled one."""
    quantiles, actual, keys = noisy(np.random.default_rng(1))
    keys[:10] = 99

    found = conformal.intervals(quantiles, actual, keys, 0.8, 500)

    assert {"pooled", "3", "7"} == set(found)
    assert {"low", "high", "rows"} == set(found["pooled"])
    assert ROWS >= found["pooled"]["rows"] > found["3"]["rows"] >= 1900


def test_a_key_with_few_rows_takes_those_of_like_keys() -> None:
    """Bands 2 and 3 of a group are both at least half: together they have enough rows, which one alone has not."""
    quantiles, actual, keys = noisy(np.random.default_rng(1))
    keys[keys == 7] = 12  # another group
    keys[:10] = 2  # the same group as key 3, but not all of it

    found = conformal.intervals(quantiles, actual, keys, 0.8, 500)

    assert {"pooled", "2", "3", "12"} == set(found)
    assert found["3"]["rows"] < found["2"]["rows"] < found["pooled"]["rows"]


def test_the_margin_is_the_finite_sample_quantile() -> None:
    """The ceil((n + 1)(1 - tail))-th smallest score."""
    scores = np.arange(1.0, 100.0)

    assert 90.0 == conformal.margin(scores, 0.1)
    assert 99.0 == conformal.margin(scores, 0.001)


def test_rescaled_probabilities_are_honest() -> None:
    """Probabilities that are too sure in one key and too high in another come out with a small calibration error."""
    rng = np.random.default_rng(2)
    keys = np.repeat(KEYS, ROWS // 2)
    logit = rng.normal(0, 1.5, (ROWS, 5))
    quoted = (rng.random(logit.shape) < 1 / (1 + np.exp(-logit))).astype(np.int8)
    quoted[rng.random(quoted.shape) < 0.1] = -1
    p = 1 / (1 + np.exp(-np.where(keys[:, None] == 3, 3 * logit, logit + 1)))

    table = conformal.probabilities(p, quoted, keys, 500)
    rescaled = Probabilities(Table.read(table, "slope", "intercept")).apply(p, keys)

    given = quoted >= 0
    assert pytest.approx(1 / 3, abs=0.03) == table["3"]["slope"]
    assert pytest.approx(-1, abs=0.1) == table["7"]["intercept"]
    assert (
        measures.calibration_error(rescaled[given], quoted[given] == 1)
        < 0.015
        < measures.calibration_error(p[given], quoted[given] == 1)
    )


def test_an_outcome_that_never_varies_is_survived() -> None:
    """All quote: the fit stays finite."""
    table = conformal.probabilities(np.full((600, 2), 0.7), np.ones((600, 2), np.int8), np.zeros(600, np.int64), 500)

    assert np.isfinite([table["pooled"]["slope"], table["pooled"]["intercept"]]).all()


def test_counts_of_quotes_lie_in_their_interval() -> None:
    """Also when insurers decide together, so that the count strays farther than independence allows."""
    rng = np.random.default_rng(4)
    shared = rng.normal(0, 1, (ROWS, 1))
    p = np.full((ROWS, 20), 0.5)
    quoted = (shared + rng.normal(0, 1, p.shape) > 0).astype(np.int8)
    table = conformal.counts(p, quoted, np.zeros(ROWS, np.int64), 0.8, 500)["0"]
    scale = conformal.count_scale(p)

    inside = measures.coverage(p.sum(1) + table["low"] * scale, p.sum(1) + table["high"] * scale, quoted.sum(1))

    assert 0.8 <= inside <= 0.9
    assert table["high"] > 2


def test_nothing_to_calibrate_on_is_an_error() -> None:
    """A slice without a single quote has no table."""
    with pytest.raises(ValueError, match="nothing to calibrate on"):
        conformal.intervals(np.zeros((5, 1, 3)), np.full((5, 1), np.nan), np.zeros(5, np.int64), 0.8, 1)
