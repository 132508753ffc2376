"""Are the figures of a group those of its rows alone?"""

from typing import Any

import numpy as np
import pytest

from kit.training.judging import measures
from kit.training.judging.predicted import Interval, Premiums, Quotes
from kit.training.judging.segments import Partition

ROWS, INSURERS = 3000, 5
BY_ROW = Partition(("young", "old"), np.arange(ROWS) % 2)
BY_INSURER = Partition(("cheap", "dear"), np.array([0, 0, 1, 1, 1]), of_insurers=True)


def cut(of: Interval, which: Any) -> Interval:
    """Some of the cells."""
    return Interval(of.low[which], of.middle[which], of.high[which], of.actual[which])


@pytest.fixture
def premiums() -> Premiums:
    """Made-up premiums, a third not quoted, and one panel figure."""
    rng = np.random.default_rng(1)
    actual = rng.normal(6, 0.5, (ROWS, INSURERS)).astype(np.float32)
    middle = (actual + rng.normal(0.01, 0.1, actual.shape)).astype(np.float32)
    actual[rng.random(actual.shape) < 0.3] = np.nan
    of = Interval(middle - 0.1, middle, middle + 0.2, actual)
    counts = (~np.isnan(actual)).sum(axis=1, keepdims=True).astype(np.float32)
    likely = Interval(counts - 1, counts, counts + 1, counts + rng.integers(-2, 3, counts.shape).astype(np.float32))
    return Premiums(of, {"cheapest": cut(of, (slice(None), slice(1)))}, likely)


@pytest.fixture
def quotes() -> Quotes:
    """Made-up probabilities that are a little too sure, and some insurers that did not answer."""
    rng = np.random.default_rng(2)
    logit = rng.normal(1, 2, (ROWS, INSURERS))
    quoted = (rng.random(logit.shape) < 1 / (1 + np.exp(-logit))).astype(np.int8)
    quoted[rng.random(logit.shape) < 0.1] = -1
    p = 1 / (1 + np.exp(-1.2 * logit))
    return Quotes(p.astype(np.float32), quoted, p.sum(axis=1, keepdims=True) + np.array([-1.0, 0.0, 1.0]))


@pytest.mark.parametrize("of", [BY_ROW, BY_INSURER])
def test_premium_figures_of_a_group(premiums: Premiums, of: Partition) -> None:
    """Are those that would be taken of its cells."""
    found = premiums.by_group({"kind": of})["kind"]

    for g, name in enumerate(of.names):
        which = (slice(None), of.place == g) if of.of_insurers else (of.place == g)
        alone = Premiums(cut(premiums.insurers, which), {}).figures()
        for figure, value in alone.items():
            assert pytest.approx(value, abs=1e-5) == found[name][figure]
        assert np.isfinite(premiums.insurers.actual[which]).sum() == found[name]["cells"]


def test_panel_figures_are_of_groups_of_enquiries(premiums: Premiums) -> None:
    """A panel's cheapest price belongs to no kind of insurer."""
    found = premiums.by_group({"age": BY_ROW, "archetype": BY_INSURER})
    young = cut(premiums.panel["cheapest"], BY_ROW.place == 0)
    assert premiums.likely is not None
    count = cut(premiums.likely, BY_ROW.place == 0)

    assert measures.coverage(count.low, count.high, count.actual) == found["age"]["young"]["likely_insurers_coverage"]
    assert (
        pytest.approx(measures.coverage(young.low, young.high, young.actual))
        == found["age"]["young"]["cheapest_coverage"]
    )
    assert not [name for name in found["archetype"]["cheap"] if name.startswith(("cheapest", "likely"))]


@pytest.mark.parametrize("of", [BY_ROW, BY_INSURER])
def test_quote_figures_of_a_group(quotes: Quotes, of: Partition) -> None:
    """Are those that would be taken of its cells, to the width of a fine bin."""
    found = quotes.by_group({"kind": of})["kind"]

    for g, name in enumerate(of.names):
        which = (slice(None), of.place == g) if of.of_insurers else (of.place == g)
        p, quoted = quotes.p[which], quotes.quoted[which]
        flat, happened = p[quoted >= 0], quoted[quoted >= 0] == 1
        expected = {
            "auc": measures.auc(flat, happened),
            "calibration_error": measures.calibration_error(flat, happened),
            "quote_share": happened.mean(),
            "quote_gap": flat.mean() - happened.mean(),
        }
        assert pytest.approx(expected, abs=1e-3) == {n: found[name][n] for n in expected}


def test_the_count_of_a_group_of_enquiries(quotes: Quotes) -> None:
    """Is measured by itself, and belongs to no kind of insurer."""
    found = quotes.by_group({"age": BY_ROW, "archetype": BY_INSURER})
    young = BY_ROW.place == 0
    alone = Quotes(quotes.p[young], quotes.quoted[young], quotes.count[young]).figures()

    assert pytest.approx(alone["count_coverage"]) == found["age"]["young"]["count_coverage"]
    assert "count_coverage" not in found["archetype"]["cheap"]


@pytest.mark.parametrize(
    ("quotes_of_five", "low", "expected", "high", "is_inside"),
    [
        (3, 2.1, 2.6, 3.9, True),
        (2, 2.1, 2.4, 3.9, False),  # the whole numbers from 2.1 on begin at 3, whatever is expected
        (4, 3.1, 3.6, 3.9, True),  # no whole number lies between: the nearest is served
        (3, 3.1, 3.6, 3.9, False),
        (2, 1.2, 1.5, 1.8, True),  # halves to the even one, as the gateway rounds
    ],
)
def test_the_count_is_measured_in_whole_numbers(
    quotes_of_five: int, low: float, expected: float, high: float, *, is_inside: bool
) -> None:
    """Those that the gateway serves."""
    quoted = (np.arange(INSURERS) < quotes_of_five).astype(np.int8)[None, :]
    of = Quotes(np.full((1, INSURERS), 0.5, np.float32), quoted, np.array([[low, expected, high]]))

    assert is_inside == of.counted.inside[0, 0]


def test_a_group_without_answers_is_left_out(quotes: Quotes) -> None:
    """There is nothing to say of it."""
    silent = Quotes(quotes.p, np.where(BY_INSURER.place == 1, -1, quotes.quoted).astype(np.int8), quotes.count)

    assert ["cheap"] == list(silent.by_group({"kind": BY_INSURER})["kind"])


def test_errors_are_signed_sums_by_enquiry(premiums: Premiums, quotes: Quotes) -> None:
    """Their ratio is the bias."""
    for predicted, bias in (
        (premiums, premiums.figures()["premium_bias"]),
        (quotes, (quotes.p - (quotes.quoted == 1))[quotes.quoted >= 0].mean()),
    ):
        total, count = predicted.errors()
        assert pytest.approx(bias, abs=1e-5) == total.sum() / count.sum()


def test_reliability_of_premiums_is_in_pounds(premiums: Premiums) -> None:
    """From the cheapest bin to the dearest, each with its interval and what was asked."""
    bins = premiums.reliability()

    predicted = [b["predicted"] for b in bins]
    assert sorted(predicted) == predicted
    assert all(b["low"] < b["predicted"] < b["high"] and b["asked_low"] < b["asked"] < b["asked_high"] for b in bins)
    assert np.isfinite(premiums.insurers.actual).sum() == sum(b["cells"] for b in bins)


def test_reliability_of_quotes_shows_what_is_too_sure(quotes: Quotes) -> None:
    """High probabilities come less often than they say, low ones more often."""
    bins = quotes.reliability()

    assert bins[0]["observed"] > bins[0]["predicted"]
    assert bins[-1]["observed"] < bins[-1]["predicted"]
    assert (quotes.quoted >= 0).sum() == sum(b["cells"] for b in bins)
