"""Section 9: the gRPC server itself: services, health, limits, sockets, signals."""

import signal
import threading
from pathlib import Path

import grpc
import numpy as np
import pytest
from conftest import (
    ENDLESS,
    MODEL,
    PREDICTION,
    Running,
    Start,
    accepts,
    arrays,
    end,
    floats,
    free_port,
    request,
    running_calls,
    spawn,
    wait_until,
)

HEALTH = "/grpc.health.v1.Health/"
SERVING = b"\x08\x01"


@pytest.mark.parametrize(
    "method",
    [
        PREDICTION + "NoSuchCall",
        MODEL + "NoSuchCall",
        "/tensorflow.serving.SessionService/SessionRun",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        HEALTH + "Check",
        HEALTH + "Watch",
    ],
)
def test_what_is_not_there(server: Running, method: str) -> None:
    """Other methods, reflection, and health without its flag are UNIMPLEMENTED."""
    with server.channel() as channel, pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary(method)(b"", timeout=20)

    assert grpc.StatusCode.UNIMPLEMENTED == caught.value.code()


@pytest.fixture(scope="module")
def healthy(start: Start, models: Path) -> object:
    with start(f"--model_base_path={models / 'half'}", "--enable_grpc_healthcheck_service=true") as running:
        yield running


@pytest.mark.parametrize("service", ["", "ModelService", "PredictionService"])
def test_health(healthy: Running, service: str) -> None:
    """The server and its two services, by their short names, are SERVING."""
    asked = b"\x0a" + bytes([len(service)]) + service.encode() if service else b""
    with healthy.channel() as channel:
        assert SERVING == channel.unary_unary(HEALTH + "Check")(asked, timeout=20)


def test_health_of_a_stranger(healthy: Running) -> None:
    """Long names are unknown."""
    name = b"tensorflow.serving.PredictionService"
    with healthy.channel() as channel, pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary(HEALTH + "Check")(b"\x0a" + bytes([len(name)]) + name, timeout=20)

    assert grpc.StatusCode.NOT_FOUND == caught.value.code()


def test_health_watched(healthy: Running) -> None:
    """A watcher is told once, and the call stays open."""
    with healthy.channel() as channel:
        watch = channel.unary_stream(HEALTH + "Watch")(b"", timeout=20)
        assert SERVING == next(watch)
        watch.cancel()


@pytest.mark.parametrize("threads", [2, 3])
def test_calls_beyond_the_threads_are_refused(start: Start, models: Path, threads: int) -> None:
    """One thread polls; a call that finds none free is refused at once, and the others go on."""
    flags = ("--model_name=loop", f"--grpc_max_threads={threads}")
    with start(f"--model_base_path={models / 'loop'}", *flags) as server, server.channel() as channel:
        method = channel.unary_unary(PREDICTION + "Predict")
        calls = [method.future(ENDLESS, timeout=60) for _ in range(threads + 2)]
        wait_until(lambda: sum(call.done() for call in calls) >= 3, "three refusals", within_s=30)
        refusals = [call.exception() for call in calls if call.done()]

    assert [(grpc.StatusCode.RESOURCE_EXHAUSTED, "Server Threadpool Exhausted")] * 3 == [
        (error.code(), error.details()) for error in refusals
    ]


def test_large_messages(server: Running) -> None:
    """Requests and answers of tens of megabytes pass."""
    x = np.arange(4_000_000, dtype=np.float32)
    answer = server.predict(request("half", {"x": x}, output_filter=["z"]), timeout=60)

    assert 4_000_000 == len(answer.outputs["z"].float_val)


@pytest.mark.parametrize(("length", "cut"), [(900, False), (2000, True)])
def test_details_are_cut(server: Running, length: int, cut: bool) -> None:
    """Past 1024 bytes a message ends, and says so."""
    _, message = server.refusal(request("n" * length, {}))

    assert (cut, cut) == (len(message) == 1024 + len("...TRUNCATED"), message.endswith("...TRUNCATED"))


@pytest.mark.parametrize("data", [b"\xff", b"\x0a\xff", b"\x08"])
@pytest.mark.parametrize("method", [PREDICTION + "Predict", PREDICTION + "Classify", MODEL + "GetModelStatus"])
def test_bytes_that_are_no_message(server: Running, method: str, data: bytes) -> None:
    """They fail, and the server goes on."""
    with server.channel() as channel, pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary(method)(data, timeout=20)

    assert grpc.StatusCode.OK != caught.value.code()
    assert [3.0] == arrays(server.predict(request("half", {"x": floats(0)})))["y"]


@pytest.mark.parametrize("port", ["beside", "instead"])
def test_a_unix_socket(models: Path, tmp_path: Path, port: str) -> None:
    """gRPC serves on a socket beside its port, or instead of it."""
    path, tcp = tmp_path / "s", free_port() if port == "beside" else 0
    flags = [f"--model_base_path={models / 'half'}", f"--grpc_socket_path={path}"]
    process = spawn(flags, tmp_path / "log", (tcp, 0))
    try:
        wait_until(path.exists, "the socket")
        with grpc.insecure_channel(f"unix:{path}") as channel:
            asked = request("default", {"x": floats(0)}).SerializeToString()
            assert channel.unary_unary(PREDICTION + "Predict")(asked, timeout=20, wait_for_ready=True)
        assert (tcp != 0) == (tcp != 0 and accepts(tcp))
    finally:
        end(process)


@pytest.mark.parametrize("argument", ["", "grpc.so_reuseport=0"])
def test_two_servers_on_one_port(start: Start, models: Path, tmp_path: Path, argument: str) -> None:
    """A second one starts beside the first, unless an argument of the channel forbids it."""
    base = f"--model_base_path={models / 'half'}"
    with start(base, f"--grpc_channel_arguments={argument}") as first:
        log = tmp_path / "log"
        second = spawn([base, f"--grpc_channel_arguments={argument}"], log, (first.port, rest := free_port()))
        try:
            wait_until(lambda: accepts(rest) or second.poll() is not None, "the second server")
            assert (None if not argument else 255) == second.poll()
        finally:
            end(second)


def test_the_age_of_connections(start: Start, models: Path) -> None:
    """Arguments of the channel are passed on: an old connection is closed."""
    arguments = "--grpc_channel_arguments=grpc.max_connection_age_ms=300,grpc.max_connection_age_grace_ms=300"
    with start(f"--model_base_path={models / 'half'}", arguments) as server, server.channel() as channel:
        closed, seen = threading.Event(), []

        def note(state: grpc.ChannelConnectivity) -> None:
            seen.append(state)
            if state is not grpc.ChannelConnectivity.READY and grpc.ChannelConnectivity.READY in seen:
                closed.set()

        channel.subscribe(note, try_to_connect=True)
        assert closed.wait(20)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_cuts_calls(start: Start, models: Path, number: signal.Signals) -> None:
    """There is no handler: the process is gone at once, and calls in flight are UNAVAILABLE."""
    with start(f"--model_base_path={models / 'loop'}", "--model_name=loop") as server, server.channel() as channel:
        call = channel.unary_unary(PREDICTION + "Predict").future(ENDLESS, timeout=30)
        wait_until(lambda: running_calls(server), "the call")
        server.process.send_signal(number)

        assert -number == server.process.wait(10)
        assert grpc.StatusCode.UNAVAILABLE == call.exception(10).code()
