"""What does the command line understand? Every option's range, and for a misspelt one the nearest."""

import argparse
import difflib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NoReturn, Protocol

from market.presets import PRESETS
from market.randomness import BLOCK, LARGEST_SEED
from market.scenarios import SCENARIOS
from market.write import FEWEST_INSURERS, MOST_INSURERS

MOST_ENQUIRIES: Final = 100_000_000


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


def parser() -> argparse.ArgumentParser:
    """The command line's grammar."""
    top = _Parser(prog="python -m market", description="A synthetic UK motor insurance market.", allow_abbrev=False)
    commands = top.add_subparsers(dest="command", required=True, metavar="generate|replay|describe|report")
    _generate(commands)
    _replay(commands)
    _describe(commands)
    _report(commands)
    return top


def _generate(commands: Any) -> None:
    make = commands.add_parser(
        "generate",
        help="write a market and, apart from it, its truth",
        description="Write a market and, apart from it, its truth. One seed gives the same bytes at any chunk size and with any workers; "
        "what is there already and made from the same is left alone, and what was cut off goes on.",
        allow_abbrev=False,
    )
    _market(make)
    add = make.add_argument
    add("--out", type=Path, required=True, metavar="DIR", help="the market's folder")
    add("--truth", type=Path, required=True, metavar="DIR", help="the truth's folder, not below --out")
    chunk = f"enquiries in memory at once, rounded up to blocks of {BLOCK:,}; changes no byte (default {BLOCK})"
    add("--chunk", type=_whole(1, MOST_ENQUIRIES), default=BLOCK, metavar="N", help=chunk)
    add("--workers", type=_whole(1, 256), default=1, metavar="N", help="processes; changes no byte (default 1)")


def _market(to: argparse.ArgumentParser) -> None:
    """Which market, and which of its enquiries."""
    add, seed, count = to.add_argument, _whole(0, LARGEST_SEED), _whole(1, MOST_ENQUIRIES)
    add("--enquiries", type=count, required=True, metavar="N", help="how many drivers ask")
    add("--insurers", type=_whole(FEWEST_INSURERS, MOST_INSURERS), default=60, metavar="K", help="default 60")
    add("--seed", type=seed, required=True, metavar="S", help="of the drivers and the chance")
    add("--market-seed", type=seed, metavar="S", help="of the insurers (default: --seed)")
    add("--weeks", type=_whole(1, 520), default=8, metavar="W", help="over which they ask (default 8)")
    _named(to, "--preset", PRESETS, "standard")
    _named(to, "--scenario", SCENARIOS, "steady")
    add("--van", action="store_true", help="one insurer more, which declines nearly every private car")
    first = _whole(0, MOST_ENQUIRIES)
    add("--from", dest="first", type=first, default=0, metavar="ID", help="only enquiries from this id")
    add("--to", dest="last", type=count, metavar="ID", help="only enquiries below this id")
    add("--quiet", action="store_true", help="no progress")


def _replay(commands: Any) -> None:
    tell = commands.add_parser(
        "replay",
        help="tell a market in the order of time, to files or to a gateway",
        description="Tell a market in the order of time: a file of JSON lines per simulated week, or quotes and their outcomes to a running "
        "gateway. The gateway's key comes from the environment variable BALLPARK_KEY (default ballpark-dev).",
        allow_abbrev=False,
    )
    _market(tell)
    tell.add_argument(
        "--into", required=True, metavar="DIR|URL", help="a new folder, or a gateway such as http://127.0.0.1:8080"
    )
    seconds = "seconds that a simulated week takes at least (default 0: as fast as it goes)"
    tell.add_argument("--week-seconds", type=_whole(0, 604_800), default=0, metavar="S", help=seconds)


def _describe(commands: Any) -> None:
    show = commands.add_parser(
        "describe",
        help="a market in words and tables",
        description="A market in words, insurer by insurer, and its figures beside the targets that one of 50,000 enquiries must meet.",
        allow_abbrev=False,
    )
    show.add_argument("folder", type=Path, metavar="DIR", help="what `generate --out` wrote")


def _report(commands: Any) -> None:
    hold = commands.add_parser(
        "report",
        help="hold several market seeds to the table of targets, as one HTML page",
        description="Draw markets of several seeds, hold each to every row of the targets, and write one HTML page with "
        "the table and pictures inside. Exit 1 when a value is outside its range.",
        allow_abbrev=False,
    )
    add, seed = hold.add_argument, _whole(0, LARGEST_SEED)
    add("--market-seeds", type=seed, nargs="+", default=(1, 2, 3), metavar="S", help="default 1 2 3")
    add("--enquiries", type=_whole(50_000, 1_000_000), default=60_000, metavar="N", help="of each (default 60000)")
    add("--out", type=Path, default=Path("market-report.html"), metavar="FILE", help="the page")
    add("--quiet", action="store_true", help="no progress")
