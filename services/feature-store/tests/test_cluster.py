"""The reader and the job against a real cluster of three primaries and a replica, in good days and bad."""

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from conftest import Open, Server, free_port, wait_until
from redis.crc import key_slot

from feature_store.__main__ import main
from feature_store.cache import Limits
from feature_store.cluster import SLOTS, owners, slot_of
from feature_store.quotas import SharedQuotas
from feature_store.reader import Outcome
from feature_store.remembered import Remembered
from feature_store.store import Bounds, StoreDown
from kit import logs

NODE_TIMEOUT_MS = 500
BACK_WITHIN_S = 10.0


def says(server: Server, *command: str | int) -> str:
    with server.client() as redis:
        said = redis.execute_command(*command)
    return said.decode() if isinstance(said, bytes) else str(said)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[list[Server]]:
    """Three primaries with a third of the slots each, then a replica of the first."""
    servers, buses = [], [free_port() for _ in range(4)]
    for i, bus in enumerate(buses):
        (tmp_path / str(i)).mkdir()
        options = {"cluster-enabled": "yes", "cluster-port": str(bus), "cluster-node-timeout": str(NODE_TIMEOUT_MS)}
        servers.append(Server(tmp_path / str(i), free_port(), options))
        servers[-1].start()
    first, *others = servers
    for server, bus in zip(others, buses[1:], strict=True):
        says(first, "CLUSTER", "MEET", "127.0.0.1", server.port, bus)
    edges = [0, SLOTS // 3, 2 * SLOTS // 3, SLOTS]
    for i in range(3):
        says(servers[i], "CLUSTER", "ADDSLOTSRANGE", edges[i], edges[i + 1] - 1)
    wait_until(lambda: all("cluster_known_nodes:4" in says(s, "CLUSTER", "INFO") for s in servers))
    says(servers[3], "CLUSTER", "REPLICATE", says(first, "CLUSTER", "MYID"))
    wait_until(lambda: all("cluster_state:ok" in says(s, "CLUSTER", "INFO") for s in servers))
    wait_until(lambda: "up" == servers[3].word("replication", "master_link_status"))
    wait_until(lambda: "slave" in says(first, "CLUSTER", "NODES"))
    yield servers
    for server in servers:
        server.kill()


async def test_a_cluster_is_filled_read_and_survives_a_primary(
    folder: Path, cluster: list[Server], opened: Open, capsys: pytest.CaptureFixture[str]
) -> None:
    """The job fills all three nodes; a car and an area of different nodes come with one read; a killed primary is replaced while reads go on."""
    url = f"{cluster[1].url}?cluster=true"
    for command in (["materialise", "--data", str(folder), "--quiet"], ["verify", "--data", str(folder), "--quiet"]):
        assert 0 == main([*command, "--redis", url])
    capsys.readouterr()
    assert 0 == main(["stats", "--json", "--redis", url])
    assert 2 == json.loads(capsys.readouterr().out)["entities"]["vehicle"]["rows"]

    wanted = [("vehicle", "v-00001"), ("vehicle", "v-00002"), ("area", "R07-0012")]
    bounds = Bounds(connect_s=2.0, read_s=2.0)
    async with opened(url, limits=Limits(hit_s=0.0, miss_s=0.0), bounds=bounds) as reader:
        answer = await reader.read(wanted, timeout=5.0)
        remembered, quotas = Remembered(reader.store, "bundle"), SharedQuotas(reader.store)
        remembered.remember("digest", b"body", seconds=60)
        assert (3, b"body") == (
            await quotas.lease("caller", per_minute=60, burst=3, tokens=5),
            await remembered.recall("digest", timeout=5.0),
        )
        assert {Outcome.HIT} == {entity.outcome for entity in answer.values()}
        wait_until(lambda: _replicated(cluster))

        cluster[0].kill()
        begun, last_fault_at, outcomes = time.monotonic(), 0.0, set()
        while time.monotonic() - begun < BACK_WITHIN_S and time.monotonic() - begun < last_fault_at + 2.5:
            for entity in (await reader.read(wanted, timeout=0.05)).values():
                outcomes.add(entity.outcome)
                if entity.outcome is not Outcome.HIT:
                    last_fault_at = time.monotonic() - begun
            await asyncio.sleep(0.01)
    logs.get().info("failover", reads_failed_s=round(last_fault_at, 1), node_timeout_ms=NODE_TIMEOUT_MS)

    assert outcomes <= {Outcome.HIT, Outcome.UNAVAILABLE}  # never a miss: nobody is unknown because a node is away
    assert last_fault_at < BACK_WITHIN_S - 2.5


def _replicated(cluster: list[Server]) -> bool:
    return cluster[0].word("replication", "master_repl_offset") == cluster[3].word("replication", "master_repl_offset")


@pytest.mark.parametrize(
    "key", ["a", "", "{}", "{a}b", "x{a}", "a}{b", "f:0123:vehicle:89ab:{v-00001}", "{a}{b}", "a{", b"{\xff}x"]
)
def test_slots_are_rediss(key: str | bytes) -> None:
    """A key's slot is what everybody else says it is."""
    assert key_slot(key if isinstance(key, bytes) else key.encode()) == slot_of(key)


@pytest.mark.parametrize(
    "reply", [None, 1, [1], [[0, 1]], [[0, 1, [b"h", b"x"]]], [[b"a", 1, [b"h", 1]]], [[0, 20_000, [b"h", 1]]]]
)
def test_a_map_of_another_form_is_none(reply: object) -> None:
    """What is no reply to CLUSTER SLOTS is a bad reply."""
    with suppress(StoreDown):
        owners(("h", 1), reply)
        pytest.fail("it was taken")
