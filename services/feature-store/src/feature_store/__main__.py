"""The store's command line: fill it, look one entity up, say what is in it, hold it against its tables."""

import argparse
import difflib
import json
import os
import random
import re
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NoReturn, cast
from urllib.parse import urlsplit

from redis import Redis, RedisCluster
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from feature_store import contents
from feature_store.access import LEAST_SECRET, USERS, acl_file
from feature_store.materialise import BATCH, FILES, TakenOver, check_manifest, materialise, packed, read
from feature_store.wire import Address
from kit import contract
from kit.stage import BAD_INPUT, DONE, BadInput, Progress, Quiet, progress_on

FAILED: Final = 1

EXITS: Final = "Exit: 0 done, 1 not found, at fault, overtaken, or Redis failed (try again), 2 bad input (trying again will not help)."


class _Parser(argparse.ArgumentParser):
    """Says the nearest right spelling of a command or an option that it does not know."""

    def words(self) -> Iterator[str]:
        """Its commands and options, and theirs."""
        for action in self._actions:
            yield from action.option_strings
            if isinstance(action.choices, Mapping):
                for name, command in action.choices.items():
                    yield name
                    yield from command.words()

    def error(self, message: str) -> NoReturn:
        found = re.search(r"invalid choice: '(.*?)'|unrecognized arguments: ([^ =]+)", message)
        near = difflib.get_close_matches(found[1] or found[2], list(self.words()), 1) if found else []
        super().error(f"{message} (did you mean {near[0]}?)" if near else message)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and give the exit code."""
    options = _parser().parse_args(argv)
    try:
        if options.command == "users":
            return _users(options)
        with _connect(options.redis) as redis:
            code: int = options.run(options, redis)
            return code
    except BadInput as error:
        return _say(f"{options.command}: {error}", BAD_INPUT)
    except TakenOver as error:
        return _say(f"{options.command}: {error}; this one stops", FAILED)
    except RedisError as error:
        return _say(f"{options.command}: Redis at {_shown(options.redis)}: {_reason(error)}", FAILED)


def _materialise(options: argparse.Namespace, redis: Redis) -> int:
    begun = time.monotonic()
    _check_reachable(redis)
    written = materialise(
        options.data, redis, contract.load(), event_time_s=options.event_time, now=time.time(), batch=options.batch,
        progress=_progress(options), say=(lambda _: None) if options.quiet else _note,
    )  # fmt: skip
    rows = ", ".join(f"{count} {entity}" for entity, count in written.items())
    print(f"materialised {rows} rows in {time.monotonic() - begun:.1f} s, contract {contract.load().short_fingerprint}")
    return DONE


def _get(options: argparse.Namespace, redis: Redis) -> int:
    kinds = {e.name: e for e in contract.load().entities}
    if options.entity not in kinds:
        near = difflib.get_close_matches(options.entity, kinds, 1)
        raise BadInput(
            f"no entity {options.entity!r}; "
            + (f"did you mean {near[0]}?" if near else f"there are {', '.join(kinds)}")
        )
    if not re.fullmatch(kinds[options.entity].pattern, options.id):
        raise BadInput(f"id {options.id!r}: a {options.entity} looks like {kinds[options.entity].pattern}")
    found = contents.get(redis, contract.load(), options.entity, options.id)
    if found is None:
        return _say(
            f"get: no {options.entity} {options.id!r} under contract {contract.load().short_fingerprint}", FAILED
        )
    _print(found, options)
    return DONE


def _stats(options: argparse.Namespace, redis: Redis) -> int:
    _print(contents.stats(redis, contract.load()), options)
    return DONE


def _verify(options: argparse.Namespace, redis: Redis) -> int:
    _check_reachable(redis)
    law, faults, checked = contract.load(), list[str](), 0
    check_manifest(options.data, law)
    for name in FILES:
        rows = read(options.data, law, name)
        values = dict(zip(rows.ids, packed(rows, law), strict=True))
        chosen = rows.ids if options.sample is None else random.sample(rows.ids, min(options.sample, len(rows.ids)))
        checked += len(chosen)
        faults += contents.verify(
            redis, law, name, {i: values[i] for i in chosen}, rows.source, batch=BATCH, progress=_progress(options)
        )
        faults += contents.strangers(redis, law, name, set(rows.ids))
    print(
        "\n".join(
            [*faults, f"{checked} entities looked at: {f'{len(faults)} faults' if faults else 'as in the files'}"]
        )
    )
    return FAILED if faults else DONE


def _users(options: argparse.Namespace) -> int:
    secrets = {}
    for user in USERS:
        path: Path = getattr(options, user)
        try:
            secrets[user] = path.read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise BadInput(f"--{user}: {path}: {getattr(error, 'strerror', 'not text')}") from error
        if len(secrets[user]) < LEAST_SECRET:
            raise BadInput(f"--{user}: {path}: a password has at least {LEAST_SECRET} characters")
    print(acl_file(secrets), end="")
    return DONE


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m feature_store", description=__doc__, epilog=EXITS)
    commands = parser.add_subparsers(dest="command", required=True, metavar="materialise|get|stats|verify|users")

    fill = commands.add_parser("materialise", help="put the tables of cars and areas in force", epilog=EXITS)
    fill.add_argument(
        "--event-time", type=_event_time, metavar="TIME",
        help="when the tables were true: ISO 8601 (UTC unless it says so) or seconds since 1970 (default: now)",
    )  # fmt: skip
    fill.add_argument(
        "--batch", type=_positive, default=BATCH, metavar="N", help=f"rows a round trip (default {BATCH})"
    )
    fill.set_defaults(run=_materialise)

    look = commands.add_parser("get", help="print one entity", epilog=EXITS)
    look.add_argument("entity", help="vehicle or area")
    look.add_argument("id", help="v-00123, R07-0012")
    look.set_defaults(run=_get)

    count = commands.add_parser("stats", help="print how much is in the store, and how old", epilog=EXITS)
    count.set_defaults(run=_stats)

    check = commands.add_parser("verify", help="hold the tables in force against their files", epilog=EXITS)
    check.add_argument("--sample", type=_positive, metavar="N", help="look at N entities of each kind (default: all)")
    check.set_defaults(run=_verify)

    people = commands.add_parser("users", help="print the server's ACL file: who may do what", epilog=EXITS)
    for user, about in USERS.items():
        people.add_argument(
            f"--{user}", type=Path, required=True, metavar="FILE", help=f"holds the password of {about}"
        )

    for command in (fill, check):
        command.add_argument(
            "--data", type=Path, required=True, metavar="DIR",
            help=f"a folder with manifest.json, {' and '.join(FILES.values())}",
        )  # fmt: skip
        command.add_argument("--quiet", action="store_true", help="no progress")
    for command in (look, count):
        command.add_argument("--json", action="store_true", help="print JSON")
    for command in (fill, look, count, check):
        command.add_argument(
            "--redis", default=os.environ.get("REDIS_URL", "redis://127.0.0.1:6379"), metavar="URL",
            help="redis://, rediss:// or unix://, with ?cluster=true for a cluster (default: REDIS_URL, else redis://127.0.0.1:6379)",
        )  # fmt: skip
    return parser


def _print(found: Mapping[str, Any], options: argparse.Namespace) -> None:
    print(json.dumps(found, indent=1) if options.json else "\n".join(contents.in_words(found)))


def _progress(options: argparse.Namespace) -> Progress:
    return Quiet() if options.quiet else progress_on(sys.stderr)


def _note(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def _connect(url: str) -> Redis:
    options: Mapping[str, Any] = {
        "protocol": 2, "socket_connect_timeout": 2.0, "socket_timeout": 10.0, "retry": Retry(NoBackoff(), 0), "driver_info": None,
    }  # fmt: skip
    try:
        if not Address.of(url).is_cluster:
            return Redis.from_url(url, **options)
        plain = re.sub(r"[?&]cluster=true", "", url)
        return cast("Redis", RedisCluster.from_url(plain, **options))  # which has the same commands
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
