"""Where `MLFLOW_TRACKING_URI` is set, each training and each test is a run on that MLflow server too.

A run of `train` has the parameters, the seeds and the loss of each epoch; one of `test` the report's figures, and the report and the
card as files. Both carry the git revision and the fingerprints of contract and data, by which the two are found together. What is told
is what the stages wrote, so a server that is down, or a missing library, costs a note on standard error and never a training.
"""

import json
import math
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from kit.artefacts import Published, Store

ADDRESS: Final = "MLFLOW_TRACKING_URI"
FILES: Final = ("report.json", "report.html", "card.md")
AT_ONCE: Final = 100  # what the server takes in one request is 100 parameters and 1,000 metrics
LONGEST: Final = 500  # characters of a parameter, for the oldest servers
# Two tries of ten seconds, instead of seven of two minutes each; and nothing is told to MLflow's makers.
PATIENCE: Final = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
NOT_FIGURES: Final = frozenset({"history", "slices", "begins", "accuracy_sample", "enquiries", "gate"})

Say = Callable[[str], None]


@dataclass(frozen=True)
class Run:
    """What one run of a stage has to tell: flat names, finite numbers; `curves` has a value per epoch."""

    experiment: str
    name: str
    tags: Mapping[str, str]
    params: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    curves: Mapping[str, list[float]] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)


def is_wanted() -> bool:
    """Whether somebody named a server."""
    return bool(os.environ.get(ADDRESS))


def tell_training(project: str, folder: Path, revision: str, say: Say) -> None:
    """Log what `train` wrote to its folder, if a server is named."""
    _guarded(lambda: training(project, folder, revision), say)


def tell_test(project: str, store: Store, published: Published, say: Say) -> None:
    """Log what `test` published, if a server is named."""
    _guarded(lambda: tested(project, store, published), say)


def tell_refusal(project: str, store: Store, folder: tuple[str, ...], revision: str, say: Say) -> None:
    """Log the report of a model that the gate refused, which lies in a folder of the store, if a server is named."""
    _guarded(lambda: refused(project, store.read(*folder, "report.json"), revision), say)


def training(project: str, folder: Path, revision: str) -> Run:
    """The run of a folder that `train` wrote."""
    story, manifest = (json.loads((folder / name).read_bytes()) for name in ("fit.json", "manifest.json"))
    epochs = story["history"]
    numbers = {name: [float(e[name]) for e in epochs] for name in (epochs[0] if epochs else ())}
    params = {"weights": story["weights"], "seeds": story["seeds"]} | story["params"]
    return Run(
        project,
        "train",
        _tags("train", revision, manifest["contract"], manifest["data"]),
        params=dict(_texts(params)),
        curves={name: values for name, values in numbers.items() if all(map(math.isfinite, values))},
    )


def tested(project: str, store: Store, published: Published) -> Run:
    """The run of an artefact that `test` published."""
    manifest = store.manifest(project, published.version, published.sha256)
    files = {
        name: store.read_file(project, published.version, name, manifest).decode()
        for name in FILES
        if name in manifest.files
    }
    tags = _tags("test", manifest.git_revision, manifest.contract, manifest.data)
    return Run(
        project,
        f"test {published.version}",
        tags | {"version": str(published.version), "sha256": published.sha256, "verdict": "published"},
        params=dict(_texts(manifest.params)),
        metrics=dict(figures(json.loads(files["report.json"]))),
        files=files,
    )


def refused(project: str, report: bytes, revision: str) -> Run:
    """The run of a test that ended at the gate."""
    told = json.loads(report)
    return Run(
        project,
        "test refused",
        _tags("test", revision, told["contract"], told["data"]) | {"verdict": "refused"},
        metrics=dict(figures(told)),
        files={"report.json": report.decode()},
    )


def figures(report: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Every finite number of a report under the names on its way, `profiles.full.coverage`, spelt as MLflow allows."""
    for name, value in _leaves({k: v for k, v in report.items() if k not in NOT_FIGURES}):
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            yield name, float(value)


def _texts(params: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in _leaves(params):
        yield name, (value if isinstance(value, str) else json.dumps(value))[:LONGEST]


def _leaves(content: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in content.items():
        name = before + re.sub(r"[^A-Za-z0-9_\-. /]", lambda m: {"+": " and over"}.get(m[0], "_"), str(key))
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{name}.")
        else:
            yield name, value


def _tags(stage: str, revision: str, contract: str, data: str) -> dict[str, str]:
    return {"stage": stage, "git_revision": revision, "contract": contract, "data": data}


def _guarded(run: Callable[[], Run], say: Say) -> None:
    if not is_wanted():
        return
    try:
        _send(run())
    except ImportError:
        say(f"{ADDRESS} is set, but nothing was logged: MLflow is not installed (the project's extra `mlflow`)")
    except Exception as error:  # noqa: BLE001 -- whatever it is, the stage's own work is done and stays
        say(f"{ADDRESS} is set, but MLflow could not be told everything: {type(error).__name__}: {error}")


def _send(run: Run) -> None:
    for name, value in PATIENCE.items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient  # noqa: PLC0415 -- an extra, and slow to import
    from mlflow.entities import Metric, Param  # noqa: PLC0415

    client = MlflowClient()
    found = client.get_experiment_by_name(run.experiment)
    experiment = found.experiment_id if found else client.create_experiment(run.experiment)
    begun = client.create_run(experiment, tags=dict(run.tags), run_name=run.name).info
    values = [Metric(name, value, begun.start_time, 0) for name, value in run.metrics.items()]
    for name, curve in run.curves.items():
        values += [Metric(name, value, begun.start_time, step) for step, value in enumerate(curve, 1)]
    params = [Param(name, value) for name, value in run.params.items()]
    for i in range(0, max(len(values), len(params)), AT_ONCE):
        client.log_batch(begun.run_id, metrics=values[i : i + AT_ONCE], params=params[i : i + AT_ONCE])
    for name, text in run.files.items():
        client.log_text(begun.run_id, text, name)
    client.set_terminated(begun.run_id)
