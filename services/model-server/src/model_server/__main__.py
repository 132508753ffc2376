"""`python -m model_server --port=8500 --model_config_file=/path/models.config`."""

import os
import signal
import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import Final

import uvloop

from kit import logs
from model_server import config, flags
from model_server.errors import ServingError

_FAILED: Final = 255  # what `return -1` from main is to a shell


def main(arguments: Sequence[str]) -> int:
    """Run the server; the exit status is 0 or, if it could not start, 255."""
    parsed = flags.parse(arguments)
    if parsed.bad is not None:
        print(flags.usage(sys.argv[0]), end="")
        return _FAILED
    if parsed.flags.version:
        print(f"TensorFlow ModelServer: ballpark-{version('model-server')}")
        print(f"TensorFlow Library: {version('tensorflow-cpu')}")
        return 0
    if parsed.unknown is not None:
        print(f"unknown argument: {parsed.unknown}")
        print(flags.usage(sys.argv[0]), end="", flush=True)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # as there: an interrupt ends the process at once
    try:
        logs.configure("model-server", parsed.flags.ballpark_log_level)
        plan = config.plan(parsed.flags)
        from model_server.server import serve  # noqa: PLC0415 -- TensorFlow takes seconds, and a refusal should not

        uvloop.run(serve(parsed.flags, plan))
    except ServingError as error:
        return _failed(error)
    except ExceptionGroup as errors:
        reason = _only_serving_error(errors)
        if reason is None:
            raise
        return _failed(reason)
    return 0


def _failed(error: ServingError) -> int:
    print(f"Failed to start server. Error: {error}")
    return _FAILED


def _only_serving_error(errors: BaseException) -> ServingError | None:
    while isinstance(errors, BaseExceptionGroup) and len(errors.exceptions) == 1:
        errors = errors.exceptions[0]
    return errors if isinstance(errors, ServingError) else None


if __name__ == "__main__":
    exit_status = main(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(exit_status)  # a run that outlived its drain holds a thread, for which sys.exit would wait
