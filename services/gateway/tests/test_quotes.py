"""The answer to a quote as the website reads it."""

from typing import Any

from httpx2 import AsyncClient
from support import BY_IDS, INSURERS, MOTOR, QUOTE, World, client, ranges_file, regressor, serving

from kit.ranges import Ranges


async def answer(ask: AsyncClient, body: Any, query: str = "") -> Any:
    """The answer's JSON."""
    return (await ask.post(f"/v1/quotes{query}", json=body)).json()


async def test_the_answer_has_the_documented_form() -> None:
    """One row for each insurer of the panel, in the bundle's order, and what every answer says of itself."""
    async with client() as ask:
        body = await answer(ask, BY_IDS | {"quote_id": "q-1"})

    head = {name: value for name, value in body.items() if name not in ("insurers", "panel")}
    assert {
        "quote_id": "q-1",
        "bundle": "2026-01-01.1",
        "currency": "GBP",
        "level": 0.8,
        "complete": True,
        "degraded": [],
        "assumed": {"cover.cover": "comprehensive", "cover.voluntary_excess": 250},
        "out_of_range": [],
    } == head
    assert list(INSURERS) == [row["insurer"] for row in body["insurers"]]
    first = {
        "insurer": "i-0001",
        "status": "likely",
        "probability": 0.9,
        "premium": 700.0,
        "low": 518.57,
        "high": 944.9,
    }
    assert first == body["insurers"][0]
    assert {"likely": 5, "mean_of_five_cheapest": 614.29} == {
        n: body["panel"][n] for n in ("likely", "mean_of_five_cheapest")
    }
    assert {"insurer": "i-0005", "premium": 528.57, "low": 391.58, "high": 713.5} == body["panel"]["cheapest"]


async def test_columns_have_the_rows_values() -> None:
    """The two layouts differ in form only, whole or in part, degraded or not."""
    for world in (World(), World(regressor=regressor("error"))):
        async with client(world) as ask:
            for extra in ({}, {"insurers": ["i-0007", "i-0002"]}):
                rows = (await answer(ask, QUOTE | extra))["insurers"]
                columns = (await answer(ask, QUOTE | extra, "?layout=columns"))["insurers"]

                assert {name: [row[name] for row in rows] for name in rows[0]} == columns


async def test_the_same_quote_is_the_same_answer() -> None:
    """Nothing in it is drawn by lot, except an id that was left out."""
    async with client() as ask:
        first, second = [await answer(ask, QUOTE | {"quote_id": "q-1"}) for _ in range(2)]
        third = await answer(ask, QUOTE)

    assert first == second
    assert third["quote_id"] not in ("q-1", (first | third)["bundle"])


async def test_a_code_that_nobody_has_seen_is_named() -> None:
    """It is priced as not known, and the caller is told."""
    async with client() as ask:
        body = await answer(ask, {"risk": {"driver": {"age": 30, "occupation": "occ-99"}}})

    assert ["driver.occupation"] == body["out_of_range"]


def narrow() -> World:
    """A bundle whose models have learnt from drivers of 25 and more."""
    return World(serving=serving(ranges=Ranges.read(ranges_file(box={"age": [25, 99]}), MOTOR)))


async def test_a_risk_out_of_range_has_prices_without_intervals() -> None:
    """Calibration promises nothing there; what the models say stays, in both layouts and in the panel."""
    body = {"risk": {"driver": {"age": 20}}}
    async with client(narrow()) as ask:
        rows, columns = [await answer(ask, body | {"quote_id": "q-1"}, query) for query in ("", "?layout=columns")]

    assert ["driver.age"] == rows["out_of_range"]
    assert (True, []) == (rows["complete"], rows["degraded"])
    assert {"insurer": "i-0005", "premium": 528.57, "low": None, "high": None} == rows["panel"]["cheapest"]
    assert {(None, None)} == {(row["low"], row["high"]) for row in rows["insurers"]}
    assert 700.0 == rows["insurers"][0]["premium"]
    assert {name: [row[name] for row in rows["insurers"]] for name in rows["insurers"][0]} == columns["insurers"]


async def test_alarms_are_counted_by_kind() -> None:
    """A site that sends another unit shows, and no value does."""
    world = narrow()
    async with client(world) as ask:
        await answer(ask, {"risk": {"driver": {"age": 20, "occupation": "occ-99"}}})
        await answer(ask, QUOTE)

    assert {"box": 1, "joint": 0, "code": 1} == {
        kind: world.count("ballpark_out_of_range_total", kind=kind) for kind in ("box", "joint", "code")
    }


async def test_the_store_is_asked_once_and_only_when_needed() -> None:
    """One read for both entities; none for a request by attributes."""
    world = World()
    async with client(world) as ask:
        await answer(ask, BY_IDS)
        await answer(ask, QUOTE)

    assert 1 == len(world.features.timeouts)
    assert world.features.timeouts[0] <= 0.02


async def test_everything_is_measured() -> None:
    """Stages, calls, reads and requests have their series; the bundle is named."""
    world = World()
    async with client(world) as ask:
        await answer(ask, BY_IDS)

    for stage in ("admit", "read", "features", "pack", "classifier", "regressor", "merge", "write"):
        assert 1 == world.count("ballpark_stage_duration_seconds_count", stage=stage)
    for branch in ("classifier", "regressor"):
        assert 1 == world.count("ballpark_branch_calls_total", branch=branch, track="stable", outcome="ok")
        assert 1 == world.count("ballpark_branch_duration_seconds_count", branch=branch, track="stable")
    assert 1 == world.count("ballpark_requests_total", route="/v1/quotes", outcome="200")
    assert 1 == world.count("ballpark_request_duration_seconds_count", route="/v1/quotes")
    assert 1 == world.count("ballpark_bundle_info", bundle="2026-01-01.1", track="stable")
    assert 0 == world.count("ballpark_in_flight")
