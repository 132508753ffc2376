"""The test stage: calibrate, measure, gate, publish. What is measured is the exported SavedModel itself."""

import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np

from kit import calibration, shortlist as shortlists
from kit.artefacts import Manifest, Published, Store, now
from kit.bundles import assemble
from kit.calibration import Bands
from kit.contract import Contract
from kit.files import sha256_of
from kit.ranges import FILE as RANGES
from kit.stage import BadInput, GateRefused, Progress
from kit.training import golden
from kit.training.data import slices
from kit.training.data.profile import PROFILE
from kit.training.data.slices import Rows
from kit.training.data.wrangle import Wrangled
from kit.training.judging import fairness, measured, mistakes, ranges, shortlist, verdicts
from kit.training.judging.branches import Branch, branch_of
from kit.training.judging.measured import Subject
from kit.training.nets import masking
from kit.training.nets.export import raw_inputs
from kit.training.nets.masking import Mask
from kit.training.nets.served import Served
from kit.training.params import CalibrationParams, Params
from kit.training.project import Project
from kit.training.report.card import card
from kit.training.report.page import page
from kit.training.report.pictures import PICTURES
from kit.training.trained import FIT, MODEL, REFERENCE

SAMPLE: Final = 2000  # enquiries, the first of the test slice, that are also sent through a running fleet
AGREEMENT: Final = 1e-6  # how far the two ways into the model may differ
REFUSED: Final = "refused"
SOME_MISSING: Final = "some_missing"
GIT_REVISION: Final = "BALLPARK_GIT_REVISION"
UNKNOWN: Final = "unknown"
FOLDER: Final = Path("services", "kit", "src", "kit", "training")  # of this file, in a checkout
SEED: Final = 1  # of what the report's `some_missing` hides; calibration draws from another


def test(
    project: Project, source: Path, store_url: str, contract: Contract, params: Params, progress: Progress
) -> Published:
    """Raises `BadInput`, or `GateRefused` with every figure that is outside its limits; then the report lies in the store under `refused/`."""
    wrangled = Wrangled.read(source, contract)
    story = _story(source)
    served, branch, store = Served(source / MODEL), branch_of(project), Store(store_url)
    if served.insurers() != wrangled.insurers:
        raise BadInput(f"{source}: the model's insurers are not those of the data: train again")
    profiles = masking.profiles(contract, params.mask.profiles)
    seen_later = slices.read(source / "calibration.parquet", contract, len(wrangled.insurers))
    held_out = slices.read(source / "test.parquet", contract, len(wrangled.insurers))
    asked = profiles | {
        SOME_MISSING: masking.some_missing(
            contract, params.calibration.missing, len(held_out), np.random.default_rng(SEED)
        )
    }
    chosen, names = golden.choose(held_out, profiles)
    check_agreement(served, chosen, contract)
    with progress.task("testing", total=len(asked) + 2) as task:
        written = tied(calibrate(branch, served, seen_later, contract, params.calibration, profiles), source / MODEL)
        # What is measured is what a reader of the file has, with as many digits.
        tables = calibration.read(written, contract, len(wrangled.insurers))
        task.advance(note="calibrated")
        report: dict[str, Any] = {
            "project": project.name,
            "contract": contract.fingerprint,
            "data": wrangled.data,
            "enquiries": len(held_out),
        }
        subject = Subject(served, branch, tables, contract, wrangled.archetypes)
        report |= measured.measure(subject, held_out, asked, params.fairness, task)
        report["fairness"]["of"] = fairness.ERROR[project.branch]
        sample = held_out.take(slice(SAMPLE))
        ids = {"enquiries": len(sample), "first_enquiry_id": int(sample.ids[0]), "last_enquiry_id": int(sample.ids[-1])}
        report["accuracy_sample"] = ids | branch.predict(served, sample, contract, tables).figures()
        if project.branch == "premium":
            limits = ranges.fitted(source / RANGES, contract)
            report["out_of_range"] = mistakes.measure(limits, contract, held_out.numeric, held_out.categorical, asked)
            in_range = ~limits.flags(sample.numeric, sample.categorical).any
            report["accuracy_sample"]["out_of_range"] = float(1 - in_range.mean())
            if in_range.any():  # the others have no interval in the fleet either
                answered = branch.predict(served, sample.take(in_range), contract, tables).figures()
                report["accuracy_sample"]["coverage"] = answered["coverage"]
        if shortlists.SECTION in (sections := json.loads(written)):
            found = shortlist.measured(sections[shortlists.SECTION], served, held_out, asked, contract)
            report[shortlists.SECTION] = found
        report |= {"history": story["history"], "slices": wrangled.counts, "begins": wrangled.begins}
        report["gate"] = verdicts.held_to(
            report["profiles"] | mistakes.figures(report) | shortlist.figures(report), params.gate
        )
        told = card(project, wrangled, report)
        pictured = page(_finite(report), told, PICTURES[project.branch])
        check(report, pictured, project, store)
        task.advance(note="measured")
    with TemporaryDirectory() as beside:
        folder = Path(beside) / "artefact"
        shutil.copytree(source / MODEL, folder)
        (folder / calibration.FILE).write_bytes(written)
        (folder / "report.json").write_bytes(_json(report))
        (folder / "golden.jsonl").write_bytes(golden.encode(contract, chosen, names, served))
        (folder / "report.html").write_bytes(pictured)
        (folder / "card.md").write_text(told, encoding="utf-8")
        for name in (PROFILE, *((REFERENCE, RANGES) if project.branch == "premium" else ())):
            shutil.copyfile(source / name, folder / name)
        manifest = Manifest(
            project=project.name,
            version=0,
            created=now(),
            git_revision=git_revision(),
            contract=contract.fingerprint,
            data=wrangled.data,
            insurers=wrangled.insurers,
            params=story["params"]
            | {
                "calibration": asdict(params.calibration),
                "gate": [asdict(limit) for limit in params.gate],
                "fairness": asdict(params.fairness),
            },
            seeds=story["seeds"],
        )
        return _tell(store.publish(folder, manifest), store, report)


def calibrate(
    branch: Branch,
    served: Served,
    rows: Rows,
    contract: Contract,
    params: CalibrationParams,
    profiles: Mapping[str, Mask],
) -> dict[str, Any]:
    """The tables of calibration.json, fitted on the rows under every profile, and with questions left open at random, so that each key has its rows.

    Of many rows a sample is taken. Raises `BadInput`.
    """
    try:
        bands = Bands.of(contract, params.bands)
        found = branch.calibrate(served, _asked(rows, contract, params, profiles), bands, params)
    except ValueError as error:
        raise BadInput(f"the calibration slice cannot be used: {error}") from error
    return {"level": params.level, "bands": bands.raw} | found


def _asked(rows: Rows, contract: Contract, params: CalibrationParams, profiles: Mapping[str, Mask]) -> Iterator[Rows]:
    rng = np.random.default_rng(0)

    def some(count: int) -> Rows:
        return rows.take(np.sort(rng.permutation(len(rows))[:count]))

    for known in profiles.values():
        yield some(params.rows).hidden(known)
    for _ in range(params.subsets):
        part = some(params.subset_rows)
        for known in masking.subsets(contract, len(part), rng):
            yield part.hidden(known)


def tied(tables: Mapping[str, Any], model: Path) -> bytes:
    """calibration.json: the tables, with the sha256 of the SavedModel in a folder that they belong to."""
    files = {str(p.relative_to(model)): sha256_of(p) for p in sorted(model.rglob("*")) if p.is_file()}
    return calibration.encode({"scheme": calibration.SCHEME, "model": calibration.fingerprint(files)} | dict(tables))


def check(report: Mapping[str, Any], pictured: bytes, project: Project, store: Store) -> None:
    """Raises `GateRefused` with every figure that is outside its limits; then the report and its page lie under `refused/`."""
    if said := verdicts.refusals(report):
        store.write(_json(report), REFUSED, project.name, "report.json")
        store.write(pictured, REFUSED, project.name, "report.html")
        raise GateRefused("; ".join(said) + f" (see {store.path(REFUSED, project.name, 'report.html')})")


class Unmeasured(GateRefused):
    """The model was refused before anything was measured: there is no report of it."""


def check_agreement(served: Served, rows: Rows, contract: Contract) -> None:
    """Both ways into the model give the same answer. Raises `Unmeasured`."""
    by_name = served.by_name(raw_inputs(contract, rows.numeric, rows.categorical))
    worst = float(np.abs(by_name - served.packed(rows.numeric, rows.categorical)).max())
    if not worst <= AGREEMENT:
        raise Unmeasured(f"serving_default and packed differ by {worst:.2g}, and may by {AGREEMENT:g}")


def git_revision() -> str:
    """The commit that this code is of, with `-dirty` when files differ from it; `unknown` outside a checkout of Ballpark.

    `BALLPARK_GIT_REVISION` comes first, for images that are built without the history.
    """
    if said := os.environ.get(GIT_REVISION):
        return said
    here = Path(__file__).resolve().parent
    try:
        # An installed copy may lie inside somebody else's repository, whose commits say nothing about it.
        if Path(_git(here, "rev-parse", "--show-toplevel")) / FOLDER != here:
            return UNKNOWN
        return _git(here, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")
    except (OSError, subprocess.CalledProcessError):
        return UNKNOWN


def _git(folder: Path, *command: str) -> str:
    # Without optional locks: looking must not rewrite the index while somebody commits.
    found = subprocess.run(
        ["git", "--no-optional-locks", *command], cwd=folder, capture_output=True, text=True, check=True
    )
    return found.stdout.strip()


def _tell(published: Published, store: Store, report: Mapping[str, Any]) -> Published:
    bundle = assemble(store)
    lines = (
        f"published {published.project}/{published.version} ({published.sha256[:12]})",
        f"report {store.path(published.project, published.version, 'report.html')}",
        "  " + ", ".join(f"{name} {value:.4g}" for name, value in report["profiles"]["full"].items()),
        f"bundle {bundle.id}"
        if bundle
        else "no bundle yet: the other model is missing, or is for another contract or other insurers",
    )
    sys.stdout.write("\n".join(lines) + "\n")
    return published


def _story(source: Path) -> dict[str, Any]:
    try:
        story: dict[str, Any] = json.loads((source / FIT).read_bytes())
    except (OSError, ValueError) as error:
        raise BadInput(f"{source} is not what `train` writes: {FIT} is missing or not readable") from error
    return story


def _json(content: Mapping[str, Any]) -> bytes:
    return json.dumps(_finite(content), indent=1, allow_nan=False).encode() + b"\n"


def _finite(content: Any) -> Any:
    """NaN is not JSON: a figure that could not be computed is null."""
    if isinstance(content, Mapping):
        return {name: _finite(value) for name, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content
