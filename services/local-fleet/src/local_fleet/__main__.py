"""The local fleet's command line."""

import argparse
import difflib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from kit.artefacts import BadArtefact
from kit.bundles import BadBundle
from kit.stage import BAD_INPUT
from local_fleet import commands, fleet
from local_fleet.commands import FAILED, NoFleet, Session
from local_fleet.places import Home, default_home, repository
from local_fleet.ports import Ports, PortTaken
from local_fleet.preparation import FULL_SIZE, MODELS, NotPrepared, Wanted
from local_fleet.runner import StepFailed
from local_fleet.supervision import SupervisionError

INTERRUPTED: Final = 130
ALL: Final = "all"
EXITS: Final = "Exit: 0 done, 1 it failed or does not hold, 2 bad input or no fleet runs, 3 a model's gate refused, 130 interrupted."


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and give the exit code."""
    options = _parser().parse_args(argv)
    root = repository()
    session = Session(root, Home((options.home or default_home(root)).absolute()), sys.stdout)
    try:
        with fleet.interruptible():
            code: int = options.run(session, options)
            return code
    except KeyboardInterrupt:
        return INTERRUPTED if options.command != "up" else 0
    except StepFailed as error:
        return _say(options, error, error.code if error.code in {2, 3} else FAILED)
    except (PortTaken, NoFleet, ValueError) as error:
        return _say(options, error, BAD_INPUT)
    except (NotPrepared, fleet.StartFailed, SupervisionError, BadBundle, BadArtefact) as error:
        return _say(options, error, FAILED)


def _say(options: argparse.Namespace, error: Exception, code: int) -> int:
    print(f"local_fleet {options.command}: {error}", file=sys.stderr)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m local_fleet", description="The whole fleet on this machine, as processes.", epilog=EXITS
    )
    parser.set_defaults(home=None)
    parsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    up = parsers.add_parser(
        "up", help="prepare what is missing, start every process, watch them until Ctrl-C", epilog=EXITS
    )
    up.add_argument(
        "--port-offset",
        type=_offset,
        default=0,
        metavar="N|auto",
        help="moves every port (default 0; auto: the first offset that is free)",
    )
    up.add_argument("--detach", action="store_true", help="leave it running and return when it is ready")
    up.set_defaults(run=lambda s, o: commands.up(s, _wanted(o), o.port_offset, detach=o.detach))

    make = parsers.add_parser(
        "prepare", help="environments, market, training, a bundle: everything before the first process", epilog=EXITS
    )
    make.set_defaults(run=lambda s, o: commands.make(s, _wanted(o)))
    for command in (up, make):
        _size(command)

    down = parsers.add_parser("down", help="stop a fleet, or every fleet", epilog=EXITS)
    down.set_defaults(run=_down)

    simple = {
        "url": ("the gateway's address, for scripts", lambda s, o: commands.url(s, o.port_offset)),
        "status": ("what runs, where, and which bundle", lambda s, o: commands.status(s, o.port_offset)),
    }
    for name, (summary, run) in simple.items():
        parsers.add_parser(name, help=summary, epilog=EXITS).set_defaults(run=run)

    logs = parsers.add_parser("logs", help="the end of a process's log, or where each lies", epilog=EXITS)
    logs.add_argument("name", nargs="?", help="gateway, redis, quote-classifier-stable, premium-regressor-stable")
    logs.set_defaults(run=lambda s, o: commands.logs(s, o.port_offset, o.name))

    verbs = {
        "start": "start one process that was stopped",
        "stop": "stop one process, and leave it stopped",
        "restart": "stop one process and start it",
        "kill": "SIGKILL one process, as a crash would; it is started again",
    }
    for verb, summary in verbs.items():
        tell = parsers.add_parser(verb, help=summary, epilog=EXITS)
        tell.add_argument("name", help="gateway, redis, quote-classifier-stable, premium-regressor-stable")
        tell.set_defaults(run=lambda s, o: commands.tell(s, o.port_offset, o.command, o.name))

    check = parsers.add_parser(
        "accuracy", help="held-out enquiries through the running gateway, beside the test stages' figures", epilog=EXITS
    )
    check.add_argument(
        "--enquiries",
        type=_count,
        default=commands.SAMPLE,
        metavar="N",
        help=f"how many (default {commands.SAMPLE}, what the test stages measured)",
    )
    check.set_defaults(run=_accuracy)

    for name, command in parsers.choices.items():
        command.add_argument(
            "--home",
            type=Path,
            metavar="DIR",
            help="where everything is kept (default BALLPARK_HOME, else .ballpark in the checkout)",
        )
        if name not in {"up", "prepare"}:
            command.add_argument(
                "--port-offset",
                type=_which_or_all if command is down else _which,
                metavar="N|auto|all" if command is down else "N|auto",
                help="which fleet (default and auto: the only one that runs"
                + ("; all: every fleet of the home)" if command is down else ")"),
            )
    return parser


def _down(session: Session, options: argparse.Namespace) -> int:
    return commands.down_all(session) if options.port_offset == ALL else commands.down(session, options.port_offset)


def _accuracy(session: Session, options: argparse.Namespace) -> int:
    from local_fleet import accuracy  # noqa: PLC0415 -- Arrow takes longer to import than all the rest, and no other command needs it

    return accuracy.run(session, options.port_offset, options.enquiries)


def _size(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--enquiries", type=_count, default=FULL_SIZE, metavar="N", help=f"size of the market (default {FULL_SIZE})"
    )
    command.add_argument("--insurers", type=_count, default=60, metavar="N", help="on the panel (default 60)")
    command.add_argument("--seed", type=int, default=1, metavar="N", help="of the market (default 1)")
    command.add_argument(
        "--params", type=_params, action="append", default=[], metavar="MODEL=FILE",
        help=f"train a model ({' or '.join(MODELS)}) with another params.toml; may be repeated",
    )  # fmt: skip


def _wanted(options: argparse.Namespace) -> Wanted:
    return Wanted(options.enquiries, options.insurers, options.seed, dict(options.params))


def _offset(text: str) -> int | str:
    if text == "auto":
        return text
    try:
        Ports.at(int(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            str(error) if text.lstrip("-").isdecimal() else f"{text!r} is neither a whole number nor auto"
        ) from None
    return int(text)


def _which(text: str) -> int | None:
    offset = _offset(text)
    return offset if isinstance(offset, int) else None


def _which_or_all(text: str) -> int | str | None:
    return text if text == ALL else _which(text)


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def _params(text: str) -> tuple[str, Path]:
    model, _, file = text.partition("=")
    if model not in MODELS:
        near = difflib.get_close_matches(model, MODELS, 1)
        raise argparse.ArgumentTypeError(
            f"no model {model!r}; " + (f"did you mean {near[0]}?" if near else f"there are {', '.join(MODELS)}")
        )
    if not Path(file).is_file():
        raise argparse.ArgumentTypeError(f"no such file: {file!r}")
    return model, Path(file).absolute()


if __name__ == "__main__":
    sys.exit(main())
