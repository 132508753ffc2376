"""What a target may look like, and what it means."""

import pytest

from gateway.adapters.addresses import BadTarget, Target, look_up, read_target


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("127.0.0.1:8500", Target(frozenset({"ipv4:127.0.0.1:8500"}))),
        ("[::1]:8500", Target(frozenset({"ipv6:[::1]:8500"}))),
        ("dns:///127.0.0.1:8500", Target(frozenset({"ipv4:127.0.0.1:8500"}))),
        ("ipv4:10.0.0.1:1,10.0.0.2:2", Target(frozenset({"ipv4:10.0.0.1:1", "ipv4:10.0.0.2:2"}))),
        ("ipv6:[::1]:1", Target(frozenset({"ipv6:[::1]:1"}))),
        ("model:8500", Target(frozenset(), "model", 8500)),
        ("dns:///model.fleet.svc.cluster.local.:8500", Target(frozenset(), "model.fleet.svc.cluster.local.", 8500)),
    ],
)
def test_a_target_is_addresses_or_a_name(text: str, target: Target) -> None:
    """Addresses are for ever; a name is looked up again."""
    assert target == read_target(text)


@pytest.mark.parametrize(
    "text",
    ["", "model", "model:", "model:http", "model:0", "model:65536", "::1:8500", "dns://8.8.8.8/model:8500", "ipv4:", "ipv4:a:1",
     "ipv4:10.0.0.1", "unix:/socket", "http://model:8500", "model:8500/"],
)  # fmt: skip
def test_what_cannot_be_asked_is_refused(text: str) -> None:
    """gRPC would find that out with the first call."""
    with pytest.raises(BadTarget, match=r"must be host:port|take addresses"):
        read_target(text)


async def test_the_system_knows_this_machine() -> None:
    """Every address of a name, in gRPC's form."""
    assert "ipv4:127.0.0.1:8500" in await look_up("localhost", 8500)


async def test_a_name_that_nobody_has_is_an_error() -> None:
    """Whoever asked keeps what was true before."""
    with pytest.raises(OSError, match=r"."):
        await look_up("nobody.invalid", 8500)
