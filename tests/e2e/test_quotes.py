"""A running fleet answers."""

import json
import subprocess

import psutil
import pyarrow.parquet as pq
from e2e.fleets import HOME, RISK, Fleet

from kit import contract

MEGABYTE = 1_000_000


def test_the_printed_command_is_answered_by_sixty_insurers(fleet: Fleet) -> None:
    """Copying what the fleet prints gives a complete quote."""
    done = subprocess.run(["bash", "-c", fleet.curl], capture_output=True, check=True)
    answer = json.loads(done.stdout)

    assert (True, [], 60) == (answer["complete"], answer["degraded"], len(answer["insurers"]))


def test_columns_hold_what_rows_hold(fleet: Fleet) -> None:
    """`?layout=columns` is the same answer, turned."""
    rows = fleet.post("/v1/quotes", {"risk": RISK}).body["insurers"]
    columns = fleet.post("/v1/quotes?layout=columns", {"risk": RISK}).body["insurers"]

    assert rows == [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def test_a_car_by_id_is_the_car_by_its_attributes(fleet: Fleet) -> None:
    """What the feature store knows of a car, sent as answers instead, gives the same quotes to the penny."""
    by_id = {"vehicle_id": "v-01234", "modified": "none"}
    stored = pq.read_table(
        HOME / "market" / "vehicles.parquet", filters=[("vehicle_id", "=", by_id["vehicle_id"])]
    ).to_pylist()[0]
    by_attributes = {f.name: stored[f.name] for f in contract.load().fields_of("vehicle")} | {"modified": "none"}

    answers = [
        fleet.post("/v1/quotes", {"risk": {**RISK, "vehicle": vehicle}}).body for vehicle in (by_id, by_attributes)
    ]

    assert [[], []] == [answer["degraded"] for answer in answers]
    assert answers[0]["insurers"] == answers[1]["insurers"]


def test_a_ballpark_needs_only_an_age(fleet: Fleet) -> None:
    """One answer gives a band around the best price, and says what to ask next."""
    answer = fleet.post("/v1/ballpark", {"risk": {"driver": {"age": 23}}}).body

    assert answer["complete"]
    assert 0 < answer["cheapest"]["low"] <= answer["cheapest"]["premium"] <= answer["cheapest"]["high"]
    assert answer["next_questions"]


def test_a_value_in_pence_is_priced_without_an_interval(fleet: Fleet) -> None:
    """A car by its attributes, its value a hundred times too high: the field is named, prices stand, and no band pretends to hold."""
    value = 2_000 * 100  # pence; the contract allows 250,000 pounds
    vehicle = {"make": "mk-01", "fuel": "petrol", "vehicle_group": 8, "vehicle_age": 11, "vehicle_value": value}
    risk = {**RISK, "vehicle": {**vehicle, "modified": "none"}}

    rows = fleet.post("/v1/quotes", {"risk": risk}).body
    columns = fleet.post("/v1/quotes?layout=columns", {"risk": risk}).body

    assert "vehicle.vehicle_value" in rows["out_of_range"]
    assert all(row["premium"] > 0 and row["low"] is row["high"] is None for row in rows["insurers"])
    assert [None] * 60 == columns["insurers"]["low"] == columns["insurers"]["high"]


def test_the_gateway_holds_no_tensorflow(fleet: Fleet) -> None:
    """Nothing of TensorFlow is mapped into the process that answers requests, and it is small."""
    gateway = psutil.Process(fleet.pids()["gateway"])

    assert [] == [m.path for m in gateway.memory_maps() if "tensorflow" in m.path.lower()]
    assert gateway.memory_info().rss < 120 * MEGABYTE
