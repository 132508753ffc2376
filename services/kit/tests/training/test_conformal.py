"""Do the fitted tables keep their promise on data that were not used to fit them?"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from kit import contract as contracts
from kit.calibration import BETA, INTERVAL, Bands, Cells, Counts, Intervals, Probabilities, Table, count_scale
from kit.rows import half_answered
from kit.training.judging import conformal, measures
from kit.training.judging.conformal import Enough

MOTOR = contracts.load()
BANDS = Bands.of(MOTOR, {"age": [25, 60]})
NO_BANDS = Bands.of(MOTOR, {})
KEYS = np.array([3, 12])  # of different half keys
ROWS = 6000
INSURERS = 5
ENOUGH = Enough(500, 2000)


@dataclass(frozen=True)
class Drawn:
    """Quantiles [B, K, 3] whose width has nothing to do with what scatters, what came [B, K] with gaps, and where each row looks."""

    quantiles: np.ndarray
    actual: np.ndarray
    cells: Cells
    band: np.ndarray

    def fitted(self, level: float, bands: Bands = BANDS, enough: Enough = ENOUGH) -> dict[str, Any]:
        """The table of intervals."""
        below, above = self.quantiles[..., 0] - self.actual, self.actual - self.quantiles[..., 2]
        return conformal.intervals(below, above, self.cells, bands, level, enough)

    def inside(self, table: dict[str, Any], bands: Bands = BANDS) -> np.ndarray:
        """Whether what came lies in the intervals of a table."""
        found = Intervals(Table.read(table, INTERVAL, bands, self.actual.shape[1]))
        low, _, high = found.apply(self.quantiles, self.cells)
        return (low <= self.actual) & (self.actual <= high)


def scattered(rng: np.random.Generator, rows: int = ROWS, insurers: int = INSURERS) -> Drawn:
    """What scatters differs by key, by age and by insurer, and cells of one enquiry are alike."""
    keys = rng.choice(KEYS, rows)
    numeric = np.full((rows, len(MOTOR.numeric)), np.nan, np.float32)
    age = rng.choice([20, 40, 70], rows, p=[0.15, 0.7, 0.15])
    numeric[:, [f.name for f in MOTOR.numeric].index("age")] = age
    cells = Cells(keys, BANDS.places(numeric, np.full((rows, len(MOTOR.categorical)), -1, np.int32)))
    scale = (
        np.where(keys == 3, 0.4, 0.1)[:, None] + np.where(age == 20, 0.3, 0.0)[:, None] + np.linspace(0, 0.2, insurers)
    )
    middle = rng.normal(6.5, 0.5, (rows, insurers))
    actual = middle + scale * (0.5 * rng.standard_t(4, (rows, 1)) + rng.standard_t(4, (rows, insurers)))
    actual[rng.random(actual.shape) < 0.3] = np.nan
    return Drawn(np.stack([middle - 0.15, middle, middle + 0.15], axis=2), actual, cells, age)


def enough_inside(inside: np.ndarray, given: np.ndarray, level: float) -> bool:
    """Whether a group's coverage lies within four standard errors of the level, with enquiries as what is drawn."""
    share, cells = inside.sum() / given.sum(), given.sum(axis=1)
    error = np.sqrt((((inside & given).sum(axis=1) - share * cells) ** 2).sum()) / cells.sum()
    return bool(abs(share - level) < 4 * np.sqrt(2) * error + 0.015)  # twice the variance: the table is an estimate too


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0.5, 0.8, 0.95]))
def test_intervals_cover_in_each_key_band_and_insurer(seed: int, level: float) -> None:
    """On new data, though the quantiles were as wide everywhere."""
    rng = np.random.default_rng(seed)
    table, new = scattered(rng).fitted(level), scattered(rng)

    inside, given_ = new.inside(table), np.isfinite(new.actual)
    groups = [new.cells.keys == key for key in KEYS] + [new.band == age for age in (20, 40, 70)]

    assert all(enough_inside(inside[of], given_[of], level) for of in groups)
    assert all(enough_inside(inside[:, [k]], given_[:, [k]], level) for k in range(INSURERS))


def test_without_bands_a_band_is_not_covered() -> None:
    """So that the test above says something."""
    rng = np.random.default_rng(1)
    drawn = scattered(rng)
    bare = Drawn(drawn.quantiles, drawn.actual, Cells(drawn.cells.keys, np.zeros((ROWS, 0), np.intp)), drawn.band)

    inside = bare.inside(bare.fitted(0.8, NO_BANDS), NO_BANDS)
    young, given_ = drawn.band == 20, np.isfinite(drawn.actual)

    assert inside[young].sum() / given_[young].sum() < 0.7


def test_a_band_of_few_enquiries_is_shrunk() -> None:
    """Where bands do not matter, a small one stays near the row's own margin; its own would stray far from it."""
    rng = np.random.default_rng(2)
    places = np.where(np.arange(ROWS) < 12, 1, 2)[:, None] + BANDS.begins[:-1]
    scores = rng.normal(0, 1, (ROWS, 1)) + rng.normal(0, 0.1, (ROWS, 8))  # alike in each enquiry

    base, by_place, by_insurer = conformal.additive(scores, places, BANDS, 0.1, None)
    alone = conformal.margin(scores[:12].ravel(), 0.1)

    assert abs(by_place[1]) < abs(alone - base) / 2
    assert np.abs(by_insurer).max() < 0.05
    assert 0.0 == by_place[0] == by_place[3]  # nobody is there


def test_a_key_with_few_rows_has_no_row_of_its_own() -> None:
    """It takes that of its half key, and when there are too few of it as well, the pooled one."""
    drawn = scattered(np.random.default_rng(1))
    drawn.cells.keys[:10] = 99

    found = drawn.fitted(0.8)

    assert {"3", "12"} == set(found["keys"])
    assert {str(half_answered(KEYS)[i]) for i in range(2)} == set(found["half"])
    assert ROWS >= found["pooled"]["rows"] > found["keys"]["3"]["rows"] >= 2500


def test_what_is_left_of_a_half_key_is_fitted_without_its_large_keys() -> None:
    """Ten thousand who answered everything say little of those who left something open."""
    rng = np.random.default_rng(3)
    drawn = scattered(rng)
    wide = drawn.cells.keys == 3
    drawn.cells.keys[wide & (rng.random(ROWS) < 0.3)] = 2  # the same half, not all of it
    drawn.cells.keys[drawn.cells.keys == 2] += 4 * rng.integers(0, 2, (drawn.cells.keys == 2).sum())  # two such keys

    found = drawn.fitted(0.8, enough=Enough(600, 2000))

    assert {"3", "12"} == set(found["keys"])
    assert 600 <= found["half"]["2"]["rows"] < 1200


def test_a_row_with_few_enquiries_has_no_effects_of_its_own() -> None:
    """They are those of the row that would be next, and not written twice."""
    found = scattered(np.random.default_rng(1)).fitted(0.8, enough=Enough(500, 100_000))

    assert {"add", "rows"} == set(found["keys"]["3"])
    assert {"add", "rows", "bands", "insurers"} == set(found["pooled"])
    assert ["age"] == list(found["pooled"]["bands"])


def test_the_margin_is_the_finite_sample_quantile() -> None:
    """The ceil((n + 1)(1 - tail))-th smallest score."""
    scores = np.arange(1.0, 100.0)

    assert 90.0 == conformal.margin(scores, 0.1)
    assert 99.0 == conformal.margin(scores, 0.001)


def quotes(rng: np.random.Generator, wrong: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> tuple[Any, ...]:
    """A model's probabilities that are wrong, what happened, where rows look, and the true logits."""
    drawn = scattered(rng)
    logit = rng.normal(0, 1.5, (ROWS, INSURERS)) + np.linspace(-1, 1, INSURERS)
    quoted = (rng.random(logit.shape) < 1 / (1 + np.exp(-logit))).astype(np.int8)
    quoted[rng.random(quoted.shape) < 0.1] = -1
    return 1 / (1 + np.exp(-wrong(logit, drawn.cells.keys[:, None]))), quoted, drawn.cells, drawn.band


def test_rescaled_probabilities_are_honest() -> None:
    """Probabilities that are too sure in one key, and too high in the other and for one insurer, come out with a small calibration error."""
    rng = np.random.default_rng(2)
    tilt = np.array([0, 0, 0, 0, 1.5])
    p, quoted, cells, band = quotes(rng, lambda logit, key: np.where(key == 3, 3 * logit, logit + 1) + tilt)
    table = conformal.probabilities(p, quoted, cells, BANDS, ENOUGH)
    rescaled = Probabilities(Table.read(table, BETA, BANDS, INSURERS)).apply(p, cells)

    a, b, _ = table["keys"]["3"]["add"]
    assert pytest.approx(1 / 3, abs=0.06) == a
    assert pytest.approx(1 / 3, abs=0.06) == b
    for of in (band == 20, cells.keys == 12, np.ones(ROWS, bool)):
        given_ = (quoted >= 0) & of[:, None]
        assert measures.calibration_error(rescaled[given_], quoted[given_] == 1) < 0.025
    last = quoted[:, 4] >= 0
    assert measures.calibration_error(rescaled[last, 4], quoted[last, 4] == 1) < 0.035


def test_a_slope_never_turns_probabilities_round() -> None:
    """Where the model is wrong throughout, they become one and the same."""
    p, quoted, cells, _ = quotes(np.random.default_rng(2), lambda logit, _: -logit)
    table = conformal.probabilities(p, quoted, cells, BANDS, ENOUGH)

    assert [0.0, 0.0] == table["pooled"]["add"][:2]


def test_an_outcome_that_never_varies_is_survived() -> None:
    """All quote: the fit stays finite."""
    cells = Cells(np.zeros(600, np.int64), np.zeros((600, 0), np.intp))
    found = conformal.probabilities(np.full((600, 2), 0.7), np.ones((600, 2), np.int8), cells, NO_BANDS, ENOUGH)

    assert np.isfinite(found["pooled"]["add"]).all()


def test_counts_of_quotes_lie_in_their_interval() -> None:
    """Also when insurers decide together, so that the count strays farther than independence allows."""
    rng = np.random.default_rng(4)
    shared = rng.normal(0, 1, (ROWS, 1))
    p = np.full((ROWS, 20), 0.5)
    quoted = (shared + rng.normal(0, 1, p.shape) > 0).astype(np.int8)
    cells = Cells(np.zeros(ROWS, np.int64), np.zeros((ROWS, 0), np.intp))
    table = conformal.counts(p, quoted, cells, NO_BANDS, 0.8, ENOUGH)

    low, _, high = Counts(Table.read(table, INTERVAL, NO_BANDS, 1)).apply(p, cells)

    assert 0.8 <= measures.coverage(low, high, quoted.sum(1)) <= 0.9
    assert table["keys"]["0"]["add"][1] > 2
    assert np.sqrt(5) == count_scale(p)[0]


def test_the_count_is_of_all_insurers_whoever_answered() -> None:
    """Half of the insurers' answers are missing: the band is that of all of them, as it is served."""
    rng = np.random.default_rng(4)
    p = np.tile([0.2, 0.8], (ROWS, 10))
    quoted = (rng.random(p.shape) < p).astype(np.int8)
    seen = np.where(np.arange(20) < 10, quoted, -1).astype(np.int8)
    cells = Cells(np.zeros(ROWS, np.int64), np.zeros((ROWS, 0), np.intp))
    table = conformal.counts(p, seen, cells, NO_BANDS, 0.8, ENOUGH)

    low, expected, high = Counts(Table.read(table, INTERVAL, NO_BANDS, 1)).apply(p, cells)

    assert np.allclose(10, expected)
    assert ((low < 10) & (high > 10)).all()
    assert measures.coverage(low, high, quoted.sum(1)) >= 0.8


def test_nothing_to_calibrate_on_is_an_error() -> None:
    """A slice without a single quote has no table."""
    nothing = np.full((5, 1), np.nan)
    cells = Cells(np.zeros(5, np.int64), np.zeros((5, 0), np.intp))

    with pytest.raises(ValueError, match="nothing to calibrate on"):
        conformal.intervals(nothing, nothing, cells, NO_BANDS, 0.8, Enough(1, 1))
