"""The panel's best price from few answers, and which question to ask next."""

import itertools

import numpy as np
import pytest
from support import (
    BY_IDS,
    LOG_PREMIUM,
    MOTOR,
    PANEL,
    QUOTE,
    FakeFeatures,
    FakeModel,
    World,
    classifier,
    client,
    ranges_file,
    regressor,
    serving,
)

from feature_store.layout import entity_layout
from gateway.domain.deadline import Deadline
from gateway.domain.risk import BallparkRequest, Risk
from gateway.domain.serving import Typical
from gateway.domain.trace import Trace
from gateway.ports import Answer, Categorical, Numeric
from gateway.pricing.pricer import Outside, Pricer
from gateway.pricing.questions import ROWS_A_CALL
from kit.ranges import Ranges

COLUMN = {f.name: i for part in (MOTOR.numeric, MOTOR.categorical) for i, f in enumerate(part)}


class Narrowing(FakeModel):
    """A panel model whose band is 0.3 log pounds to each side, and half of it once the no-claims bonus is known."""

    async def predict(self, signature: str, numeric: Numeric, categorical: Categorical, *, timeout: float) -> Answer:
        """As the port says."""
        answer = await super().predict(signature, numeric, categorical, timeout=timeout)
        if signature != "panel":
            return answer
        known = np.where(np.isnan(numeric[:, COLUMN["ncd_years"]]), 1.0, 0.5)[:, np.newaxis, np.newaxis]
        middle = PANEL[np.newaxis, :, 1:2]
        narrowed: Answer = middle + known * (PANEL[np.newaxis] - middle)
        return narrowed


def narrowing() -> Narrowing:
    """One that also answers the other signatures."""
    return Narrowing(packed=LOG_PREMIUM, panel=PANEL)


async def test_the_answer_has_the_documented_form() -> None:
    """Both figures with bands, the count, what was sent, and the assumptions."""
    async with client() as ask:
        body = (await ask.post("/v1/ballpark", json=BY_IDS)).json()

    assert {"premium": 400.0, "low": 268.13, "high": 596.73} == body["cheapest"]
    assert 470.0 == body["mean_of_five_cheapest"]["premium"]
    assert 4.4 == body["likely_insurers"]["expected"]
    assert ["driver.age", "driver.licence_years", "area.sector", "vehicle.vehicle_id"] == body["answered"]
    assert {"cover.cover": "comprehensive", "cover.voluntary_excess": 250} == body["assumed"]


async def test_a_risk_out_of_range_has_figures_without_bands() -> None:
    """Neither the prices' nor the count's: calibration promises nothing there."""
    ranges = Ranges.read(ranges_file(box={"age": [40, 99]}), MOTOR)
    async with client(World(serving=serving(ranges=ranges))) as ask:
        body = (await ask.post("/v1/ballpark", json=QUOTE)).json()

    assert ["driver.age"] == body["out_of_range"]
    assert {"premium": 400.0, "low": None, "high": None} == body["cheapest"]
    assert {"premium": 470.0, "low": None, "high": None} == body["mean_of_five_cheapest"]
    assert {"expected": 4.4, "low": None, "high": None} == body["likely_insurers"]


async def test_a_risk_out_of_range_has_no_questions() -> None:
    """No answer narrows a band that is not there, and no model is asked about it."""
    world = World(serving=serving(ranges=Ranges.read(ranges_file(box={"age": [40, 99]}), MOTOR)), regressor=narrowing())
    async with client(world) as ask:
        body = (await ask.post("/v1/ballpark", json=QUOTE)).json()

    assert (True, None) == (body["complete"], body["next_questions"])
    assert 1 == len(world.regressor.rows)


async def test_the_best_question_comes_first() -> None:
    """The field that narrows the band is named with by how much; those that do not are not."""
    async with client(World(regressor=narrowing())) as ask:
        (question,) = (await ask.post("/v1/ballpark", json=QUOTE)).json()["next_questions"]

    width_now, width_then = (np.exp(reach + 0.1) - np.exp(-reach - 0.1) for reach in (0.3, 0.15))
    assert "driver.ncd_years" == question["field"]
    assert pytest.approx(1 - width_then / width_now, abs=0.001) == question["narrows_band_by"]


async def test_what_is_known_is_not_asked() -> None:
    """Neither what was sent nor what the store knows about the car that was named."""
    world = World(regressor=narrowing())
    risk = {"driver": {"age": 30, "ncd_years": 3}, "vehicle": {"vehicle_id": "v-00123"}}
    async with client(world) as ask:
        body = (await ask.post("/v1/ballpark", json={"risk": risk})).json()
    tried = np.concatenate([numeric for numeric, _ in world.regressor.rows[1:]])

    assert [] == body["next_questions"]
    assert {3.0} == set(tried[:, COLUMN["ncd_years"]])
    assert 1 == len(set(tried[:, COLUMN["vehicle_group"]]))


async def test_a_car_that_the_store_cannot_tell_is_not_asked_about_again() -> None:
    """The person has named it; its fields may not be sent beside its id."""
    world = World(regressor=narrowing(), features=FakeFeatures("unavailable"))
    risk = {"driver": {"age": 30}, "vehicle": {"vehicle_id": "v-00123"}}
    async with client(world) as ask:
        await ask.post("/v1/ballpark", json={"risk": risk})
    tried = np.concatenate([numeric for numeric, _ in world.regressor.rows[1:]])

    assert np.isnan(tried[:, COLUMN["vehicle_group"]]).all()


async def test_questions_are_tried_in_calls_that_a_server_takes() -> None:
    """Many fields with many values are cut into batches below a server's limit."""
    many = {f.name: tuple(Typical(f.maximum, 0.2) for _ in range(5)) for f in MOTOR.numeric}
    world = World(regressor=narrowing(), serving=serving(typical=many))
    async with client(world) as ask:
        await ask.post("/v1/ballpark", json=QUOTE, headers={"X-Request-Timeout-Ms": "2000"})
    sizes = [len(numeric) for numeric, _ in world.regressor.rows]

    of_area = sum(f.is_numeric for f in MOTOR.fields_of("area"))
    asked = len(MOTOR.numeric) - 2 - of_area  # the age was sent, the excess is assumed, the sector tells the rest
    assert 5 * asked == sum(sizes) - 1
    assert max(sizes) <= ROWS_A_CALL


async def test_without_time_there_are_no_questions() -> None:
    """A price in time is worth more."""
    world = World(regressor=narrowing())
    async with client(world) as ask:
        answer = await ask.post("/v1/ballpark", json=QUOTE, headers={"X-Request-Timeout-Ms": "10"})

    assert 1 == len(world.regressor.rows)
    assert (True, None) == (answer.json()["complete"], answer.json()["next_questions"])


async def test_failing_questions_do_not_spoil_the_answer() -> None:
    """The price is there; what to ask next is left out."""
    world = World(regressor=narrowing())

    class FailsLater(Narrowing):
        async def predict(
            self, signature: str, numeric: Numeric, categorical: Categorical, *, timeout: float
        ) -> Answer:
            self.behaviour = "error" if self.rows else "ok"
            return await super().predict(signature, numeric, categorical, timeout=timeout)

    world.regressor = FailsLater(packed=LOG_PREMIUM, panel=PANEL)
    async with client(world) as ask:
        world.regressor.rows.clear()
        body = (await ask.post("/v1/ballpark", json=QUOTE)).json()

    assert (True, [], None) == (body["complete"], body["degraded"], body["next_questions"])
    assert 400.0 == body["cheapest"]["premium"]


async def test_without_a_price_no_question_is_known() -> None:
    """Nothing was computed: that is not the same as nothing being worth asking."""
    async with client(World(regressor=regressor("error"))) as ask:
        body = (await ask.post("/v1/ballpark", json=QUOTE)).json()

    assert body["next_questions"] is None


async def test_ranking_is_timed() -> None:
    """As part of the merge: every reading of this clock is a second after the one before."""
    ticks = itertools.count()
    layouts = {entity.name: entity_layout(MOTOR, entity.name) for entity in MOTOR.entities}
    outside = Outside(FakeFeatures(), classifier(), narrowing())
    pricer = Pricer(MOTOR, serving(), outside, layouts, lambda: float(next(ticks)))
    trace = Trace()
    await pricer.ballpark(BallparkRequest(Risk({"age": 30})), Deadline.after(1000.0, now=0.0), trace)

    assert 4.0 == trace.stages["merge"]  # looking up, trying, ranking, merging
