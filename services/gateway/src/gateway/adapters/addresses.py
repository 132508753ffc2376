"""Where are a branch's servers? A target is either a list of addresses or a name, and a name is asked for again and again."""

import asyncio
import ipaddress
import re
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

Lookup = Callable[[str, int], Awaitable[frozenset[str]]]

DNS: Final = "dns:///"
LISTS: Final = re.compile(r"ipv[46]:(?P<addresses>.+)")
HOST_PORT: Final = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<host>[A-Za-z0-9._-]+)):(?P<port>\d{1,5})")


class BadTarget(ValueError):
    """A target that nobody can be asked at; the message says what one looks like."""


@dataclass(frozen=True, slots=True)
class Target:
    """`addresses` in gRPC's form, which never change; or, where there are none, a name to look up."""

    addresses: frozenset[str]
    host: str = ""
    port: int = 0


def read_target(text: str) -> Target:
    """`host:port`, `dns:///name:port`, or `ipv4:a:p,b:p`. Raises `BadTarget`."""
    if listed := LISTS.fullmatch(text):
        targets = [_host_port(each) for each in listed["addresses"].split(",")]
        if not all(_is_address(host) for host, _ in targets):
            raise BadTarget("ipv4: and ipv6: take addresses, not names")
        return Target(frozenset(address(host, port) for host, port in targets))
    host, port = _host_port(text.removeprefix(DNS))
    if _is_address(host):
        return Target(frozenset({address(host, port)}))
    return Target(frozenset(), host, port)


def address(host: str, port: int) -> str:
    """In gRPC's form."""
    return f"ipv6:[{host}]:{port}" if ":" in host else f"ipv4:{host}:{port}"


async def look_up(host: str, port: int) -> frozenset[str]:
    """Every address behind a name, by the system's resolver. Raises OSError when there is none."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return frozenset(address(str(where[0]), port) for _, _, _, _, where in found)


def _host_port(text: str) -> tuple[str, int]:
    found = HOST_PORT.fullmatch(text)
    if found is None or not 0 < int(found["port"]) < 65536:
        raise BadTarget("must be host:port, dns:///name:port or ipv4:address:port,address:port")
    return found["six"] or found["host"], int(found["port"])


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
