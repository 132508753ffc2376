"""The page: one file with everything inside, and a verdict that is not kind."""

from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from conftest import Drawn

from kit.contract import Contract
from market import likeness, measure, report
from market.measure import Figure
from market.outcomes import DECLINE
from market.report import MISFITS, PICTURES, Measured


@pytest.fixture(scope="module")
def found(contract: Contract, drawn: Drawn) -> Measured:
    """The market of seed 1, held to its targets by 20,000 enquiries."""
    of = measure.together([measure.summarise(b.columns, b.premium, b.outcome == DECLINE) for b in drawn.blocks])
    rows = likeness.figures(
        drawn.market,
        drawn.all("premium"),
        drawn.all("outcome") == DECLINE,
        drawn.all("age"),
        np.concatenate([b.latent["male"] for b in drawn.blocks]),
    )
    return Measured(1, measure.figures(of, contract) + rows, of, measure.misfits(of, contract))


class _Sources(HTMLParser):
    """Collects what a page would load."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002
        self.found += [value or "" for name, value in attrs if name in {"src", "href"}]


def test_the_page_is_whole(contract: Contract, found: Measured, tmp_path: Path) -> None:
    """Every row, every misfit with its reason, and every picture is on it, and nothing is loaded from elsewhere."""
    report.report(contract, [found, found], 20_000, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    sources = _Sources()
    sources.feed(page)

    assert all(f.name in page for f in found.figures)
    assert all(name in page for name in MISFITS)
    assert len(PICTURES) == len(sources.found)
    assert all(s.startswith("data:image/png;base64,") for s in sources.found)


def test_a_row_outside_is_named(contract: Contract, found: Measured, tmp_path: Path) -> None:
    """One value out of its range, and the verdict is no; the row says what it is and what it had to be."""
    fitting = replace(found, figures=[Figure("seen", 0.5, 0, 1)])
    wrong = replace(found, figures=[Figure("seen", 1.5, 0, 1)])

    assert report.report(contract, [fitting], 20_000, tmp_path / "page.html")[1]
    said, fits = report.report(contract, [fitting, wrong], 20_000, tmp_path / "page.html")

    assert not fits
    assert "seen: 1.500, not 0.000 to 1.000" in said
    assert "<b>fail</b>" in (tmp_path / "page.html").read_text()


def test_brands_differ_as_they_should(found: Measured) -> None:
    """What a sample of 20,000 can say of brands: alike in a group, less alike across, five groups with half the places."""
    by_name = {f.name: f for f in found.figures}

    for name in (
        "correlation, two brands of a group",
        "correlation, brands of two groups",
        "telematics in the top five, under 25",
        "top fives that five groups take",
    ):
        assert by_name[name].fits, by_name[name]
