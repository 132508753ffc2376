"""Section 8: deadlines, over gRPC and REST, alone and in a batch."""

from pathlib import Path

import grpc
import numpy as np
from conftest import PREDICTION, Running, Start, arrays, floats, request, running_calls, wait_until

ENDLESS = np.full(1, 2_000_000_000, np.int32)
SHORT = request("loop", {"turns": np.full(1, 3, np.int32)})


def is_answered(server: Running) -> bool:
    try:
        server.predict(SHORT)
    except grpc.RpcError:
        return False
    return True


def test_a_run_ends_with_its_deadline(start: Start, models: Path) -> None:
    """It is cancelled: its thread, the only one, is free again."""
    with start(f"--model_base_path={models / 'loop'}", "--model_name=loop", "--grpc_max_threads=2") as server:
        assert "DEADLINE_EXCEEDED" == server.refusal(request("loop", {"turns": ENDLESS}), timeout=0.3)[0]
        wait_until(lambda: is_answered(server), "the thread")


def test_a_caller_that_leaves_does_not_stop_its_run(start: Start, models: Path) -> None:
    """Cancelled by the client, the run goes on and keeps its thread."""
    flags = ("--model_name=loop", "--grpc_max_threads=2")
    with start(f"--model_base_path={models / 'loop'}", *flags) as server, server.channel() as channel:
        asked = request("loop", {"turns": np.full(1, 3_000_000, np.int32)}).SerializeToString()
        call = channel.unary_unary(PREDICTION + "Predict").future(asked, timeout=60)
        wait_until(lambda: running_calls(server), "the call")
        call.cancel()
        assert "RESOURCE_EXHAUSTED" == server.refusal(SHORT)[0]
        wait_until(lambda: is_answered(server), "the end of the run")


def test_no_deadline(server: Running) -> None:
    """Without one a call runs as long as it takes."""
    turns = request("loop", {"turns": np.full(1, 50_000, np.int32)})

    assert {"value": [50_000.0]} == arrays(server.predict(turns, timeout=None))


def test_rest_has_its_own(start: Start, models: Path) -> None:
    """`rest_api_timeout_in_ms` holds for every call: 504 in the runtime's words."""
    flags = ("--model_name=loop", "--rest_api_timeout_in_ms=300")
    with start(f"--model_base_path={models / 'loop'}", *flags) as server:
        answer = server.post("/v1/models/loop:predict", {"instances": [2_000_000_000]})
        assert (504, {"error": "Timed out waiting for notification"}) == (answer.status_code, answer.json())
        assert 200 == server.post("/v1/models/loop:predict", {"instances": [3]}).status_code


def test_all_of_a_batch_late_before_it_starts(start: Start, models: Path, tmp_path: Path) -> None:
    """Then nothing is run, and the batch thread goes on to the next."""
    parameters = tmp_path / "batching.config"
    parameters.write_text("max_batch_size { value: 2 } num_batch_threads { value: 1 }")
    flags = ("--enable_batching=true", f"--batching_parameters_file={parameters}", "--model_name=loop")
    with start(f"--model_base_path={models / 'loop'}", "--grpc_max_threads=9", *flags) as server:
        with server.channel() as channel:
            busy = request("loop", {"turns": np.full(2, 3_000_000, np.int32)}).SerializeToString()
            call = channel.unary_unary(PREDICTION + "Predict").future(busy, timeout=60)
            wait_until(lambda: running_calls(server), "the busy thread")
            assert "DEADLINE_EXCEEDED" == server.refusal(request("loop", {"turns": ENDLESS}), timeout=0.2)[0]
            assert call.result(60)
        wait_until(lambda: is_answered(server), "the next batch")


def test_a_batch_has_its_longest_deadline(start: Start, models: Path, tmp_path: Path) -> None:
    """A caller with more time gets its answer though another of its batch had less."""
    parameters = tmp_path / "batching.config"
    parameters.write_text("max_batch_size { value: 2 } batch_timeout_micros { value: 5000000 }")
    flags = ("--enable_batching=true", f"--batching_parameters_file={parameters}", "--model_name=half")
    with start(f"--model_base_path={models / 'half'}", *flags) as server, server.channel() as channel:
        method = channel.unary_unary(PREDICTION + "Predict")
        asked = request("half", {"x": floats(2)}).SerializeToString()
        short, long = method.future(asked, timeout=1), method.future(asked, timeout=30)
        assert long.result(30)
        assert short.result(5)
