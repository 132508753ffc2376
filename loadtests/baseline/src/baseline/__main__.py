"""The command line: `python -m baseline 2w --store DIR --release FILE --market DIR --port PORT`."""

import argparse
import gc
import os
import signal
import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType
from typing import Final

HOST: Final = "127.0.0.1"
WORKERS: Final = {"2w": 2, "1w-batch": 1}
BAD_INPUT: Final = 2


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGTERM; the exit code."""
    options = _parser().parse_args(arguments)
    workers = []
    for _ in range(WORKERS[options.kind]):
        pid = os.fork()  # before TensorFlow is imported: its threads would not live on in a child
        if pid == 0:
            return serve(options)
        workers.append(pid)

    def stop(_: int, __: FrameType | None) -> None:
        for pid in workers:
            os.kill(pid, signal.SIGTERM)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in workers]
    return next((code for code in codes if code not in {0, -signal.SIGTERM}), 0)


def serve(options: argparse.Namespace) -> int:
    """One worker, on a socket of its own that shares the port: the kernel spreads the connections."""
    from baseline import app, bundle, models  # noqa: PLC0415 -- in the worker, as everything heavy

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    try:
        loaded = bundle.read(bundle.Places(options.store, options.release, options.market))
    except bundle.BadInput as error:
        print(f"baseline: {error}", file=sys.stderr)
        return BAD_INPUT
    classifier, regressor = (models.load(folder, by_session=not options.signature) for folder in loaded.folders)
    parts = app.Parts(loaded.tables, loaded.packer, classifier, regressor)
    app.warm_up(parts)
    if options.kind == "2w":
        made = app.create_app(parts, app.one_by_one(parts))
    else:
        made = app.create_app(parts, app.in_batches(parts, ThreadPoolExecutor(2)))
        gc.collect()
        gc.freeze()
    app.serve(made, listening(options.port))
    return 0


def listening(port: int) -> socket.socket:
    """A socket that takes its share of the port's connections."""
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    made.bind((HOST, port))
    return made


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m baseline",
        description="The fleet's two models in one process, on loopback: what the fleet is measured against.",
        epilog="Exit: 0 stopped as asked, 1 failed, 2 bad input.",
    )
    parser.add_argument("kind", choices=list(WORKERS), help="two workers, one call a request; or one with shared calls")
    parser.add_argument("--store", required=True, help="the artefact store: a directory or any fsspec URL")
    parser.add_argument("--release", required=True, help="release.json, which names the bundle")
    parser.add_argument("--market", required=True, type=Path, help="folder of vehicles.parquet and areas.parquet")
    parser.add_argument("--port", required=True, type=int, help="on 127.0.0.1")
    parser.add_argument(
        "--signature", action="store_true", help="run the models through TensorFlow 2's signature functions"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
