"""Which port does each part of a local fleet listen on, and who holds it when it is not free?"""

import socket
from dataclasses import asdict, dataclass
from typing import Any, Final, Self

import psutil

HOST: Final = "127.0.0.1"
OFFSETS: Final = tuple(range(100, 10_000, 100))
"""What `auto` tries. It leaves 0 to a plain `make run`."""


class PortTaken(Exception):
    """A port is held by another program; the message names both, and what to do."""


@dataclass(frozen=True, slots=True)
class Ports:
    """Every port of one fleet. The defaults are offset 0: this is the one table of them."""

    gateway: int = 8080
    gateway_admin: int = 9090
    classifier_grpc: int = 8500
    classifier_rest: int = 8501
    regressor_grpc: int = 8510
    regressor_rest: int = 8511
    redis: int = 6379

    @classmethod
    def at(cls, offset: int) -> Self:
        """All of them moved by `offset`. Raises ValueError when one would not be a port."""
        moved = {name: port + offset for name, port in asdict(cls()).items()}
        if not all(1024 <= port <= 65_535 for port in moved.values()):
            low, high = 1024 - min(asdict(cls()).values()), 65_535 - max(asdict(cls()).values())
            raise ValueError(f"the port offset must be from {low} to {high}, not {offset}")
        return cls(**moved)

    def named(self) -> dict[str, int]:
        """Name to number."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Holder:
    """The process that listens on a port; no pid when it belongs to another user."""

    pid: int | None
    program: str


def is_free(port: int) -> bool:
    """Whether this machine lets us listen there now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As the servers themselves do: a connection that lingers in TIME_WAIT does not hold the port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def taken(ports: Ports) -> dict[str, int]:
    """Those that somebody holds, by name."""
    return {name: port for name, port in ports.named().items() if not is_free(port)}


def holder_of(port: int) -> Holder:
    """Who listens there, as far as the system tells us."""
    for connection in _listening():
        if connection.laddr and connection.laddr.port == port:
            return _holder(connection.pid)
    return Holder(None, "a program that this user may not see")


def _listening() -> list[Any]:
    try:
        return [c for c in psutil.net_connections("tcp") if c.status == psutil.CONN_LISTEN]
    except psutil.AccessDenied:  # macOS: only root sees all
        return []


def _holder(pid: int | None) -> Holder:
    if pid is None:
        return Holder(None, "a program of another user")
    try:
        process = psutil.Process(pid)
        return Holder(pid, " ".join(process.cmdline())[:120] or process.name())
    except psutil.Error:
        return Holder(pid, "a program that this user may not see")


def refusal(held: dict[str, tuple[int, Holder]], offset: int) -> str:
    """What to tell a person whose ports are held: `held` is name to (port, holder)."""
    lines = [
        f"port {port} ({name.replace('_', ' ')}) is taken by "
        + (f"pid {holder.pid}: {holder.program}" if holder.pid is not None else holder.program)
        for name, (port, holder) in held.items()
    ]
    return "\n".join([*lines, f"Stop it, or move this fleet: make run OFFSET={offset + 100} (or OFFSET=auto)"])


def check(ports: Ports, offset: int) -> None:
    """Raises `PortTaken` when one is held."""
    if held := {name: (port, holder_of(port)) for name, port in taken(ports).items()}:
        raise PortTaken(refusal(held, offset))
