"""The command line: `python -m market generate|replay|describe|report`."""

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from kit import contract
from kit.stage import BAD_INPUT, DONE, BadInput, Progress, Quiet, progress_on
from market.arguments import parser
from market.describe import describe
from market.enquiries import Plan
from market.replay import Files, Gateway, Sink, paced, replay
from market.scenarios import SCENARIOS
from market.write import How, Wanted, defined, generate

OUTSIDE: Final = 1
"""A figure is not in its range."""
INTERRUPTED: Final = 130
"""As a shell says it of Ctrl-C."""


def _progress(options: argparse.Namespace) -> Progress:
    return Quiet() if options.quiet else progress_on(sys.stderr)


def _wanted(options: argparse.Namespace) -> Wanted:
    seed = options.seed if options.market_seed is None else options.market_seed
    plan = Plan(options.seed, options.enquiries, options.weeks, SCENARIOS[options.scenario])
    last = plan.enquiries if options.last is None else options.last
    if not options.first < last <= plan.enquiries:
        raise BadInput(
            f"--from {options.first} --to {last}: there are enquiries 0 to {plan.enquiries}, and --from is below --to"
        )
    return Wanted(plan, options.insurers, seed, options.preset, options.van, options.first, last)


def _generate(options: argparse.Namespace) -> int:
    how = How(options.chunk, options.workers)
    made = generate(contract.load(), _wanted(options), options.out, options.truth, how, _progress(options))
    if not made:
        print(f"{options.out} and {options.truth} are there already, made from the same")
    return DONE


def _replay(options: argparse.Namespace) -> int:
    wanted, shipped, progress = _wanted(options), contract.load(), _progress(options)
    with ExitStack() as stack:
        to = _sink(options.into, stack)
        with progress.task("market: insurers", 1) as task:
            of = defined(shipped, wanted)
            task.advance()
        with progress.task("market: replay", wanted.end - wanted.first) as task:
            span = (wanted.first, wanted.end)
            replay(shipped, of, wanted.plan, span, to, task, paced(options.week_seconds))
    return DONE


def _sink(into: str, stack: ExitStack) -> Sink:
    if "://" in into:
        return stack.enter_context(Gateway(into, os.environ.get("BALLPARK_KEY", "ballpark-dev")))
    folder = Path(into)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BadInput(f"--into {folder}: is there already; name a new folder")
    folder.mkdir(parents=True, exist_ok=True)
    return Files(folder)


def _describe(options: argparse.Namespace) -> int:
    print(describe(contract.load(), options.folder))
    return DONE


def _report(options: argparse.Namespace) -> int:
    try:
        from market.report import markets, report  # noqa: PLC0415 - only development installs what this command draws with
    except ImportError as error:
        raise BadInput(f"{error}; the report needs scripts/venv --dev services/market") from error
    shipped = contract.load()
    found = markets(shipped, options.market_seeds, options.enquiries, _progress(options))
    text, fits = report(shipped, found, options.enquiries, options.out)
    print(text)
    return DONE if fits else OUTSIDE


COMMANDS: Final[Mapping[str, Callable[[argparse.Namespace], int]]] = {
    "generate": _generate,
    "replay": _replay,
    "describe": _describe,
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
        print(f"market {options.command}: interrupted; the same command goes on or begins again", file=sys.stderr)
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
