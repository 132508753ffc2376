"""`python -m accuracy fleet` and `python -m accuracy size N`: both models beside two baselines and the oracle."""

import argparse
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from accuracy import benchmark, must, report, sizes
from accuracy.benchmark import Result
from accuracy.machine import commit, this_machine
from accuracy.pages import Picture, markdown, page, plain
from accuracy.places import INSURERS, MODELS, SEED, Places, default_home, repository
from accuracy.running import StageFailed
from accuracy.sizes import Kitchen, Wanted
from kit.files import write_atomic
from kit.stage import BAD_INPUT, DONE, REFUSED, BadInput, Lines

FAILED: Final = 1
EXITS: Final = "Exit: 0 all that must be shown holds, 1 some does not, or a stage failed, 2 bad input."


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and give the exit code."""
    options = _parser().parse_args(argv)
    root = repository()
    home = (options.home or default_home(root)).absolute()
    try:
        code: int = options.run(root, home, options)
    except StageFailed as error:
        print(f"accuracy {options.command}: {error}", file=sys.stderr)
        return error.code if error.code in {BAD_INPUT, REFUSED} else FAILED
    except (BadInput, OSError) as error:
        print(f"accuracy {options.command}: {error}", file=sys.stderr)
        return BAD_INPUT
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m accuracy",
        description="Both models beside two baselines and the oracle, held to what must be shown.",
        epilog=EXITS,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="fleet|size")
    fleet = commands.add_parser("fleet", help="the market and the newest models of `make run`", epilog=EXITS)
    fleet.set_defaults(run=_fleet)
    fleet.add_argument("--judge", action="store_true", help="exit 1 when something does not hold (`size` always does)")
    size = commands.add_parser(
        "size", help="make a market, train both models, test, score and compare; goes on where it was cut off", epilog=EXITS
    )  # fmt: skip
    size.set_defaults(run=_size)
    size.add_argument("enquiries", type=_count, metavar="N", help="how many drivers ask")
    size.add_argument(
        "--insurers", type=_count, default=INSURERS, metavar="K", help=f"on the panel (default {INSURERS})"
    )
    size.add_argument(
        "--seed", type=int, default=SEED, metavar="S", help=f"of the market (default {SEED}, the fleet's)"
    )
    size.add_argument(
        "--params", type=_params, action="append", default=[], metavar="MODEL=FILE",
        help=f"train a model ({' or '.join(MODELS)}) with another params.toml; may be repeated",
    )  # fmt: skip
    size.add_argument(
        "--out", type=Path, metavar="DIR", help="where the dated report of a default run goes (default docs/accuracy)"
    )
    for command in (fleet, size):
        command.add_argument(
            "--home", type=Path, metavar="DIR", help="default BALLPARK_HOME, else .ballpark in the checkout"
        )
        command.add_argument(
            "--baseline-insurers", type=_count, metavar="N",
            help="fit the baselines to so many insurers (default 4 for the fleet; else 12, and 6 above 200,000 enquiries)",
        )  # fmt: skip
        command.add_argument(
            "--stale-ok", action="store_true", help="keep what was made by other code than the present one; the report says so"
        )  # fmt: skip
    return parser


def _fleet(root: Path, home: Path, options: argparse.Namespace) -> int:
    kitchen = Kitchen(root, Places.of_fleet(home), _say, options.stale_ok)
    if not kitchen.places.wrangled.exists():
        raise BadInput(f"{home} has no models yet: make models, or make accuracy ENQUIRIES=60000")
    result = benchmark.run(kitchen, {}, options.baseline_insurers or 4, Lines(sys.stdout))
    _write(root, result, home / "accuracy.md", home / "accuracy.html", dated(root))
    failed = _tell(result)
    return failed if options.judge else DONE


def _size(root: Path, home: Path, options: argparse.Namespace) -> int:
    wanted = Wanted(options.enquiries, options.insurers, options.seed, dict(options.params), options.stale_ok)
    places = Places.of_size(home, wanted.enquiries, wanted.insurers, wanted.seed)
    kitchen = Kitchen(root, places, _say, wanted.stale_ok)
    made = sizes.make(kitchen, wanted)
    result = benchmark.run(kitchen, made, options.baseline_insurers, Lines(sys.stdout), wanted.params)
    folder = options.out or dated(root)
    text = destination(folder, places.work, wanted, result.stale, _today())
    _write(root, result, text, places.work / "accuracy.html", folder)
    return _tell(result)


def dated(root: Path) -> Path:
    """Where the reports are that are kept with the code."""
    return root / "docs" / "accuracy"


def destination(folder: Path, work: Path, wanted: Wanted, stale: Sequence[str], date: str) -> Path:
    """A dated report is of the models as they are: any other lies beside its work folder."""
    if wanted.is_default and not stale:
        return folder / f"{date}-{wanted.enquiries}.md"
    return work.with_name(f"{work.name}.md")


def _write(root: Path, result: Result, text: Path, html: Path, others: Path) -> None:
    """The report as Markdown with its figures as JSON and its pictures beside it, and as one page. `others`: the reports of other sizes."""
    date, on, made_of = _today(), this_machine(), commit(root)
    write_atomic(text.with_suffix(".json"), report.encode(result, on, made_of, date))
    blocks = report.blocks(result, on, made_of, date, report.curves_of(others))
    title = f"Accuracy at {result.enquiries:,} enquiries"
    named = [Picture(b.title, f"{text.stem}-{b.name}", b.svg) if isinstance(b, Picture) else b for b in blocks]
    for block in named:
        if isinstance(block, Picture):
            write_atomic(text.with_name(block.name), block.svg.encode())
    write_atomic(text, markdown(title, named).encode())
    write_atomic(html, page(title, blocks).encode())
    _say(f"written: {text}, {html}")


def _tell(result: Result) -> int:
    for table in (report.beside(result), report.verdicts(result.rows)):
        _say("")
        for line in plain(table):
            _say(line)
    failed = must.failures(result.rows)
    _say("")
    _say(f"{len(failed)} do not hold" if failed else "all that must be shown holds")
    for row in failed:
        _say(f"  {row.group}: {row.name}: {row.shown}, has to be {row.limit}")
    return FAILED if failed else DONE


def _say(text: str) -> None:
    print(text, flush=True)


def _today() -> str:
    return datetime.now(UTC).date().isoformat()


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def _params(text: str) -> tuple[str, Path]:
    model, _, file = text.partition("=")
    if model not in MODELS:
        raise argparse.ArgumentTypeError(f"no model {model!r}; there are {', '.join(MODELS)}")
    if not Path(file).is_file():
        raise argparse.ArgumentTypeError(f"no such file: {file!r}")
    return model, Path(file).absolute()


if __name__ == "__main__":
    sys.exit(main())
