"""A model project: the stages around one branch of the net, `python -m <package> validate|wrangle|train|test|score --in URL --out URL`.

    validate the market's folder (`risks`, `answers`)  ->  what is wrong with it
    wrangle  the market's folder (`risks`, `answers`)  ->  a folder of slices
    train    the folder of slices                      ->  a folder with the SavedModel and the slices that it did not see
    test     that folder                               ->  a store: the next version, and a bundle when the sibling is there
    score    a Parquet file or folder of risks         ->  one Parquet file of answers
    sweep    the folder of slices                      ->  a folder with a table of variants of params.toml

A project holds what is its own (parameters, gate, card); the stages are the same.
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kit import stage
from kit.artefacts import Store
from kit.contract import load
from kit.stage import BadInput, GateRefused, Places, Stage
from kit.training import params, tracking
from kit.training.data.engines import ENGINES
from kit.training.data.validate import validate
from kit.training.data.wrangle import How, last_profile, wrangle
from kit.training.params import Params
from kit.training.places import reading, writing_folder

HOME = "BALLPARK_HOME"


@dataclass(frozen=True, slots=True)
class Project:
    """What one model project brings: its name in the store, its branch, and the texts of its params.toml, card.md and sweep.toml."""

    name: str
    branch: Literal["quote", "premium"]
    params: str
    card: str
    grid: str

    def parameters(self, options: argparse.Namespace) -> Params:
        """Its own parameters, or those of the file that the command names. Raises `BadInput`."""
        if options.params is None:
            return params.read(self.params)
        return params.read(_text(options.params), str(options.params))


def main(project: Project, argv: Sequence[str] | None = None) -> int:
    """Run one stage by its command line and give the exit code."""
    stages = (
        Stage(
            "validate",
            "name everything that is wrong with risks and answers (docs/own-data.md), and write nothing",
            _run(project, _validate),
            _data_options,
            writes=False,
        ),
        Stage(
            "wrangle", "check, join and split a market's risks and answers", _run(project, _wrangle), _wrangle_options
        ),
        Stage(
            "train", "fit the net to what wrangle wrote and export its branch", _run(project, _train), _params_option
        ),
        Stage(
            "test",
            "calibrate, measure and publish what train exported; --out is the store",
            _run(project, _test),
            _params_option,
        ),
        Stage(
            "sweep",
            "fit variants of the parameters to the same rows and compare them",
            _run(project, _sweep),
            _sweep_options,
        ),
        Stage("score", "answer a Parquet file of risks with a published model", _run(project, _score), _score_options),
    )
    return stage.main(project.name, stages, argv)


def _run(
    project: Project, work: Callable[[Project, Places, argparse.Namespace], None]
) -> Callable[[Places, argparse.Namespace], None]:
    return lambda places, options: work(project, places, options)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}") from error


def _params_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--params", type=Path, metavar="FILE", help="a params.toml in place of the project's own")


def _data_options(parser: argparse.ArgumentParser) -> None:
    _params_option(parser)
    parser.add_argument(
        "--store",
        metavar="URL",
        help="where the models are published: drift against the newest one's data is looked at",
    )


def _wrangle_options(parser: argparse.ArgumentParser) -> None:
    _data_options(parser)
    parser.add_argument("--engine", choices=ENGINES, default=ENGINES[0], help="what computes (default: %(default)s)")
    _spark_option(parser)


def _spark_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--spark-master", metavar="URL", help="of `--engine spark`: local[2], spark://... (default: Spark's settings)"
    )


def _sweep_options(parser: argparse.ArgumentParser) -> None:
    _params_option(parser)
    parser.add_argument(
        "--grid", type=Path, metavar="FILE", help="the variants, in place of the project's own sweep.toml"
    )


def _score_options(parser: argparse.ArgumentParser) -> None:
    store = Path(os.environ.get(HOME, ".ballpark")) / "store"
    parser.add_argument(
        "--store", default=str(store), metavar="URL", help="where the models are published (default: %(default)s)"
    )
    parser.add_argument("--version", type=int, metavar="N", help="of the model (default: the newest)")
    parser.add_argument(
        "--engine",
        choices=("local", "spark"),
        default="local",
        help="what computes; with spark, --in and --out are URLs as Spark spells them, and --out is a new folder (default: %(default)s)",
    )
    _spark_option(parser)


def _validate(project: Project, places: Places, options: argparse.Namespace) -> None:
    chosen = project.parameters(options)
    last = last_profile(options.store, project.name, places.say)
    with reading(places.source) as source:
        validate(source, load(), chosen, last, places)


def _wrangle(project: Project, places: Places, options: argparse.Namespace) -> None:
    chosen = project.parameters(options)
    how = How(
        chosen.data,
        last_profile(options.store, project.name, places.say),
        options.engine,
        options.spark_master,
        places.say,
    )
    with reading(places.source) as source, writing_folder(places.out) as out:
        wrangle(source, out, load(), chosen.split, places.progress, how)


# TensorFlow takes seconds to import, and neither `--help` nor `wrangle` needs it: hence the late imports.


def _train(project: Project, places: Places, options: argparse.Namespace) -> None:
    from kit.training.trained import train  # noqa: PLC0415

    chosen = project.parameters(options)
    with reading(places.source) as source, writing_folder(places.out) as out:
        checkpoint = train(project, source, out, places, load(), chosen)
    checkpoint.remove()
    if tracking.is_wanted():
        from kit.training.tested import git_revision  # noqa: PLC0415

        with reading(places.out) as trained:
            tracking.tell_training(project.name, trained, git_revision(), places.say)


def _test(project: Project, places: Places, options: argparse.Namespace) -> None:
    from kit.training.tested import REFUSED, Unmeasured, git_revision, test  # noqa: PLC0415

    chosen = project.parameters(options)
    with reading(places.source) as source:
        try:
            published = test(project, source, places.out, load(), chosen, places.progress)
        except Unmeasured:
            raise
        except GateRefused:
            tracking.tell_refusal(project.name, Store(places.out), (REFUSED, project.name), git_revision(), places.say)
            raise
    tracking.tell_test(project.name, Store(places.out), published, places.say)


def _sweep(project: Project, places: Places, options: argparse.Namespace) -> None:
    from kit.training import sweep  # noqa: PLC0415

    grid = sweep.Grid.read(_text(options.grid) if options.grid else project.grid, str(options.grid or "sweep.toml"))
    text = _text(options.params) if options.params else project.params
    if "://" in places.out:
        raise BadInput(f"--out {places.out}: a sweep is written to a folder of this machine, as it goes")
    with reading(places.source) as source:
        found = sweep.sweep(source, Path(places.out), load(), text, grid, places.progress)
    sys.stdout.write(sweep.table(found))


def _score(project: Project, places: Places, options: argparse.Namespace) -> None:
    from kit.training.scoring import scored, scored_on_spark  # noqa: PLC0415

    if options.engine == "spark":
        scored_on_spark.score(project, places, options.store, options.version, load(), options.spark_master)
    else:
        scored.score(project, places, options.store, options.version, load())
