"""What may a client be told? A canonical code and the message that TensorFlow Serving would give with it."""

from enum import IntEnum


class Code(IntEnum):
    """The canonical codes; TensorFlow and gRPC share their numbers and names."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


class ServingError(Exception):
    """A request, or a load, that failed in a way the protocol has a code for."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    def __str__(self) -> str:
        """As TensorFlow prints a status: `NOT_FOUND: no such file`."""
        return f"{self.code.name}: {self.message}"


def invalid(message: str) -> ServingError:
    """INVALID_ARGUMENT, by far the commonest."""
    return ServingError(Code.INVALID_ARGUMENT, message)


def unmet(message: str) -> ServingError:
    """FAILED_PRECONDITION."""
    return ServingError(Code.FAILED_PRECONDITION, message)
