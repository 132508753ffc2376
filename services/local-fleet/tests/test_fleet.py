"""Programs, state and ownership of a fleet."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from kit.artefacts import Published
from kit.bundles import Bundle, read_release
from local_fleet import fleet, leftovers, sample
from local_fleet.__main__ import main
from local_fleet.fleet import Context, State
from local_fleet.places import FleetFolder, Home, repository
from local_fleet.ports import Ports
from local_fleet.programs import NAMES, programs, valkey_server

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
