"""What happens between a request that was understood and its answer? The two journeys, each in the order of the deadline.

A quote is asked for by itself (`quotes`) and answered together with all others that are ready at that moment (`answers`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np

from gateway.domain.answers import BallparkAnswer, Caveats, Question, QuoteAnswers
from gateway.domain.deadline import Deadline, Measured
from gateway.domain.reasons import Branch, CallOutcome
from gateway.domain.risk import BallparkRequest, QuoteRequest, Risk
from gateway.domain.serving import Serving
from gateway.domain.trace import Trace
from gateway.ports import Answer, FeatureReader, Known, Model, Remembered
from gateway.pricing import questions
from gateway.pricing.coalescer import Coalescer, Part
from gateway.pricing.fan_out import Clock, ask_all, ask_each, reasons, refuse_nothing
from gateway.pricing.merge import at_rate, bands, count, merge
from gateway.pricing.row import Layouts, Packer, Row
from gateway.pricing.standing import Stood, stand
from kit.contract import Contract

LEAST_FOR_QUESTIONS_S: Final = 0.01
QUESTIONS_SHARE: Final = 0.5  # of what is left: a price in time is worth more than a good question


@dataclass(frozen=True, slots=True)
class Outside:
    """What pricing reaches through ports."""

    features: FeatureReader
    classifier: Model
    regressor: Model
    remembered: Remembered | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """A quote for which both models have said what they can: at least one has an answer."""

    request: QuoteRequest
    row: Row
    trace: Trace
    classified: Part
    regressed: Part

    @property
    def is_whole(self) -> bool:
        """Whether nothing is missing from its answer."""
        return not self.trace.degraded

    @property
    def kind(self) -> tuple[bool, bool, tuple[int, ...] | None]:
        """Quotes of one kind are answered together."""
        return self.classified.answer is None, self.regressed.answer is None, self.request.chosen


class Pricer:
    """Prices risks with one bundle. Holds no state of any request, except for those whose rows wait for a shared call."""

    def __init__(self, contract: Contract, serving: Serving, outside: Outside, layouts: Layouts, clock: Clock) -> None:
        self._contract, self._serving, self._outside, self._clock = contract, serving, outside, clock
        self._packer = Packer(contract, layouts)
        self._ids = {e.name: f"{g.name}.{e.id}" for e in contract.entities for g in contract.groups if g.entity == e.id}
        self._paths = {f.name: f.path for f in contract.fields}
        self._measured = Measured()
        self.coalescers: Mapping[tuple[Branch, str], Coalescer] = {
            (branch, signature): Coalescer(model, signature, clock)
            for branch, model, signature in (
                (Branch.CLASSIFIER, outside.classifier, "packed"),
                (Branch.REGRESSOR, outside.regressor, "packed"),
                (Branch.REGRESSOR, outside.regressor, "panel"),
            )
        }
        self._of_quotes, self._of_ballparks = (
            [(branch, self.coalescers[branch, asked]) for branch, asked in asks]
            for asks in (
                ((Branch.CLASSIFIER, "packed"), (Branch.REGRESSOR, "packed")),
                ((Branch.CLASSIFIER, "packed"), (Branch.REGRESSOR, "panel")),
            )
        )

    def close(self) -> None:
        """End the calls that are out."""
        for coalescer in self.coalescers.values():
            coalescer.close()

    def finished(self, seconds: float) -> None:
        """Tell how long merging and writing took: calls leave so much time for it."""
        self._measured = self._measured.took(seconds)

    async def quotes(self, request: QuoteRequest, deadline: Deadline, trace: Trace) -> Asked:
        """Ask both models. Raises `NoAnswer` when neither answers within the deadline."""
        row = await self._row(request.risk, deadline, trace)
        return Asked(request, row, trace, *await self._ask(row, self._of_quotes, deadline, trace))

    def answers(self, asked: Sequence[Asked]) -> QuoteAnswers:
        """The answers to quotes of one kind, in order."""
        stood = stand(self._contract, self._serving, [one.row for one in asked])
        merged = merge(
            self._serving,
            stood.at,
            _stacked([one.classified for one in asked]),
            _stacked([one.regressed for one in asked]),
            chosen=asked[0].request.chosen,
            factors=np.array([at_rate(one.request.ipt_rate) for one in asked]),
            is_outside=stood.is_outside,
        )
        return QuoteAnswers(
            self._serving.bundle,
            self._serving.level,
            [one.request.quote_id for one in asked],
            [_caveats(one.row, stood, place, one.trace) for place, one in enumerate(asked)],
            merged.panels,
            merged.insurers,
        )

    async def ballpark(self, request: BallparkRequest, deadline: Deadline, trace: Trace) -> BallparkAnswer:
        """The panel's best price and what to ask next. Raises `NoAnswer` when neither model answers within the deadline."""
        row = await self._row(request.risk, deadline, trace)
        parts = await self._ask(row, self._of_ballparks, deadline, trace)
        probability, log_premium = (_stacked([part]) for part in parts)
        started = self._clock()
        stood = stand(self._contract, self._serving, [row])
        caveats, has_intervals = _caveats(row, stood, 0, trace), not stood.is_outside[0]
        trace.stages["merge"] = self._clock() - started
        following = None
        if log_premium is not None and has_intervals:  # elsewhere it has no band that an answer could narrow
            following = await self._questions(request.risk, stood, log_premium, deadline, trace)
        started = self._clock()
        cheapest, mean = (
            (None, None)
            if log_premium is None
            else bands(self._serving, stood.at, log_premium, ipt_rate=request.ipt_rate, has_intervals=has_intervals)
        )
        likely = (
            None if probability is None else count(self._serving, stood.at, probability, has_intervals=has_intervals)
        )
        trace.stages["merge"] += self._clock() - started
        answered = self._answered(request.risk)
        return BallparkAnswer(
            self._serving.bundle, self._serving.level, caveats, cheapest, mean, likely, answered, following
        )

    async def _row(self, risk: Risk, deadline: Deadline, trace: Trace) -> Row:
        started = read = self._clock()
        known: Mapping[tuple[str, str], Known] = {}
        if risk.entities:
            wanted, features = list(risk.entities.items()), self._outside.features
            cached = features.cached(wanted)
            if cached is None:
                known = await features.read(wanted, timeout=deadline.for_features(now=started))
            else:
                known = cached
            trace.reads += [(entity, found.outcome) for (entity, _), found in known.items()]
            read = self._clock()
        row = self._packer.pack(risk, known)
        trace.stages["features"], trace.stages["pack"] = read - started, self._clock() - read
        return row

    async def _ask(
        self, row: Row, of: Sequence[tuple[Branch, Coalescer]], deadline: Deadline, trace: Trace
    ) -> list[Part]:
        """Both models at once. Raises `NoAnswer`."""
        timeout = deadline.for_call(now=self._clock(), measured=self._measured.seconds)
        parts = await ask_each(row, of, timeout=timeout, clock=self._clock, trace=trace)
        trace.degraded = reasons(trace)
        refuse_nothing(trace)
        return parts

    async def _questions(
        self, risk: Risk, stood: Stood, now: Answer, deadline: Deadline, trace: Trace
    ) -> tuple[Question, ...] | None:
        """None when little time is left, or when the model does not answer in its part of it."""
        left = deadline.for_call(now=self._clock(), measured=self._measured.seconds)
        if left < LEAST_FOR_QUESTIONS_S:
            return None
        started = self._clock()
        row = stood.numeric, stood.categorical
        fields = questions.open_fields(self._contract, *row, risk.entities)
        tried = questions.tries(self._contract, *row, fields, self._serving.typical)
        if not tried.fields:
            return ()
        asks = [
            (Branch.REGRESSOR, partial(_call, self._outside.regressor, "panel", numeric, categorical))
            for numeric, categorical in tried.chunks()
        ]
        trace.stages["merge"] += self._clock() - started
        answers = await ask_all(asks, timeout=QUESTIONS_SHARE * left, clock=self._clock, trace=trace)
        whole = [answer for answer in answers if answer is not None]
        if len(whole) < len(answers):
            return None
        started = self._clock()
        best = questions.rank(self._contract, self._serving, stood.at.price, now, tried, np.concatenate(whole))
        trace.stages["merge"] += self._clock() - started
        return best

    def _answered(self, risk: Risk) -> tuple[str, ...]:
        """The paths of what was sent; an id that is a field of its own stands once."""
        return tuple(
            dict.fromkeys([*(self._paths[n] for n in risk.values), *(self._ids[entity] for entity in risk.entities)])
        )


def _stacked(parts: Sequence[Part]) -> Answer | None:
    """The rows of all parts, or None where none has an answer."""
    rows = [part.answer[part.place] for part in parts if part.answer is not None]
    return np.array(rows) if rows else None


async def _call(model: Model, signature: str, numeric: np.ndarray, categorical: np.ndarray, timeout: float) -> Answer:
    return await model.predict(signature, numeric, categorical, timeout=timeout)


def _caveats(row: Row, stood: Stood, place: int, trace: Trace) -> Caveats:
    trace.alarms = tuple(stood.alarms[place])
    complete = all(call.outcome is CallOutcome.OK for call in trace.calls)
    return Caveats(complete, trace.degraded, row.assumed, stood.out_of_range[place])
