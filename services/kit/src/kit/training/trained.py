"""The train stage: from the wrangled slices to a folder that holds all that the test stage needs.

model/                                the SavedModel of the project's branch, with its warm-up file
calibration.parquet, test.parquet     the slices that the net did not see
manifest.json, profile.json           as `wrangle` wrote them
fit.json                              parameters, seeds and how the loss went
reference.json                        typical values of each field (see `kit.training.reference`)
ranges.json                           what is out of range (see `kit.training.judging.ranges`), of the premium branch
"""

import hashlib
import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Final

from kit.contract import Contract
from kit.files import sha256_of, write_atomic
from kit.ranges import FILE as RANGES
from kit.stage import BadInput, Places
from kit.training import reference
from kit.training.data import slices
from kit.training.data.profile import PROFILE
from kit.training.data.wrangle import MANIFEST, Wrangled
from kit.training.judging import ranges
from kit.training.nets.checkpoint import FileCheckpoint
from kit.training.nets.export import export, write_warm_up
from kit.training.nets.fit import fit, whole_rows
from kit.training.nets.net import PREMIUM, QUOTE
from kit.training.params import Params
from kit.training.project import Project

MODEL: Final = "model"
FIT: Final = "fit.json"
REFERENCE: Final = "reference.json"


def train(
    project: Project, source: Path, out: Path, places: Places, contract: Contract, params: Params
) -> FileCheckpoint:
    """Fit, export, and pass on, from the folder `source` to the folder `out`. Raises `BadInput`.

    What was cut off goes on from the checkpoint beside `places.out`, when data, parameters and code are the same. The checkpoint is
    given back: whoever has put `out` in its place removes it.
    """
    wrangled = Wrangled.read(source, contract)
    check(project, params)
    rows, later = (
        slices.read(source / f"{name}.parquet", contract, len(wrangled.insurers)) for name in ("train", "calibration")
    )
    checkpoint = FileCheckpoint(places.out, made_from(wrangled, params))
    net, history = fit(contract, rows, later, params, places.progress, checkpoint)
    export(net, output_of(project), contract, wrangled.insurers, out / MODEL)
    write_warm_up(out / MODEL, project.name, contract, rows.numeric, rows.categorical)
    for name in (MANIFEST, PROFILE, "calibration.parquet", "test.parquet"):
        shutil.copyfile(source / name, out / name)
    write_atomic(out / REFERENCE, reference.encode(contract, rows))
    if project.branch == "premium":
        write_atomic(out / RANGES, ranges.fit(contract, rows.numeric, rows.categorical))
    story = {
        "params": asdict(params),
        "seeds": {"fit": params.fit.seed},
        "weights": net.count_params(),
        "history": [asdict(e) for e in history],
        "whole_rows": float(whole_rows(rows).mean()),
    }
    write_atomic(out / FIT, json.dumps(story, indent=1).encode())
    return checkpoint


def made_from(wrangled: Wrangled, params: Params) -> str:
    """What decides the net: the slices, the parameters of net, fit, loss and masks, and the code; sha256 in hex."""
    here = Path(__file__).parent
    code = [(str(f.relative_to(here)), sha256_of(f)) for f in sorted(here.rglob("*.py"))]
    turned = [asdict(part) for part in (params.net, params.fit, params.loss, params.mask)]
    told = json.dumps([turned, code], sort_keys=True).encode()
    return hashlib.sha256(wrangled.encode() + told).hexdigest()


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
