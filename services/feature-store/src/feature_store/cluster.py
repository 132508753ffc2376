"""How is a Redis Cluster asked? As one server, with one connection to each node and a map of who has which keys.

A read of a car and an area has keys in two slots, which a cluster answers with CROSSSLOT. So each slot gets an MGET of its own, all of
them sent at once; two for the same node are one write. Which node has a slot is learnt from the cluster (CLUSTER SLOTS) at the first
call and again when a node says that a slot has moved or does not answer. A call that was sent to the wrong node is sent to the right one
once; whatever else goes wrong is `StoreDown`, as with one server: while a dead primary is being replaced, reads of its slots are defaults.
"""

import asyncio
import time
from binascii import crc_hqx
from collections import defaultdict
from dataclasses import replace
from functools import partial
from typing import Any, Final, TypeVar

from feature_store.store import BAD_REPLY, CONNECTION, TIMEOUT, Bounds, Parse, Part, Store, StoreDown, values
from feature_store.wire import Address, Wire

T = TypeVar("T")
Node = tuple[str, int]

SLOTS: Final = 16_384
LEARN_EVERY_S: Final = 0.1


def open_store(url: str, bounds: Bounds) -> Store:
    """The server at that address, or the cluster that it belongs to when the address says `?cluster=true`. Opens nothing yet."""
    address = Address.of(url)
    return Cluster(address, bounds) if address.is_cluster else Wire(address, bounds)


class Cluster:
    """A cluster, found through one of its nodes. Lives in one event loop."""

    def __init__(self, seed: Address, bounds: Bounds) -> None:
        self._seed, self._bounds = seed, bounds
        self._wires: dict[Node, Wire] = {}
        self._owners: list[Node | None] = []
        self._learning: asyncio.Task[None] | None = None
        self._learnt_at = float("-inf")

    async def ask(self, command: tuple[Part, ...], parse: Parse[T], *, urgent: bool = True) -> T:
        """As `Store.ask`: an MGET goes to every node that has one of its keys, another command to the node of its only key."""
        if not self._owners:
            await self._learn()
        if command[0] != "MGET":
            key = command[3 if command[0] in ("EVAL", "EVALSHA") else 1]
            return await self._at(slot_of(key), command, parse, urgent=urgent)
        at: dict[int, list[int]] = defaultdict(list)
        for position, key in enumerate(command[1:], 1):
            at[slot_of(key)].append(position)
        calls = [
            self._at(slot, ("MGET", *(command[i] for i in positions)), values(len(positions)), urgent=urgent)
            for slot, positions in at.items()
        ]
        found: list[bytes | None] = [None] * (len(command) - 1)
        for positions, part in zip(at.values(), await asyncio.gather(*calls), strict=True):
            for position, data in zip(positions, part, strict=True):
                found[position - 1] = data
        return parse(found)

    async def close(self) -> None:
        """Close every connection."""
        if self._learning is not None:
            self._learning.cancel()
            await asyncio.gather(self._learning, return_exceptions=True)
        for wire in self._wires.values():
            await wire.close()

    async def _at(self, slot: int, command: tuple[Part, ...], parse: Parse[T], *, urgent: bool) -> T:
        try:
            return await self._wire(self._owners[slot]).ask(command, parse, urgent=urgent)
        except StoreDown as down:
            if down.code != "MOVED":
                if str(down) in (CONNECTION, TIMEOUT):
                    self._look_again()
                raise
        await self._learn()
        return await self._wire(self._owners[slot]).ask(command, parse, urgent=urgent)

    def _wire(self, node: Node | None) -> Wire:
        if node is None:
            raise StoreDown("NoNode")
        if node not in self._wires:
            self._wires[node] = Wire(replace(self._seed, host=node[0], port=node[1]), self._bounds)
        return self._wires[node]

    def _look_again(self) -> None:
        """Begin to learn the map anew, unless somebody does, or just did. Nobody waits for it."""
        if self._learning is None and time.monotonic() - self._learnt_at >= LEARN_EVERY_S:
            self._learning = asyncio.create_task(self._read_map())

    async def _learn(self) -> None:
        """Learn the map together with whoever is at it. Raises StoreDown when no node has one."""
        if self._learning is None:
            self._learning = asyncio.create_task(self._read_map())
        await asyncio.shield(self._learning)
        if not self._owners:
            raise StoreDown(CONNECTION)

    async def _read_map(self) -> None:
        """Ask one node after the other, the known ones and then the one that was named; keep the map when none answers."""
        try:
            for node in dict.fromkeys([*self._wires, (self._seed.host, self._seed.port)]):
                try:
                    self._owners = await self._wire(node).ask(("CLUSTER", "SLOTS"), partial(owners, node))
                except StoreDown:
                    continue
                return
        finally:
            self._learnt_at, self._learning = time.monotonic(), None


def slot_of(key: Part) -> int:
    """The slot of a key, by what stands in its first pair of braces, or all of it."""
    data = key if isinstance(key, bytes) else str(key).encode()
    begin = data.find(b"{")
    end = data.find(b"}", begin + 1)
    if begin >= 0 and end > begin + 1:
        data = data[begin + 1 : end]
    return crc_hqx(data, 0) % SLOTS


def owners(asked: Node, reply: Any) -> list[Node | None]:
    """Reads the reply to CLUSTER SLOTS: the primary of each slot. A node without an address is the one that was asked."""
    found: list[Node | None] = [None] * SLOTS
    try:
        for first, last, primary, *_ in reply:
            host = primary[0].decode() if primary[0] else asked[0]
            found[first : last + 1] = [(host, int(primary[1]))] * (last + 1 - first)
    except (TypeError, ValueError, AttributeError, IndexError):
        raise StoreDown(BAD_REPLY) from None
    if len(found) != SLOTS:
        raise StoreDown(BAD_REPLY)
    return found
