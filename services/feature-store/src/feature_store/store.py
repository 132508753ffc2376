"""What do the reader, the quotas and the remembered answers need of a server? One port, its bounds, and one exception."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeVar

T = TypeVar("T")
Part = bytes | str | int
Parse = Callable[[Any], T]  # what a reply means; raises StoreDown(BAD_REPLY) when it is no answer to the question

BAD_REPLY: Final = "BadReply"
FULL: Final = "Full"
LEFT_ALONE: Final = "LeftAlone"  # not asked, because it did not answer before
TIMEOUT: Final = "TimeoutError"
CONNECTION: Final = "ConnectionError"


class StoreDown(Exception):
    """The store gave no usable answer; the text names the kind of failure and never the address or a password.

    `code` is the first word of the server's own complaint, "" when it was not the server that complained.
    """

    def __init__(self, fault: str, code: str = "") -> None:
        super().__init__(fault)
        self.code = code


class Store(Protocol):
    """A server that takes commands. What it is asked in one turn of the event loop leaves in one write."""

    def ask(self, command: tuple[Part, ...], parse: Parse[T], *, urgent: bool = True) -> Awaitable[T]:
        """Send the command now, even if nobody awaits the answer, which is what `parse` makes of the reply.

        What is not urgent may wait a moment for other commands to leave with. The awaitable raises `StoreDown`, and nothing else.
        """
        ...

    async def close(self) -> None:
        """Give the connections back; what is out ends in `StoreDown`."""
        ...


@dataclass(frozen=True, slots=True)
class Bounds:
    """Seconds that a connection attempt and a call may last at most; how many calls may be out at once, and how many of them without
    anybody who waits.

    A read makes one call at most, so `calls` must be more than the requests that a gateway lets in at once (its `max_in_flight`,
    192) and the orphans together: else a burst would be answered without a healthy store's values.
    """

    connect_s: float = 0.1
    read_s: float = 0.5
    calls: int = 256
    orphans: int = 8


def values(count: int) -> Parse[list[bytes | None]]:
    """Reads the reply to an MGET of so many keys: one string or nothing for each."""

    def parse(reply: Any) -> list[bytes | None]:
        if type(reply) is not list or len(reply) != count:
            raise StoreDown(BAD_REPLY)
        for value in reply:
            if value is not None and type(value) is not bytes:
                raise StoreDown(BAD_REPLY)
        return reply

    return parse


def value(reply: Any) -> bytes | None:
    """Reads the reply to a GET."""
    if reply is not None and type(reply) is not bytes:
        raise StoreDown(BAD_REPLY)
    return reply


def done(reply: Any) -> None:
    """Reads the reply of a command that has nothing to say."""
    if reply != b"OK":
        raise StoreDown(BAD_REPLY)


def whole_number(reply: Any) -> int:
    """Reads a reply that counts."""
    if type(reply) is not int:
        raise StoreDown(BAD_REPLY)
    return reply
