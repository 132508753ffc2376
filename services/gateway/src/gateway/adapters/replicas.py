"""Which server takes the next call of a branch? One connection for each address, opened, watched and closed here.

gRPC could look names up and balance by itself. But its second attempt may go to the replica that has just refused, it does not see that a
replica is slow, and a name that leads to nothing stays so for up to two minutes. So a channel here is one connection and no more.

    addresses   a name is looked up every few seconds, and when a connection breaks; what the last look-up that worked said is true
    connected   a replica that is not connected gets no call while another one is; gRPC connects again within a second or so
    aside       one that answers worse than the others is left alone for a while: `gateway.domain.outliers`
    least busy  of the rest, the one with the fewest calls in flight; one that has gone quiet with calls in flight comes last
"""

import asyncio
import contextlib
import math
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Final

import grpc
import grpc.aio

from gateway.adapters.addresses import Lookup, Target, look_up
from gateway.domain.outliers import Outliers, Verdict, Why
from gateway.domain.readings import Standing
from kit import logs

PREDICT: Final = "/tensorflow.serving.PredictionService/Predict"
CHANNEL_OPTIONS: Final = (
    ("grpc.use_local_subchannel_pool", 1),  # two branches at one address are still two connections
    ("grpc.enable_retries", 0),  # gRPC's own hang or lose calls when they are quick enough to be of use
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1000),  # also how long one attempt to connect may take
    ("grpc.max_reconnect_backoff_ms", 1000),
)  # no keepalive: the servers would take its pings for an attack

LOOK_UP_EVERY_S: Final = 5.0
LOOK_UP_AT_MOST_EVERY_S: Final = 1.0
FIRST_LOOK_UP_S: Final = 1.0
QUIET: Final = 1 << 20  # calls in flight: more than anybody has

Clock = Callable[[], float]


class Replica:
    """One server at one address. `heard` is when it last answered, or when the oldest call that it may still answer began."""

    __slots__ = ("address", "channel", "heard", "in_flight", "is_connected", "predict", "watcher")

    def __init__(self, address: str, changed: Callable[["Replica"], None]) -> None:
        self.address = address
        self.channel = grpc.aio.insecure_channel(address, options=CHANNEL_OPTIONS)
        self.predict = self.channel.unary_unary(PREDICT, request_serializer=None, response_deserializer=None)
        self.in_flight, self.heard, self.is_connected = 0, 0.0, False
        self.watcher = asyncio.create_task(self._watch(changed))

    async def _watch(self, changed: Callable[["Replica"], None]) -> None:
        """Keeps it connected, and says when it is and when not."""
        state = self.channel.get_state(try_to_connect=True)
        while True:
            is_connected = state is grpc.ChannelConnectivity.READY
            if is_connected != self.is_connected:
                self.is_connected = is_connected
                changed(self)
            await self.channel.wait_for_state_change(state)
            state = self.channel.get_state(try_to_connect=True)

    async def close(self) -> None:
        """Cuts off what is in flight."""
        self.watcher.cancel()  # first: closing the channel does not always end its wait
        await asyncio.gather(self.watcher, return_exceptions=True)
        await self.channel.close(None)


class Replicas:
    """All servers of a branch. `connected` is called whenever one of them is (again)."""

    def __init__(
        self,
        branch: str,
        target: Target,
        *,
        look_up: Lookup = look_up,
        clock: Clock = time.monotonic,
        every_s: float = LOOK_UP_EVERY_S,
        at_most_every_s: float = LOOK_UP_AT_MOST_EVERY_S,
    ) -> None:
        self._log = logs.get().bind(branch=branch)
        self._target, self._look_up, self._clock = target, look_up, clock
        self._every_s, self._at_most_every_s = every_s, at_most_every_s
        self._replicas: dict[str, Replica] = {}
        self._leaving: set[Replica] = set()
        self._rotation: list[Replica] = []
        self._turn = 0
        self._outliers = Outliers()
        self._look_now = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self.connected: Callable[[], None] = lambda: None

    @asynccontextmanager
    async def opened(self) -> AsyncIterator["Replicas"]:
        """Connected, or still connecting, to whoever is there; nothing is left of it at the end."""
        if self._target.addresses:
            self._put(self._target.addresses)
        else:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FIRST_LOOK_UP_S):
                    await self._look()
            self.spawn(self._keep_looking())
        try:
            yield self
        finally:
            self._rotation = []
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await asyncio.gather(*(replica.close() for replica in (*self._replicas.values(), *self._leaving)))

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Do it in the background, and at the end no more."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def pick(self, *, now: float, patience_s: float, other_than: Replica | None = None) -> Replica | None:
        """Who takes the next call, or None when there is nobody (else). Who was silent for longer comes last."""
        picked, least = None, math.inf
        self._turn += 1
        places = len(self._rotation)
        for place in range(self._turn, self._turn + places):
            replica = self._rotation[place % places]
            load = replica.in_flight
            if load and now - replica.heard > patience_s:
                load += QUIET
            if load < least and replica is not other_than:
                picked, least = replica, load
        return picked

    def due(self, *, now: float) -> Replica | None:
        """A replica whose time aside is over; the next call that it gets must be told with `is_trial`."""
        if not self._outliers.aside:
            return None
        for address in self._outliers.due(now=now):
            if self._replicas[address].is_connected:
                self._outliers = self._outliers.tried(address)
                return self._replicas[address]
        return None

    def begins(self, replica: Replica, *, now: float) -> None:
        """A call goes out to it."""
        if replica.in_flight == 0:
            replica.heard = now
        replica.in_flight += 1

    def ended(self, replica: Replica, verdict: Verdict, seconds: float, *, now: float, is_trial: bool) -> None:
        """The call has ended after so many seconds."""
        replica.in_flight -= 1
        if verdict is Verdict.ANSWERED:
            replica.heard = now
        if replica.in_flight == 0 and replica in self._leaving:
            self._leaving.discard(replica)
            self.spawn(replica.close())
        tell = self._outliers.told_of_trial if is_trial else self._outliers.told
        before, self._outliers = self._outliers, tell(replica.address, verdict, seconds, now=now)
        if before.aside is not self._outliers.aside:
            self._rotate()
            is_back = replica.address not in self._outliers.aside
            if is_back or replica.address not in before.aside:
                self._log.info("replica_back" if is_back else "replica_set_aside", replica=replica.address)

    @property
    def standings(self) -> dict[Standing, int]:
        """How many there are of each."""
        counted = Counter(self._standing(replica) for replica in self._replicas.values())
        return {standing: counted[standing] for standing in Standing}

    @property
    def set_aside(self) -> dict[Why, int]:
        """How often one was set aside so far."""
        return dict(self._outliers.set_aside)

    def _standing(self, replica: Replica) -> Standing:
        if not replica.is_connected:
            return Standing.UNCONNECTED
        return Standing.ASIDE if replica.address in self._outliers.aside else Standing.SERVING

    async def _keep_looking(self) -> None:
        while True:
            await asyncio.sleep(self._at_most_every_s)
            if self._replicas:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._every_s - self._at_most_every_s):
                        await self._look_now.wait()
            self._look_now.clear()
            await self._look()

    async def _look(self) -> None:
        try:
            found = await self._look_up(self._target.host, self._target.port)
        except (OSError, UnicodeError):  # a resolver that is down takes no server down with it
            return
        if found and found != self._replicas.keys():
            self._put(found)

    def _put(self, addresses: frozenset[str]) -> None:
        """These are the servers from now on."""
        for address in sorted(addresses - self._replicas.keys()):
            self._replicas[address] = Replica(address, self._changed)
        for address in self._replicas.keys() - addresses:
            replica = self._replicas.pop(address)
            if replica.in_flight:
                self._leaving.add(replica)
            else:
                self.spawn(replica.close())
        self._outliers = self._outliers.among(self._replicas)
        self._rotate()
        self._log.info("replicas", addresses=sorted(self._replicas))

    def _changed(self, replica: Replica) -> None:
        self._rotate()
        if replica.is_connected:
            self.connected()
        else:
            self._look_now.set()

    def _rotate(self) -> None:
        """Who takes calls: the connected ones that are not aside, else any connected one, else anyone."""
        every = list(self._replicas.values())
        connected = [replica for replica in every if replica.is_connected]
        serving = [replica for replica in connected if replica.address not in self._outliers.aside]
        self._rotation = serving or connected or every
