"""What does a first run do before any process can start? Environments, the market, both models: the steps, and their stamps on disk."""

import asyncio
import fcntl
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TextIO

from kit import contract
from kit.artefacts import BadArtefact, Store
from kit.bundles import CLASSIFIER, REGRESSOR, Bundle, assemble
from kit.files import sha256_of, write_atomic
from local_fleet import leftovers, runner
from local_fleet.display import display_on
from local_fleet.places import Home
from local_fleet.programs import environment, python
from local_fleet.steps import CODE, Evidence, Stamp, Step, plan

MARKET: Final = "market"
MODELS: Final = (CLASSIFIER, REGRESSOR)
SERVING: Final = ("model-server", "feature-store", "gateway")
SOURCES: Final = frozenset({".py", ".toml", ".md"})
"""Suffixes of what a step's result is made by; a model's params.toml is an input of its own."""
NOT_IN_MODELS: Final = frozenset({"deploy", "logs.py", "series.py", "series.toml"})
"""Parts of the kit that no model is made with. What is added to the kit counts until it is named here."""
FULL_SIZE: Final = 60_000
EXPECTED_S: Final[Mapping[str, tuple[float, float]]] = {
    MARKET: (2.0, 4.0),
    f"{CLASSIFIER} wrangle": (4.0, 5.0),
    f"{CLASSIFIER} train": (10.0, 30.0),
    f"{CLASSIFIER} test": (12.0, 20.0),
    f"{REGRESSOR} wrangle": (4.0, 5.0),
    f"{REGRESSOR} train": (10.0, 75.0),
    f"{REGRESSOR} test": (12.0, 12.0),
}
"""Seconds on two cores, both models at once: fixed, and in proportion to the enquiries at their full number."""


class NotPrepared(Exception):
    """All steps are done, and yet there is nothing to serve; the message says why."""


@dataclass(frozen=True)
class Wanted:
    """What a person asked for. `params` replaces a model's own params.toml by another file."""

    enquiries: int = FULL_SIZE
    insurers: int = 60
    seed: int = 1
    params: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a fleet can serve."""

    bundle: Bundle
    insurers: int


def steps_for(root: Path, home: Home, wanted: Wanted, *, market: str, fingerprint: str) -> tuple[Step, ...]:
    """Every step in an order in which they can be done; the two models do not wait for each other.

    `market` is the sha256 of the market's manifest as it lies there now, `fingerprint` the contract's in the code.
    """
    return (
        _environments(root, (MARKET,)),
        _market(root, home, wanted, fingerprint),
        _environments(root, MODELS, after=_install((MARKET,))),
        *(
            step
            for model in MODELS
            for step in _stages(root, home, wanted, model, {MARKET: market, "contract": fingerprint})
        ),
        _environments(root, SERVING, after=_install(MODELS)),
    )


def code_of(root: Path, service: str) -> str:
    """A digest of the sources and the locked packages that a service's steps run, its part of the kit included."""
    own, kit = root / "services" / service, root / "services" / "kit" / "src" / "kit"
    if (
        service == MARKET
    ):  # it takes the contract from the kit, and otherwise how files are written and progress is shown
        shared = [*(kit / "contract").rglob("*")]
    else:
        shared = [p for p in kit.rglob("*") if p.relative_to(kit).parts[0] not in NOT_IN_MODELS]
    paths = sorted(p for p in [*(own / "src").rglob("*"), *shared] if p.suffix in SOURCES and p.name != "params.toml")
    digest = hashlib.sha256()
    for path in [*paths, own / "requirements.lock"]:
        digest.update(f"{path.relative_to(root)} {sha256_of(path)}\n".encode())
    return digest.hexdigest()


def _install(services: Sequence[str]) -> str:
    return f"install {', '.join(services)}"


def _environments(root: Path, services: Sequence[str], *, after: str = "") -> Step:
    # One after the other, not side by side: the second finds the first one's downloads in the cache.
    command = (str(root / "scripts" / "venv"), *(f"services/{s}" for s in services))
    return Step(_install(services), _install(services), command, after=(after,) if after else (), always=True)


def _market(root: Path, home: Home, wanted: Wanted, fingerprint: str) -> Step:
    sizes = {"enquiries": wanted.enquiries, "insurers": wanted.insurers, "seed": wanted.seed}
    flags = [part for name, value in sizes.items() for part in (f"--{name}", str(value))]
    return Step(
        MARKET,
        f"make a market of {wanted.enquiries:,} enquiries",
        (
            python(root, MARKET),
            "-m",
            "market",
            "generate",
            *flags,
            "--out",
            str(home.next.market),
            "--truth",
            str(home.next.truth),
        ),
        after=(_install((MARKET,)),),
        inputs=sizes | {"contract": fingerprint, CODE: code_of(root, MARKET)},
        manifests=(home.market / "manifest.json",),
        wanted=True,
        expected_s=_expected(MARKET, wanted),
    )


def _stages(root: Path, home: Home, wanted: Wanted, model: str, inputs: Mapping[str, str]) -> Iterator[Step]:
    package, work = model.replace("-", "_"), home.work / model
    params = wanted.params.get(model, root / "services" / model / "src" / package / "params.toml")
    chosen = ("--params", str(params)) if model in wanted.params else ()
    wrangled, trained = work / "wrangled", work / "trained"
    places = {"wrangle": (home.market, wrangled), "train": (wrangled, trained), "test": (trained, home.store)}
    manifests = {
        "wrangle": wrangled / "manifest.json",
        "train": trained / "fit.json",
        "test": home.store / model / "*" / "manifest.json",
    }
    code = code_of(root, model)
    before = {"wrangle": (MARKET, _install(MODELS)), "train": (f"{model} wrangle",), "test": (f"{model} train",)}
    for stage, (source, out) in places.items():
        yield Step(
            f"{model} {stage}",
            f"{model}: {stage}",
            (python(root, model), "-m", package, stage, "--in", str(source), "--out", str(out), *chosen),
            after=before[stage],
            inputs={**inputs, "params": sha256_of(params), CODE: code},
            manifests=(manifests[stage],),
            wanted=stage == "test",
            expected_s=_expected(f"{model} {stage}", wanted),
        )


def _expected(step: str, wanted: Wanted) -> float:
    fixed, at_full_size = EXPECTED_S[step]
    return fixed + at_full_size * wanted.enquiries / FULL_SIZE


def prepare(root: Path, home: Home, wanted: Wanted, out: TextIO) -> Prepared:
    """Do what is not done and valid, and name the bundle to serve. Raises `StepFailed` or `NotPrepared`.

    One preparation at a time in a home: a second one waits for the first and then finds nothing left to do.
    """
    home.path.mkdir(parents=True, exist_ok=True)
    with _only_one(home, out):
        leftovers.clear(home.preparing)
        home.next.clear()
        steps = steps_for(
            root, home, wanted, market=_digest(home.market / "manifest.json"), fingerprint=contract.load().fingerprint
        )
        reasons = plan(steps, {s.name: evidence_of(home, s) for s in steps})
        todo = [s for s in steps if s.name in reasons]
        logs = home.path / "logs"
        logs.mkdir(exist_ok=True)
        with display_on(out, todo, reasons) as watcher:
            asyncio.run(
                runner.run(
                    todo,
                    environment={**environment(home.preparing), "PYTHONUNBUFFERED": "1"},
                    folder=root,
                    logs=logs,
                    watcher=watcher,
                    finished=lambda step: finish(home, step),
                )
            )
        return _newest(home)


@contextmanager
def _only_one(home: Home, out: TextIO) -> Iterator[None]:
    with (home.path / "preparing.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"another run is preparing {home.path}; waiting for it", file=out, flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def stamp_path(home: Home, step: Step) -> Path:
    """Where a step's stamp lies."""
    return home.stamps / f"{step.name.replace(' ', '.')}.json"


def finish(home: Home, step: Step) -> None:
    """What remains to be done when a step's command has ended well: a new market comes into force; a stamp is written."""
    if step.name == MARKET:
        home.next.take()
    if not step.always:
        stamp(home, step)


def stamp(home: Home, step: Step) -> None:
    """Note that a step has finished, with what it was planned to be made from, and the market as that is now: it may be new.

    A source file that was changed meanwhile makes the step stale for the next run, whether it was read before or after.
    """
    inputs = {**step.inputs}
    if MARKET in inputs:
        inputs[MARKET] = _digest(home.market / "manifest.json")
    digests = {str(p.relative_to(home.path)): sha256_of(p) for p in manifests_of(step)}
    write_atomic(stamp_path(home, step), Stamp(inputs, digests).encode())


def manifests_of(step: Step) -> list[Path]:
    """The files that stand for its result; of an artefact's versions the newest."""
    found = [
        p for pattern in step.manifests for p in Path(pattern.anchor).glob(str(pattern.relative_to(pattern.anchor)))
    ]
    return sorted(found, key=lambda p: int(p.parent.name) if p.parent.name.isdecimal() else 0)[-1:]


def evidence_of(home: Home, step: Step) -> Evidence:
    """What an earlier run left."""
    try:
        found = Stamp.decode(stamp_path(home, step).read_bytes())
    except FileNotFoundError:
        return Evidence()
    if found is None:
        return Evidence()
    for name, sha256 in found.manifests.items():
        if _digest(home.path / name) != sha256:
            return Evidence(found, f"{name} is missing or changed")
        if (problem := _damaged(home.path / name)) is not None:
            return Evidence(found, problem)
    return Evidence(found, None if found.manifests else "it left no manifest")


def _damaged(manifest: Path) -> str | None:
    """A file that a manifest lists and that is not there, or is another one."""
    files: Mapping[str, str] = json.loads(manifest.read_bytes()).get("files", {})
    wrong = [name for name, sha256 in files.items() if _digest(manifest.parent / name) != sha256]
    return f"{wrong[0]} is missing or changed" if wrong else None


def _digest(path: Path) -> str:
    return sha256_of(path) if path.is_file() else ""


def _newest(home: Home) -> Prepared:
    """The bundle of the newest two artefacts, checked byte for byte."""
    store = Store(str(home.store))
    bundle = assemble(store)
    if bundle is None:
        raise NotPrepared(f"the newest two artefacts in {home.store} do not belong together; remove one, or the folder")
    if bundle.contract != contract.load().fingerprint:
        raise NotPrepared(
            f"bundle {bundle.id} was made for contract {bundle.contract[:12]}, the code has {contract.load().short_fingerprint}"
        )
    try:
        manifests = [store.verify(model) for model in (bundle.classifier, bundle.regressor)]
    except BadArtefact as error:
        raise NotPrepared(f"{error}; remove that version's folder, and run again") from error
    return Prepared(bundle, len(manifests[0].insurers))
