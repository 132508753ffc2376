"""A name whose servers come and go: who is connected, and that nobody who is being answered notices."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from asking import REQUEST, Server, ask, branch, delayed_server, read, stand
from support import until
from wire import model_server

from gateway.adapters.attempts import Attempts
from gateway.domain.errors import BranchUnavailable
from gateway.domain.readings import Standing


class Names:
    """A resolver that a test tells what to say; nothing is an error, as the system's own says it."""

    def __init__(self, *ports: int) -> None:
        self.ports: tuple[int, ...] = ports
        self.asked = 0

    async def look_up(self, host: str, port: int) -> frozenset[str]:
        """As `gateway.adapters.addresses.Lookup`."""
        assert ("model", 8500) == (host, port)
        self.asked += 1
        if not self.ports:
            raise OSError("no such name")
        return frozenset(f"ipv4:127.0.0.1:{each}" for each in self.ports)


@asynccontextmanager
async def named(names: Names, every_s: float = 0.05) -> AsyncIterator[Attempts]:
    """The branch behind a name."""
    async with branch("dns:///model:8500", look_up=names.look_up, every_s=every_s, at_most_every_s=0.02) as attempts:
        yield attempts


async def become(attempts: Attempts, serving: int, standing: Standing = Standing.SERVING) -> None:
    """Wait until so many stand so."""

    async def are() -> bool:
        return stand(attempts, standing) == serving

    await until(are, within=5)


async def test_a_server_that_is_added_gets_its_share() -> None:
    """A pod that an autoscaler starts need not wait for a connection to break."""
    first, second = Server(), Server()
    async with model_server(first.answers) as one, model_server(second.answers) as two:
        names = Names(one)
        async with named(names) as attempts:
            await become(attempts, 1)
            names.ports = one, two
            await become(attempts, 2)
            ends = [await ask(attempts) for _ in range(10)]

    assert ([None] * 10, 5, 5) == (ends, first.asked, second.asked)


async def test_a_server_that_is_taken_away_finishes_what_it_does() -> None:
    """Its calls end as they would have; it gets no more, and its connection is closed."""
    stays = Server()
    async with delayed_server(0.3) as leaves, model_server(stays.answers) as other:
        names = Names(leaves.port)
        async with named(names) as attempts:
            await become(attempts, 1)
            waiting = [asyncio.create_task(attempts.ask(REQUEST, read, timeout=2.0)) for _ in range(5)]

            async def are_out() -> bool:
                return leaves.asked == 5

            await until(are_out, within=5)
            names.ports = (other,)

            async def has_left() -> bool:
                return list(attempts._replicas._replicas) == [f"ipv4:127.0.0.1:{other}"]

            await until(has_left, within=5)
            in_flight = sum(not call.done() for call in waiting)
            await become(attempts, 1)
            ends = [await ask(attempts) for _ in range(5)]
            answers = await asyncio.gather(*waiting)

            async def is_closed() -> bool:
                return not attempts._replicas._leaving

            await until(is_closed, within=5)

    assert (5, 5, [None] * 5, 5) == (in_flight, leaves.asked, ends, stays.asked)
    assert [(1, 3)] * 5 == [answer.shape for answer in answers]


async def test_a_resolver_that_is_down_takes_no_server_down() -> None:
    """What it said last goes on."""
    server = Server()
    async with model_server(server.answers) as port:
        names = Names(port)
        async with named(names) as attempts:
            await become(attempts, 1)
            names.ports = ()
            asked = names.asked

            async def has_asked_again() -> bool:
                return names.asked >= asked + 2

            await until(has_asked_again, within=5)

            assert None is await ask(attempts)


async def test_a_name_that_leads_to_nothing_is_asked_for_again() -> None:
    """At once an error, and an answer as soon as there is somebody: not two minutes later."""
    server = Server()
    names = Names()
    async with model_server(server.answers) as port, named(names, every_s=60) as attempts:
        assert BranchUnavailable is await ask(attempts)

        names.ports = (port,)
        await become(attempts, 1)

        assert None is await ask(attempts)


async def test_a_connection_that_breaks_is_a_reason_to_ask() -> None:
    """A pod that was replaced has another address, whenever the next look-up is due."""
    first, second = Server(), Server()
    async with AsyncExitStack() as old, model_server(second.answers) as new:
        names = Names(await old.enter_async_context(model_server(first.answers)))
        async with named(names, every_s=60) as attempts:
            await become(attempts, 1)
            names.ports = (new,)
            await old.aclose()

            async def is_answered() -> bool:
                return await ask(attempts) is None

            await until(is_answered, within=10)
    assert 1 == second.asked


async def test_only_who_is_connected_is_asked() -> None:
    """An address where nobody listens, such as a pod that is still loading its model, costs nothing."""
    server = Server()
    async with AsyncExitStack() as gone:
        nobody = await gone.enter_async_context(model_server(server.answers))
        await gone.aclose()
        async with model_server(server.answers) as port, named(Names(port, nobody)) as attempts:
            await become(attempts, 1)
            ends = [await ask(attempts) for _ in range(10)]
            readings = attempts.readings()

    assert [None] * 10 == ends
    assert 0 == sum(readings.second_attempts.values())
    assert {Standing.SERVING: 1, Standing.ASIDE: 0, Standing.UNCONNECTED: 1} == readings.replicas
