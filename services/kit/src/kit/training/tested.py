"""The test stage: calibrate, measure, gate, publish. What is measured is the exported SavedModel itself."""

import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from string import Template
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np

from kit.artefacts import Manifest, Published, Store, now
from kit.bundles import assemble
from kit.contract import Contract
from kit.stage import BadInput, GateRefused, Progress
from kit.training import golden, masking, slices
from kit.training.branches import Branch, PremiumBranch, QuoteBranch
from kit.training.export import raw_inputs
from kit.training.masking import Mask
from kit.training.params import CalibrationParams, Limit, Params
from kit.training.project import Project
from kit.training.served import Served
from kit.training.slices import Rows
from kit.training.trained import FIT, MODEL, REFERENCE
from kit.training.wrangle import Wrangled

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
) -> None:
    """Raises `BadInput`, or `GateRefused` with the figure and its limit; then the report lies in the store under `refused/`."""
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
    with progress.task("testing", total=len(asked) + 2) as task:
        tables = calibrate(branch, served, seen_later, contract, params.calibration, profiles)
        task.advance(note="calibrated")
        report: dict[str, Any] = {
            "project": project.name,
            "contract": contract.fingerprint,
            "data": wrangled.data,
            "enquiries": len(held_out),
            "profiles": {},
        }
        for name, known in asked.items():
            report["profiles"][name] = branch.measure(served, held_out.hidden(known), contract, tables)
            task.advance(note=name)
        sample = held_out.take(slice(SAMPLE))
        ids = {"enquiries": len(sample), "first_enquiry_id": int(sample.ids[0]), "last_enquiry_id": int(sample.ids[-1])}
        report["accuracy_sample"] = ids | branch.measure(served, sample, contract, tables)
        report |= {"history": story["history"], "slices": wrangled.counts, "begins": wrangled.begins}
        check(
            report["profiles"],
            params.gate,
            on_refusal=lambda: store.write(_json(report), REFUSED, project.name, "report.json"),
        )
        task.advance(note="measured")
    chosen, names = golden.choose(held_out, profiles)
    check_agreement(served, chosen, contract)
    with TemporaryDirectory() as beside:
        folder = Path(beside) / "artefact"
        shutil.copytree(source / MODEL, folder)
        (folder / "calibration.json").write_bytes(_json(tables))
        (folder / "report.json").write_bytes(_json(report))
        (folder / "golden.jsonl").write_bytes(golden.encode(contract, chosen, names, served))
        (folder / "card.md").write_text(card(project, wrangled, report), encoding="utf-8")
        if project.branch == "premium":
            shutil.copyfile(source / REFERENCE, folder / REFERENCE)
        manifest = Manifest(
            project=project.name,
            version=0,
            created=now(),
            git_revision=git_revision(),
            contract=contract.fingerprint,
            data=wrangled.data,
            insurers=wrangled.insurers,
            params=story["params"]
            | {"calibration": asdict(params.calibration), "gate": [asdict(limit) for limit in params.gate]},
            seeds=story["seeds"],
        )
        _tell(store.publish(folder, manifest), store, report)


def calibrate(
    branch: Branch,
    served: Served,
    rows: Rows,
    contract: Contract,
    params: CalibrationParams,
    profiles: Mapping[str, Mask],
) -> dict[str, Any]:
    """Tables fitted on every row under every profile, and with questions left open at random, so that each key has its rows."""
    rng = np.random.default_rng(0)
    subsets = [known for _ in range(params.subsets) for known in masking.subsets(contract, len(rows), rng)]
    try:
        return branch.calibrate(
            served, slices.stack([rows.hidden(known) for known in (*profiles.values(), *subsets)]), contract, params
        )
    except ValueError as error:
        raise BadInput(f"the calibration slice cannot be used: {error}") from error


def check(figures: Mapping[str, Mapping[str, float]], limits: tuple[Limit, ...], on_refusal: Any) -> None:
    """Compare `profile.figure` with its limits. A figure that is missing or not finite is refused. Raises `GateRefused`."""
    for limit in limits:
        profile, _, name = limit.figure.partition(".")
        value = figures.get(profile, {}).get(name, math.nan)
        low, high = (
            (-math.inf if limit.at_least is None else limit.at_least),
            (math.inf if limit.at_most is None else limit.at_most),
        )
        if not low <= value <= high:
            on_refusal()
            wanted = " and ".join(
                f"at {word} {bound:g}"
                for word, bound in (("least", limit.at_least), ("most", limit.at_most))
                if bound is not None
            )
            raise GateRefused(f"{limit.figure} is {value:.4g}, and has to be {wanted}")


def check_agreement(served: Served, rows: Rows, contract: Contract) -> None:
    """Both ways into the model give the same answer. Raises `GateRefused`."""
    by_name = served.by_name(raw_inputs(contract, rows.numeric, rows.categorical))
    worst = float(np.abs(by_name - served.packed(rows.numeric, rows.categorical)).max())
    if not worst <= AGREEMENT:
        raise GateRefused(f"serving_default and packed differ by {worst:.2g}, and may by {AGREEMENT:g}")


def card(project: Project, wrangled: Wrangled, report: Mapping[str, Any]) -> str:
    """The project's card with its figures filled in."""
    rows = report["profiles"]
    names = list(rows["full"])
    table = [
        "| answers given | " + " | ".join(n.replace("_", " ") for n in names) + " |",
        "|---" * (len(names) + 1) + "|",
    ]
    table += [
        f"| {profile} | " + " | ".join(f"{figures[n]:.3f}" for n in names) + " |" for profile, figures in rows.items()
    ]
    return Template(project.card).substitute(
        figures="\n".join(table),
        enquiries=sum(wrangled.counts.values()),
        train=wrangled.counts["train"],
        test=wrangled.counts["test"],
        test_begins=wrangled.begins["test"],
        insurers=len(wrangled.insurers),
        contract=wrangled.contract[:12],
        data=wrangled.data[:12],
    )


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


def _tell(published: Published, store: Store, report: Mapping[str, Any]) -> None:
    bundle = assemble(store)
    lines = (
        f"published {published.project}/{published.version} ({published.sha256[:12]})",
        "  " + ", ".join(f"{name} {value:.4g}" for name, value in report["profiles"]["full"].items()),
        f"bundle {bundle.id}"
        if bundle
        else "no bundle yet: the other model is missing, or is for another contract or other insurers",
    )
    sys.stdout.write("\n".join(lines) + "\n")


def branch_of(project: Project) -> Branch:
    """The project's branch."""
    return QuoteBranch() if project.branch == "quote" else PremiumBranch()


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
    return None if isinstance(content, float) and not math.isfinite(content) else content
