"""Does the page say what the report says, to those who see its pictures and to those who do not, and hold nothing from elsewhere?"""

import re
from typing import Any

import numpy as np
import pytest

from kit.training.judging import fairness
from kit.training.judging.predicted import Interval, Predicted, Premiums, Quotes
from kit.training.judging.segments import Partition
from kit.training.params import FairnessParams
from kit.training.report import card
from kit.training.report.page import FORBIDDEN, page, section
from kit.training.report.pictures import PICTURES

CARD = f"# A model\n\n## Use\n\nThis.\n\n## {FORBIDDEN}\n\n- to set <a> price;\n- for vans.\n\n## Limits\n\nNone.\n"
ROWS, INSURERS = 400, 4
KINDS = {
    "age": Partition(("17-20", "80+"), np.arange(ROWS) % 2),
    "points": Partition(("none", "1-3"), np.arange(ROWS) % 2),
    "region": Partition(("R01", "R02"), np.arange(ROWS) % 2),
    "archetype": Partition(("mainstream", "over_50s"), np.array([0, 0, 1, 1]), of_insurers=True),
}


def predicted(branch: str) -> Predicted:
    """Made-up answers."""
    rng = np.random.default_rng(1)
    if branch == "quote":
        p = rng.random((ROWS, INSURERS)).astype(np.float32)
        return Quotes(
            p, (rng.random(p.shape) < p).astype(np.int8), p.sum(axis=1, keepdims=True) + np.array([-1.0, 0.0, 1.0])
        )
    middle = rng.normal(6, 0.5, (ROWS, INSURERS)).astype(np.float32)
    of = Interval(middle - 0.1, middle, middle + 0.1, middle + rng.normal(0, 0.1, middle.shape).astype(np.float32))
    return Premiums(of, {})


def report(branch: str) -> dict[str, Any]:
    """As the test stage makes it."""
    params = FairnessParams(least_rows=50, gap_at_most=0.2)
    of = predicted(branch)
    return {
        "project": "a-model",
        "contract": "c" * 64,
        "data": "d" * 64,
        "enquiries": ROWS,
        "slices": {"train": 3200},
        "begins": {"test": "2025-11-25T14:24:50"},
        "history": [{"loss": 0.5, "seconds": 1.0}, {"loss": 0.3, "seconds": 2.0}],
        "profiles": {"full": of.figures(), "showroom4": of.figures()},
        "segments": {"full": of.by_group(KINDS), "showroom4": of.by_group({"age": KINDS["age"]})},
        "fairness": fairness.told(fairness.gaps(of.errors(), KINDS, params), params) | {"of": fairness.ERROR[branch]},
        "gate": [{"figure": "full.coverage", "value": 0.8, "at_least": 0.78, "at_most": None, "passed": True}],
        "reliability": of.reliability(),
        "age_curve": {"age": list(range(17, 91)), "archetypes": {"mainstream": [0.5] * 74, "over_50s": [0.7] * 74}},
    }


@pytest.mark.parametrize("branch", ["premium", "quote"])
def test_the_page_has_everything_inside(branch: str) -> None:
    """Every picture with a text for it, no address to load from, and small enough to send."""
    found = page(report(branch), CARD, PICTURES[branch]).decode()

    alts = re.findall(r"<img alt='([^']+)'", found)
    assert [p.title for p in PICTURES[branch]] == [a.split(".")[0] for a in alts]
    assert len(PICTURES[branch]) == len(re.findall("src='data:image/png;base64,", found))
    assert not re.findall(r"(?:src|href)=(?!'data:)", found)
    assert len(found) < 1_000_000


def test_the_same_report_gives_the_same_page() -> None:
    """To the byte: it is pinned by the manifest."""
    assert page(report("premium"), CARD, PICTURES["premium"][:2]) == page(
        report("premium"), CARD, PICTURES["premium"][:2]
    )


def test_figures_stand_beside_their_limits() -> None:
    """In words, not by colour alone."""
    found = page(report("premium"), CARD, ()).decode()

    assert "<td>full.coverage<td>0.8000<td>at least 0.78<td class=yes>✓ met" in found
    assert "<b>Passed:</b>" in found


def test_a_missed_limit_is_said_first() -> None:
    """And the line that was missed is marked; a figure that could not be computed is, too."""
    of = report("premium")
    of["gate"].append({"figure": "full.error", "value": None, "at_least": None, "at_most": 0.1, "passed": False})

    found = page(of, CARD, ()).decode()

    assert "<b>Refused:</b> 1 figure outside the limits" in found
    assert "<td>full.error<td>n/a<td>at most 0.1<td class=no>✗ missed" in found


def test_an_unfair_group_refuses() -> None:
    """As a missed limit does."""
    of = report("premium")
    of["fairness"]["groups"]["age"]["80+"] |= {"passed": False, "gap": -0.3}

    found = page(of, CARD, ()).decode()

    assert "<b>Refused:</b>" in found
    assert "age 80+<td>-0.3000" in found


def test_what_it_must_not_be_used_for_comes_from_the_card() -> None:
    """As a list, and with nothing of the card read as HTML."""
    found = page(report("quote"), CARD, ()).decode()

    assert "<li>to set &lt;a&gt; price;</li>" in found
    assert "- to set <a> price;\n- for vans." == section(CARD, FORBIDDEN)
    assert "" == section(CARD, "Nothing")


def test_what_the_report_lacks_is_left_out() -> None:
    """No history, groups or curve: no picture of them."""
    of = report("premium") | {"history": [], "segments": {}, "reliability": [], "age_curve": {}}

    found = page(of, CARD, PICTURES["premium"]).decode()

    assert 3 == found.count("<img")  # width and error by profile, fairness


def test_out_of_range_figures_are_shown_where_there_are_any() -> None:
    """All mistakes of a kind together, and each in what is folded away."""
    kind = {"noticed": 0.97, "refused": 0.6}
    found = {
        "false_alarms": {"full": 0.004},
        "unit_errors": kind | {"by_field": {"driver.age x100": {"noticed": 1.0, "rows": 2000}}},
        "swaps": kind | {"by_pair": {}},
    }

    said = page(report("premium") | {"out_of_range": found}, CARD, ()).decode()

    assert "<td>unit errors<td>0.9700<td>0.6000" in said
    assert "<td>driver.age x100<td>1.0000<td>2,000" in said
    assert "<td>full<td>0.0040" in said


def test_the_shortlist_is_shown_where_there_is_one() -> None:
    """A table for each share that is to be kept."""
    found = {"full": {"0.95": {"kept": 0.951, "asked": 0.3}, "0.9": {"kept": 0.902, "asked": 0.2}}}

    said = page(report("premium") | {"shortlist": found}, CARD, ()).decode()

    assert 2 == said.count("of the best prices</summary>")
    assert "<td>full<td>0.9510<td>0.3000" in said


@pytest.mark.parametrize("branch", ["premium", "quote"])
def test_the_cards_tables_name_the_worst_groups(branch: str) -> None:
    """One row for each kind, among those that are large enough."""
    of = report(branch)
    small = of["segments"]["full"]["age"]["80+"]
    small |= dict.fromkeys(small, 99.0) | {"rows": 5}

    found = card.worst(of["segments"]["full"], branch).splitlines()

    assert ["kind of group", "---", *KINDS] == [line.split(" | ")[0].removeprefix("| ") for line in found]
    assert "80+" not in "".join(found)


def test_the_cards_fairness_table_has_the_widest_gap() -> None:
    """With its sign, and what chance may do to it."""
    of = report("premium")["fairness"]
    of["groups"]["age"]["80+"] |= {"gap": -0.3, "allowance": 0.01}

    assert "| age | 80+ | -0.3000 | 0.0100 | 0.2 | 200 |" in card.fairness(of)
