"""How is a refusal said? RFC 9457 problem+json with a closed list of codes, and never a value that was sent."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

import orjson

from gateway.domain.errors import BudgetEnded, GatewayError, NobodyAnswered

MEDIA_TYPE: Final = b"application/problem+json"
TYPE_PREFIX: Final = "urn:ballpark:error:"


class Code(Enum):
    """Every refusal there is: its status and its title. The name, in lower case, is the last part of `type`."""

    BAD_JSON = 400, "The body is not acceptable JSON"
    BAD_HEADER = 400, "A header is malformed"
    BAD_HTTP = 400, "The request is not HTTP"
    NO_KEY = 401, "A key is needed"
    NO_SCOPE = 403, "The key does not allow this call"
    NO_ROUTE = 404, "There is no such route"
    BAD_METHOD = 405, "The route does not know this method"
    NOT_ACCEPTABLE = 406, "Only JSON is given"
    TOO_LARGE = 413, "The body is too large"
    NOT_JSON = 415, "The body must be JSON"
    BAD_REQUEST = 422, "The request is outside the contract"
    QUOTA = 429, "The key's quota is used up"
    HEAD_TOO_LARGE = 431, "The head of the request is too large"
    INTERNAL = 500, "Something went wrong here"
    SHED = 503, "Too much to do at the moment"
    NO_BRANCH = 503, "No model can answer"
    BUDGET_ENDED = 504, "The time was over before any model answered"

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self.value[0]

    @property
    def title(self) -> str:
        """A sentence for people."""
        return self.value[1]


OF_ERRORS: Final[Mapping[type[GatewayError], Code]] = {NobodyAnswered: Code.NO_BRANCH, BudgetEnded: Code.BUDGET_ENDED}


@dataclass(frozen=True, slots=True)
class Wrong:
    """One thing that is wrong: where (`risk.driver.age`, `insurers[2]`, `query.layout`) and what would be right."""

    loc: str
    message: str


@dataclass(frozen=True, eq=False)
class Refusal(Exception):
    """Raised anywhere at the edge to end a request: becomes a problem answer."""

    code: Code
    detail: str
    wrong: tuple[Wrong, ...] = ()
    headers: tuple[tuple[bytes, bytes], ...] = field(default=())

    def encode(self, request_id: str) -> bytes:
        """The body of the answer."""
        problem = {
            "type": TYPE_PREFIX + self.code.name.lower(),
            "title": self.code.title,
            "status": self.code.status,
            "detail": self.detail,
            "request_id": request_id,
            "errors": [{"loc": w.loc, "message": w.message} for w in self.wrong],
        }
        return orjson.dumps(problem)


RETRY_SOON: Final = ((b"retry-after", b"1"),)
SHED: Final = Refusal(Code.SHED, "Ask again soon.", headers=RETRY_SOON)
