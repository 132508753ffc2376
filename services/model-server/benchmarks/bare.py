"""The bare loop that the server is measured against: a `Session`, one thread, no wire. Told what to do on standard input.

`python bare.py FOLDER [--alone]`; each line `ROWS SECONDS` is answered with one JSON line: rows a second, and the median call in µs.
TensorFlow chooses its threads, or (`--alone`) has none beside the caller's.
"""

import json
import statistics
import sys
import time
from typing import Final

import numpy as np
import tensorflow as tf

SIGNATURE: Final = "packed"


def main(folder: str, *options: str) -> None:
    """Load, run each size once, and obey."""
    v1 = tf.compat.v1
    config = v1.ConfigProto()
    if "--alone" in options:
        config.intra_op_parallelism_threads, config.inter_op_parallelism_threads = 1, -1
    with tf.Graph().as_default() as graph, v1.Session(config=config) as session:
        loaded = v1.saved_model.loader.load(session, ["serve"], folder)
        signature = loaded.signature_def[SIGNATURE]
        feeds = [graph.get_tensor_by_name(signature.inputs[name].name) for name in ("numeric", "categorical")]
        fetches = [graph.get_tensor_by_name(info.name) for info in signature.outputs.values()]
        run = session.make_callable(fetches, feeds)
        for rows in (1, 32):
            run(*arrays(rows))
        print("ready", flush=True)
        for line in sys.stdin:
            rows, seconds = line.split()
            print(json.dumps(measure(run, int(rows), float(seconds))), flush=True)


def arrays(rows: int) -> tuple[object, object]:
    """Inputs of the model's shapes."""
    return np.ones((rows, 20), np.float32), np.ones((rows, 13), np.int32)


def measure(run: object, rows: int, seconds: float) -> dict[str, float]:
    """As many calls as go into the time."""
    fed, took = arrays(rows), []
    end = time.perf_counter() + seconds
    while (begun := time.perf_counter()) < end:
        run(*fed)  # type: ignore[operator]  # tensorflow has no types
        took.append(time.perf_counter() - begun)
    return {"rows_per_s": rows * len(took) / sum(took), "p50_us": statistics.median(took) * 1e6}


if __name__ == "__main__":
    main(*sys.argv[1:])
