"""The request model accepts what the contract accepts."""

import json
from typing import Any

import pytest
from baseline.questions import Question, of_contract
from baseline.rows import Packer
from baseline.sample import risk
from pydantic import ValidationError

from kit.contract import Contract

RISK: dict[str, Any] = {
    "driver": {"age": 41, "licence_years": 20.5, "licence_type": "full_uk", "ncd_years": 9, "home_owner": True},
    "vehicle": {"vehicle_id": "v-00200", "modified": "none"},
    "area": {"sector": "R03-0010"},
    "history": {"consent": True, "points": 0},
}


@pytest.fixture(scope="module")
def question(motor: Contract) -> type[Question]:
    return of_contract(motor)


def test_a_risk_is_read(question: type[Question]) -> None:
    """Values by field name, ids among them, and nothing that was not said."""
    asked = question.model_validate_json(json.dumps({"risk": RISK, "quote_id": "a-1"}))

    assert {name: value for group in RISK.values() for name, value in group.items()} == asked.values()
    assert ("a-1", 0.12) == (asked.quote_id, asked.ipt_rate)


@pytest.mark.parametrize(
    ("group", "name", "value", "said"),
    [
        ("driver", "sex", "f", "Extra inputs"),
        ("driver", "age", 12, "greater than or equal to 17"),
        ("driver", "age", "41", "valid integer"),
        ("driver", "licence_years", 30, "contradicts age"),
        ("driver", "licence_type", "none", "Input should be"),
        ("vehicle", "vehicle_id", "v-1", "match pattern"),
        ("vehicle", "fuel", "petrol", "send the id or the fields"),
        ("history", "consent", False, "Input should be True"),
    ],
)
def test_what_the_contract_refuses_is_refused(
    question: type[Question], group: str, name: str, value: object, said: str
) -> None:
    """Strangers, ranges, types, lists, contradictions and consent."""
    with pytest.raises(ValidationError, match=said):
        question.model_validate_json(json.dumps({"risk": RISK | {group: RISK[group] | {name: value}}}))


def test_an_age_is_needed(question: type[Question]) -> None:
    """And nothing else."""
    question.model_validate({"risk": {"driver": {"age": 40}}})

    with pytest.raises(ValidationError, match="driver"):
        question.model_validate({"risk": {}})


def test_what_was_not_said_is_assumed_or_not_known(motor: Contract) -> None:
    """Comprehensive and 250 pounds are assumed; the rest is NaN and -1."""
    numeric, categorical = Packer(motor, ()).pack({"age": 40})

    known = {f.name: v for f, v in zip(motor.numeric, numeric.tolist(), strict=True) if v == v}  # noqa: PLR0124 -- not NaN
    coded = {f.name: f.values[c] for f, c in zip(motor.categorical, categorical.tolist(), strict=True) if c >= 0}
    assert {"age": 40.0, "voluntary_excess": 250.0} == known
    assert {"cover": "comprehensive"} == coded


def test_an_enquiry_becomes_a_request(motor: Contract, question: type[Question]) -> None:
    """Cars and areas by their ids, what the store knows not at all, and the request model takes it."""
    row = {
        "age": 40,
        "vehicle_id": "v-00001",
        "sector": "R01-0001",
        "fuel": "petrol",
        "licence_years": 12.300000190734863,
    }

    made = risk(motor, row)

    assert {"vehicle_id": "v-00001"} == made["vehicle"]
    assert 12.3 == made["driver"]["licence_years"]
    question.model_validate({"risk": {name: group for name, group in made.items() if group}})
