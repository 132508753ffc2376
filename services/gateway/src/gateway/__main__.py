"""`python -m gateway` serves; `python -m gateway new-key` makes a key. Settings come from the environment: see `--help`."""

import argparse
import logging
import os
import re
import sys
from pathlib import Path
from typing import Final

import uvloop
from pydantic import ValidationError

from gateway.adapters.keys import KEY_ID, BadKeys, entry_text, new_key_text, read_secret
from gateway.adapters.release import BadRelease, load_serving
from gateway.api.access import hash_key
from gateway.api.edge import Limits
from gateway.api.health import Health
from gateway.app import LogBridge, Parts, bind, connect, read_access, registry, serve
from gateway.domain.keys import Key, Priority, Quota, Scope
from gateway.settings import PREFIX, BadSettings, Settings, refuse_strangers
from kit import contract, logs

DONE: Final = 0
FAILED: Final = 1
BAD_INPUT: Final = 2

PRIORITY_HELP: Final = (
    "kept with the key for the limiter, which does not tell priorities apart yet (default interactive)"
)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; the exit code."""
    options = _parser().parse_args(arguments)
    try:
        return _new_key(options) if options.command == "new-key" else _serve()
    except (BadSettings, BadKeys, BadRelease) as error:
        print(f"gateway: {error}", file=sys.stderr)
        return BAD_INPUT


def _serve() -> int:
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
    parts = Parts(
        contract=motor,
        serving=serving,
        access=access,
        limits=Limits(settings.max_in_flight, settings.budget_ms),
        docs=settings.docs,
        health=Health(),
        registry=registry(),
        connect=connect(settings, motor, serving),
    )
    logs.configure("gateway", settings.log_level)
    logging.basicConfig(handlers=[LogBridge()], level=logging.WARNING)
    started = uvloop.run(serve(parts, public, admin, drain_s=settings.drain_s))
    return DONE if started else FAILED


def _said(loc: tuple[int | str, ...], message: str) -> str:
    name = str(loc[0])
    return f"{name if name.isupper() else PREFIX + name.upper()}: {message.lower()}"


def _new_key(options: argparse.Namespace) -> int:
    if options.burst is not None and options.per_minute is None:
        raise BadKeys("--burst needs --per-minute")
    quota = options.per_minute and Quota(options.per_minute, options.burst or options.per_minute)
    text = new_key_text()
    hashed = hash_key(text.encode(), read_secret(options.secret_file))
    key = Key(options.id, hashed, frozenset(options.scopes), options.priority, quota)
    print(f"the key, shown this once:  {text}", file=sys.stderr)
    print("its entry in `keys` of the keys file:", file=sys.stderr)
    print(entry_text(key))
    return DONE


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
    key.add_argument("--scopes", required=True, nargs="+", type=Scope, choices=list(Scope), help="what it may call")
    key.add_argument(
        "--priority", type=Priority, choices=list(Priority), default=Priority.INTERACTIVE, help=PRIORITY_HELP
    )
    key.add_argument("--per-minute", type=_at_least_one, help="its quota; none when left out")
    key.add_argument(
        "--burst", type=_at_least_one, help="how many at once after a pause (default: the quota of a minute)"
    )
    secret = os.environ.get("GATEWAY_KEYS_SECRET_FILE")
    key.add_argument("--secret-file", type=Path, required=secret is None, default=secret and Path(secret))
    return parser


if __name__ == "__main__":
    sys.exit(main())
