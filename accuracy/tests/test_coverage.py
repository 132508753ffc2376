"""Is every group held to the limits, each as far as its drivers allow?"""

import math

import numpy as np
import pytest
from hypothesis import given, strategies as st

from accuracy import coverage
from accuracy.coverage import Group
from kit import contract

REPORT = {
    "enquiries": 1000,
    "profiles": {
        "full": {"coverage": 0.80, "cheapest_coverage": 0.81, "premium_mape": 0.1},
        "no_store": {"coverage": 0.5},
        "showroom4": {"coverage": None},
    },
    "segments": {
        "full": {
            "age": {"17-20": {"rows": 100, "cells": 3000, "coverage": 0.7, "cheapest_coverage": 0.79}},
            "deprivation": {"1 lowest": {"rows": 100, "cells": 3000, "coverage": 0.1}},
        },
    },
}


def test_every_group_that_must_hold_is_found() -> None:
    """Profiles and kinds that nothing is promised of are left out, and a figure that could not be computed is not a number."""
    found = {(g.profile, g.kind, g.name, g.figure): g for g in coverage.groups(REPORT, 0.0, 40_000)}

    assert {
        ("full", "all", "all", "coverage"), ("full", "all", "all", "cheapest_coverage"), ("showroom4", "all", "all", "coverage"),
        ("full", "age", "17-20", "coverage"), ("full", "age", "17-20", "cheapest_coverage"),
    } == found.keys()  # fmt: skip
    assert math.isnan(found["showroom4", "all", "all", "coverage"].value)
    assert not found["showroom4", "all", "all", "coverage"].holds
    assert 40_000 == found["full", "all", "all", "coverage"].cells
    assert (100, 100) == (
        found["full", "age", "17-20", "cheapest_coverage"].rows,
        found["full", "age", "17-20", "cheapest_coverage"].cells,
    )


def test_a_profile_has_the_kinds_that_it_knows() -> None:
    """A profile without points makes no groups of them; one that the parameters lack is asked for all."""
    chosen = {"showroom9": ("age",), "showroom6": ("age", "region")}
    found = coverage.kinds(contract.load(), chosen)

    assert ("age", "points", "region", "archetype") == found["full"]
    assert ("age", "archetype") == found["showroom9"]
    assert ("age", "region", "archetype") == found["showroom6"]
    assert ("age", "points", "region", "archetype") == found["showroom4"]


@pytest.mark.parametrize(
    ("value", "error", "is_inside", "holds"),
    [(0.78, 0.0, True, True), (0.84, 0.0, True, True), (0.77, 0.004, False, False), (0.77, 0.005, False, True), (0.86, 0.011, False, True)],
)  # fmt: skip
def test_the_allowance_is_two_standard_errors(value: float, error: float, *, is_inside: bool, holds: bool) -> None:
    """Both are told: inside without it, and with it."""
    group = Group("full", "age", "17-20", "coverage", value, 100, 100, error)

    assert (is_inside, holds) == (group.is_inside, group.holds)


@given(st.floats(0, 1), st.integers(1, 1000), st.integers(1, 60), st.floats(0, 1))
def test_many_answers_to_a_driver_are_at_least_one_and_at_most_as_many(
    share: float, rows: int, each: int, agreement: float
) -> None:
    """The error lies between that of so many independent cells and that of so many drivers."""
    found = coverage.error(share, rows, rows * each, agreement)

    fewest, most = (math.sqrt(share * (1 - share) / n) for n in (rows * each, rows))
    assert fewest - 1e-12 <= found <= most + 1e-12


def test_groups_of_insurers_are_measured_from_the_answers() -> None:
    """Cells without a premium do not count, and an insurer nobody names is in no group."""
    inside = np.array([[True, False, True], [True, True, True]])
    given_ = np.array([[True, True, True], [False, True, True]])

    found = coverage.by_insurers(
        "archetype", {"i-1": "direct", "i-2": "broker"}, ("i-1", "i-2", "i-3"), inside, given_, 0.0
    )

    assert [("broker", 0.5, 2, 2), ("direct", 1.0, 1, 1)] == [(g.name, g.value, g.rows, g.cells) for g in found]
