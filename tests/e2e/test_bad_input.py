"""What is outside the contract is refused, with the status of the contract and the name of the field."""

from typing import Any

import pytest
from e2e.fleets import Fleet

REFUSED: list[tuple[str, bytes | dict[str, Any], int, str]] = [
    ("an unknown field", {"risk": {"driver": {"age": 30, "shoe_size": 9}}}, 422, "risk.driver.shoe_size"),
    ("sex", {"risk": {"driver": {"age": 30, "sex": "f"}}}, 422, "risk.driver.sex"),
    ("too young", {"risk": {"driver": {"age": 12}}}, 422, "risk.driver.age"),
    ("a contradiction", {"risk": {"driver": {"age": 25, "licence_years": 30}}}, 422, "risk.driver.licence_years"),
    ("not a number", b'{"risk": {"driver": {"age": NaN}}}', 400, "risk.driver.age"),
]


@pytest.mark.parametrize(("what", "body", "status", "field"), REFUSED, ids=[r[0] for r in REFUSED])
def test_a_bad_answer_is_named(fleet: Fleet, what: str, body: bytes | dict[str, Any], status: int, field: str) -> None:  # noqa: ARG001
    """The problem names the field that is wrong."""
    answer = fleet.post("/v1/quotes", body)

    assert (status, "application/problem+json") == (answer.status, answer.headers["content-type"])
    assert [field] == [error["loc"] for error in answer.body["errors"]]


def test_a_large_body_is_refused(fleet: Fleet) -> None:
    """70 KiB are more than any risk needs."""
    assert 413 == fleet.post("/v1/quotes", b'{"risk": "' + b"x" * 70 * 1024 + b'"}').status


@pytest.mark.parametrize("key", [None, "guessed"])
def test_nobody_asks_without_a_key(fleet: Fleet, key: str | None) -> None:
    """No key, or one that nobody was given, is 401."""
    assert 401 == fleet.post("/v1/quotes", {"risk": {"driver": {"age": 30}}}, key=key).status
