"""What must be true of every answer in the course of a fault, and when must it be over?"""

import math
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import httpx2
from chaos.load import BUDGET_MS, Answer, Background, Load, steady
from chaos.processes import Gateway, until
from jsonschema import Draft202012Validator

REASONS: Final = frozenset(
    {f"{branch}_{how}" for branch in ("classifier", "regressor") for how in ("timeout", "unavailable")}
    | {f"features_{how}" for how in ("missing", "stale", "unavailable", "unknown_entity")}
    | {"calibration_missing"}
)
"""The closed list of the API."""

LATEST: Final = 20
"""So many answers in a row show how the gateway is."""

OF_A_KIND: Final = 10
LEAST_SLACK_S: Final = 0.1
"""The client's part of an answer's time, on a machine that does other things too."""

OF_STARVATION: Final = REASONS - {
    "features_missing",
    "features_stale",
    "features_unknown_entity",
    "calibration_missing",
}
"""What a process that is not run for a while cannot have in time, or does not ask for again at once; then it says so, as is promised."""


@dataclass
class Course:
    """A load, before, during and after one fault."""

    load: Load
    openapi: dict[str, Any]
    began: float = 0.0
    hurt_at: float = math.inf
    broken_at: float = math.inf
    mending_at: float = math.inf
    mended_at: float = math.inf
    back_after_s: float = 0.0
    back_within_s: float = math.inf

    def before(self) -> list[Answer]:
        """While all was well."""
        return self.load.between(self.began, self.hurt_at - self.load.budget_ms / 1000)

    def during(self, *, after_s: float = 0.0) -> list[Answer]:
        """Asked while it was broken, `after_s` seconds after it broke or later, and answered before it was mended."""
        found = self.load.between(self.broken_at + after_s, self.mending_at - self.load.budget_ms / 1000)
        assert found, "nothing was answered in that time"
        return found

    @contextmanager
    def hurt(self, harm: Callable[[], object], mend: Callable[[], object]) -> Iterator[None]:
        """The block runs while it is broken; it is mended whatever happens."""
        self.hurt_at = time.monotonic()
        try:
            harm()
            self.broken_at = time.monotonic()
            yield
        finally:
            self.mending_at = time.monotonic()
            mend()
            self.mended_at = time.monotonic()

    def goes_on(self, seconds: float) -> None:
        """Until so many seconds of the fault are over, and as many answers have come as fit into them at least by half."""
        until(
            lambda: (
                time.monotonic() > self.broken_at + seconds
                and len(self.load.between(self.broken_at)) > seconds * self.load.rate / 2
            ),
            within_s=seconds + 20,
            what="the load",
        )

    def is_back(self, *, within_s: float) -> None:
        """Answers are whole again, and stay so."""

        def latest() -> list[Answer]:
            return sorted(self.load.between(self.mended_at), key=lambda one: one.asked_at)[-LATEST:]

        until(lambda: is_well(latest()), within_s=within_s + 15, what="whole answers")
        self.back_after_s, self.back_within_s = latest()[0].asked_at - self.mended_at, within_s

    def check(self, *, statuses: Collection[int] = (), reasons: Collection[str] = ()) -> None:
        """Everything that holds for every single answer from the beginning to the end, whatever was broken."""
        every = list(self.load.answers)
        assert 0 == self.load.not_sent
        self.nearly_all(self.before(), lambda one: one.is_whole)
        self.nearly_all(every, lambda one: is_foreseen(one, statuses, reasons))
        none(every, lambda one: not (is_foreseen(one, statuses, reasons) or is_of_starvation(one, reasons)))
        none(every, lambda one: not one.reasons <= REASONS)
        check_schemas(every, self.openapi)
        check_prices(every)
        self.check_times()
        assert self.back_after_s < self.back_within_s or self.load.forgiven == 1.0, (
            f"back after {self.back_after_s:.1f} s"
        )

    def check_times(self) -> None:
        """Nobody waits longer than the budget, and what a client needs for itself: as much as in the slowest answer of a healthy gateway."""
        slack_s = max(LEAST_SLACK_S, max((one.took_s for one in self.before()), default=0.0))
        self.nearly_all(self.load.answers, lambda one: one.took_s <= self.load.budget_ms / 1000 + slack_s)

    def nearly_all(self, answers: Collection[Answer], is_right: Callable[[Answer], bool]) -> None:
        """So it is with each of them, but for those that the machine has held up."""
        nearly_all(answers, is_right, forgiven=self.load.forgiven)


def is_foreseen(one: Answer, statuses: Collection[int], reasons: Collection[str]) -> bool:
    """Whether it is what this fault may cost."""
    return one.status in {200, *statuses} and one.reasons <= set(reasons)


def is_of_starvation(one: Answer, reasons: Collection[str]) -> bool:
    """Whether it is what a process that is not run for a while may cost besides."""
    if one.status == 200:
        return one.reasons <= {*reasons, *OF_STARVATION}
    return one.status in (503, 504)


def is_well(latest: Collection[Answer]) -> bool:
    """Whether all these, except for one at most, lack nothing."""
    return len(latest) == LATEST and sum(one.is_whole for one in latest) >= LATEST - 1


def nearly_all(answers: Collection[Answer], is_right: Callable[[Answer], bool], *, forgiven: float) -> None:
    """So it is with each of them, but for this share."""
    wrong = [one for one in answers if not is_right(one)]
    assert len(wrong) <= max(1.0, forgiven * len(answers)), f"{first(wrong, answers)}; {forgiven:.2f} are forgiven"


def none(answers: Collection[Answer], is_wrong: Callable[[Answer], bool]) -> None:
    """So it is with none of them."""
    wrong = [one for one in answers if is_wrong(one)]
    assert not wrong, first(wrong, answers)


def first(wrong: Collection[Answer], of: Collection[Answer]) -> str:
    """The first wrong one in words, and how many there are."""
    return f"{len(wrong)} of {len(of)}, the first one: {next(iter(wrong), None)}"


def check_schemas(answers: Collection[Answer], openapi: dict[str, Any]) -> None:
    """The bodies are what the OpenAPI document says for their status: of each kind the first ones, for a thousand alike say no more."""
    kinds: dict[tuple[int, bool, frozenset[str]], list[Answer]] = {}
    for one in answers:
        kinds.setdefault((one.status, one.is_complete, one.reasons), []).append(one)
    for (status, *_), alike in kinds.items():
        if status:
            validator = validator_of(openapi, status)
            for one in alike[:OF_A_KIND]:
                wrong = next(validator.iter_errors(one.body), None)
                assert wrong is None, f"{one}: {wrong}"


def validator_of(openapi: dict[str, Any], status: int) -> Draft202012Validator:
    """Of the bodies of a quote's answers with this status."""
    media = "application~1json" if status == 200 else "application~1problem+json"
    where = f"#/paths/~1v1~1quotes/post/responses/{status}/content/{media}/schema"
    return Draft202012Validator({**openapi, "$ref": where})


def check_prices(answers: Collection[Answer]) -> None:
    """Whoever asks the same hears the same prices, whatever is broken; and hears none that belong to somebody else."""
    heard: dict[int, set[tuple[float, ...]]] = {}
    for one in answers:
        if one.status == 200 and one.body["insurers"][0]["premium"] is not None:
            heard.setdefault(one.age, set()).add(tuple(row["premium"] for row in one.body["insurers"]))
    assert {1} >= {len(prices) for prices in heard.values()}, heard
    assert len(heard) == len({prices for each in heard.values() for prices in each}), "two ages with the same prices"


@cache
def openapi_of(url: str) -> dict[str, Any]:
    """What a gateway says that it answers."""
    found: dict[str, Any] = httpx2.get(f"{url}/openapi.json").json()
    return found


@contextmanager
def course(background: Background, gateway: Gateway, **load: Any) -> Iterator[Course]:
    """A steady load on a gateway that is well; the block breaks and mends something."""
    openapi = openapi_of(gateway.url)
    with steady(background, gateway.url, **{"budget_ms": BUDGET_MS, **load}) as running:
        made = Course(running, openapi, began=time.monotonic())

        until(lambda: is_well(running.answers[-LATEST:]), within_s=30, what="a gateway that is well")
        made.began = running.answers[-LATEST].asked_at
        yield made
