"""The command line: `python -m bench [SCENE ...]`, what `make bench-fleet` runs."""

import argparse
import datetime as dt
import json
import signal
import sys
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import Final

from bench import closed_loop, report
from bench.closed_loop import NoWrk
from bench.scenes import BASELINES, SCENES, SIGNATURE, Scene, Wanted
from bench.systems import ROOT, CannotRun

REPORTS: Final = ROOT / "docs" / "benchmarks"
NOT_GOOD: Final = 1
CANNOT_RUN: Final = 2
INTERRUPTED: Final = 130
NAMES: Final = ("fleet", *BASELINES, *(name + SIGNATURE for name in BASELINES))


def main(arguments: list[str] | None = None) -> int:
    """Run scenes, one after another, and print what they come to; the exit code."""
    options = _parser().parse_args(arguments)
    wanted = Wanted(options.rounds, options.seconds, options.only, options.minutes, options.overload_seconds)
    signal.signal(signal.SIGTERM, _interrupt)
    found: list[Scene] = []
    try:
        closed_loop.find()
        for name in options.scenes or ["compare"]:
            found.append(SCENES[name](wanted, _say))
            print(report.text(found[-1:]), flush=True)
    except KeyboardInterrupt:
        return INTERRUPTED
    except (CannotRun, NoWrk) as error:
        print(f"bench: {error}", file=sys.stderr)
        return CANNOT_RUN
    if options.report:
        write(found, wanted)
    if options.json:
        options.json.write_text(json.dumps([asdict(scene) for scene in found], indent=1) + "\n")
    return 0 if all(v.holds for scene in found for v in scene.verdicts) else NOT_GOOD


def write(found: list[Scene], wanted: Wanted) -> None:
    """A page in docs/benchmarks, named by the day and the scenes."""
    day = dt.datetime.now(dt.UTC).date().isoformat()
    path = REPORTS / f"{day}-{'-'.join(scene.name for scene in found)}.md"
    path.parent.mkdir(exist_ok=True)
    path.write_text(report.page(found, wanted, day=day, where=report.machine(ROOT)))
    print(f"\nwritten: {path}")


def _interrupt(_: int, __: FrameType | None) -> None:
    raise KeyboardInterrupt


def _say(text: str) -> None:
    print(text, flush=True)


def _parser() -> argparse.ArgumentParser:
    summaries = "\n".join(f"  {name:<10} {(made.__doc__ or '').strip()}" for name, made in SCENES.items())
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="How fast is the fleet? Everything runs on this machine, and is ended again.",
        epilog=f"scenes:\n{summaries}\n\nExit: 0 all limits kept, 1 not, 2 could not be run, 130 interrupted.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("scenes", nargs="*", metavar="SCENE", type=_scene, help="default: compare")
    parser.add_argument("--rounds", type=_count, default=3, metavar="N", help="turns of each system (default 3)")
    parser.add_argument("--seconds", type=_seconds, default=3.0, metavar="S", help="of each stretch (default 3)")
    parser.add_argument(
        "--only", nargs="+", default=[], choices=NAMES, metavar="SYSTEM",
        help=f"of compare, measure these: {', '.join(NAMES)} (default: the first three)",
    )  # fmt: skip
    parser.add_argument("--minutes", type=_minutes, default=10.0, metavar="M", help="of soak (default 10)")
    parser.add_argument("--overload-seconds", type=_seconds, default=30.0, metavar="S", help="of overload (default 30)")
    parser.add_argument("--report", action="store_true", help="write a dated page into docs/benchmarks")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure of every round")
    return parser


def _scene(text: str) -> str:
    if text not in SCENES:
        raise argparse.ArgumentTypeError(f"no scene {text!r}; there are {', '.join(SCENES)}")
    return text


def _count(text: str) -> int:
    return int(_within(text, 1, 20))


def _seconds(text: str) -> float:
    return _within(text, 1, 60)


def _minutes(text: str) -> float:
    return _within(text, 0.5, 60)


def _within(text: str, least: float, most: float) -> float:
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not least <= number <= most:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from {least:g} to {most:g}")
    return number


if __name__ == "__main__":
    sys.exit(main())
