"""What counts as a failure of the store."""

import asyncio
from dataclasses import dataclass, field
from typing import TypeVar

from feature_store.guarded import Guarded
from feature_store.store import Parse, Part, StoreDown
from kit.breaker import State

T = TypeVar("T")


@dataclass
class Manual:
    """A store whose calls end when the test says so."""

    calls: list[asyncio.Future[object]] = field(default_factory=list)

    async def ask(self, command: tuple[Part, ...], parse: Parse[T], *, urgent: bool = True) -> T:
        del command, urgent
        self.calls.append(asyncio.get_running_loop().create_future())
        return parse(await self.calls[-1])

    async def close(self) -> None:
        """Nothing is open."""


async def failing(guarded: Guarded, store: Manual, calls: int, down: StoreDown) -> None:
    """Send so many calls out, then let all of them fail."""
    out = [guarded.ask(("GET", "a"), lambda reply: reply) for _ in range(calls)]
    await asyncio.sleep(0)
    for call in store.calls[-calls:]:
        call.set_exception(down)
    await asyncio.gather(*(call for call in out if call is not None), return_exceptions=True)


async def test_a_connection_that_breaks_is_one_failure() -> None:
    """Ten calls that end together leave the breaker closed; the third connection in a row that breaks opens it."""
    store = Manual()
    guarded = Guarded(store, "test", calls=100)

    states = []
    for _ in range(3):
        await failing(guarded, store, 10, StoreDown("ConnectionError"))
        states.append(guarded.state)

    assert [State.CLOSED, State.CLOSED, State.OPEN] == states
    assert guarded.ask(("GET", "a"), lambda reply: reply) is None


async def test_a_script_that_is_not_known_is_no_failure() -> None:
    """The server answered; it only has to be told the script."""
    store = Manual()
    guarded = Guarded(store, "test", calls=100)

    for _ in range(5):
        await failing(guarded, store, 1, StoreDown("ResponseError", "NOSCRIPT"))

    assert (State.CLOSED, None) == (guarded.state, guarded.fault)


async def test_no_more_calls_than_allowed() -> None:
    """With as many out as allowed, the next one is not made; when one has ended it is."""
    store = Manual()
    guarded = Guarded(store, "test", calls=1)

    first = guarded.ask(("GET", "a"), lambda reply: reply)
    second = guarded.ask(("GET", "a"), lambda reply: reply)
    await asyncio.sleep(0)
    store.calls[0].set_result(b"")
    assert first is not None
    await first
    third = guarded.ask(("GET", "a"), lambda reply: reply)
    await guarded.close()

    assert (None, True) == (second, third is not None)
