"""Programs, state and ownership of a fleet."""

import fcntl
import io
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kit.artefacts import Published
from kit.bundles import Bundle, read_release
from local_fleet import commands, fleet, leftovers, sample, supervision
from local_fleet.__main__ import main
from local_fleet.fleet import Context, State
from local_fleet.places import FleetFolder, Home, repository
from local_fleet.ports import Ports
from local_fleet.programs import NAMES, environment, programs, valkey_server

ROOT = repository()
BUNDLE = Bundle(
    "2026-01-01.1",
    "ab",
    Published("quote-classifier", 3, "cd"),
    Published("premium-regressor", 4, "ef"),
    "2026-01-01T00:00:00+00:00",
)


@pytest.fixture
def context(tmp_path: Path) -> Context:
    """A fleet at offset 100 that was never started."""
    home = Home(tmp_path)
    return Context(ROOT, home, home.fleet(100), Ports.at(100), sys.stdout)


def test_programs_are_the_names_in_their_order(context: Context) -> None:
    """The order of starting is that of the table."""
    assert list(NAMES) == [
        p.name for p in programs(ROOT, context.folder, context.ports, context.home.store, Path("valkey"))
    ]


def test_every_port_of_the_table_is_used_once(context: Context) -> None:
    """No process listens on a port that the table does not have."""
    text = json.dumps(
        [
            (p.command, dict(p.environment))
            for p in programs(ROOT, context.folder, context.ports, context.home.store, Path("valkey"))
        ]
    )

    assert [] == [port for port in context.ports.named().values() if str(port) not in text]
    assert [] == [port for port in Ports().named().values() if str(port) in text]


def test_the_files_name_the_bundle(context: Context) -> None:
    """release.json and both model servers' configurations pin what the bundle pins."""
    fleet.write_files(context, BUNDLE)

    assert BUNDLE.id == read_release(str(context.folder.release)).stable
    assert "versions: 3" in context.folder.model_config("quote-classifier").read_text()
    assert "versions: 4" in context.folder.model_config("premium-regressor").read_text()


def test_state_reads_back_as_written(context: Context) -> None:
    """Another process finds what `up` wrote."""
    state = State(100, "2026-01-01.1", 60, detached=True)
    state.write(context.folder)

    assert state == State.read(context.folder)


@pytest.mark.parametrize("text", ["", "[]", '{"offset": 1}'])
def test_a_broken_state_is_none(context: Context, text: str) -> None:
    """It counts as a fleet that never became ready."""
    context.folder.path.mkdir(parents=True)
    context.folder.state.write_text(text)

    assert None is State.read(context.folder)


def test_a_fleet_has_one_owner(context: Context) -> None:
    """A second process does not get the lock, and finds who has it."""
    code = f"from local_fleet import fleet; from local_fleet.places import FleetFolder; from pathlib import Path; f = FleetFolder(Path({str(context.folder.path)!r}))"
    code += "\nwith fleet.owned(f) as mine: print(mine, fleet.owner(f))"
    with fleet.owned(context.folder) as is_mine:
        other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        pid = other.stdout.split()[1]

        assert is_mine
        assert f"False {pid}" == other.stdout.strip()
    assert None is fleet.owner(context.folder)


OWNER = """
import signal, sys, time
from contextlib import nullcontext
from pathlib import Path
from local_fleet import fleet
from local_fleet.places import FleetFolder
if sys.argv[2] == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
with fleet.interruptible() if sys.argv[2] == "polite" else nullcontext(), fleet.owned(FleetFolder(Path(sys.argv[1]))) as mine:
    print(mine, flush=True)
    time.sleep(600)
"""


@contextmanager
def owning(folder: FleetFolder, manners: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Another process that holds a fleet's lock, and on SIGTERM ends ("polite") or does not ("deaf")."""
    command = [sys.executable, "-c", OWNER, str(folder.path), manners]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        try:
            assert process.stdout is not None
            assert b"True\n" == process.stdout.readline()
            yield process
        finally:
            process.kill()


def test_a_question_for_the_owner_does_not_stop_a_start(context: Context) -> None:
    """Whoever asks holds the lock for a moment; a start waits for that moment."""
    context.folder.path.mkdir(parents=True)
    with (context.folder.path / "lock").open("a+") as asked:
        fcntl.flock(asked, fcntl.LOCK_SH)
        threading.Timer(0.2, lambda: fcntl.flock(asked, fcntl.LOCK_UN)).start()

        with fleet.owned(context.folder) as is_mine:
            assert is_mine


def test_an_owner_leaves_no_number_behind(context: Context) -> None:
    """A pid in the file would soon be that of somebody else's process."""
    with fleet.owned(context.folder):
        pass

    assert "" == (context.folder.path / "lock").read_text()


def test_down_ends_the_owner(context: Context) -> None:
    """The `up` that started a fleet stops it, and its `down` says so."""
    out = io.StringIO()
    with owning(context.folder, "polite") as process:
        assert 0 == commands.down(commands.Session(ROOT, context.home, out), 100)
        assert 0 != process.wait(10)
    assert "stopped\n" == out.getvalue()


def test_down_does_not_wait_for_ever(context: Context) -> None:
    """An `up` that does not end is named, after everything else of its fleet was ended."""
    out = io.StringIO()
    with owning(context.folder, "deaf") as process:
        code = commands.down(commands.Session(ROOT, context.home, out), 100, within_s=0.3)

        assert None is process.poll()
    assert (1, f"stopped, but pid {process.pid}, which started it, does not end: kill -9 {process.pid}\n") == (
        code,
        out.getvalue(),
    )


def test_down_all_stops_every_fleet_and_what_is_left_of_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One with an owner, one of which only a process is left, one that does not run."""
    home = Home(tmp_path)
    for offset in (0, 100, 200):
        home.fleet(offset).path.mkdir(parents=True)
    mark = {**os.environ, leftovers.MARK: str(home.fleet(100).path)}
    with (
        owning(home.fleet(0), "polite") as owner,
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], env=mark) as left,
    ):
        assert 0 == main(["down", "--port-offset", "all", "--home", str(tmp_path)])
        assert 0 != owner.wait(10)
        left.wait(10)
        assert [] == leftovers.marked(home.fleet(100).path)
    printed = capsys.readouterr().out

    assert [True, True, False] == [f"the fleet at offset {n}:" in printed for n in (0, 100, 200)]
    assert 0 == main(["down", "--port-offset", "all", "--home", str(tmp_path)])


def test_url_is_the_gateways_address_and_nothing_else(context: Context, capsys: pytest.CaptureFixture[str]) -> None:
    """A script can use what is printed; without a fleet that is ready the exit code is 2."""
    ask = ["url", "--home", str(context.home.path), "--port-offset", "100"]
    assert 2 == main(ask)
    with owning(context.folder, "polite"):
        assert 2 == main(ask)
        capsys.readouterr()
        State(100, "2026-01-01.1", 60, detached=True).write(context.folder)

        assert 0 == main(ask)
    assert "http://127.0.0.1:8180\n" == capsys.readouterr().out


def test_everything_listens_on_loopback(context: Context) -> None:
    """A laptop's fleet is not the whole network's: every program is told its address, supervisor has a socket file."""
    fleet.write_files(context, BUNDLE)
    addressed = {
        p.name: any("127.0.0.1" in text for text in (*p.command, p.environment.get("GATEWAY_HOST", "")))
        for p in programs(ROOT, context.folder, context.ports, context.home.store, Path("valkey"))
    }

    assert dict.fromkeys(NAMES, True) == addressed
    assert "inet_http_server" not in context.folder.supervisor_config.read_text()


def test_a_model_server_may_drain_before_it_is_killed(context: Context) -> None:
    """supervisord waits longer than the server, and less than the call that stops it."""
    servers = [
        p
        for p in programs(ROOT, context.folder, context.ports, context.home.store, Path("valkey"))
        if "stable" in p.name
    ]

    assert 2 == len(servers)
    for server in servers:
        drain = next(int(f.partition("=")[2]) for f in server.command if f.startswith("--ballpark_drain_seconds="))
        assert drain < server.stop_within_s < supervision.STOP_TIMEOUT_S


def test_processes_may_write_bytecode(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where this process may not, TensorFlow would be compiled anew at every start."""
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")

    assert ("", str(tmp_path)) == (
        (made := environment(tmp_path))["PYTHONDONTWRITEBYTECODE"],
        made[leftovers.MARK],
    )


def test_valkey_keeps_the_mark(tmp_path: Path) -> None:
    """A Redis that writes its title over its environment could not be found again."""
    folder = FleetFolder(tmp_path / "fleet-0")
    folder.redis.mkdir(parents=True)
    ports = Ports(redis=0)
    redis = programs(ROOT, folder, ports, tmp_path, valkey_server())[0]
    socket = ("--unixsocket", str(tmp_path / "s"))
    with subprocess.Popen(
        [*redis.command, *socket], env={leftovers.MARK: str(folder.path)}, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        while b"Ready to accept connections" not in process.stdout.readline():
            assert process.poll() is None
        assert [process.pid] == [p.pid for p in leftovers.marked(folder.path)]
        process.kill()


def test_the_readme_has_the_printed_question() -> None:
    """What the README shows is what a fleet prints."""
    assert sample.QUESTION in (ROOT / "README.md").read_text(encoding="utf-8")


def test_commands_without_a_fleet_say_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 2, and how to start one."""
    assert 2 == main(["accuracy", "--home", str(tmp_path)])
    assert "no fleet runs; start one: make run" in capsys.readouterr().err


def test_a_misspelt_model_gets_the_right_spelling(capsys: pytest.CaptureFixture[str]) -> None:
    """`--params` knows the models."""
    with pytest.raises(SystemExit):
        main(["up", "--params", "quote-clasifier=x"])
    assert "did you mean quote-classifier?" in capsys.readouterr().err
