"""How do requests that want the same model at the same time share one call?

A call of a model costs the same whether it carries one row or thirty, so whoever waits for the same model shares the next one:

- With a slot free a call goes out at once, with all that asked in the same turn of the event loop. There is no timer: alone, nobody waits.
- With every slot taken requests gather, and the next slot that frees takes them, in order, up to a model server's batch. How many slots
  there are is measured (`domain.slots`). A call that is out for much longer than usual gives its slot up, so that a replica that hangs
  does not keep the healthy ones from being asked; but never more than `MOST_OUT` are out.
- A call's deadline is that of its tightest request, among those that can still be met: who has less time left than calls take rides along,
  and does not cut the others short. Who has too little left for any call is not sent.
- A row that spoils its call does not spoil it for the others: they are asked again, each by itself, once. While that is going on no other
  call is split, so that a model which has gone wrong altogether is not flooded.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from gateway.domain.deadline import LEAST_CALL_S
from gateway.domain.errors import BranchFailed, BranchRubbish, BranchTimeout, BranchUnavailable
from gateway.domain.reasons import CallOutcome
from gateway.domain.slots import Slots
from gateway.ports import Answer, Model
from gateway.pricing.row import Row, stack

Clock = Callable[[], float]

MOST_ROWS: Final = 32  # below any sensible max_batch_size of a model server, which refuses larger ones
MOST_OUT: Final = 32
OVERDUE: Final = 4.0  # times as long as calls take: such a call has lost its slot
LEAST_PATIENCE_S: Final = 0.005

OUTCOMES: Final[Mapping[type[BranchFailed], CallOutcome]] = {
    BranchTimeout: CallOutcome.TIMEOUT,
    BranchUnavailable: CallOutcome.UNAVAILABLE,
    BranchRubbish: CallOutcome.RUBBISH,
}


class Part(NamedTuple):
    """One row's answer, which is row `place` of `answer`; None when there is none. `took_s` is from the question on.

    A `fault` is no failure of the model but of this program.
    """

    outcome: CallOutcome
    took_s: float
    answer: Answer | None = None
    place: int = 0
    fault: Exception | None = None


Done = Callable[[Part], None]


class Waiting:
    """A row that waits for its answer; whoever asked may `leave`, and is not told then."""

    __slots__ = ("asked", "began", "done", "row", "until")

    def __init__(self, row: Row, until: float, began: float, done: Done) -> None:
        self.row, self.until, self.began = row, until, began
        self.done: Done | None = done
        self.asked = 0  # calls that have carried it

    def leave(self) -> None:
        """Wait no longer."""
        self.done = None


@dataclass(slots=True)
class Tally:
    """What has been counted since the start; `dead_rows` are answers that came when nobody waited for them any more."""

    calls: int = 0
    rows: int = 0
    dead_rows: int = 0
    splits: int = 0


class Coalescer:
    """The rows that wait for one signature of one model. Lives in one event loop."""

    def __init__(self, model: Model, signature: str, clock: Clock, *, slots: Slots | None = None) -> None:
        self._model, self._signature, self._clock = model, signature, clock
        self.slots = slots or Slots()
        self.tally = Tally()
        self._queue: deque[Waiting] = deque()
        self._alone: deque[Waiting] = deque()  # of a call that was split: each goes by itself
        self._out: dict[asyncio.Task[None], float] = {}  # since when
        self._is_sending = False
        self._patience: asyncio.TimerHandle | None = None

    @property
    def out(self) -> int:
        """Calls that are out now."""
        return len(self._out)

    @property
    def waiting(self) -> int:
        """Rows that no call has taken yet."""
        return len(self._queue) + len(self._alone)

    def ask(self, row: Row, *, until: float, done: Done) -> Waiting:
        """Have a row answered before the moment `until`; `done` is called with its part, later and once."""
        waiting = Waiting(row, until, self._clock(), done)
        self._queue.append(waiting)
        self._send_soon()
        return waiting

    def close(self) -> None:
        """End every call."""
        if self._patience is not None:
            self._patience.cancel()
        for call in self._out:
            call.cancel()

    def _send_soon(self) -> None:
        """In the next turn of the loop, when everybody who is being told something now has asked."""
        if not self._is_sending:
            self._is_sending = True
            asyncio.get_running_loop().call_soon(self._send)

    def _send(self) -> None:
        self._is_sending = False
        while (self._queue or self._alone) and self._has_slot():
            taken = self._take()
            if taken:
                self._start(taken)

    def _has_slot(self) -> bool:
        """Whether a call may go out; when none may, there is a look again as soon as the oldest is overdue."""
        if len(self._out) < self.slots.limit:
            return True
        if len(self._out) >= MOST_OUT:
            return False
        patience_s, now = max(OVERDUE * self.slots.call_s, LEAST_PATIENCE_S), self._clock()
        in_time = [since for since in self._out.values() if now - since < patience_s]
        if len(in_time) < self.slots.limit:
            return True
        if self._patience is None:
            self._patience = asyncio.get_running_loop().call_later(in_time[0] + patience_s - now, self._look_again)
        return False

    def _look_again(self) -> None:
        self._patience = None
        self._send()

    def _take(self) -> list[Waiting]:
        """The next call's rows. Who has left, or has no time left for any call, is none of them."""
        earliest = self._clock() + LEAST_CALL_S
        if self._alone:
            return self._in_time([self._alone.popleft()], earliest)
        most = min(MOST_ROWS, len(self._queue))
        return self._in_time([self._queue.popleft() for _ in range(most)], earliest)

    def _in_time(self, taken: list[Waiting], earliest: float) -> list[Waiting]:
        kept = [waiting for waiting in taken if waiting.done is not None and waiting.until >= earliest]
        if len(kept) < len(taken):
            now = self._clock()
            for waiting in taken:
                if waiting.until < earliest:
                    outcome = CallOutcome.TIMEOUT if waiting.asked else CallOutcome.SKIPPED
                    _tell(waiting, Part(outcome, now - waiting.began))
        return kept

    def _start(self, taken: list[Waiting]) -> None:
        for waiting in taken:
            waiting.asked += 1
        call = asyncio.get_running_loop().create_task(self._call(taken))
        self._out[call] = self._clock()
        call.add_done_callback(self._ended)

    def _ended(self, call: "asyncio.Task[None]") -> None:
        del self._out[call]
        if self._queue or self._alone:
            self._send_soon()
        if not call.cancelled():
            call.result()

    async def _call(self, taken: list[Waiting]) -> None:
        began = self._clock()
        timeout = self._timeout(taken, began)
        numeric, categorical = stack([waiting.row for waiting in taken])
        try:
            answer = await self._model.predict(self._signature, numeric, categorical, timeout=timeout)
        except BranchFailed as failed:
            self._failed(taken, OUTCOMES[type(failed)])
            return
        except Exception as fault:  # noqa: BLE001 -- whoever waits must hear of it, and raises it
            for waiting in taken:
                _tell(waiting, Part(CallOutcome.UNAVAILABLE, self._clock() - waiting.began, fault=fault))
            return
        now = self._clock()
        self.tally.calls += 1
        self.tally.rows += len(taken)
        self.slots = self.slots.ended(len(taken), now - began, now=now, had_waiting=bool(self._queue))
        for place, waiting in enumerate(taken):
            if waiting.done is None:
                self.tally.dead_rows += 1
            else:
                _tell(waiting, Part(CallOutcome.OK, now - waiting.began, answer, place))

    def _timeout(self, taken: list[Waiting], now: float) -> float:
        """Until the tightest deadline of those that can still be met, or until the last when none can."""
        expected = now + self.slots.call_s
        can_be_met = [waiting.until for waiting in taken if waiting.until >= expected]
        return (min(can_be_met) if can_be_met else max(waiting.until for waiting in taken)) - now

    def _failed(self, taken: list[Waiting], outcome: CallOutcome) -> None:
        """Some are asked again, once: who was cut short by somebody else's deadline, and the neighbours of a row that spoils."""
        now = self._clock()
        again = self._again(taken, outcome, now)
        if again:
            self._send_soon()
        for waiting in taken:
            if waiting not in again:
                _tell(waiting, Part(outcome, now - waiting.began))

    def _again(self, taken: list[Waiting], outcome: CallOutcome, now: float) -> list[Waiting]:
        if len(taken) == 1:
            return []
        able = [w for w in taken if w.done is not None and w.asked == 1 and w.until >= now + LEAST_CALL_S]
        if outcome is CallOutcome.TIMEOUT:
            self._queue.extendleft(reversed(able))
        elif outcome is CallOutcome.RUBBISH and not self._alone:
            self.tally.splits += 1
            self._alone.extend(able)
        else:
            return []
        return able


def _tell(waiting: Waiting, part: Part) -> None:
    done, waiting.done = waiting.done, None
    if done is not None:
        done(part)
