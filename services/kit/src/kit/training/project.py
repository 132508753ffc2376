"""A model project: the four stages around one branch of the net, `python -m <package> wrangle|train|test|score --in URL --out URL`.

    wrangle  the market's folder (`risks`, `answers`)  ->  a folder of slices
    train    the folder of slices                      ->  a folder with the SavedModel and the slices that it did not see
    test     that folder                               ->  a store: the next version, and a bundle when the sibling is there
    score    a Parquet file or folder of risks         ->  one Parquet file of answers

A project holds what is its own (parameters, gate, card); the stages are the same.
"""

import argparse
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kit import stage
from kit.contract import load
from kit.stage import BadInput, Places, Stage
from kit.training import params
from kit.training.params import Params
from kit.training.places import reading, writing_folder
from kit.training.wrangle import wrangle

HOME = "BALLPARK_HOME"


@dataclass(frozen=True, slots=True)
class Project:
    """What one model project brings: its name in the store, its branch, and the texts of its params.toml and card.md."""

    name: str
    branch: Literal["quote", "premium"]
    params: str
    card: str

    def parameters(self, options: argparse.Namespace) -> Params:
        """Its own parameters, or those of the file that the command names. Raises `BadInput`."""
        if options.params is None:
            return params.read(self.params)
        try:
            return params.read(options.params.read_text(encoding="utf-8"), str(options.params))
        except OSError as error:
            raise BadInput(f"{options.params}: {error.strerror}") from error


def main(project: Project, argv: Sequence[str] | None = None) -> int:
    """Run one stage by its command line and give the exit code."""
    stages = (
        Stage("wrangle", "check, join and split a market's risks and answers", _run(project, _wrangle), _params_option),
        Stage(
            "train", "fit the net to what wrangle wrote and export its branch", _run(project, _train), _params_option
        ),
        Stage(
            "test",
            "calibrate, measure and publish what train exported; --out is the store",
            _run(project, _test),
            _params_option,
        ),
        Stage("score", "answer a Parquet file of risks with a published model", _run(project, _score), _score_options),
    )
    return stage.main(project.name, stages, argv)


def _run(
    project: Project, work: Callable[[Project, Places, argparse.Namespace], None]
) -> Callable[[Places, argparse.Namespace], None]:
    return lambda places, options: work(project, places, options)


def _params_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--params", type=Path, metavar="FILE", help="a params.toml in place of the project's own")


def _score_options(parser: argparse.ArgumentParser) -> None:
    store = Path(os.environ.get(HOME, ".ballpark")) / "store"
    parser.add_argument(
        "--store", default=str(store), metavar="URL", help="where the models are published (default: %(default)s)"
    )
    parser.add_argument("--version", type=int, metavar="N", help="of the model (default: the newest)")


def _wrangle(project: Project, places: Places, options: argparse.Namespace) -> None:
    chosen = project.parameters(options)
    with reading(places.source) as source, writing_folder(places.out) as out:
        wrangle(source, out, load(), chosen.split, places.progress)


# TensorFlow takes seconds to import, and neither `--help` nor `wrangle` needs it: hence the late imports.


def _train(project: Project, places: Places, options: argparse.Namespace) -> None:
    from kit.training.trained import train  # noqa: PLC0415

    chosen = project.parameters(options)
    with reading(places.source) as source, writing_folder(places.out) as out:
        train(project, source, out, load(), chosen, places.progress)


def _test(project: Project, places: Places, options: argparse.Namespace) -> None:
    from kit.training.tested import test  # noqa: PLC0415

    chosen = project.parameters(options)
    with reading(places.source) as source:
        test(project, source, places.out, load(), chosen, places.progress)


def _score(project: Project, places: Places, options: argparse.Namespace) -> None:
    from kit.training.scored import score  # noqa: PLC0415

    score(project, places, options.store, options.version, load())
