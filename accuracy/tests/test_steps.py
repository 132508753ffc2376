"""Is what is there used again exactly when it was made from the same?"""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from accuracy import steps
from accuracy.costs import Cost
from accuracy.steps import Inputs, Step

COST = Cost(2.0, 3.0, 4)
INPUTS: Inputs = {"enquiries": 5, "code": "abc"}


class Kitchen:
    """Stands for the stages: counts what is done, and writes the result."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.done = folder, 0

    def step(self, **inputs: str | int) -> Step:
        """A step with one result."""
        return Step("a stage", ("true",), {**INPUTS, **inputs}, self.folder / "result")

    def measure(self, step: Step) -> Cost:
        """Write another result each time."""
        self.done += 1
        step.result.write_text(f"{self.done}")
        return COST

    def do(self, step: Step, *, stale_ok: bool = False) -> steps.Done:
        """At a fixed time."""
        now = datetime(2026, 1, 2, tzinfo=UTC)
        return steps.do(step, self.folder / "steps", lambda _: None, self.measure, stale_ok=stale_ok, now=lambda: now)


@pytest.fixture
def kitchen(tmp_path: Path) -> Kitchen:
    """Nothing done yet."""
    return Kitchen(tmp_path)


def test_what_is_done_is_not_done_again(kitchen: Kitchen) -> None:
    """The second time the cost is that of the first."""
    first, second = kitchen.do(kitchen.step()), kitchen.do(kitchen.step())

    assert 1 == kitchen.done
    assert steps.Done(COST, "2026-01-02T00:00:00+00:00") == first == second


@pytest.mark.parametrize("changed", [{"enquiries": 6}, {"code": "other"}, {"another": "input"}])
def test_other_inputs_do_it_again(kitchen: Kitchen, changed: dict[str, str | int]) -> None:
    """An input that differs, or is new, makes the result another one."""
    kitchen.do(kitchen.step())
    kitchen.do(kitchen.step(**changed))

    assert 2 == kitchen.done


def test_a_result_that_was_touched_is_made_again(kitchen: Kitchen) -> None:
    """What lies there must be what was left there."""
    kitchen.do(kitchen.step())
    (kitchen.folder / "result").write_text("something else")
    kitchen.do(kitchen.step())

    assert 2 == kitchen.done


def test_other_code_may_be_let_pass(kitchen: Kitchen) -> None:
    """With `stale_ok` a result of other code is kept, and said to be one; other inputs still count."""
    kitchen.do(kitchen.step())

    assert kitchen.do(kitchen.step(code="new"), stale_ok=True).is_stale
    assert not kitchen.do(kitchen.step(enquiries=7), stale_ok=True).is_stale
    assert 2 == kitchen.done


def test_a_damaged_stamp_is_no_stamp(kitchen: Kitchen) -> None:
    """The step is done again, and nothing fails."""
    kitchen.do(kitchen.step())
    (kitchen.folder / "steps" / "a.stage.json").write_text("{")
    kitchen.do(kitchen.step())

    assert 2 == kitchen.done


def test_a_step_must_leave_its_result(tmp_path: Path) -> None:
    """A command that ends well and leaves nothing is a fault, and no stamp is written."""
    step = Step("a stage", ("true",), INPUTS, tmp_path / "result")

    with pytest.raises(FileNotFoundError, match="left nothing"):
        steps.do(step, tmp_path / "steps", lambda _: None, lambda _: COST, stale_ok=False)
    assert not (tmp_path / "steps").exists()


def test_what_an_attempt_left_is_removed_before_the_next(tmp_path: Path) -> None:
    """Also when there is nothing; a step that is done keeps it."""
    leftover, result = tmp_path / "checkpoint", tmp_path / "result"
    step = Step("a stage", ("true",), INPUTS, result, leftover)
    seen = []

    def measure(_: Step) -> Cost:
        seen.append(leftover.exists())
        result.write_text("made")
        return COST

    leftover.touch()
    steps.do(step, tmp_path / "steps", lambda _: None, measure, stale_ok=False)
    leftover.touch()
    steps.do(step, tmp_path / "steps", lambda _: None, measure, stale_ok=False)

    assert [False] == seen
    assert leftover.exists()


def test_the_newest_version_stands_for_a_store(tmp_path: Path) -> None:
    """Version 10 comes after 9."""
    for version in (9, 10):
        (tmp_path / str(version)).mkdir()
        (tmp_path / str(version) / "manifest.json").write_text(f"{version}")

    assert steps.digest(tmp_path / "10" / "manifest.json") == steps.digest(tmp_path / "*" / "manifest.json")
    assert steps.digest(tmp_path / "*" / "nothing") is None
