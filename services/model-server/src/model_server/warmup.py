"""Replays a version's own warm-up requests while it loads, so that its first caller finds it warm."""

from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, Final

from google.protobuf.message import DecodeError

from kit.tensors import Envelope, open_request
from model_server import runtime
from model_server.errors import Code, ServingError, invalid

FILE: Final = "assets.extra/tf_serving_warmup_requests"
LIMIT: Final = 1000

Run = Callable[[Envelope], Awaitable[object]]


async def replay(folder: Path, run: Run, *, iterations: int = 1) -> int:
    """Run every record of the version's file in order, each `iterations` times, and return how many there were.

    Raises `ServingError` from the first request that fails, and for a file that is not what it should be.
    """
    path = folder / FILE
    if not path.exists():
        return 0
    count = 0
    for count, record in enumerate(_records(path), start=1):
        request = _request(record, path)
        for _ in range(iterations if request else 0):
            await run(request)
        if count > LIMIT:
            raise invalid(f"Number of warmup records exceeds the maximum ({LIMIT}) at {path}")
    return count


def _records(path: Path) -> Iterator[bytes]:
    try:
        yield from runtime.tf_record_iterator(str(path))
    except runtime.OpError as error:
        raise ServingError(
            Code(error.error_code), f"{error.message}. Please verify your warmup data is in TFRecord format."
        ) from error


def _request(record: bytes, path: Path) -> Any:
    """The Predict request of one record; None for a record without any."""
    try:
        log = runtime.prediction_log_pb2.PredictionLog.FromString(record)
    except DecodeError as error:
        raise invalid(f"Failed to parse warmup record: {record!r} from {path}") from error
    kind = log.WhichOneof("log_type")
    if kind is None:
        return None
    if kind != "predict_log":
        number = log.DESCRIPTOR.fields_by_name[kind].number
        raise ServingError(Code.UNIMPLEMENTED, f"Unsupported log_type for warmup: {number}")
    return open_request(log.predict_log.request.SerializeToString())
