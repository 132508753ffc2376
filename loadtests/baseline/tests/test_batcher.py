"""Requests share a call, and never wait for a fuller one."""

import asyncio
from collections.abc import Sequence

import pytest
from baseline.batcher import MicroBatcher


class Model:
    """Doubles numbers; a batch ends when it is let go."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.asked, self.gate = asyncio.Event(), asyncio.Event()

    async def run(self, batch: Sequence[int]) -> list[int]:
        self.batches.append(list(batch))
        self.asked.set()
        await self.gate.wait()
        if 0 in batch:
            raise ZeroDivisionError
        return [2 * item for item in batch]


async def test_what_comes_while_a_call_is_out_goes_together() -> None:
    """The first goes alone and at once; the others share the next, up to its bound."""
    model = Model()
    batcher = MicroBatcher(model.run, most=3)
    asked = [asyncio.create_task(batcher.ask(1))]
    await model.asked.wait()
    asked += [asyncio.create_task(batcher.ask(item)) for item in (2, 3, 4, 5)]
    await asyncio.sleep(0)
    model.gate.set()

    assert [2, 4, 6, 8, 10] == await asyncio.gather(*asked)
    assert [[1], [2, 3, 4], [5]] == model.batches


async def test_an_error_is_everybodys_in_the_batch_and_of_nobody_else() -> None:
    """The next batch is answered."""
    model = Model()
    model.gate.set()
    batcher = MicroBatcher(model.run, most=8)

    with pytest.raises(ZeroDivisionError):
        await batcher.ask(0)

    assert 4 == await batcher.ask(2)


async def test_whoever_leaves_holds_nobody_up() -> None:
    """A request that was cancelled is skipped when its batch returns."""
    model = Model()
    batcher = MicroBatcher(model.run, most=8)
    gone, stays = asyncio.create_task(batcher.ask(1)), asyncio.create_task(batcher.ask(2))
    await model.asked.wait()
    gone.cancel()
    model.gate.set()

    assert 4 == await stays
