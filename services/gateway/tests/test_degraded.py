"""What is answered when parts fail: every combination of two models and the feature store."""

import itertools
import time
from collections.abc import Callable

import pytest
from support import BY_IDS, FakeFeatures, World, classifier, client, regressor

from gateway.domain.reasons import OF_CALLS, OF_READS, Branch, CallOutcome, Reason

BUDGET_MS = 80
LATE_MS = 400  # what a busy machine may add; what is shown is that nothing waits for longer than it is told

FEATURES: dict[str, tuple[Callable[[], FakeFeatures], list[str]]] = {
    "ok": (FakeFeatures, []),
    "slow": (lambda: FakeFeatures("unavailable", slow=True), ["features_unavailable"]),
    "down": (lambda: FakeFeatures("unavailable"), ["features_unavailable"]),
}
FAULTS = {"ok": None, "slow": "timeout", "error": "unavailable", "rubbish": "unavailable"}
CASES = list(itertools.product(FAULTS, FAULTS, FEATURES))


def expected_status(first: str, second: str) -> int:
    """200 when a model answers; else 504 when time was the reason, else 503."""
    if "ok" in (first, second):
        return 200
    return 504 if "slow" in (first, second) else 503


@pytest.mark.parametrize(("first", "second", "store"), CASES)
async def test_a_quote_says_what_it_lacks(first: str, second: str, store: str) -> None:
    """Status, reasons, the half that is there and the metrics, inside the budget."""
    features, store_reasons = FEATURES[store]
    world = World(classifier(first), regressor(second), features())
    async with client(world) as ask:
        started = time.monotonic()
        answer = await ask.post("/v1/quotes", json=BY_IDS, headers={"X-Request-Timeout-Ms": str(BUDGET_MS)})
        took_ms = 1000 * (time.monotonic() - started)

    status = expected_status(first, second)
    lacks = [f"{name}_{FAULTS[f]}" for name, f in (("classifier", first), ("regressor", second)) if FAULTS[f]]
    assert (status, True) == (answer.status_code, took_ms < BUDGET_MS + LATE_MS)
    assert all(0 < timeout <= 0.2 * BUDGET_MS / 1000 for timeout in world.features.timeouts)
    for model in (world.classifier, world.regressor):
        assert all(0.002 <= timeout <= (BUDGET_MS - 2) / 1000 for timeout in model.timeouts)
    for reason in lacks + store_reasons:
        assert 1 == world.count("ballpark_degraded_total", reason=reason)
    assert 1 == world.count("ballpark_requests_total", route="/v1/quotes", outcome=str(status))
    if status == 200:
        body = answer.json()
        assert (not lacks, lacks + store_reasons) == (body["complete"], body["degraded"])
        assert all((row["status"] == "unknown") == (first != "ok") for row in body["insurers"])
        assert all((row["probability"] is None) == (first != "ok") for row in body["insurers"])
        assert all((row["premium"] is None) == (second != "ok") for row in body["insurers"])
        assert (body["panel"]["likely"] is None) == (first != "ok")
        assert (body["panel"]["cheapest"] is None) == ("ok" != first or "ok" != second)


@pytest.mark.parametrize(("first", "second", "store"), CASES)
async def test_a_ballpark_says_what_it_lacks(first: str, second: str, store: str) -> None:
    """The same promises for the other call."""
    features, store_reasons = FEATURES[store]
    world = World(classifier(first), regressor(second), features())
    async with client(world) as ask:
        answer = await ask.post("/v1/ballpark", json=BY_IDS, headers={"X-Request-Timeout-Ms": str(BUDGET_MS)})

    assert expected_status(first, second) == answer.status_code
    if answer.status_code == 200:
        body = answer.json()
        lacks = [f"{name}_{FAULTS[f]}" for name, f in (("classifier", first), ("regressor", second)) if FAULTS[f]]
        assert (not lacks, lacks + store_reasons) == (body["complete"], body["degraded"])
        assert (body["likely_insurers"] is None) == (first != "ok")
        assert (body["cheapest"] is None) == (body["mean_of_five_cheapest"] is None) == (second != "ok")


@pytest.mark.parametrize(
    ("outcome", "reasons"),
    [
        ("hit", []),
        ("cached", []),
        ("stale", ["features_stale"]),
        ("expired", ["features_missing", "features_stale"]),
        ("miss", ["features_unknown_entity"]),
        ("unavailable", ["features_unavailable"]),
    ],
)
async def test_every_outcome_of_a_read_has_its_reasons(outcome: str, reasons: list[str]) -> None:
    """200 and complete: the models have learnt to answer without these features."""
    world = World(features=FakeFeatures(outcome))
    async with client(world) as ask:
        body = (await ask.post("/v1/quotes", json=BY_IDS)).json()

    assert (True, reasons) == (body["complete"], body["degraded"])
    assert 1 == world.count("ballpark_feature_reads_total", entity="vehicle", outcome=outcome)


async def test_a_tiny_budget_asks_nobody_in_vain() -> None:
    """With less than 2 ms left for a call none is made, and the series say so."""
    world = World(features=FakeFeatures("unavailable", slow=True))
    async with client(world) as ask:
        answer = await ask.post("/v1/quotes", json=BY_IDS, headers={"X-Request-Timeout-Ms": "5"})

    calls = [*world.classifier.timeouts, *world.regressor.timeouts]
    assert all(0.002 <= timeout <= 0.004 for timeout in calls)
    if answer.status_code == 504:
        assert world.count(
            "ballpark_branch_calls_total", branch="regressor", track="stable", outcome="skipped_no_budget"
        )


def test_every_end_of_a_call_has_its_reason() -> None:
    """A new outcome cannot come without a word for it."""
    assert {(b, o) for b in Branch for o in CallOutcome if o is not CallOutcome.OK} == set(OF_CALLS)
    assert {reason for reasons in OF_READS.values() for reason in reasons} <= set(Reason)
