"""Replays a version's own warm-up requests while it loads, so that its first caller finds it warm."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

from google.protobuf.message import DecodeError

from model_server import protos, records
from model_server.errors import Code, ServingError, invalid

FILE: Final = "assets.extra/tf_serving_warmup_requests"
LIMIT: Final = 1000

Run = Callable[[Any], Awaitable[object]]
KINDS: Final = ("predict_log", "classify_log", "regress_log", "multi_inference_log")


async def replay(folder: Path, run: Run, *, iterations: int = 1) -> int:
    """Run every record of the version's file in order, each `iterations` times, and return how many there were.

    `run` is given the request of a record: a message of the kind that its log has. Raises `ServingError` from the first
    request that fails, and for a file that is not what it should be.
    """
    path = folder / FILE
    if not path.exists():
        return 0
    count = 0
    found = records.read(path)
    try:
        while (record := await asyncio.to_thread(next, found, None)) is not None:
            request = _request(record, path)
            for _ in range(iterations if request is not None else 0):
                await run(request)
            count += 1
            if count > LIMIT:
                raise invalid(f"Number of warmup records exceeds the maximum ({LIMIT}) at {path}")
    except ServingError as error:
        if error.code is not Code.DATA_LOSS:
            raise
        raise ServingError(
            Code.DATA_LOSS, f"{error.message}. Please verify your warmup data is in TFRecord format."
        ) from error
    except OSError as error:
        raise ServingError(Code.UNKNOWN, f"{path}; {error.strerror}") from error
    return count


def _request(record: bytes, path: Path) -> Any:
    """The request of one record; None for a record without any."""
    try:
        log = protos.prediction_log_pb2.PredictionLog.FromString(record)
    except DecodeError as error:
        raise invalid(f"Failed to parse warmup record: {record.decode(errors='replace')} from {path}") from error
    kind = log.WhichOneof("log_type")
    if kind is None:
        return None
    if kind not in KINDS:
        number = log.DESCRIPTOR.fields_by_name[kind].number
        raise ServingError(Code.UNIMPLEMENTED, f"Unsupported log_type for warmup: {number}")
    return getattr(log, kind).request
