"""Which replicas of a branch are better left alone for a while?

A value that is told how each call ended. A replica is set aside

    failing   after `FAILURES_IN_A_ROW`, or when half of its latest calls failed; and only if twice as many as of the others'
    slow      when its calls take three times as long as those of the others, and longer than `LEAST_SLOW_S`

("The others" is their median) for a second at first, twice as long each time again, and at most `MOST_ASIDE_S`. Then it is on
probation: one call at a time, a copy whose answer nobody waits for, says whether it comes back. When all of them fail, the fault is
elsewhere, and fewer replicas would only make it worse: nobody is set aside then, and never more than half.

Durations are averaged as logarithms: one stall of a hundred times the usual counts for little, ten slow calls for a lot.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from statistics import median
from typing import Final, Self, TypedDict

FAILURES_IN_A_ROW: Final = 3
MOST_FAILED: Final = 0.5
MORE_THAN_OTHERS: Final = 2.0
LEAST_ANSWERS: Final = 20  # an average of fewer says nothing
WEIGHT: Final = 0.1  # of the latest call in its average
SLOWER: Final = 3.0
LEAST_SLOW_S: Final = 0.005
LOG_SLOWER: Final = math.log(SLOWER)
LOG_LEAST_SLOW: Final = math.log(LEAST_SLOW_S)
FIRST_ASIDE_S: Final = 1.0
MOST_ASIDE_S: Final = 4.0
FORGIVEN_AFTER_S: Final = 60.0


class Verdict(StrEnum):
    """What the end of a call says about the replica."""

    ANSWERED = "answered"
    FAILED = "failed"
    BUSY = "busy"  # it refused, because it has enough to do: no fault of its own
    UNCLEAR = "unclear"  # nothing


class Why(StrEnum):
    """Why a replica was set aside."""

    FAILING = "failing"
    SLOW = "slow"


@dataclass(frozen=True, slots=True)
class Record:
    """What is known of one replica; `log_s` is the average logarithm of its seconds, `failed` the share of its calls that failed."""

    answers: int = 0
    log_s: float = 0.0
    failed: float = 0.0
    failures_in_a_row: int = 0
    times_aside: int = 0
    back_since: float = -math.inf

    def answered(self, seconds: float) -> Self:
        """One more call was answered after so many seconds."""
        weight = max(WEIGHT, 1.0 / (self.answers + 1))
        log_s = self.log_s + weight * (_log(seconds) - self.log_s)
        failed = (1.0 - WEIGHT) * self.failed
        return type(self)(self.answers + 1, log_s, failed, 0, self.times_aside, self.back_since)

    def has_failed(self) -> Self:
        """One more call has failed."""
        failed = self.failed + WEIGHT * (1.0 - self.failed)
        return replace(self, failed=failed, failures_in_a_row=self.failures_in_a_row + 1)


@dataclass(frozen=True, slots=True)
class Outliers:
    """`aside` has the replicas to leave alone, each with the moment when its probation begins; `on_probation` those being tried.

    `set_aside` counts how often that happened, by reason. Times are seconds on any one clock that never goes back.
    """

    records: Mapping[str, Record] = field(default_factory=dict)
    aside: Mapping[str, float] = field(default_factory=dict)
    on_probation: frozenset[str] = frozenset()
    set_aside: Mapping[Why, int] = field(default_factory=lambda: dict.fromkeys(Why, 0))

    def among(self, replicas: Iterable[str]) -> Self:
        """The replicas are these from now on; what is known of those that stay is kept."""
        records = {name: self.records.get(name, Record()) for name in replicas}
        latest = sorted((until, name) for name, until in self.aside.items() if name in records)
        latest = latest[max(0, len(latest) - len(records) // 2) :]
        aside = {name: until for until, name in latest}
        return replace(self, records=records, aside=aside, on_probation=self.on_probation & aside.keys())

    def told(self, replica: str, verdict: Verdict, seconds: float, *, now: float) -> Self:
        """A call of a replica ended after so many seconds."""
        record = self.records.get(replica)
        if record is None or replica in self.aside or verdict in (Verdict.BUSY, Verdict.UNCLEAR):
            return self
        if verdict is Verdict.ANSWERED:
            record = record.answered(seconds)
            why = Why.SLOW if record.answers >= LEAST_ANSWERS and self._is_long(replica, record.log_s) else None
        else:
            record = record.has_failed()
            why = Why.FAILING if self._is_failing(replica, record) else None
        if why is None or len(self.aside) >= len(self.records) // 2:
            return type(self)({**self.records, replica: record}, self.aside, self.on_probation, self.set_aside)
        times_before = record.times_aside if now < record.back_since + FORGIVEN_AFTER_S else 0
        counted = {**self.set_aside, why: self.set_aside[why] + 1}
        return replace(self, set_aside=counted, **self._put_aside(replica, record, times_before + 1, now))

    def due(self, *, now: float) -> list[str]:
        """Who is aside for long enough, and not being tried yet."""
        return [name for name, until in self.aside.items() if now >= until and name not in self.on_probation]

    def tried(self, replica: str) -> Self:
        """The one call of a probation goes out."""
        return replace(self, on_probation=self.on_probation | {replica})

    def told_of_trial(self, replica: str, verdict: Verdict, seconds: float, *, now: float) -> Self:
        """The one call of a probation ended after so many seconds."""
        if replica not in self.on_probation:
            return self
        record, on_probation = self.records[replica], self.on_probation - {replica}
        if verdict is not Verdict.ANSWERED or self._is_long(replica, _log(seconds)):
            longer = self._put_aside(replica, record, record.times_aside + 1, now)
            return replace(self, on_probation=on_probation, **longer)
        fresh = Record(times_aside=record.times_aside, back_since=now)
        aside = {name: until for name, until in self.aside.items() if name != replica}
        return replace(self, records={**self.records, replica: fresh}, aside=aside, on_probation=on_probation)

    def _put_aside(self, replica: str, record: Record, times: int, now: float) -> "_Aside":
        pause = min(MOST_ASIDE_S, FIRST_ASIDE_S * 2.0 ** min(times - 1, 9))
        return {
            "records": {**self.records, replica: replace(record, times_aside=times)},
            "aside": {**self.aside, replica: now + pause},
        }

    def _is_failing(self, replica: str, record: Record) -> bool:
        if record.failures_in_a_row < FAILURES_IN_A_ROW and record.failed <= MOST_FAILED:
            return False
        others = [other.failed for other in self._others(replica)]
        return bool(others) and record.failed > MORE_THAN_OTHERS * median(others)

    def _is_long(self, replica: str, log_s: float) -> bool:
        """Whether so long is too long, beside the others."""
        if log_s <= LOG_LEAST_SLOW:
            return False
        others = [other.log_s for other in self._others(replica) if other.answers >= LEAST_ANSWERS]
        return bool(others) and log_s > median(others) + LOG_SLOWER

    def _others(self, replica: str) -> list[Record]:
        """What is known of the others that are in use."""
        return [record for name, record in self.records.items() if name != replica and name not in self.aside]


class _Aside(TypedDict):
    records: Mapping[str, Record]
    aside: Mapping[str, float]


def _log(seconds: float) -> float:
    return math.log(max(seconds, 1e-6))
