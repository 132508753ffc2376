"""The train stage: from the wrangled slices to a folder that holds all that the test stage needs.

model/                                the SavedModel of the project's branch, with its warm-up file
calibration.parquet, test.parquet     the slices that the net did not see
manifest.json                         as `wrangle` wrote it
fit.json                              parameters, seeds and how the loss went
reference.json                        typical values of each field (see `kit.training.reference`)
"""

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Final

from kit.contract import Contract
from kit.files import write_atomic
from kit.stage import BadInput, Progress
from kit.training import reference, slices
from kit.training.export import export, write_warm_up
from kit.training.fit import fit
from kit.training.net import PREMIUM, QUOTE
from kit.training.params import Params
from kit.training.project import Project
from kit.training.wrangle import MANIFEST, Wrangled

MODEL: Final = "model"
FIT: Final = "fit.json"
REFERENCE: Final = "reference.json"


def train(project: Project, source: Path, out: Path, contract: Contract, params: Params, progress: Progress) -> None:
    """Fit, export, and pass on. Raises `BadInput`."""
    wrangled = Wrangled.read(source, contract)
    check(project, params)
    rows = slices.read(source / "train.parquet", contract, len(wrangled.insurers))
    net, history = fit(contract, rows, params, progress)
    export(net, output_of(project), contract, wrangled.insurers, out / MODEL)
    write_warm_up(out / MODEL, project.name, contract, rows.numeric, rows.categorical)
    for name in (MANIFEST, "calibration.parquet", "test.parquet"):
        shutil.copyfile(source / name, out / name)
    write_atomic(out / REFERENCE, reference.encode(contract, rows))
    story = {
        "params": asdict(params),
        "seeds": {"fit": params.fit.seed},
        "weights": net.count_params(),
        "history": [asdict(e) for e in history],
    }
    write_atomic(out / FIT, json.dumps(story, indent=1).encode())


def output_of(project: Project) -> str:
    """The net's output that a project exports."""
    return {"quote": QUOTE, "premium": PREMIUM}[project.branch]


def check(project: Project, params: Params) -> None:
    """The loss weights make sense for the branch. Raises `BadInput`."""
    weights = params.loss
    if min(weights.quote, weights.premium, weights.panel) < 0:
        raise BadInput("params.toml: loss: a weight is below 0")
    if not getattr(weights, project.branch):
        raise BadInput(f"params.toml: loss: `{project.branch}` is 0, and it is the branch that {project.name} exports")
    if weights.panel and not (weights.quote and weights.premium):
        raise BadInput("params.toml: loss: `panel` needs both branches, `quote` and `premium`")
