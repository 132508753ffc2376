"""The command line: `python -m market generate ...` and `python -m market describe DIR`."""

import argparse
import difflib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NoReturn, Protocol

from kit import contract
from kit.stage import BAD_INPUT, DONE, BadInput, Quiet, progress_on
from market.describe import describe
from market.enquiries import Plan
from market.presets import PRESETS
from market.randomness import LARGEST_SEED
from market.scenarios import SCENARIOS
from market.write import FEWEST_INSURERS, MOST_INSURERS, How, Wanted, generate

MOST_ENQUIRIES: Final = 100_000_000
OUTSIDE: Final = 1
"""A figure is not in its range."""
INTERRUPTED: Final = 130
"""As a shell says it of Ctrl-C."""


class _Parser(argparse.ArgumentParser):
    """Says which option was meant."""

    def options(self) -> Iterator[str]:
        """Its options and those of its commands."""
        for action in self._actions:
            yield from (option for option in action.option_strings if option.startswith("--"))
            if isinstance(action.choices, Mapping):
                for command in action.choices.values():
                    yield from command.options()

    def error(self, message: str) -> NoReturn:
        _, unknown, words = message.partition("unrecognized arguments: ")
        wrong = next((word for word in words.split() if word.startswith("--")), "") if unknown else ""
        near = difflib.get_close_matches(wrong, list(self.options()), 1)
        super().error(f"{message} (did you mean {near[0]}?)" if near else message)


def _whole(least: int, most: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        try:
            number = int(text.replace("_", ""))
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
        if not least <= number <= most:
            raise argparse.ArgumentTypeError(f"must be {least:,} to {most:,}, not {number:,}")
        return number

    return parse


def parser() -> argparse.ArgumentParser:
    """The command line's grammar."""
    top = _Parser(prog="python -m market", description="A synthetic UK motor insurance market.", allow_abbrev=False)
    commands = top.add_subparsers(dest="command", required=True, metavar="generate|describe|report")
    make = commands.add_parser(
        "generate",
        help="write a market and, apart from it, its truth",
        description="Write a market and, apart from it, its truth. One seed gives the same bytes at any chunk size and with any workers; "
        "what is there already and made from the same is left alone, and what was cut off goes on.",
        allow_abbrev=False,
    )
    whole = make.add_argument
    whole("--enquiries", type=_whole(1, MOST_ENQUIRIES), required=True, metavar="N", help="how many drivers ask")
    whole("--insurers", type=_whole(FEWEST_INSURERS, MOST_INSURERS), default=60, metavar="K", help="default 60")
    whole("--seed", type=_whole(0, LARGEST_SEED), required=True, metavar="S", help="of the drivers and the chance")
    whole("--market-seed", type=_whole(0, LARGEST_SEED), metavar="S", help="of the insurers (default: --seed)")
    _named(make, "--preset", PRESETS, "standard")
    _named(make, "--scenario", SCENARIOS, "steady")
    make.add_argument("--van", action="store_true", help="one insurer more, which declines nearly every private car")
    whole(
        "--from",
        dest="first",
        type=_whole(0, MOST_ENQUIRIES),
        default=0,
        metavar="ID",
        help="only enquiries from this id",
    )
    whole("--to", dest="last", type=_whole(1, MOST_ENQUIRIES), metavar="ID", help="only enquiries below this id")
    whole("--weeks", type=_whole(1, 520), default=8, metavar="W", help="over which they ask (default 8)")
    make.add_argument("--out", type=Path, required=True, metavar="DIR", help="the market's folder")
    make.add_argument("--truth", type=Path, required=True, metavar="DIR", help="the truth's folder, not below --out")
    whole(
        "--chunk",
        type=_whole(1, MOST_ENQUIRIES),
        default=4096,
        metavar="N",
        help="enquiries in memory at once, rounded up to blocks of 4,096; changes no byte (default 4096)",
    )
    whole("--workers", type=_whole(1, 256), default=1, metavar="N", help="processes; changes no byte (default 1)")
    make.add_argument("--quiet", action="store_true", help="no progress")
    _add_describe(commands)
    _add_report(commands)
    return top


def _add_describe(commands: Any) -> None:
    show = commands.add_parser(
        "describe",
        help="how like the real market a market is",
        description="Count a market, and compare its figures with the targets that one of 50,000 enquiries must meet.",
        allow_abbrev=False,
    )
    show.add_argument("folder", type=Path, metavar="DIR", help="what `generate --out` wrote")


def _add_report(commands: Any) -> None:
    hold = commands.add_parser(
        "report",
        help="hold several market seeds to the table of targets, as one HTML page",
        description="Draw markets of several seeds, hold each to every row of the targets, and write one HTML page with "
        "the table and pictures inside. Exit 1 when a value is outside its range.",
        allow_abbrev=False,
    )
    seeds = _whole(0, LARGEST_SEED)
    hold.add_argument("--market-seeds", type=seeds, nargs="+", default=(1, 2, 3), metavar="S", help="default 1 2 3")
    hold.add_argument(
        "--enquiries", type=_whole(50_000, 1_000_000), default=60_000, metavar="N", help="of each (default 60000)"
    )
    hold.add_argument("--out", type=Path, default=Path("market-report.html"), metavar="FILE", help="the page")
    hold.add_argument("--quiet", action="store_true", help="no progress")


class _Known(Protocol):
    @property
    def about(self) -> str: ...


def _named(to: argparse.ArgumentParser, option: str, known: Mapping[str, _Known], default: str) -> None:
    """An option that is one of some names; a misspelt one is shown the nearest."""

    def parse(text: str) -> str:
        if text in known:
            return text
        near = difflib.get_close_matches(text, known, 1)
        raise argparse.ArgumentTypeError(
            f"{text!r} is none of {', '.join(known)}" + (f" (did you mean {near[0]}?)" if near else "")
        )

    about = "; ".join(f"{name}: {one.about}" for name, one in known.items())
    to.add_argument(option, type=parse, default=default, metavar="NAME", help=f"{about} (default {default})")


def _wanted(options: argparse.Namespace) -> Wanted:
    seed = options.seed if options.market_seed is None else options.market_seed
    plan = Plan(options.seed, options.enquiries, options.weeks, SCENARIOS[options.scenario])
    last = plan.enquiries if options.last is None else options.last
    if not options.first < last <= plan.enquiries:
        raise BadInput(
            f"--from {options.first} --to {last}: there are enquiries 0 to {plan.enquiries}, and --from is below --to"
        )
    return Wanted(plan, options.insurers, seed, options.preset, options.van, options.first, last)


def _generate(options: argparse.Namespace) -> str:
    progress = Quiet() if options.quiet else progress_on(sys.stderr)
    how = How(options.chunk, options.workers)
    made = generate(contract.load(), _wanted(options), options.out, options.truth, how, progress)
    return "" if made else f"{options.out} and {options.truth} are there already, made from the same"


def _report(options: argparse.Namespace) -> int:
    try:
        from market.report import markets, report  # noqa: PLC0415 - only this command draws, with what only development installs
    except ImportError as error:
        raise BadInput(
            f"{error}; the report needs the development environment: scripts/venv --dev services/market"
        ) from error
    progress = Quiet() if options.quiet else progress_on(sys.stderr)
    shipped = contract.load()
    text, fits = report(
        shipped, markets(shipped, options.market_seeds, options.enquiries, progress), options.enquiries, options.out
    )
    print(text)
    return DONE if fits else OUTSIDE


def _print(text: str) -> int:
    if text:
        print(text)
    return DONE


COMMANDS: Final[Mapping[str, Callable[[argparse.Namespace], int]]] = {
    "generate": lambda options: _print(_generate(options)),
    "describe": lambda options: _print(describe(contract.load(), options.folder)),
    "report": _report,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and give the exit code: 0 done, 1 outside the targets, 2 bad arguments or place, 130 interrupted."""
    options = parser().parse_args(argv)
    try:
        return COMMANDS[options.command](options)
    except BadInput as error:
        print(f"market {options.command}: {error}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        print(f"market {options.command}: interrupted; the same command goes on from here", file=sys.stderr)
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
