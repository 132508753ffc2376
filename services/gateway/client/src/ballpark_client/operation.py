"""What does the document say of one call? The rows of the generated table."""

from dataclasses import dataclass
from typing import Generic, TypeVar

A = TypeVar("A")


@dataclass(frozen=True, slots=True)
class Operation(Generic[A]):
    """One call of the API: `path` may have places in braces, and `answer` is the type of a 200."""

    method: str
    path: str
    answer: type[A]
    has_body: bool = False
    has_quote_id: bool = False
