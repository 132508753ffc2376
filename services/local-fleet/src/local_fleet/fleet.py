"""How is a fleet started, watched and stopped, and what does it leave so that others can find it?"""

import fcntl
import hashlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Self, TextIO

from kit.bundles import CLASSIFIER, REGRESSOR, Bundle, Release, write_release
from kit.files import sha256_of, write_atomic
from local_fleet import configs, events, health, leftovers, sample, supervision
from local_fleet.places import FleetFolder, Home
from local_fleet.ports import Ports
from local_fleet.preparation import Prepared
from local_fleet.programs import (
    CLASSIFIER_SERVER,
    GATEWAY,
    REDIS,
    REGRESSOR_SERVER,
    environment,
    programs,
    python,
    redis_url,
    valkey_server,
)

REDIS_WITHIN_S: Final = 20.0
SNAPSHOT_FOR_S: Final = 7 * 86_400
"""Well below the contract's limit for stale features."""
MODELS_WITHIN_S: Final = 120.0
GATEWAY_WITHIN_S: Final = 30.0
STOP_WITHIN_S: Final = 45.0
OWNED_WITHIN_S: Final = 1.0
"""A question for the owner holds the lock for a moment."""
POLL_S: Final = 0.1
WATCH_EVERY_S: Final = 0.5
FIRST_QUOTE_BUDGET_MS: Final = 2000


class StartFailed(Exception):
    """A process did not become ready; the message has its last lines and where the rest is."""


@dataclass(frozen=True, slots=True)
class State:
    """What a ready fleet writes down: `fleet.json`."""

    offset: int
    bundle: str
    insurers: int
    detached: bool

    @classmethod
    def read(cls, folder: FleetFolder) -> Self | None:
        """None when no fleet became ready here, or its state cannot be read."""
        try:
            raw: dict[str, Any] = json.loads(folder.state.read_bytes())
            return cls(**raw)
        except (OSError, ValueError, TypeError):
            return None

    def write(self, folder: FleetFolder) -> None:
        """Replace fleet.json."""
        write_atomic(folder.state, json.dumps(asdict(self), indent=1).encode() + b"\n")

    @property
    def ports(self) -> Ports:
        """Where it listens."""
        return Ports.at(self.offset)


@dataclass(frozen=True, slots=True)
class Context:
    """What every part of a start needs."""

    root: Path
    home: Home
    folder: FleetFolder
    ports: Ports
    out: TextIO

    def say(self, text: str) -> None:
        """To the person who started it; a terminal that is gone is no reason not to stop the fleet in order."""
        with suppress(OSError):
            print(text, file=self.out, flush=True)


@contextmanager
def owned(folder: FleetFolder) -> Iterator[bool]:
    """Hold a fleet's lock for as long as the block lasts; gives False when another process holds it."""
    folder.path.mkdir(parents=True, exist_ok=True)
    with (folder.path / "lock").open("a+") as lock:
        deadline = time.monotonic() + OWNED_WITHIN_S
        while not _locked(lock, fcntl.LOCK_EX):
            if time.monotonic() > deadline:
                yield False
                return
            time.sleep(POLL_S / 10)
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        try:
            yield True
        finally:
            lock.truncate(0)  # the number may soon be another process's


def owner(folder: FleetFolder) -> int | None:
    """The pid of the `up` that holds a fleet's lock now, or None."""
    with suppress(FileNotFoundError), (folder.path / "lock").open("r+") as lock:
        deadline = time.monotonic() + OWNED_WITHIN_S
        while not _locked(lock, fcntl.LOCK_SH):
            lock.seek(0)
            if (text := lock.read().strip()).isdecimal():
                return int(text)
            if time.monotonic() > deadline:
                break
            time.sleep(POLL_S / 10)  # it has the lock only just, or is about to give it back
    return None


def _locked(lock: TextIO, kind: int) -> bool:
    """Lock the file, unless another process has it."""
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def running(folder: FleetFolder) -> State | None:
    """The fleet of this folder when all of it runs, else None."""
    state = State.read(folder)
    if state is None:
        return None
    try:
        is_whole = all(p.is_up for p in supervision.Supervisor(folder).processes().values())
    except supervision.SupervisionError:
        return None
    return state if is_whole else None


def write_files(context: Context, bundle: Bundle) -> None:
    """release.json and the configuration of every process."""
    folder, store = context.folder, context.home.store
    write_release(folder.release, Release(stable=bundle.id))
    for model in (bundle.classifier, bundle.regressor):
        text = configs.model_config(model.project, str(store / model.project), model.version)
        write_atomic(folder.model_config(model.project), text.encode())
    write_atomic(folder.batching, configs.batching().encode())
    all_programs = programs(context.root, folder, context.ports, store, valkey_server())
    text = configs.supervisor(
        all_programs, socket=folder.socket, folder=folder.path, logs=folder.logs, log=folder.supervisor_log
    )
    write_atomic(folder.supervisor_config, text.encode())


def start(context: Context, prepared: Prepared) -> "subprocess.Popen[bytes]":
    """Start every process in order and wait until the fleet answers whole quotes. Raises `StartFailed` or `SupervisionError`."""
    write_files(context, prepared.bundle)
    process = supervision.launch(context.folder, environment(context.folder.path))
    supervisor = supervision.Supervisor(context.folder)
    ready = readiness(context.ports, prepared.bundle)
    for name in (REDIS, CLASSIFIER_SERVER, REGRESSOR_SERVER):
        supervisor.start(name)
    _wait(context, REDIS, ready[REDIS], REDIS_WITHIN_S)
    _materialise(context)
    for name in (CLASSIFIER_SERVER, REGRESSOR_SERVER):
        _wait(context, name, ready[name], MODELS_WITHIN_S)
    supervisor.start(GATEWAY)
    _wait(context, GATEWAY, ready[GATEWAY], GATEWAY_WITHIN_S)
    _ask_first(context, prepared.insurers)
    return process


def readiness(ports: Ports, bundle: Bundle) -> Mapping[str, Callable[[], bool]]:
    """How each process is asked whether it is ready."""
    return {
        REDIS: lambda: health.redis_ready(ports.redis),
        CLASSIFIER_SERVER: lambda: health.model_ready(ports.classifier_rest, CLASSIFIER, bundle.classifier.version),
        REGRESSOR_SERVER: lambda: health.model_ready(ports.regressor_rest, REGRESSOR, bundle.regressor.version),
        GATEWAY: lambda: health.gateway_ready(ports.gateway_admin),
    }


def _wait(context: Context, name: str, is_ready: Callable[[], bool], within_s: float) -> None:
    supervisor, begun = supervision.Supervisor(context.folder), time.monotonic()
    first = supervisor.processes()[name].pid
    while not is_ready():
        process = supervisor.processes()[name]
        if not process.is_up or process.pid != first:  # supervisord may have started it again already
            raise StartFailed(_last_words(f"{name} died while it started", process.log))
        if time.monotonic() - begun > within_s:
            raise StartFailed(_last_words(f"{name} is not ready after {within_s:.0f} s", process.log))
        time.sleep(POLL_S)
    context.say(f"{name} is ready")


def _last_words(what: str, log: Path) -> str:
    lines = supervision.last_lines(log) or ["(it wrote nothing)"]
    return "\n".join([f"{what}. Its last lines:", *(f"  {line}" for line in lines), f"All of it: {log}"])


def _materialise(context: Context) -> None:
    """Fill the feature store, and have Valkey write the snapshot that it reads after a crash. Raises `StartFailed`.

    A snapshot that the same code wrote from the same tables is used again: it holds a key that says so, until it is too old.
    """
    redis, written = context.ports.redis, written_from(context.root, context.home)
    if health.redis_says(redis, b"EXISTS " + written) == b":1":
        context.say("feature store: the snapshot is up to date")
        return
    command = [
        python(context.root, "feature-store"),
        "-m",
        "feature_store",
        "materialise",
        "--data",
        str(context.home.market),
    ]
    done = subprocess.run(
        [*command, "--redis", redis_url(context.ports), "--quiet"],
        env=environment(context.folder.path),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise StartFailed(
            f"the feature store could not be filled (exit code {done.returncode}): {done.stderr.strip()[-2000:]}"
        )
    for order in (b"SET %b 1 EX %d" % (written, SNAPSHOT_FOR_S), b"SAVE"):
        if (said := health.redis_says(redis, order, timeout=REDIS_WITHIN_S)) != b"+OK":
            raise StartFailed(f"Valkey could not write its snapshot: {said.decode(errors='replace')}")
    context.say(f"feature store: {done.stdout.strip()}")


def written_from(root: Path, home: Home) -> bytes:
    """A key that changes with the market, and with the code that packs its tables."""
    code = [p for name in ("feature-store", "kit") for p in sorted((root / "services" / name / "src").rglob("*.py"))]
    digests = [sha256_of(path) for path in (home.market / "manifest.json", *code)]
    return b"local-fleet:" + hashlib.sha256("".join(digests).encode()).hexdigest().encode()


def _ask_first(context: Context, insurers: int) -> None:
    """One real quote, whole. Raises `StartFailed` when the fleet cannot give it."""
    deadline = time.monotonic() + GATEWAY_WITHIN_S
    headers = sample.headers(dev_key()) | {"X-Request-Timeout-Ms": str(FIRST_QUOTE_BUDGET_MS)}
    while (lacks := health.why_incomplete(ask_quote(context.ports, headers), insurers)) is not None:
        if time.monotonic() > deadline:
            log = supervision.Supervisor(context.folder).processes()[GATEWAY].log
            raise StartFailed(_last_words(f"the fleet runs, but {lacks}", log))
        time.sleep(POLL_S)


def ask_quote(ports: Ports, headers: Mapping[str, str]) -> health.Answer | None:
    """The sample question to /v1/quotes."""
    return health.ask(
        ports.gateway,
        "/v1/quotes",
        timeout=FIRST_QUOTE_BUDGET_MS / 1000 + 1,
        body=sample.QUESTION.encode(),
        headers=headers,
    )


def dev_key() -> str:
    """The key that a gateway on loopback accepts."""
    return os.environ.get("BALLPARK_DEV_KEY", sample.DEV_KEY)


def watch(context: Context, process: "subprocess.Popen[bytes]", bundle: Bundle) -> None:
    """Print what happens to the processes, until interrupted. Raises `SupervisionError` when supervisord itself is gone."""
    ready, waiting = readiness(context.ports, bundle), dict[str, float]()
    with context.folder.supervisor_log.open(encoding="utf-8", errors="replace") as log:
        log.seek(0, os.SEEK_END)
        while process.poll() is None:
            for line in log:
                if (event := events.read(line)) is not None and event.kind != "up":
                    context.say(f"{time.strftime('%H:%M:%S')} {event.text()}")
                    if event.kind in {"stopped", "gave_up"}:
                        waiting.pop(event.name, None)
                    else:
                        waiting.setdefault(event.name, time.monotonic())
            for name in [n for n in waiting if ready[n]()]:
                context.say(
                    f"{time.strftime('%H:%M:%S')} {name} is ready again ({time.monotonic() - waiting.pop(name):.1f} s)"
                )
            time.sleep(WATCH_EVERY_S)
    raise supervision.SupervisionError(
        f"supervisord (pid {process.pid}) ended by itself with code {process.returncode}; the fleet is stopped"
    )


def stop(folder: FleetFolder) -> None:
    """End everything of a fleet in order, whatever state it is in, and leave only its logs and configuration."""
    supervisor = supervision.Supervisor(folder)
    with suppress(supervision.SupervisionError):
        if GATEWAY in supervisor.processes():
            supervisor.stop(GATEWAY)  # it answers what it has accepted, and needs the others for that
        supervisor.stop_all()
        supervisor.shut_down()
        deadline = time.monotonic() + STOP_WITHIN_S
        while leftovers.marked(folder.path) and time.monotonic() < deadline:
            time.sleep(POLL_S)
    leftovers.clear(folder.path)
    for path in (folder.state, folder.socket):
        path.unlink(missing_ok=True)


@contextmanager
def interruptible() -> Iterator[None]:
    """SIGTERM and a closed terminal end the block as Ctrl-C does: by KeyboardInterrupt."""

    def interrupt(_: int, __: Any) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
