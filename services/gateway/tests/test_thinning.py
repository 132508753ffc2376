"""How a flood of the same line is thinned."""

from gateway.domain.thinning import Thinning


def test_a_flood_is_counted_and_not_written() -> None:
    """Two a second pass; the first of the next second says how many did not."""
    thinning = Thinning(most_a_second=2)
    moments = [0.0, 0.1, 0.2, 0.9, 1.0, 1.1, 1.2, 2.5]

    assert [0, 0, None, None, 2, 0, None, 1] == [thinning.take(now=now) for now in moments]
