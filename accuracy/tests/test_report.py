"""Does a report say all that was found, in files that can be committed?"""

import json
import math
from pathlib import Path

import pytest

from accuracy import coverage, must, report
from accuracy.benchmark import Result
from accuracy.costs import Cost
from accuracy.machine import Machine
from accuracy.must import Row
from accuracy.pages import Picture, Table, markdown, page
from accuracy.steps import Done

MACHINE = Machine("A processor", 2, 8 * 2**30, "Linux x86_64", "3.11.0")
STANDING = {"mape": 0.1, "auc": 0.9, "mapes": (0.1, 0.2), "aucs": (0.9, math.nan)}
SEGMENTS = {"17-20": {"rows": 500, "cells": 900, "coverage": 0.5}, "80+": {"rows": 20, "cells": 30, "coverage": 0.9}}


@pytest.fixture
def result() -> Result:
    """Two insurers, a group that fails, and one that is too small to."""
    groups = coverage.groups(
        {"enquiries": 1000, "profiles": {"full": {"coverage": 0.8}}, "segments": {"full": {"age": SEGMENTS}}}, 0.1, 5000
    )
    rows = (
        Row("Premium", "MAPE ÷ oracle", 1.2, at_most=1.3),
        Row("Shortlist", "kept", math.nan, at_least=0.94),
        *must.coverage(groups),
    )
    names = {"ours": STANDING, "HistGradientBoosting": STANDING, "GLM": STANDING, "oracle": STANDING | {"mape": 0.08}}
    return Result(
        market={"enquiries": 10_000, "insurers": 2, "seed": 1}, held_out=1000, versions={"quote-classifier": 3}, rows=rows, groups=groups,
        standings={"all": names, "sampled": names}, sampled=("i-2", "i-1"), settings={"GLM": {"premium alpha": 0.3}},
        done={"market": Done(Cost(1.0, 2.0, 2**20), "2026-01-02T00:00:00+00:00", is_stale=True),
              "quote-classifier score": Done(Cost(10.0, 2.0, 2**20, 5.0), "2026-01-02T00:00:00+00:00")},
        rates={"quote-classifier": 200.0},
        kinds={"full": ("age", "points", "region", "archetype"), "showroom4": ("age", "archetype")},
        params={"premium-regressor": "other.toml (sha256 0123)"},
        by_sex={"asked_ratio": 1.1, "predicted_ratio": 1.05, "bias_men": -0.01, "bias_women": 0.02},
    )  # fmt: skip


def test_what_fails_is_named_once(result: Result) -> None:
    """Coverage is counted, and only the groups that fail by themselves have a line."""
    found = report.summary(result.rows)

    assert [
        "MAPE ÷ oracle",
        "kept",
        "groups inside 78 % to 84 % ± 2 standard errors, profiles strictly",
        "full, age 17-20, coverage",
    ] == [r.name for r in found]
    assert (
        "1 of 2 groups of at least 200 drivers; 1 without the allowance; 1 smaller groups are not judged"
        == found[2].note
    )


def test_the_figures_are_json(result: Result) -> None:
    """What is not a number is null, and the machine has no name."""
    found = json.loads(report.encode(result, MACHINE, "abc-dirty", "2026-01-02"))

    assert [None, "FAILS"] == [found["must_show"][1]["value"], found["must_show"][1]["verdict"]]
    assert ["abc-dirty", "2026-01-02", 10_000] == [found["commit"], found["date"], found["market"]["enquiries"]]
    assert [{"premium-regressor": "other.toml (sha256 0123)"}, ["market"]] == [found["params"], found["stale"]]
    assert {"processor", "cores", "memory", "system", "python"} == found["machine"].keys()
    assert ["full", "age", "17-20", "coverage", 0.5, 500] == found["coverage"][1][:6]


def test_a_report_reads_well(result: Result) -> None:
    """Each part of the result is in it, as Markdown and as a page."""
    curves = {"ours": [(10_000, 1.3), (20_000, 1.2)], "GLM": [(10_000, 1.4), (20_000, 1.25)]}
    blocks = report.blocks(result, MACHINE, "abc", "2026-01-02", curves)
    text = markdown("Accuracy", blocks)

    for part in ("2 of what must be shown do not hold", "commit abc", "A processor, 2 cores, 8 GiB", "quote-classifier/3", "i-2",
                 "code has changed since", "200 (100 with the start)", "1.1000 times", "premium alpha 0.3", "learning-curve.svg",
                 "premium-regressor was made with other parameters than its own: other.toml", "by other code than the present one: market",
                 "showroom4 has no groups by points or region"):  # fmt: skip
        assert part in text, part
    assert 2 == page("Accuracy", blocks).count("<svg ")
    assert 100_000 > sum(len(b.svg) for b in blocks if isinstance(b, Picture)) + len(text)


def test_one_size_makes_no_curve(result: Result) -> None:
    """A line needs two points."""
    blocks = report.blocks(result, MACHINE, "abc", "2026-01-02", {"ours": [(10_000, 1.3)]})

    assert ["coverage.svg"] == [b.name for b in blocks if isinstance(b, Picture)]


def test_the_same_result_gives_the_same_picture(result: Result) -> None:
    """A committed picture differs when its figures do."""
    first, second = (
        [b.svg for b in report.blocks(result, MACHINE, "abc", "2026-01-02", {}) if isinstance(b, Picture)]
        for _ in range(2)
    )

    assert first == second


def test_insurers_have_a_line_each(result: Result) -> None:
    """In the order of the draw."""
    table = report.by_insurer(result)

    assert isinstance(table, Table)
    assert ["i-2", "i-1"] == [row[0] for row in table.rows]


def test_the_newest_report_of_a_size_is_on_the_curve(tmp_path: Path, result: Result) -> None:
    """Other files are passed over."""
    for date, mape in (("2026-01-02", 0.1), ("2026-01-03", 0.12)):
        raw = json.loads(report.encode(result, MACHINE, "abc", date))
        raw["standings"]["sampled"]["ours"]["mape"] = mape
        (tmp_path / f"{date}-10000.json").write_text(json.dumps(raw))
    (tmp_path / "other.json").write_text("{}")

    ((size, ratio),) = report.curves_of(tmp_path)["ours"]

    assert 10_000 == size
    assert pytest.approx(1.5) == ratio
    assert [] == report.curves_of(tmp_path / "nowhere")["ours"]


def test_men_and_women(result: Result) -> None:
    """Said in a sentence, also when there is nothing to say."""
    assert "men -0.0100, women +0.0200" in report.sexes(result.by_sex)
    assert "one sex only" in report.sexes({})
