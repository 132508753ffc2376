"""Work for all that is ready in one turn of the loop."""

import asyncio
from collections.abc import Sequence

import pytest

from gateway.pricing.together import Together


async def test_what_is_ready_together_is_done_together() -> None:
    """In one go, each with its own result."""
    seen: list[list[int]] = []

    def double(items: Sequence[int]) -> list[int]:
        seen.append(list(items))
        return [2 * item for item in items]

    work = Together(double)
    results = await asyncio.gather(*(work.do(item) for item in (1, 2, 3)))

    assert ([2, 4, 6], [[1, 2, 3]]) == (results, seen)


async def test_who_spoils_it_spoils_it_alone() -> None:
    """The others are done again without it."""

    def invert(items: Sequence[int]) -> list[float]:
        return [1 / item for item in items]

    work = Together(invert)
    one, nought, four = await asyncio.gather(*(work.do(item) for item in (1, 0, 4)), return_exceptions=True)

    assert (1.0, 0.25) == (one, four)
    assert isinstance(nought, ZeroDivisionError)


async def test_who_has_gone_is_not_worked_for() -> None:
    """Its caller hung up before its turn came."""
    seen: list[list[int]] = []

    def note(items: Sequence[int]) -> Sequence[int]:
        seen.append(list(items))
        return items

    work = Together(note)
    gone, there = work.do(1), work.do(2)
    gone.cancel()

    assert 2 == await there
    assert [[2]] == seen
    with pytest.raises(asyncio.CancelledError):
        await gone
