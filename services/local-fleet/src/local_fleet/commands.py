"""What does each command of `python -m local_fleet` do? Each prints for a person and gives the exit code."""

import fcntl
import os
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TextIO

import psutil

from kit.stage import DONE
from local_fleet import fleet, ports, sample, supervision
from local_fleet.leftovers import clear, marked
from local_fleet.places import FleetFolder, Home
from local_fleet.ports import HOST, Ports
from local_fleet.preparation import Prepared, Wanted, prepare

FAILED: Final = 1
LOG_LINES: Final = 40
SAMPLE: Final = 2_000
"""Enquiries whose answers the test stages have measured apart."""
TELL_EVERY_S: Final = 0.2
DOWN_WITHIN_S: Final = 60.0
"""An `up` that is told to end has as long; its processes are then stopped without it."""


class NoFleet(Exception):
    """A command needs a running fleet, and there is none, or more than one to choose from."""


@dataclass(frozen=True, slots=True)
class Session:
    """Where a command works and whom it tells."""

    root: Path
    home: Home
    out: TextIO

    def say(self, text: str) -> None:
        """A line to its user."""
        print(text, file=self.out, flush=True)


def make(session: Session, wanted: Wanted) -> int:
    """Everything that comes before the first process."""
    prepared = prepare(session.root, session.home, wanted, session.out)
    session.say(f"bundle {prepared.bundle.id}: {_models(prepared)}, in {session.home.store}")
    return DONE


def _models(prepared: Prepared) -> str:
    return ", ".join(f"{m.project}/{m.version}" for m in (prepared.bundle.classifier, prepared.bundle.regressor))


def up(session: Session, wanted: Wanted, offset: int | str, *, detach: bool) -> int:
    """Prepare, start, watch. Exit 0 when it ran well, or runs already."""
    begun = time.monotonic()
    with _chosen(offset) as number:
        folder = session.home.fleet(number)
        with fleet.owned(folder) as is_mine:
            if (state := fleet.running(folder)) is not None and (state.detached or not is_mine):
                session.say(f"This fleet runs already, with bundle {state.bundle}.\n\n{addresses(folder, state)}")
                return DONE
            if not is_mine:
                session.say(
                    f"pid {fleet.owner(folder)} has this fleet and it is not ready, or not whole: see `python -m local_fleet status`"
                )
                return FAILED
            if count := clear(folder.path):
                session.say(
                    f"ended {count} leftover process{'es' if count > 1 else ''} of an earlier run that was killed"
                )
            ports.check(Ports.at(number), number)
            return _run(
                fleet.Context(session.root, session.home, folder, Ports.at(number), session.out),
                wanted,
                begun,
                detach=detach,
            )


def _run(context: fleet.Context, wanted: Wanted, begun: float, *, detach: bool) -> int:
    prepared = prepare(context.root, context.home, wanted, context.out)
    is_left_running = False
    try:
        process = fleet.start(context, prepared)
        state = fleet.State(
            context.ports.gateway - Ports().gateway, prepared.bundle.id, prepared.insurers, detached=detach
        )
        state.write(context.folder)
        context.say(
            f"\nReady after {time.monotonic() - begun:.1f} s, bundle {state.bundle} ({_models(prepared)}).\n\n{addresses(context.folder, state)}"
        )
        if detach:
            is_left_running = True
            return DONE
        context.say("\nCtrl-C stops the fleet.")
        fleet.watch(context, process, prepared.bundle)
    finally:
        if not is_left_running:
            _stop(context)
    return DONE


def _stop(context: fleet.Context) -> None:
    context.say("stopping ...")
    try:
        fleet.stop(context.folder)
    except KeyboardInterrupt:  # a second Ctrl-C: at once, then
        clear(context.folder.path, grace_s=0.1)
    context.say("stopped")


@contextmanager
def _chosen(offset: int | str) -> Iterator[int]:
    """The offset itself, or for `auto` the first free one, kept from other `auto`s until its ports are in use."""
    if isinstance(offset, int):
        yield offset
        return
    for candidate in ports.OFFSETS:
        with Path(tempfile.gettempdir(), f"ballpark-{os.getuid()}-{candidate}.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            if not ports.taken(Ports.at(candidate)):
                yield candidate
                return
    raise ports.PortTaken(f"no offset from {ports.OFFSETS[0]} to {ports.OFFSETS[-1]} has all its ports free")


def addresses(folder: FleetFolder, state: fleet.State) -> str:
    """Where everything is, and what to ask first."""
    at = state.ports
    rows = {
        "docs": f"http://{HOST}:{at.gateway}/docs",
        "metrics": f"http://{HOST}:{at.gateway_admin}/metrics",
        "models": f"http://{HOST}:{at.classifier_rest}/v1/models/quote-classifier  http://{HOST}:{at.regressor_rest}/v1/models/premium-regressor",
        "redis": f"redis://{HOST}:{at.redis}",
        "logs": str(folder.logs),
    }
    table = "\n".join(f"  {name:<8} {address}" for name, address in rows.items())
    return f"{table}\n\nAsk it ({state.insurers} insurers answer):\n\n{sample.curl(at.gateway, fleet.dev_key())}"


def down(session: Session, offset: int | None, *, within_s: float = DOWN_WITHIN_S) -> int:
    """Stop a fleet, whoever started it. Exit 1 when the `up` that started it does not end, though its processes have."""
    return _down(session, session.home.fleet(choose(session.home, offset)), within_s)


def down_all(session: Session, *, within_s: float = DOWN_WITHIN_S) -> int:
    """Stop every fleet of the home, also what is left of one that was killed. Exit 0 when there is none."""
    codes = [DONE]
    for number in session.home.offsets():
        folder = session.home.fleet(number)
        if fleet.owner(folder) is None and not marked(folder.path):
            continue
        session.say(f"the fleet at offset {number}:")
        codes.append(_down(session, folder, within_s))
    return max(codes)


def _down(session: Session, folder: FleetFolder, within_s: float) -> int:
    pid = fleet.owner(folder)
    if pid is not None:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        if _gone(folder, pid, within_s):
            session.say("stopped")
            return DONE
    fleet.stop(folder)
    if pid is not None and not _gone(folder, pid, TELL_EVERY_S):
        session.say(f"stopped, but pid {pid}, which started it, does not end: kill -9 {pid}")
        return FAILED
    session.say("stopped")
    return DONE


def _gone(folder: FleetFolder, pid: int, within_s: float) -> bool:
    deadline = time.monotonic() + within_s
    while fleet.owner(folder) == pid:
        if time.monotonic() > deadline:
            return False
        time.sleep(TELL_EVERY_S)
    return True


def url(session: Session, offset: int | None) -> int:
    """The gateway's address and nothing else, for scripts."""
    number = choose(session.home, offset)
    state = fleet.State.read(session.home.fleet(number))
    if state is None:
        raise NoFleet(f"the fleet at offset {number} is not ready yet")
    session.say(f"http://{HOST}:{state.ports.gateway}")
    return DONE


def status(session: Session, offset: int | None) -> int:
    """What runs, where, and which bundle. Exit 1 when not all of it runs."""
    number = choose(session.home, offset)
    folder = session.home.fleet(number)
    processes = supervision.Supervisor(folder).processes()
    state = fleet.State.read(folder)
    for process in processes.values():
        memory = f"{psutil.Process(process.pid).memory_info().rss / 1e6:6.0f} MB" if process.pid else ""
        age = f"{time.time() - process.since:6.0f} s" if process.is_up else ""
        session.say(f"{process.name:<26} {process.state:<9} {process.pid or '':>8} {age:>8} {memory}")
    if state is None:
        session.say("it is not ready yet")
        return FAILED
    session.say(f"\nbundle {state.bundle}\n\n{addresses(folder, state)}")
    return DONE if all(p.is_up for p in processes.values()) else FAILED


def logs(session: Session, offset: int | None, name: str | None) -> int:
    """The end of one process's log, or the names of all."""
    folder = session.home.fleet(choose(session.home, offset, must_run=False))
    if name is None:
        for path in sorted(folder.logs.glob("*.log")):
            session.say(f"{path.stem:<26} {path}")
        return DONE
    path = folder.logs / f"{name}.log"
    if not path.exists():
        raise NoFleet(
            f"no log of {name!r}; there are {', '.join(sorted(p.stem for p in folder.logs.glob('*.log'))) or 'none'}"
        )
    for line in supervision.last_lines(path, LOG_LINES):
        session.say(line)
    return DONE


def tell(session: Session, offset: int | None, verb: str, name: str) -> int:
    """One of start, stop, restart, kill, for one process."""
    supervisor = supervision.Supervisor(session.home.fleet(choose(session.home, offset)))
    if verb in {"stop", "restart"}:
        supervisor.stop(name)
    if verb in {"start", "restart"}:
        supervisor.start(name)
    if verb == "kill":
        supervisor.kill(name)
    session.say(f"{name}: {supervisor.processes()[name].state}")
    return DONE


def choose(home: Home, offset: int | None, *, must_run: bool = True) -> int:
    """The fleet that is meant: that of the offset, or the only one that runs. Raises `NoFleet`."""
    alive = [n for n in home.offsets() if supervision.Supervisor(home.fleet(n)).answers()]
    if offset is not None:
        if must_run and offset not in alive and fleet.owner(home.fleet(offset)) is None:
            raise NoFleet(
                f"no fleet runs at offset {offset}"
                + (f"; one runs at {', '.join(map(str, alive))}" if alive else "; start one: make run")
            )
        return offset
    if len(alive) == 1:
        return alive[0]
    if not alive and not must_run:
        return 0
    raise NoFleet(
        f"fleets run at the offsets {', '.join(map(str, alive))}: say which, --port-offset"
        if alive
        else "no fleet runs; start one: make run"
    )
