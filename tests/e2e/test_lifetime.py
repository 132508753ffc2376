"""A fleet starts, is found, survives being killed, and leaves nothing behind."""

import signal
import socket
from pathlib import Path

from e2e.fleets import Fleet, begin, listens, processes_of, started, until


def test_a_fleet_that_runs_is_reported(fleet: Fleet, tmp_path: Path) -> None:
    """Starting it again does no harm: the addresses are printed, and that is all."""
    second = begin(tmp_path / "output", offset=str(fleet.port - 8080))

    assert 0 == second.wait(60)
    assert "This fleet runs already" in (tmp_path / "output").read_text()
    assert fleet.quote().body["complete"]


def test_a_fleet_listens_on_loopback_only(fleet: Fleet) -> None:
    """Nobody else on the network can ask a laptop's fleet, or its parts."""
    listening = [c.laddr.ip for p in processes_of(fleet) for c in p.net_connections("inet") if c.status == "LISTEN"]

    assert {"127.0.0.1"} == {ip.removeprefix("::ffff:") for ip in listening}  # gRPC's sockets are of both families


def test_a_killed_fleet_starts_again_and_ctrl_c_leaves_nothing(fleet: Fleet, tmp_path: Path) -> None:
    """What a kill -9 left is ended by the next start; after Ctrl-C no process and no listener is left. Another fleet runs on meanwhile."""
    with started(tmp_path / "first") as killed:
        killed.process.kill()
        killed.process.wait()
        offset = str(killed.port - 8080)
        assert processes_of(killed)

        with started(tmp_path / "second", offset=offset) as again:
            assert "leftover processes" in again.printed
            assert again.quote().body["complete"]

            again.process.send_signal(signal.SIGINT)

            assert 0 == again.process.wait(60)
            assert [] == processes_of(again)
            assert not listens(again.port)
    assert fleet.quote().body["complete"]


def test_a_taken_port_is_named(environment: None, tmp_path: Path) -> None:  # noqa: ARG001
    """Nothing is started; the message has the port, who holds it, and how to move the fleet."""
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        offset = port - 8080
        refused = begin(tmp_path / "output", offset=str(offset))

        assert 2 == refused.wait(60)
    text = (tmp_path / "output").read_text()
    assert f"port {port} (gateway) is taken by pid" in text
    assert "python" in text
    assert f"make run OFFSET={offset + 100}" in text


def test_a_killed_process_manager_takes_the_fleet_with_it(fleet: Fleet, tmp_path: Path) -> None:  # noqa: ARG001
    """Without supervisord nothing would be started again, so the rest is stopped and the command says why."""
    with started(tmp_path / "output") as headless:
        next(p for p in processes_of(headless) if "supervisor.supervisord" in p.cmdline()).kill()

        assert 1 == headless.process.wait(60)
        assert "ended by itself" in headless.output.read_text()
        until(lambda: not processes_of(headless), within_s=10)
