"""Whatever is sent, the answer is what the OpenAPI document says: cases made from the document itself, asked without a network.

schemathesis makes the boundary cases of every schema, and then random ones, right and wrong. A few hundred of each call run every time;
`make fuzz` runs tens of thousands.
"""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import orjson
import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import CheckContext, not_a_server_error
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance
from support import HEADERS, LOG_PREMIUM, MOTOR, PANEL, PROBABILITY, FakeModel, World, serving

from gateway.api import openapi
from gateway.api.edge import Limits
from gateway.api.exchange import BUDGET_HEADER
from gateway.app import create_app
from gateway.ports import Answer, Categorical, Numeric

pytestmark = pytest.mark.timeout(3600)

FEW: Final = 100
MANY: Final = 8_000
PROFILE: Final = settings().max_examples  # of a test that says nothing itself
CASES: Final = FEW if PROFILE < 1000 else MANY
ANSWERS: Final[Counter[tuple[str, int]]] = Counter()

# What a schema cannot say: who is on the panel of the bundle in force, and which answers cannot be true together.
UNKNOWN_HEADER: Final = "x-schemathesis-unknown-property"
BEYOND_SCHEMAS: Final = ("is not on the panel", "contradicts `")


class Moody(FakeModel):
    """A model that answers, refuses, babbles or does not come in time, by what it is asked."""

    async def predict(self, signature: str, numeric: Numeric, categorical: Categorical, *, timeout: float) -> Answer:
        """As the port says. It is only ever late where that is soon."""
        mood = int(np.nan_to_num(numeric).sum() + categorical.sum()) % 4
        self.behaviour = ("ok", "error", "rubbish", "slow" if timeout < 0.05 else "ok")[mood]
        return await super().predict(signature, numeric, categorical, timeout=timeout)


def schema_of(world: World) -> Any:
    """The document, bound to an app."""
    found = schemathesis.openapi.from_dict(orjson.loads(openapi.encoded(MOTOR, serving())))
    found.app = create_app(world.parts())
    return found


PATIENT_MS: Final = 2000  # other work on the machine is no finding
WELL: Final = schema_of(World(limits=Limits(max_in_flight=16, budget_ms=PATIENT_MS)))
MOODY: Final = schema_of(
    World(Moody(packed=PROBABILITY), Moody(packed=LOG_PREMIUM, panel=PANEL)),
)


def sent_at(body: Any, loc: str) -> Any:
    """What a body has at a place such as `risk.driver.age`; None where there is nothing."""
    for name in loc.split("."):
        body = body.get(name) if isinstance(body, dict) else None
    return body


def is_beyond_schemas(body: Any, wrong: dict[str, str]) -> bool:
    """Whether no schema could have forbidden it: for JSON Schema 26.0 is a whole number, and here it is none."""
    has_point = "whole number" in wrong["message"] and isinstance(sent_at(body, wrong["loc"]), float)
    return has_point or any(reason in wrong["message"] for reason in BEYOND_SCHEMAS)


def accepted_if_right(context: CheckContext, answer: Any, case: Any) -> None:
    """What the schema allows is taken, or refused for a reason that no schema can give."""
    if answer.status_code != 422 or not all(is_beyond_schemas(case.body, wrong) for wrong in answer.json()["errors"]):
        positive_data_acceptance(context, answer, case)


def refused_if_wrong(context: CheckContext, answer: Any, case: Any) -> None:
    """What the schema forbids is refused; a header that nobody knows is no part of a request, and passed over as HTTP wants it."""
    if UNKNOWN_HEADER not in case.headers:
        negative_data_rejection(context, answer, case)


def never_broken(_: CheckContext, answer: Any, case: Any) -> None:
    """A model that fails is a 503 or a 504 with its schema; a 500 never is."""
    assert answer.status_code != 500, case.as_curl_command()


def check(case: Any, *, is_well: bool) -> None:
    """Ask, and hold the answer to every check there is: status, schema, headers, keys, methods, wrong input."""
    if is_well and re.fullmatch("[0-9]{1,15}", str(case.headers.get(BUDGET_HEADER))):
        case.headers[BUDGET_HEADER] = str(PATIENT_MS)
    answer = case.call(headers=HEADERS)
    ANSWERS[case.operation.label, answer.status_code] += 1
    case.validate_response(
        answer,
        headers=HEADERS,
        additional_checks=[accepted_if_right, refused_if_wrong, never_broken],
        excluded_checks=[
            positive_data_acceptance,
            negative_data_rejection,
            *([] if is_well else [not_a_server_error]),
        ],
    )


@pytest.fixture(scope="module", autouse=True)
def tally(request: pytest.FixtureRequest) -> Iterator[None]:
    """How many cases a long run had, by call and status."""
    yield
    terminal = request.config.pluginmanager.get_plugin("terminalreporter")
    if CASES == MANY and terminal is not None:
        lines = [f"{call} {status}: {times}" for (call, status), times in sorted(ANSWERS.items())]
        terminal.write_line("\n".join(["", *lines, f"{sum(ANSWERS.values())} cases"]))


@WELL.include(method="POST").parametrize()  # type: ignore[untyped-decorator]
@settings(max_examples=CASES, suppress_health_check=list(HealthCheck))
def test_every_answer_is_as_described(case: Any) -> None:
    """With models that are well there is no 5xx at all."""
    check(case, is_well=True)


@WELL.include(method="GET").parametrize()  # type: ignore[untyped-decorator]
@settings(max_examples=min(CASES, 500), suppress_health_check=list(HealthCheck))
def test_what_is_in_force_is_as_described(case: Any) -> None:
    """There is little to get wrong in a call without a body: headers, the query, the key."""
    check(case, is_well=True)


@MOODY.include(method="POST").parametrize()  # type: ignore[untyped-decorator]
@settings(max_examples=CASES // 2, suppress_health_check=list(HealthCheck))
def test_every_answer_is_as_described_when_models_fail(case: Any) -> None:
    """Partial answers, 503 and 504 have their schemas; nothing else happens, a 500 least of all."""
    check(case, is_well=False)
