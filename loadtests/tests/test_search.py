"""A search is told how probes went, and finds the edge between what passes and what does not."""

import pytest
from bench.search import Search
from hypothesis import given, strategies as st


def run(search: Search, edge: float) -> list[float]:
    """Every rate up to `edge` passes; the rates that were probed."""
    probed = []
    while (rate := search.next()) is not None:
        probed.append(rate)
        search.tell(rate, passed=rate <= edge)
    return probed


@given(edge=st.floats(50, 5_000), first=st.floats(50, 5_000))
def test_the_edge_is_found(edge: float, first: float) -> None:
    """Wherever it begins: below the edge, and near it."""
    search = Search(first=first, most=10_000, most_probes=60)

    run(search, edge)

    assert search.best <= edge
    assert search.best == pytest.approx(edge, rel=0.06)


def test_nothing_beyond_the_most_is_tried() -> None:
    """A system that always passes ends the search at its bound."""
    search = Search(first=700, most=1_200)

    probed = run(search, float("inf"))

    assert [700, 1_050, 1_200] == pytest.approx(probed)
    assert 1_200 == search.best


def test_one_bad_probe_is_tried_again() -> None:
    """A stall of the machine does not decide; the second probe does."""
    search = Search(first=100, most=100)
    search.tell(100, passed=False)

    assert 100 == search.next()

    search.tell(100, passed=True)
    assert (100, None) == (search.best, search.worst)


def test_probes_are_bounded() -> None:
    """Nothing passes, and still it ends."""
    assert 10 == len(run(Search(first=1_000, most=1_200), 0.0))
