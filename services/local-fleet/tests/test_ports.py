"""Ports: one table, moved as a whole, and a taken one is named."""

import os
import socket
from collections.abc import Iterator

import pytest

from local_fleet import ports
from local_fleet.ports import HOST, Holder, Ports, PortTaken


@pytest.fixture
def listener() -> Iterator[int]:
    """A port that this very process listens on."""
    with socket.create_server((HOST, 0)) as server:
        yield server.getsockname()[1]


def test_an_offset_moves_every_port() -> None:
    """Two fleets whose offsets differ share no port."""
    assert {port + 100 for port in Ports().named().values()} == set(Ports.at(100).named().values())


def test_all_ports_differ() -> None:
    """No two parts of a fleet want the same port."""
    assert len(Ports().named()) == len(set(Ports().named().values()))


def test_no_offset_of_auto_meets_another() -> None:
    """Fleets at any two offsets that `auto` may choose share no port, nor does offset 0."""
    every = [port for offset in (0, *ports.OFFSETS[:20]) for port in Ports.at(offset).named().values()]

    assert len(every) == len(set(every))


@pytest.mark.parametrize("offset", [-7000, 60_000])
def test_an_offset_beyond_the_ports_is_refused(offset: int) -> None:
    """The message says which offsets there are."""
    with pytest.raises(ValueError, match=r"from -\d+ to \d+, not"):
        Ports.at(offset)


def test_a_taken_port_is_not_free(listener: int) -> None:
    """A port that somebody listens on is seen as held."""
    assert not ports.is_free(listener)


def test_the_holder_of_a_port_is_named(listener: int) -> None:
    """The pid and the program that listen are found."""
    holder = ports.holder_of(listener)

    assert os.getpid() == holder.pid
    assert "python" in holder.program


def test_the_refusal_says_who_and_what_to_do() -> None:
    """A person sees the port, its use, the pid, the program and the command that avoids it."""
    text = ports.refusal({"gateway": (8080, Holder(4711, "nginx -g daemon off;"))}, offset=0)

    assert "port 8080 (gateway) is taken by pid 4711: nginx -g daemon off;" in text
    assert "make run OFFSET=100" in text


def test_a_fleet_with_a_taken_port_is_refused(listener: int) -> None:
    """The check raises before anything is started."""
    with pytest.raises(PortTaken, match=str(os.getpid())):
        ports.check(Ports(gateway=listener), 0)
