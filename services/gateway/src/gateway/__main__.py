"""`python -m gateway` serves; `new-key` makes a key, `openapi` writes what the API promises. Settings come from the environment."""

import argparse
import json
import logging
import os
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Final

import uvloop
from pydantic import ValidationError

from gateway.adapters.keys import (
    KEY_ID,
    MOST_HASHES,
    BadKeys,
    KeysFile,
    entry_text,
    new_key_text,
    read_keys,
    read_secret,
    write_keys,
)
from gateway.adapters.release import BadRelease, load_serving
from gateway.api import openapi
from gateway.api.access import hash_key
from gateway.api.breaking import breaking
from gateway.api.edge import Limits
from gateway.api.health import Health
from gateway.app import LogBridge, Parts, bind, connect, read_access, registry, serve
from gateway.domain.keys import Key, Priority, Quota, Scope
from gateway.settings import PREFIX, BadSettings, Settings, refuse_strangers
from kit import contract, logs
from kit.files import write_atomic

DONE: Final = 0
FAILED: Final = 1
BAD_INPUT: Final = 2
REFUSED: Final = 3

PRIORITY_HELP: Final = (
    "under overload batch is refused before interactive, and loadtest before both (default interactive)"
)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; the exit code."""
    options = _parser().parse_args(arguments)
    try:
        return COMMANDS[options.command](options)
    except (BadSettings, BadKeys, BadRelease) as error:
        print(f"gateway: {error}", file=sys.stderr)
        return BAD_INPUT


def _serve(_: argparse.Namespace) -> int:
    refuse_strangers(os.environ)
    try:
        settings = Settings()
    except ValidationError as error:
        raise BadSettings("; ".join(_said(problem["loc"], problem["msg"]) for problem in error.errors())) from None
    access = read_access(settings)
    motor = contract.load()
    serving = load_serving(settings.store, settings.release, motor)
    public = bind(settings.host, settings.port, "GATEWAY_PORT")
    admin = bind(settings.admin_host, settings.admin_port, "GATEWAY_ADMIN_PORT")
    series = registry()
    parts = Parts(
        contract=motor,
        serving=serving,
        access=access,
        limits=Limits(settings.max_in_flight, settings.budget_ms),
        answers_s=settings.answers_s,
        docs=settings.docs,
        health=Health(),
        registry=series,
        connect=connect(settings, motor, serving, access, series),
        keys_file=None if settings.keys_file is None else KeysFile(settings.keys_file),
    )
    logs.configure("gateway", settings.log_level)
    logging.basicConfig(handlers=[LogBridge()], level=logging.WARNING)
    started = uvloop.run(serve(parts, public, admin, drain_s=settings.drain_s))
    return DONE if started else FAILED


def _said(loc: tuple[int | str, ...], message: str) -> str:
    name = str(loc[0])
    return f"{name if name.isupper() else PREFIX + name.upper()}: {message.lower()}"


def _new_key(options: argparse.Namespace) -> int:
    if options.add_to is not None:
        return _second_text(options)
    if options.scopes is None:
        raise BadKeys("--scopes is needed for a key that is in no file yet")
    if options.burst is not None and options.per_minute is None:
        raise BadKeys("--burst needs --per-minute")
    quota = options.per_minute and Quota(options.per_minute, options.burst or options.per_minute)
    text = new_key_text()
    hashed = hash_key(text.encode(), read_secret(options.secret_file))
    key = Key(options.id, (hashed,), frozenset(options.scopes), options.priority, quota)
    print(f"the key, shown this once:  {text}", file=sys.stderr)
    print("its entry in `keys` of the keys file:", file=sys.stderr)
    print(entry_text(key))
    return DONE


def _second_text(options: argparse.Namespace) -> int:
    """Both the text that a caller has and a new one are accepted from now on."""
    keys, place = _entry(options.add_to, options.id)
    own = [f"--{name.replace('_', '-')}" for name in ("scopes", "per_minute", "burst") if getattr(options, name)]
    if own:
        raise BadKeys(f"{own[0]} stays as it stands in the file: leave it out beside --add-to")
    if len(keys[place].hashes) >= MOST_HASHES:
        raise BadKeys(f"{options.add_to}: `{options.id}` has two keys already: `retire-key` ends the older one")
    text = new_key_text()
    hashed = hash_key(text.encode(), read_secret(options.secret_file))
    keys[place] = replace(keys[place], hashes=(*keys[place].hashes, hashed))
    write_keys(options.add_to, keys)
    print(f"the second key of {options.id}, shown this once:  {text}", file=sys.stderr)
    return DONE


def _retire_key(options: argparse.Namespace) -> int:
    keys, place = _entry(options.keys_file, options.id)
    if len(keys[place].hashes) < MOST_HASHES:
        raise BadKeys(f"{options.keys_file}: `{options.id}` has one key only: `new-key --add-to` makes the next one")
    keys[place] = replace(keys[place], hashes=keys[place].hashes[1:])
    write_keys(options.keys_file, keys)
    return DONE


def _entry(path: Path, key_id: str) -> tuple[list[Key], int]:
    """The keys of a file, and the place of the one with this id. Raises `BadKeys`."""
    keys = read_keys(path)
    ids = [key.id for key in keys]
    if key_id not in ids:
        near = get_close_matches(key_id, ids, 1)
        raise BadKeys(f"{path}: has no `{key_id}`" + (f"; did you mean `{near[0]}`?" if near else ""))
    return keys, ids.index(key_id)


def _openapi(options: argparse.Namespace) -> int:
    made = openapi.readable(contract.load())
    if options.out is None:
        print(made.decode(), end="")
        return DONE
    try:
        lost = breaking(json.loads(options.out.read_bytes()), json.loads(made)) if options.out.exists() else []
    except (ValueError, KeyError):
        raise BadSettings(f"{options.out}: is no OpenAPI document of this API") from None
    for line in lost:
        print(f"{'lost' if options.accept_breaking else 'would be lost'}: {line}", file=sys.stderr)
    if lost and not options.accept_breaking:
        return REFUSED
    write_atomic(options.out, made)
    return DONE


COMMANDS: Final[Mapping[str | None, Callable[[argparse.Namespace], int]]] = {
    None: _serve,
    "new-key": _new_key,
    "retire-key": _retire_key,
    "openapi": _openapi,
}


def _id(text: str) -> str:
    if not re.fullmatch(KEY_ID, text):
        raise argparse.ArgumentTypeError("must be 1 to 40 lower-case letters, digits and hyphens")
    return text


def _at_least_one(text: str) -> int:
    if not re.fullmatch("[0-9]{1,9}", text) or int(text) < 1:
        raise argparse.ArgumentTypeError("must be a whole number from 1")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    variables = [
        f"  {field.validation_alias or PREFIX + name.upper():26} {field.description or ''}"
        f"{'' if field.is_required() or field.default is None else f' (default {field.default})'}"
        for name, field in Settings.model_fields.items()
    ]
    parser = argparse.ArgumentParser(
        prog="python -m gateway",
        description="Serve quotes. Without a command it serves until SIGTERM.",
        epilog="environment:\n" + "\n".join(variables),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", metavar="")
    key = commands.add_parser("new-key", help="make a key: shown once on stderr, its file entry on stdout")
    key.add_argument("--id", required=True, type=_id, help="the key's name in the file and in nothing else")
    key.add_argument("--scopes", nargs="+", type=Scope, choices=list(Scope), help="what it may call")
    key.add_argument(
        "--priority", type=Priority, choices=list(Priority), default=Priority.INTERACTIVE, help=PRIORITY_HELP
    )
    key.add_argument("--per-minute", type=_at_least_one, help="its quota; none when left out")
    key.add_argument(
        "--burst", type=_at_least_one, help="how many at once after a pause (default: the quota of a minute)"
    )
    key.add_argument(
        "--add-to",
        type=Path,
        metavar="KEYS_FILE",
        help="give the entry of this id in this file a second key, and write it",
    )
    retire = commands.add_parser("retire-key", help="end the older of an entry's two keys")
    retire.add_argument("--id", required=True, type=_id, help="the key's name in the file")
    keys_file = os.environ.get("GATEWAY_KEYS_FILE")
    retire.add_argument("--keys-file", type=Path, required=keys_file is None, default=keys_file and Path(keys_file))
    document = commands.add_parser(
        "openapi", help="write the OpenAPI document; exit 3 when callers would lose something"
    )
    document.add_argument("--out", type=Path, help="the file to replace (default: print)")
    document.add_argument("--accept-breaking", action="store_true", help="replace it although callers lose something")
    secret = os.environ.get("GATEWAY_KEYS_SECRET_FILE")
    key.add_argument("--secret-file", type=Path, required=secret is None, default=secret and Path(secret))
    return parser


if __name__ == "__main__":
    sys.exit(main())
