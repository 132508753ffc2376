"""One step at a time, so that a model never stops answering: a table of situations."""

import pytest

from model_server.transition import Known, Load, Phase, Unload, next_step

NEW, BUSY, READY, FAILED = Phase.NEW, Phase.BUSY, Phase.READY, Phase.FAILED


def known(number: int, phase: Phase, *, wanted: bool = True) -> Known:
    return Known(number, phase, wanted)


@pytest.mark.parametrize(
    ("versions", "step"),
    [
        ([], None),
        ([known(1, NEW)], Load(1)),
        ([known(1, NEW), known(2, NEW)], Load(2)),
        ([known(1, READY)], None),
        ([known(1, READY, wanted=False), known(2, NEW)], Load(2)),
        ([known(1, READY, wanted=False), known(2, BUSY)], None),
        ([known(1, READY, wanted=False), known(2, FAILED)], None),
        ([known(1, READY, wanted=False), known(2, READY)], Unload(1)),
        ([known(1, READY, wanted=False)], Unload(1)),
        ([known(1, READY, wanted=False), known(2, READY, wanted=False), known(3, NEW)], Unload(1)),
        ([known(1, READY, wanted=False), known(2, READY), known(3, NEW)], Unload(1)),
        ([known(1, FAILED)], None),
        ([known(1, NEW, wanted=False)], None),
    ],
    ids=[
        "nothing", "the first", "the highest first", "done", "load before unload", "while it loads", "the new one failed",
        "the new one is ready", "nothing wanted", "two are too many", "unload before another load", "no second try", "dropped",
    ],
)  # fmt: skip
def test_the_next_step(versions: list[Known], step: Load | Unload | None) -> None:
    """An old version goes when a new one is ready or none is wanted; of new ones the highest is loaded first."""
    assert step == next_step(versions)
