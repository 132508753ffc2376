"""Does a figure that does not hold end the run, and nothing else?"""

import math

import pytest

from accuracy import must
from accuracy.coverage import Group
from accuracy.must import Row

NAN = math.nan


@pytest.mark.parametrize(
    ("row", "verdict"),
    [
        (Row("", "", 1.0), "said"),
        (Row("", "", 1.0, at_most=1.0), "holds"),
        (Row("", "", 1.1, at_most=1.0), "FAILS"),
        (Row("", "", 0.9, at_least=1.0), "FAILS"),
        (Row("", "", NAN, at_least=0.0), "FAILS"),
        (Row("", "", 1.1, at_most=1.0, is_judged=False), "not judged (outside)"),
        (Row("", "", 1.0, at_most=1.0, is_judged=False), "not judged (inside)"),
    ],
)
def test_verdicts(row: Row, verdict: str) -> None:
    """What is not a number does not hold, and what is for another size is not judged."""
    assert verdict == row.verdict
    assert (verdict == "FAILS") == row.fails == (row in must.failures([row]))


@pytest.mark.parametrize(
    ("enquiries", "ratio", "verdicts"),
    [
        (3_000, 1.5, ["not judged (outside)", "not judged (inside)"]),
        (20_000, 1.5, ["not judged (outside)", "holds"]),
        (200_000, 1.31, ["FAILS", "holds"]),
        (200_000, 1.29, ["holds", "holds"]),
        (999_999, 1.29, ["holds", "holds"]),
        (1_000_000, 1.16, ["FAILS", "holds"]),
        (1_000_000, 1.14, ["holds", "holds"]),
    ],
)
def test_the_premium_is_held_to_what_its_size_allows(enquiries: int, ratio: float, verdicts: list[str]) -> None:
    """The oracle's distance from 200,000 enquiries on, the baselines from 20,000."""
    found = must.premium(0.1 * ratio, 0.1, {"GLM": (0.1, 0.11)}, enquiries)

    assert verdicts == [row.verdict for row in found]


def test_a_baseline_that_is_better_fails_the_run() -> None:
    """Also by a little."""
    (_, row) = must.premium(0.1, 0.1, {"GLM": (0.1001, 0.1)}, 20_000)

    assert row.fails


def test_the_quotes_are_held_to_the_oracle_and_to_their_word() -> None:
    """A baseline's AUC is said and not judged."""
    found = must.quotes(0.96, 1.0, 0.011, {"GLM": (0.9, 0.95)})

    assert ["FAILS", "FAILS", "said"] == [row.verdict for row in found]


def test_small_groups_are_shown_and_not_judged() -> None:
    """A group of few drivers cannot fail the run; a larger one can, beyond its allowance."""
    few, some, many = (Group("full", "age", "80+", "coverage", 0.7, rows, rows, 0.02) for rows in (199, 200, 5000))
    inside = Group("full", "age", "17-20", "coverage", 0.75, 500, 500, 0.02)

    assert ["not judged (outside)", "FAILS", "FAILS", "holds"] == [
        r.verdict for r in must.coverage([few, some, many, inside])
    ]


def test_a_figure_that_nobody_measured_fails() -> None:
    """An empty report does not pass for a good one."""
    assert 4 == len(must.failures(must.coverage_is_there([])))
    assert 2 == len(must.failures(must.shortlist({})))
    assert 3 == len(must.failures(must.out_of_range({})))
    assert 3 == len(must.failures(must.profiles({}, 200_000)))


def test_out_of_range_is_read_where_it_is_written() -> None:
    """The part `out_of_range` of report.json."""
    report = {
        "out_of_range": {
            "unit_errors": {"noticed": 0.96},
            "swaps": {"noticed": 0.97},
            "false_alarms": {"full": 0.005, "x": 0.02},
        }
    }

    assert [0.96, 0.97, 0.005] == [row.value for row in must.out_of_range(report)]
    assert [] == must.failures(must.out_of_range(report))


def test_the_shortlist_is_judged_with_all_answers_known() -> None:
    """Other profiles and other shares to keep are said, or left out."""
    report = {
        "shortlist": {
            "full": {"0.9": {"kept": 0.1, "asked": 0.9}, "0.95": {"kept": 0.95, "asked": 0.3}},
            "showroom4": {"0.95": {"kept": 0.93, "asked": 0.6}},
        }
    }
    kept, asked = must.shortlist(report)

    assert (0.95, "over all profiles 93.0% to 95.0%", False) == (kept.value, kept.note, kept.fails)
    assert (0.3, "over all profiles 30.0% to 60.0%", False) == (asked.value, asked.note, asked.fails)


def test_costs_count_at_a_million() -> None:
    """Both trainings together; below a million they are said."""
    walls = {"market": 900.0, "wrangle": 100.0, "quote-classifier train": 700.0, "premium-regressor train": 600.0}
    found = must.costs(walls, 9 * 2**30, {"quote-classifier": 19_999.0}, 1_000_000)

    assert {"wrangle": False, "both trainings": True, "quote-classifier: enquiries scored per second, all insurers": True,
            "memory of the largest stage": True} == {row.name: row.fails for row in found}  # fmt: skip
    assert [] == must.failures(must.costs(walls, 9 * 2**30, {}, 999_999))


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.1234, "%", "12.34%"),
        (NAN, "%", "none"),
        (1234.0, "s", "1,234 s"),
        (1.25, "GiB", "1.25 GiB"),
        (1.0, "", "1.0000"),
    ],
)
def test_values_are_shown_in_their_unit(value: float, unit: str, text: str) -> None:
    """A person reads them."""
    assert text == must.shown(value, unit)
