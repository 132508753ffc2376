"""What happens between a request that was understood and its answer? The two journeys, each in the order of the deadline."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np

from gateway.domain.answers import BallparkAnswer, Caveats, Question, QuoteAnswer
from gateway.domain.deadline import Deadline
from gateway.domain.reasons import Branch, CallOutcome
from gateway.domain.risk import BallparkRequest, QuoteRequest, Risk
from gateway.domain.serving import Serving
from gateway.domain.trace import Trace
from gateway.ports import Answer, FeatureReader, Known, Model
from gateway.pricing import questions
from gateway.pricing.fan_out import Ask, Clock, ask_all, reasons, refuse_nothing
from gateway.pricing.merge import bands, count, merge
from gateway.pricing.row import Layouts, Packer, Row
from kit.calibration import Cells
from kit.contract import Contract

LEAST_FOR_QUESTIONS_S: Final = 0.01
QUESTIONS_SHARE: Final = 0.5  # of what is left: a price in time is worth more than a good question


@dataclass(frozen=True, slots=True)
class Outside:
    """What pricing reaches through ports."""

    features: FeatureReader
    classifier: Model
    regressor: Model


class Pricer:
    """Prices risks with one bundle. Holds no state of any request."""

    def __init__(self, contract: Contract, serving: Serving, outside: Outside, layouts: Layouts, clock: Clock) -> None:
        self._contract, self._serving, self._outside, self._clock = contract, serving, outside, clock
        self._packer = Packer(contract, layouts, serving.ranges)
        self._ids = {e.name: f"{g.name}.{e.id}" for e in contract.entities for g in contract.groups if g.entity == e.id}
        self._paths = {f.name: f.path for f in contract.fields}

    async def quotes(self, request: QuoteRequest, deadline: Deadline, trace: Trace) -> QuoteAnswer:
        """Every insurer's status and price. Raises `NoAnswer` when neither model answers within the deadline."""
        row = await self._row(request.risk, deadline, trace)
        probability, log_premium = await self._ask(row, "packed", deadline, trace)
        started = self._clock()
        merged = merge(
            self._serving,
            self._serving.standing(row.numeric, row.categorical, row.key),
            probability,
            log_premium,
            chosen=request.chosen,
            ipt_rate=request.ipt_rate,
            has_intervals=not row.is_outside,
        )
        caveats = _caveats(row, trace)
        trace.stages["merge"] = self._clock() - started
        return QuoteAnswer(
            request.quote_id, self._serving.bundle, self._serving.level, caveats, merged.panel, merged.insurers
        )

    async def ballpark(self, request: BallparkRequest, deadline: Deadline, trace: Trace) -> BallparkAnswer:
        """The panel's best price and what to ask next. Raises `NoAnswer` when neither model answers within the deadline."""
        row = await self._row(request.risk, deadline, trace)
        probability, log_premium = await self._ask(row, "panel", deadline, trace)
        started = self._clock()
        caveats = _caveats(row, trace)
        at = self._serving.standing(row.numeric, row.categorical, row.key)
        trace.stages["merge"] = self._clock() - started
        following = None
        if log_premium is not None and not row.is_outside:  # there it has no band that an answer could narrow
            following = await self._questions(request.risk, row, at.price, log_premium, deadline, trace)
        started = self._clock()
        cheapest, mean = (
            (None, None)
            if log_premium is None
            else bands(self._serving, at, log_premium, ipt_rate=request.ipt_rate, has_intervals=not row.is_outside)
        )
        likely = (
            None if probability is None else count(self._serving, at, probability, has_intervals=not row.is_outside)
        )
        trace.stages["merge"] += self._clock() - started
        answered = self._answered(request.risk)
        return BallparkAnswer(
            self._serving.bundle, self._serving.level, caveats, cheapest, mean, likely, answered, following
        )

    async def _row(self, risk: Risk, deadline: Deadline, trace: Trace) -> Row:
        started = self._clock()
        known: Mapping[tuple[str, str], Known] = {}
        if risk.entities:
            wanted = list(risk.entities.items())
            known = await self._outside.features.read(wanted, timeout=deadline.for_features(now=started))
            trace.reads += [(entity, found.outcome) for (entity, _), found in known.items()]
        read = self._clock()
        row = self._packer.pack(risk, known)
        trace.alarms = row.alarms
        trace.stages["features"], trace.stages["pack"] = read - started, self._clock() - read
        return row

    async def _ask(
        self, row: Row, signature: str, deadline: Deadline, trace: Trace
    ) -> tuple[Answer | None, Answer | None]:
        """Both models at once; `signature` is the regressor's. Raises `NoAnswer`."""
        asks = [
            (Branch.CLASSIFIER, _ask_for(self._outside.classifier, "packed", row)),
            (Branch.REGRESSOR, _ask_for(self._outside.regressor, signature, row)),
        ]
        timeout = deadline.for_call(now=self._clock())
        probability, log_premium = await ask_all(asks, timeout=timeout, clock=self._clock, trace=trace)
        trace.degraded = reasons(trace)
        refuse_nothing(trace)
        return probability, log_premium

    async def _questions(
        self, risk: Risk, row: Row, at: Cells, now: Answer, deadline: Deadline, trace: Trace
    ) -> tuple[Question, ...] | None:
        """None when little time is left, or when the model does not answer in its part of it."""
        left = deadline.for_call(now=self._clock())
        if left < LEAST_FOR_QUESTIONS_S:
            return None
        started = self._clock()
        fields = questions.open_fields(self._contract, row, risk.entities)
        tried = questions.tries(self._contract, row, fields, self._serving.typical)
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
        best = questions.rank(self._contract, self._serving, at, now, tried, np.concatenate(whole))
        trace.stages["merge"] += self._clock() - started
        return best

    def _answered(self, risk: Risk) -> tuple[str, ...]:
        """The paths of what was sent; an id that is a field of its own stands once."""
        return tuple(
            dict.fromkeys([*(self._paths[n] for n in risk.values), *(self._ids[entity] for entity in risk.entities)])
        )


def _ask_for(model: Model, signature: str, row: Row) -> Ask:
    return partial(_call, model, signature, row.numeric, row.categorical)


async def _call(model: Model, signature: str, numeric: np.ndarray, categorical: np.ndarray, timeout: float) -> Answer:
    return await model.predict(signature, numeric, categorical, timeout=timeout)


def _caveats(row: Row, trace: Trace) -> Caveats:
    complete = all(call.outcome is CallOutcome.OK for call in trace.calls)
    return Caveats(complete, trace.degraded, row.assumed, row.out_of_range)
