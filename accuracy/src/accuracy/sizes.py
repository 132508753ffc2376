"""From nothing to two published models and their answers to the held-out enquiries: every stage of a benchmark, in order, each measured."""

import hashlib
import json
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Final

import tomli_w

from accuracy import data, running
from accuracy.costs import Cost
from accuracy.places import INSURERS, MARKET, MODELS, SEED, Places, code_of, environment, package, python
from accuracy.steps import CODE, Done, Step, digest, do
from kit import contract
from kit.bundles import CLASSIFIER
from kit.files import write_atomic
from kit.stage import BadInput
from kit.training.params import FairnessParams, Params, read
from kit.training.places import CHECKPOINT

NOT_FOR_WRANGLE: Final = frozenset({"net", "fit", "loss", "mask", "calibration", "fairness", "gate"})
WORKERS: Final = 2
NO_LIMIT: Final = 1e9


@dataclass(frozen=True)
class Wanted:
    """Which market, and instead of a model's own params.toml which file. `stale_ok`: what was made by other code is good enough."""

    enquiries: int
    insurers: int = INSURERS
    seed: int = SEED
    params: Mapping[str, Path] = field(default_factory=dict)
    stale_ok: bool = False

    @property
    def is_default(self) -> bool:
        """Whether only the size was chosen."""
        return not self.params and (self.insurers, self.seed) == (INSURERS, SEED)


@dataclass(frozen=True)
class Kitchen:
    """Where stages run: the checkout, the places, and who is told."""

    root: Path
    places: Places
    say: Callable[[str], None]
    stale_ok: bool = False

    def do(self, step: Step) -> Done:
        """Do a step that is not done. Raises `running.StageFailed`."""
        return do(step, self.places.stamps, self.say, self._measure, stale_ok=self.stale_ok)

    def _measure(self, step: Step) -> Cost:
        log = self.places.logs / f"{step.name.replace(' ', '-')}.log"
        return running.measured(step.name, step.command, log, self.say, environment())


def make(kitchen: Kitchen, wanted: Wanted) -> dict[str, Done]:
    """The market, both models published, by stage what it cost. Raises `running.StageFailed` and `BadInput`."""
    places, root = kitchen.places, kitchen.root
    chosen = {model: parameters(root, model, wanted.params.get(model)) for model in MODELS}
    for model, of in chosen.items():
        write_atomic(places.params(model), tomli_w.dumps(of).encode())
    splits = [of["split"] for of in chosen.values()]
    if splits[0] != splits[1]:
        raise BadInput(
            f"the models' params.toml differ in `split`, {splits[0]} and {splits[1]}: they would be tested on other enquiries"
        )
    done = {MARKET: kitchen.do(market(root, places, wanted))}
    done["wrangle"] = kitchen.do(wrangle(root, places, chosen[CLASSIFIER]))
    for model in MODELS:
        for step in (train, test):
            made = step(root, places, model, chosen[model])
            done[made.name] = kitchen.do(made)
    return done


def parameters(root: Path, model: str, file: Path | None) -> dict[str, Any]:
    """A model's params.toml without the limits that guard a release: here the must-shows judge. Raises `BadInput`."""
    file = file or root / "services" / model / "src" / package(model) / "params.toml"
    text = file.read_text(encoding="utf-8")
    read(text, str(file))
    raw = tomllib.loads(text) | {"gate": []}
    if "fairness" in {f.name for f in fields(Params)}:
        limits = {f.name for f in fields(FairnessParams) if f.name.endswith("at_most")}
        raw["fairness"] = raw.get("fairness", {}) | dict.fromkeys(limits, NO_LIMIT)
    return raw


def market(root: Path, places: Places, wanted: Wanted) -> Step:
    """Make the market of that size."""
    sizes = {"enquiries": wanted.enquiries, "insurers": wanted.insurers, "seed": wanted.seed}
    flags = [part for name, value in sizes.items() for part in (f"--{name}", str(value))]
    command = (python(root, MARKET), "-m", "market", "generate", *flags, "--workers", str(WORKERS),
               "--out", str(places.market), "--truth", str(places.truth))  # fmt: skip
    inputs = sizes | {"contract": contract.load().fingerprint, CODE: code_of(root, MARKET)}
    return Step(MARKET, command, inputs, places.market / "manifest.json")


def wrangle(root: Path, places: Places, params: Mapping[str, Any]) -> Step:
    """Once for both models, whose slices must be the same."""
    shared = {name: value for name, value in params.items() if name not in NOT_FOR_WRANGLE}
    inputs = {
        MARKET: digest(places.market / "manifest.json") or "",
        "params": _digest(shared),
        CODE: code_of(root, CLASSIFIER),
    }
    return _stage(
        root, places, CLASSIFIER, "wrangle", places.market, places.wrangled, inputs, places.wrangled / "manifest.json"
    )


def train(root: Path, places: Places, model: str, params: Mapping[str, Any]) -> Step:
    """Fit and export."""
    inputs = {
        "slices": digest(places.wrangled / "manifest.json") or "",
        "params": _digest(
            {name: value for name, value in params.items() if name not in {"gate", "fairness", "calibration"}}
        ),
        CODE: code_of(root, model),
    }
    trained = places.trained(model)
    step = _stage(root, places, model, "train", places.wrangled, trained, inputs, trained / "fit.json")
    return replace(step, leftover=trained.with_name(f"{trained.name}{CHECKPOINT}"))


def test(root: Path, places: Places, model: str, params: Mapping[str, Any]) -> Step:
    """Calibrate, measure, publish."""
    trained = places.trained(model)
    inputs = {"fit": digest(trained / "fit.json") or "", "params": _digest(params), CODE: code_of(root, model)}
    return _stage(
        root, places, model, "test", trained, places.store, inputs, places.store / model / "*" / "manifest.json"
    )


def _stage(
    root: Path, places: Places, model: str, stage: str, source: Path, out: Path, inputs: Mapping[str, str], result: Path
) -> Step:
    command = (python(root, model), "-m", package(model), stage, "--in", str(source), "--out", str(out),
               "--params", str(places.params(model)))  # fmt: skip
    name = stage if stage == "wrangle" else f"{model} {stage}"
    return Step(name, command, inputs, result)


def score(kitchen: Kitchen) -> tuple[dict[str, Done], int]:
    """Both models' answers to the held-out enquiries, by stage what it cost, and how many enquiries there were."""
    places, root = kitchen.places, kitchen.root
    rows = data.risks_of(places.wrangled / "test.parquet", places.asked, contract.load())
    done = {}
    for model in MODELS:
        version = newest(places.store, model)
        step = Step(
            f"{model} score",
            (python(root, model), "-m", package(model), "score", "--in", str(places.asked), "--out", str(places.scored(model)),
             "--store", str(places.store), "--version", str(version)),
            {
                "model": digest(places.store / model / str(version) / "manifest.json") or "",
                "slices": digest(places.wrangled / "manifest.json") or "",
                CODE: code_of(root, model),
            },
            places.scored(model),
        )  # fmt: skip
        done[step.name] = kitchen.do(step)
    return done, rows


def newest(store: Path, model: str) -> int:
    """The version of a model that is compared. Raises `BadInput` when there is none."""
    versions = [int(p.parent.name) for p in (store / model).glob("*/manifest.json") if p.parent.name.isdecimal()]
    if not versions:
        raise BadInput(f"{store} has no {model}: make models, or make accuracy ENQUIRIES=60000")
    return max(versions)


def rates(done: Mapping[str, Done], rows: int) -> dict[str, float]:
    """Enquiries scored per second by each model, without the start of the interpreter and of TensorFlow."""
    return {model: rows / work for model in MODELS if (of := done.get(f"{model} score")) and (work := of.cost.work_s)}


def report_of(store: Path, model: str, version: int) -> dict[str, Any]:
    """The report.json of a published model."""
    found: dict[str, Any] = json.loads((store / model / str(version) / "report.json").read_bytes())
    return found


def profiles_of(store: Path, model: str, version: int) -> dict[str, list[str]]:
    """The profiles of a published model's parameters, with the fields that each knows."""
    manifest = json.loads((store / model / str(version) / "manifest.json").read_bytes())
    found: dict[str, list[str]] = manifest["params"]["mask"]["profiles"]
    return found


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
