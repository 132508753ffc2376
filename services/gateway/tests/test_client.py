"""The client that the website uses, against the app itself: what one side says, the other understands."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import httpx2
import pytest
from support import ALL, BY_IDS, INSURERS, KEY, World, classifier, regressor, running

from ballpark_client import AsyncClient, BadCall, BallparkError, Busy, NotAllowed, QuotaUsed, TooLate
from gateway.domain.keys import Quota

RISK: Any = BY_IDS["risk"]


@asynccontextmanager
async def asking(world: World, key: str = KEY) -> AsyncIterator[AsyncClient]:
    """A client of a running app."""
    async with (
        running(world) as app,
        AsyncClient("http://gateway", key, transport=httpx2.ASGITransport(app=app)) as client,
    ):
        yield client


async def test_every_call_is_understood() -> None:
    """Rows and columns have the same values; what is in force can be read."""
    async with asking(World()) as ballpark:
        rows = await ballpark.quotes(RISK, quote_id="q-1", budget_s=2)
        columns = await ballpark.quotes_columns(RISK, quote_id="q-1", budget_s=2)
        band = await ballpark.ballpark(RISK, budget_s=2)
        contract, models = await ballpark.contract(), await ballpark.models()

    assert "q-1" == rows.quote_id == columns.quote_id
    assert [(r.insurer, r.premium, r.low) for r in rows.insurers] == list(
        zip(columns.insurers.insurer, columns.insurers.premium, columns.insurers.low, strict=True)
    )
    assert band.cheapest is not None
    assert INSURERS == models.insurers
    assert models.contract == contract.fingerprint


async def test_a_subset_comes_in_its_order() -> None:
    """Every argument arrives."""
    async with asking(World()) as ballpark:
        answer = await ballpark.quotes(RISK, insurers=["i-0003", "i-0001"], ipt_rate=0.2, subject="s-1", budget_s=2)

    assert ["i-0003", "i-0001"] == [row.insurer for row in answer.insurers]


@pytest.mark.parametrize("broken", ["classifier", "regressor"])
async def test_a_partial_answer_is_an_answer(broken: str) -> None:
    """The missing half is None, and the reason is there."""
    world = World(
        classifier("error" if broken == "classifier" else "ok"), regressor("error" if broken == "regressor" else "ok")
    )
    async with asking(world) as ballpark:
        answer = await ballpark.quotes(RISK, budget_s=2)

    row = answer.insurers[0]
    assert (False, (f"{broken}_unavailable",)) == (answer.complete, answer.degraded)
    assert (broken == "classifier", broken == "regressor") == (row.probability is None, row.premium is None)


@pytest.mark.parametrize(
    ("world", "key", "risk", "error"),
    [
        (World(), KEY, {"driver": {"age": 12}}, BadCall),
        (World(), "stranger", RISK, NotAllowed),
        (World(keys=(replace(ALL, scopes=frozenset()),)), KEY, RISK, NotAllowed),
        (World(keys=(replace(ALL, quota=Quota(1, 1)),)), KEY, RISK, QuotaUsed),
        (World(classifier("error"), regressor("error")), KEY, RISK, Busy),
        (World(classifier("slow"), regressor("slow")), KEY, RISK, TooLate),
    ],
)
async def test_a_problem_is_its_error(world: World, key: str, risk: Any, error: type[BallparkError]) -> None:
    """By what the website can do about it."""
    async with asking(world, key) as ballpark:
        if error is QuotaUsed:
            await ballpark.quotes(risk, budget_s=2)
        with pytest.raises(error):
            await ballpark.quotes(risk, budget_s=0.2)
