"""Does a figure that does not hold end the run, and nothing else?"""

import math

import pytest

from accuracy import must
from accuracy.costs import Cost
from accuracy.coverage import FIGURES, OVERALL, Group
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


def test_a_profile_as_a_whole_has_no_allowance() -> None:
    """It has as many drivers as there are."""
    whole, group = (Group("full", kind, "all", "coverage", 0.775, 5000, 5000, 0.02) for kind in (OVERALL, "age"))

    assert ["FAILS", "holds"] == [row.verdict for row in must.coverage([whole, group])]
    assert [False, True] == [whole.holds, group.holds]


@pytest.mark.parametrize(
    ("profile", "kind", "figure", "lost"),
    [
        ("full", "age", "count_coverage", 1),
        ("full", "age", None, 5),
        ("full", "archetype", None, 1),
        ("showroom4", None, None, 11),
        ("showroom4", "all", "likely_insurers_coverage", 1),
    ],
)
def test_coverage_that_nobody_measured_fails(profile: str, kind: str | None, figure: str | None, lost: int) -> None:
    """A profile, a kind of groups or a figure that is in no report is missed; a kind that a profile has not is not."""
    kinds = {"full": ("age", "points", "archetype"), "showroom4": ("age", "archetype")}
    whole = [
        Group(p, k, "a group", f, 0.8, 500, 500, 0.0)
        for p, of in kinds.items()
        for k in (OVERALL, *of)
        for f in FIGURES[k]
    ]
    left = [g for g in whole if not (g.profile == profile and kind in (None, g.kind) and figure in (None, g.figure))]

    assert [] == must.coverage_is_there(whole, kinds)
    assert lost == len(must.failures(must.coverage_is_there(left, kinds)))


def test_a_figure_that_nobody_measured_fails() -> None:
    """An empty report does not pass for a good one."""
    assert 2 == len(must.failures(must.shortlist({})))
    assert 3 == len(must.failures(must.out_of_range({})))
    assert 3 == len(must.failures(must.profiles({})))


def test_out_of_range_is_read_where_it_is_written() -> None:
    """The part `out_of_range` of report.json."""
    report = {
        "out_of_range": {
            "unit_errors": {"noticed": 0.96, "refused": 0.9, "of_accepted": 0.6},
            "swaps": {"noticed": 0.97, "refused": 0.5, "of_accepted": 0.94},
            "false_alarms": {"full": 0.005, "x": 0.02},
        }
    }

    assert [0.96, 0.97, 0.005] == [row.value for row in must.out_of_range(report)]
    assert [] == must.failures(must.out_of_range(report))
    assert (
        "90.00% are refused by the contract; of what it accepts 60.00% are noticed" == must.out_of_range(report)[0].note
    )


def test_the_cheapest_price_is_judged_at_every_size() -> None:
    """With all answers and with few."""
    report = {"profiles": {"full": {"cheapest_mape": 0.1}, "showroom6": {"cheapest_mape": 0.3}}}

    assert ["FAILS", "FAILS", "holds"] == [row.verdict for row in must.profiles(report)]


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


STAGES = {
    name: Cost(wall_s, wall_s, 9 * 2**30 if name == "market" else 2**30)
    for name, wall_s in {
        "market": 900.0, "wrangle": 100.0, "quote-classifier train": 700.0, "premium-regressor train": 600.0,
        "quote-classifier score": 9.0, "premium-regressor score": 9.0,
    }.items()
}  # fmt: skip
COSTS = (
    "wrangle",
    "both trainings",
    "quote-classifier: enquiries scored per second, all insurers",
    "premium-regressor: enquiries scored per second, all insurers",
    "memory of the largest stage",
)


def test_costs_count_at_a_million() -> None:
    """Both trainings together; below a million they are said."""
    rates = {"quote-classifier": 19_999.0, "premium-regressor": 20_000.0}
    found = must.costs(STAGES, rates, 1_000_000)

    assert dict(zip(COSTS, [False, True, True, False, True], strict=True)) == {row.name: row.fails for row in found}
    assert [] == must.failures(must.costs(STAGES, rates, 999_999))


@pytest.mark.parametrize(
    ("missing", "failed"),
    [
        ("wrangle", [COSTS[0], COSTS[4]]),
        ("premium-regressor train", [COSTS[1], COSTS[4]]),
        ("quote-classifier score", [COSTS[2], COSTS[4]]),
    ],
)
def test_a_cost_that_was_not_measured_fails(missing: str, failed: list[str]) -> None:
    """It has its row all the same, and what the others took says nothing of it."""
    stages = {name: Cost(1.0, 1.0, 1) for name in STAGES if name != missing}
    rates = {name.split()[0]: 1e6 for name in stages if name.endswith("score")}
    found = must.costs(stages, rates, 1_000_000)

    assert list(COSTS) == [row.name for row in found]
    assert failed == [row.name for row in must.failures(found)]
    assert f"not measured: {missing}" == found[-1].note


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
