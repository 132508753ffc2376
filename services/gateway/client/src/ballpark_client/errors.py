"""What can go wrong, by what a caller can do about it:

    BallparkError
    ├── Refused            the gateway answered with a problem: `status`, `code`, `problem`
    │   ├── BadCall        4xx: the call must be changed; `problem.errors` names every place
    │   ├── NotAllowed     401, 403: another key is needed
    │   ├── Later          ask again, not sooner than `retry_after_s`
    │   │   ├── QuotaUsed  429
    │   │   └── Busy       503: too much to do, or no model can answer
    │   ├── TooLate        504: the budget ended before a model had answered
    │   └── Broken         500, and whatever else no document describes
    └── NoAnswer           nothing came that can be used
        ├── Unreachable    no connection, or it broke before an answer began
        ├── TimedOut       the budget and the slack are over
        └── Unreadable     an answer that broke off, is too large, or is not what the document describes

None of them ever holds the key or what was sent.
"""

from collections.abc import Mapping
from typing import Final

from ballpark_client.api import Problem


class BallparkError(Exception):
    """Whatever a call of this package can raise, a wrong argument apart (`ValueError`)."""


class Refused(BallparkError):
    """The gateway answered with a problem."""

    def __init__(self, status: int, problem: Problem, retry_after_s: float | None = None) -> None:
        places = "".join(f"; {wrong.loc or 'body'} {wrong.message}" for wrong in problem.errors)
        super().__init__(f"{status} {problem.title}: {problem.detail}{places} (request {problem.request_id})")
        self.status, self.problem, self.retry_after_s = status, problem, retry_after_s

    @property
    def code(self) -> str:
        """The last part of the problem's type, such as `bad_request`; it does not change between releases."""
        return self.problem.type.rpartition(":")[2]


class BadCall(Refused):
    """The call must be changed."""


class NotAllowed(Refused):
    """Another key is needed."""


class Later(Refused):
    """Ask again, not sooner than `retry_after_s`."""


class QuotaUsed(Later):
    """The key has asked too often."""


class Busy(Later):
    """Too much to do, or no model can answer."""


class TooLate(Refused):
    """The budget ended before a model had answered."""


class Broken(Refused):
    """Something went wrong there."""


class NoAnswer(BallparkError):
    """Nothing came that can be used."""


class Unreachable(NoAnswer):
    """No connection, or it broke before an answer began."""


class TimedOut(NoAnswer):
    """The budget and the slack are over."""


class Unreadable(NoAnswer):
    """An answer that broke off, is too large, or is not what the document describes."""


OF_STATUS: Final[Mapping[int, type[Refused]]] = {
    401: NotAllowed,
    403: NotAllowed,
    429: QuotaUsed,
    503: Busy,
    504: TooLate,
}


def of_status(status: int) -> type[Refused]:
    """The error that a status means."""
    return OF_STATUS.get(status, BadCall if 400 <= status < 500 else Broken)
