"""Requests that want the same model share its calls."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable

import numpy as np
import pytest
from support import MOTOR, until

from gateway.app import layouts
from gateway.domain.errors import BranchFailed, BranchRubbish, BranchTimeout, BranchUnavailable
from gateway.domain.reasons import CallOutcome
from gateway.domain.risk import Risk
from gateway.domain.slots import Slots
from gateway.ports import Answer, Categorical, Numeric
from gateway.pricing.coalescer import MOST_OUT, MOST_ROWS, Coalescer, Part
from gateway.pricing.row import Packer, Row

AGE = [field.name for field in MOTOR.numeric].index("age")
PACKER = Packer(MOTOR, layouts(MOTOR))
LONG_S = 30.0


def row(age: int) -> Row:
    """A driver of that age."""
    return PACKER.pack(Risk({"age": age}), {})


class Held:
    """A model that answers each row with its driver's age, when it is let."""

    def __init__(self) -> None:
        self.calls: list[list[float]] = []
        self.timeouts: list[float] = []
        self._held: list[asyncio.Future[BranchFailed | None]] = []

    async def predict(self, _: str, numeric: Numeric, categorical: Categorical, *, timeout: float) -> Answer:
        """As the port says."""
        assert len(numeric) == len(categorical)
        self.calls.append(numeric[:, AGE].tolist())
        self.timeouts.append(timeout)
        held: asyncio.Future[BranchFailed | None] = asyncio.get_running_loop().create_future()
        self._held.append(held)
        failure = await held
        if failure is not None:
            raise failure
        return numeric[:, AGE : AGE + 1].astype(np.float64)

    def let(self, failure: BranchFailed | None = None) -> None:
        """Answer the oldest call."""
        self._held.pop(0).set_result(failure)


class Asking:
    """Rows that were asked for, and what came; the clock can be put forward."""

    def __init__(self, model: Held, slots: Slots) -> None:
        self.coalescer = Coalescer(model, "packed", self.clock, slots=slots)
        self.parts: dict[int, Part] = {}
        self.forward_s = 0.0

    def clock(self) -> float:
        """Seconds on a clock that never goes back."""
        return time.monotonic() + self.forward_s

    def ask(self, *ages: int, within_s: float = LONG_S) -> None:
        """Ask for drivers of these ages."""
        for age in ages:
            self.coalescer.ask(row(age), until=self.clock() + within_s, done=self._done(age))

    def _done(self, age: int) -> Callable[[Part], None]:
        def done(part: Part) -> None:
            assert age not in self.parts, "told twice"
            self.parts[age] = part

        return done

    def outcomes(self) -> dict[int, CallOutcome]:
        """How each row's question ended, so far."""
        return {age: part.outcome for age, part in self.parts.items()}

    def right(self) -> bool:
        """Whether whoever has an answer has its own."""
        return all(part.answer is None or part.answer[part.place].tolist() == [age] for age, part in self.parts.items())


async def turns() -> None:
    """Let the loop do what is ready."""
    for _ in range(10):
        await asyncio.sleep(0)


@pytest.fixture
async def model() -> Held:
    """A model that holds every call."""
    return Held()


@pytest.fixture
async def asking(model: Held) -> AsyncIterator[Asking]:
    """One call at a time."""
    made = Asking(model, Slots(limit=1, most=1))
    yield made
    made.coalescer.close()


async def test_alone_nobody_waits(model: Held, asking: Asking) -> None:
    """Nothing is out, so the call goes out in the next turn of the loop."""
    asking.ask(30)
    await asyncio.sleep(0)
    await asyncio.sleep(0)

    assert [[30.0]] == model.calls


async def test_who_asks_in_the_same_turn_shares_a_call(model: Held, asking: Asking) -> None:
    """And each gets its own row."""
    asking.ask(30, 40, 50)
    await turns()
    model.let()
    await turns()

    assert [[30.0, 40.0, 50.0]] == model.calls
    assert ([30, 40, 50], True) == (list(asking.parts), asking.right())


async def test_who_comes_later_waits_for_a_slot_and_goes_together(model: Held, asking: Asking) -> None:
    """In order, in one call."""
    asking.ask(30)
    await turns()
    asking.ask(40)
    await turns()
    asking.ask(50)
    await turns()
    before = list(model.calls)
    model.let()
    await turns()

    assert ([[30.0]], [[30.0], [40.0, 50.0]]) == (before, model.calls)


async def test_a_call_has_no_more_rows_than_a_server_takes(model: Held, asking: Asking) -> None:
    """The rest waits for the next slot."""
    asking.ask(*range(17, 17 + MOST_ROWS + 3))
    await turns()
    model.let()
    await turns()

    assert [MOST_ROWS, 3] == [len(call) for call in model.calls]


async def test_a_calls_deadline_is_its_tightest(model: Held, asking: Asking) -> None:
    """So that the server works for nobody who has gone."""
    asking.ask(30)
    asking.ask(40, within_s=0.1)
    await turns()

    assert 0.05 < model.timeouts[0] <= 0.1


async def test_who_cannot_be_met_does_not_cut_the_others_short(model: Held) -> None:
    """It has less time left than calls take: it rides along, and the deadline is the others'."""
    asking = Asking(model, Slots(limit=1, most=1, call_s=0.5))
    asking.ask(30, within_s=0.1)
    asking.ask(40, within_s=5.0)
    await turns()
    asking.coalescer.close()

    assert ([[30.0, 40.0]], True) == (model.calls, model.timeouts[0] > 4)


async def test_who_was_cut_short_by_another_is_asked_again(model: Held, asking: Asking) -> None:
    """Once, with its own deadline."""
    asking.ask(30)
    asking.ask(40, within_s=0.05)
    await turns()
    asking.forward_s = 0.06
    model.let(BranchTimeout())
    await turns()
    model.let()
    await turns()

    assert [[30.0, 40.0], [30.0]] == model.calls
    assert {30: CallOutcome.OK, 40: CallOutcome.TIMEOUT} == asking.outcomes()


async def test_too_little_time_is_no_call(model: Held, asking: Asking) -> None:
    """TensorFlow Serving would take less than a millisecond for no deadline."""
    asking.ask(30, within_s=0.001)
    await turns()

    assert ([], {30: CallOutcome.SKIPPED}) == (model.calls, asking.outcomes())


async def test_a_row_that_spoils_its_call_does_not_spoil_it_for_the_others(model: Held, asking: Asking) -> None:
    """They are asked again, each by itself."""
    asking.ask(30, 40, 50)
    await turns()
    model.let(BranchRubbish())
    for failure in (None, BranchRubbish(), None):
        await turns()
        model.let(failure)
    await turns()

    assert [[30.0, 40.0, 50.0], [30.0], [40.0], [50.0]] == model.calls
    assert {30: CallOutcome.OK, 40: CallOutcome.RUBBISH, 50: CallOutcome.OK} == asking.outcomes()
    assert asking.right()


async def test_a_model_that_has_gone_wrong_is_not_flooded(model: Held) -> None:
    """While one call's rows are asked for again, another call is not split."""
    asking = Asking(model, Slots(limit=2, most=2))
    asking.ask(30, 31, 32, 33)
    await turns()
    asking.ask(40, 41)
    await turns()
    model.let(BranchRubbish())
    await turns()
    model.let(BranchRubbish())
    await turns()
    asking.coalescer.close()

    assert {40: CallOutcome.RUBBISH, 41: CallOutcome.RUBBISH} == asking.outcomes()


async def test_a_refusal_is_everybodys(model: Held, asking: Asking) -> None:
    """Asking again is the matter of whoever knows the replicas."""
    asking.ask(30, 40)
    await turns()
    model.let(BranchUnavailable())
    await turns()

    assert (1, dict.fromkeys((30, 40), CallOutcome.UNAVAILABLE)) == (len(model.calls), asking.outcomes())


async def test_a_call_that_hangs_loses_its_slot(model: Held, asking: Asking) -> None:
    """The next goes out beside it, to another replica perhaps."""
    asking.ask(30)
    await turns()
    asking.ask(40)

    async def went_out() -> bool:
        return len(model.calls) == 2

    await until(went_out, within=5)

    assert [[30.0], [40.0]] == model.calls


async def test_there_is_an_end_to_calls_that_hang(model: Held, asking: Asking) -> None:
    """A model that answers nobody is not asked by everybody."""
    for age in range(17, 17 + MOST_OUT + 8):
        asking.ask(age)
        asking.coalescer.slots = Slots(limit=MOST_OUT + 8, most=MOST_OUT + 8)
        await turns()

    assert MOST_OUT + 8 == len(model.calls)  # as many as there are slots
    asking.coalescer.slots = Slots(limit=1, most=1)
    asking.ask(90)
    await turns()
    assert (MOST_OUT + 8, 1) == (asking.coalescer.out, asking.coalescer.waiting)


async def test_dead_work_is_counted(model: Held, asking: Asking) -> None:
    """An answer for which nobody waits any more."""
    waiting = asking.coalescer.ask(row(30), until=time.monotonic() + LONG_S, done=lambda _: None)
    await turns()
    waiting.leave()
    model.let()
    await turns()

    assert 1 == asking.coalescer.tally.dead_rows


async def test_who_left_before_its_turn_is_not_sent(model: Held, asking: Asking) -> None:
    """Its caller has gone."""
    asking.ask(30)
    await turns()
    asking.coalescer.ask(row(40), until=time.monotonic() + LONG_S, done=lambda _: None).leave()
    asking.ask(50)
    model.let()
    await turns()

    assert [[30.0], [50.0]] == model.calls


async def test_a_fault_of_ours_reaches_whoever_waits(asking: Asking, model: Held) -> None:
    """Nobody waits for ever for a bug."""
    asking.ask(30)
    await turns()
    model.let(ZeroDivisionError())  # type: ignore[arg-type]
    await turns()

    assert isinstance(asking.parts[30].fault, ZeroDivisionError)
