"""Loading while others answer."""

import sys
from pathlib import Path

import pytest
from conftest import OURS, Start, copy_of, floats, predict_log, publish, request, states, wait_until, warm_up_with


def priorities(pid: int) -> set[tuple[str, int]]:
    """Name and nice value of every thread."""
    stats = [task.read_text() for task in Path(f"/proc/{pid}/task").glob("*/stat")]
    return {(stat.split("(", 1)[1].rsplit(")", 1)[0], int(stat.rsplit(")", 1)[1].split()[16])) for stat in stats}


@pytest.mark.skipif(not OURS, reason="how this server does it")
@pytest.mark.skipif(sys.platform != "linux", reason="a thread has a priority of its own on Linux only")
@pytest.mark.parametrize("batching", [False, True])
def test_a_later_version_loads_in_the_background(start: Start, models: Path, tmp_path: Path, *, batching: bool) -> None:
    """The first version has the machine; a later one is read and warmed up on threads that stand back, and on no others."""
    base = copy_of(models, "half", tmp_path)
    version = tmp_path / "aside"
    (base / "00000003").rename(version)
    warm_up_with(version, predict_log(request("half", {"x": floats(1)})))
    flags = ("--num_load_threads=1", "--file_system_poll_wait_seconds=1", f"--enable_batching={str(batching).lower()}")
    with start(f"--model_base_path={base}", "--model_name=half", *flags) as server:
        server.predict(request("half", {"x": floats(1)}))
        before = {nice for _, nice in priorities(server.process.pid)}
        publish(version, base, 3)
        wait_until(lambda: states(server, "half").get(3) == "AVAILABLE", "the later version")
        behind = {name for name, nice in priorities(server.process.pid) if nice not in before}

        assert (1, {"python"}) == (len(before), behind)
