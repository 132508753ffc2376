"""The store's command line: fill it, look one entity up, say what is in it."""

import argparse
import difflib
import json
import os
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from feature_store import contents
from feature_store.materialise import BATCH, FILES, materialise
from kit import contract
from kit.stage import BAD_INPUT, DONE, BadInput, Quiet, progress_on

FAILED: Final = 1

EXITS: Final = "Exit: 0 done, 1 not found or Redis failed (try again), 2 bad input (trying again will not help)."


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and give the exit code."""
    options = _parser().parse_args(argv)
    try:
        with _connect(options.redis) as redis:
            code: int = options.run(options, redis)
            return code
    except BadInput as error:
        return _say(f"{options.command}: {error}", BAD_INPUT)
    except RedisError as error:
        return _say(f"{options.command}: Redis at {_shown(options.redis)}: {_reason(error)}", FAILED)


def _materialise(options: argparse.Namespace, redis: Redis) -> int:
    begun = time.monotonic()
    progress = Quiet() if options.quiet else progress_on(sys.stderr)
    _check_reachable(redis)
    written = materialise(
        options.data, redis, contract.load(), event_time_s=options.event_time, batch=options.batch, progress=progress
    )
    rows = ", ".join(f"{count} {entity}" for entity, count in written.items())
    print(f"materialised {rows} rows in {time.monotonic() - begun:.1f} s, contract {contract.load().short_fingerprint}")
    return DONE


def _get(options: argparse.Namespace, redis: Redis) -> int:
    names = [e.name for e in contract.load().entities]
    if options.entity not in names:
        near = difflib.get_close_matches(options.entity, names, 1)
        raise BadInput(
            f"no entity {options.entity!r}; "
            + (f"did you mean {near[0]}?" if near else f"there are {', '.join(names)}")
        )
    found = contents.get(redis, contract.load(), options.entity, options.id)
    if found is None:
        return _say(
            f"get: no {options.entity} {options.id!r} under contract {contract.load().short_fingerprint}", FAILED
        )
    print(json.dumps(found, indent=1))
    return DONE


def _stats(_: argparse.Namespace, redis: Redis) -> int:
    print(json.dumps(contents.stats(redis, contract.load()), indent=1))
    return DONE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m feature_store", description=__doc__, epilog=EXITS)
    commands = parser.add_subparsers(dest="command", required=True, metavar="materialise|get|stats")

    fill = commands.add_parser("materialise", help="write the tables of cars and areas into the store", epilog=EXITS)
    fill.add_argument(
        "--data",
        type=Path,
        required=True,
        metavar="DIR",
        help=f"a folder with manifest.json, {' and '.join(FILES.values())}",
    )
    fill.add_argument(
        "--event-time", type=_event_time, default=time.time(), metavar="TIME",
        help="when the tables were true: ISO 8601 (UTC unless it says so) or seconds since 1970 (default: now)",
    )  # fmt: skip
    fill.add_argument(
        "--batch", type=_positive, default=BATCH, metavar="N", help=f"rows a round trip (default {BATCH})"
    )
    fill.add_argument("--quiet", action="store_true", help="no progress")
    fill.set_defaults(run=_materialise)

    look = commands.add_parser("get", help="print one entity", epilog=EXITS)
    look.add_argument("entity", help="vehicle or area")
    look.add_argument("id", help="v-00123, R07-0012")
    look.set_defaults(run=_get)

    commands.add_parser("stats", help="print how much is in the store, and how old", epilog=EXITS).set_defaults(
        run=_stats
    )
    for command in commands.choices.values():
        command.add_argument(
            "--redis", default=os.environ.get("REDIS_URL", "redis://127.0.0.1:6379"), metavar="URL",
            help="redis://, rediss:// or unix:// (default: REDIS_URL, else redis://127.0.0.1:6379)",
        )  # fmt: skip
    return parser


def _connect(url: str) -> Redis:
    try:
        return Redis.from_url(
            url,
            protocol=2,
            socket_connect_timeout=2.0,
            socket_timeout=10.0,
            retry=Retry(NoBackoff(), 0),
            driver_info=None,
        )
    except ValueError as error:
        raise BadInput(f"--redis: {error}") from error


def _check_reachable(redis: Redis) -> None:
    """A wrong address is said before a table is read. Raises RedisError."""
    redis.ping()


def _event_time(text: str) -> float:
    try:
        at = float(text)
    except ValueError:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is neither ISO 8601 nor seconds since 1970") from None
        at = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    if not 0 <= at <= time.time() + 60:
        raise argparse.ArgumentTypeError(f"{text!r} lies in the future or before 1970")
    return at


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def _shown(url: str) -> str:
    """The address without a user name or password."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _reason(error: RedisError) -> str:
    return f"{type(error).__name__}: {error}"


def _say(text: str, code: int) -> int:
    sys.stderr.write(f"feature_store {text}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
