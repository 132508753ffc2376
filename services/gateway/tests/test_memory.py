"""The same quote has the same answer for as long as the same bundle prices it."""

import json
from typing import Any

import numpy as np
from httpx2 import AsyncClient, Response
from support import BY_IDS, LOG_PREMIUM, QUOTE, FakeRemembered, World, classifier, client, regressor

NAMED = QUOTE | {"quote_id": "q-1"}


def world() -> World:
    """One that remembers."""
    return World(remembered=FakeRemembered())


def kept(of: World) -> int:
    """How many answers are remembered."""
    assert of.remembered is not None
    return len(of.remembered.kept)


async def post(ask: AsyncClient, body: Any, query: str = "") -> Response:
    """One quote."""
    return await ask.post(f"/v1/quotes{query}", json=body)


async def test_a_quote_that_is_asked_for_again_has_the_same_answer() -> None:
    """Byte by byte, although the models would say something else now."""
    of = world()
    async with client(of) as ask:
        first = await post(ask, NAMED)
        of.regressor.answers = of.regressor.answers | {"packed": LOG_PREMIUM + 1.0}
        second = await post(ask, NAMED)

    assert first.content == second.content


async def test_it_is_the_same_question_however_it_is_written() -> None:
    """The order of fields and blanks say nothing."""
    of = world()
    written = json.dumps(dict(reversed(NAMED.items())), indent=2)
    async with client(of) as ask:
        first = await post(ask, NAMED)
        second = await ask.post("/v1/quotes", content=written, headers={"Content-Type": "application/json"})

    assert (first.content, 1) == (second.content, kept(of))


async def test_another_question_under_the_same_name_is_another() -> None:
    """It is priced, not answered with something that was not asked."""
    of = world()
    async with client(of) as ask:
        await post(ask, NAMED)
        await post(ask, BY_IDS | {"quote_id": "q-1"})
        await post(ask, NAMED | {"ipt_rate": 0.2})
        await post(ask, NAMED | {"insurers": ["i-0002"]})
        await post(ask, NAMED, "?layout=columns")

    assert 5 == kept(of)


async def test_what_nobody_can_ask_for_again_is_not_remembered() -> None:
    """Its id was made up here."""
    of = world()
    async with client(of) as ask:
        await post(ask, QUOTE)

    assert 0 == kept(of)


async def test_half_an_answer_is_not_remembered() -> None:
    """The next may be whole, and that one is."""
    of = world()
    of.regressor = regressor("error")
    async with client(of) as ask:
        half = (await post(ask, NAMED)).json()
        before = kept(of)
        of.regressor.behaviour = "ok"
        whole = (await post(ask, NAMED)).json()

    assert (False, True) == (half["complete"], whole["complete"])
    assert (0, 1) == (before, kept(of))


async def test_what_was_answered_is_answered_without_any_model() -> None:
    """A remembered answer is whole when a new one could not even be half."""
    of = world()
    async with client(of) as ask:
        first = await post(ask, NAMED)
        of.classifier.behaviour = of.regressor.behaviour = "error"
        second, other = await post(ask, NAMED), await post(ask, QUOTE)

    assert (200, first.content, 503) == (second.status_code, second.content, other.status_code)


async def test_without_a_store_for_it_every_quote_is_priced() -> None:
    """And answered."""
    of = World(remembered=FakeRemembered(is_down=True), classifier=classifier())
    async with client(of) as ask:
        answers = [await post(ask, NAMED) for _ in range(2)]

    assert [200, 200] == [answer.status_code for answer in answers]
    assert np.array_equal(*[answer.json()["insurers"] for answer in answers])
