"""How does a market reach the disk so that whatever looks finished is finished? Beside its place, manifest last, then one rename.

Two folders are written: the market, and apart from it the truth, which only checks may read. The truth never lies below the market.
"""

import hashlib
import json
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow.parquet as pq

from kit.contract import Contract
from kit.files import locked, sha256_of, sweep, sync_folder, write_atomic
from kit.stage import BadInput, Progress
from market import insurers, presets, schema
from market.drift import Timeline, timeline
from market.enquiries import Plan
from market.fill import UNFINISHED, Job, fill
from market.presets import PRESETS
from market.randomness import BLOCK

MANIFEST: Final = "manifest.json"
PROJECT: Final = "market"
GENERATOR: Final = 4
"""Raised whenever the same arguments would give other bytes."""
FEWEST_INSURERS, MOST_INSURERS = 30, 160


@dataclass(frozen=True, slots=True)
class Wanted:
    """A market to be generated: all of its enquiries, or those first <= id < last."""

    plan: Plan
    insurers: int
    market_seed: int
    preset: str = "standard"
    van: bool = False
    first: int = 0
    last: int | None = None

    @property
    def end(self) -> int:
        """The id after the last."""
        return self.plan.enquiries if self.last is None else self.last

    def parameters(self) -> dict[str, int | str | bool]:
        """What the manifest says it was made from."""
        return {
            "enquiries": self.plan.enquiries,
            "insurers": self.insurers,
            "seed": self.plan.seed,
            "market_seed": self.market_seed,
            "weeks": self.plan.weeks,
            "scenario": self.plan.scenario.name,
            "preset": self.preset,
            "van": self.van,
            "from": self.first,
            "to": self.end,
            "generator": GENERATOR,
        }


@dataclass(frozen=True, slots=True)
class How:
    """What changes no byte."""

    chunk: int = BLOCK
    workers: int = 1


def generate(contract: Contract, wanted: Wanted, out: Path, truth: Path, how: How, progress: Progress) -> bool:
    """Write both folders; False when both were there already, made from the same. Raises BadInput before any work.

    Work that is cut off leaves hidden folders beside, with the parts that were finished; the same arguments go on from them.
    """
    out, truth = out.resolve(), truth.resolve()
    _apart(out, truth)
    missing = [folder for folder in (truth, out) if not is_there(folder, contract, wanted)]
    if not missing:
        return False
    with ExitStack() as stack:
        key = hashlib.sha256(f"{wanted.parameters()} {contract.fingerprint}".encode()).hexdigest()[:12]
        beside = {folder: stack.enter_context(_beside(folder, key)) for folder in (truth, out)}
        with progress.task("market: insurers", 1) as task:
            of = defined(contract, wanted)
            task.advance()
        job = Job(wanted.plan, wanted.first, wanted.end, beside[out], beside[truth], how.chunk)
        with progress.task("market: enquiries", job.enquiries) as task:
            fill(contract, of, job, how.workers, task)
        _complete(contract, wanted, of, beside[out], beside[truth])
        beside[truth].chmod(0o700)  # for nobody else's eyes
        # The market is renamed last: where it stands, its truth stands.
        for folder in (truth, out):
            if folder in missing:
                _publish(beside[folder], folder)
            else:
                shutil.rmtree(beside[folder])
    return True


def defined(contract: Contract, wanted: Wanted) -> Timeline:
    """The insurers of a market seed over time, read back from their definitions as written, so that these are all that prices."""
    preset = PRESETS[wanted.preset]
    made = presets.drawn(contract, preset, wanted.market_seed, wanted.insurers, van=wanted.van)
    read = insurers.from_json(contract, insurers.to_json(contract, made))
    return timeline(contract, read, wanted.plan.scenario, wanted.plan.weeks, preset.spread)


def read_manifest(folder: Path) -> dict[str, Any]:
    """What a finished folder says of itself. Raises BadInput when it is not one."""
    path = folder / MANIFEST
    try:
        raw = json.loads(path.read_bytes())
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}; a finished market has one") from error
    except ValueError as error:
        raise BadInput(f"{path}: not JSON") from error
    if not isinstance(raw, dict) or raw.get("project") != PROJECT:
        raise BadInput(f"{path}: not the manifest of a market")
    return raw


def is_there(folder: Path, contract: Contract, wanted: Wanted) -> bool:
    """Whether the folder holds this very market, whole. Raises BadInput when it holds anything else."""
    if not folder.exists():
        return False
    if not folder.is_dir():
        raise BadInput(f"{folder} is not a folder")
    if not any(folder.iterdir()):
        return False
    advice = "remove it, or name another folder"
    if not (folder / MANIFEST).exists():
        raise BadInput(f"{folder} is not empty, and no finished market: {advice}")
    manifest = read_manifest(folder)
    found = dict(manifest.get("parameters", {})) | {"contract": str(manifest.get("contract"))[:12]}
    asked = wanted.parameters() | {"contract": contract.short_fingerprint}
    if differs := [
        f"{name} {found.get(name)}, not {value}" for name, value in asked.items() if found.get(name) != value
    ]:
        raise BadInput(f"{folder} holds another market ({'; '.join(differs)}): {advice}")
    for name, digest in manifest.get("files", {}).items():
        if not (folder / name).is_file() or sha256_of(folder / name) != digest:
            raise BadInput(f"{folder / name} is not the file that {MANIFEST} lists: {advice}")
    return True


def _apart(out: Path, truth: Path) -> None:
    if truth == out or out in truth.parents:
        raise BadInput(f"--truth {truth} lies in --out {out}: whoever reads the market would read the truth")
    if truth in out.parents:
        raise BadInput(f"--out {out} lies in --truth {truth}: the two must be apart")


@contextmanager
def _beside(folder: Path, key: str) -> Iterator[Path]:
    """The hidden folder that `folder` is made in, which is ours alone meanwhile. It stays when work is cut off: the same key goes on in it.

    Raises BadInput when another process is at it.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    path = folder.with_name(f".{folder.name}.{key}.partial")
    # What was begun for this folder from other arguments is of no use to anybody.
    sweep(folder.parent, re.compile(rf"\.{re.escape(folder.name)}\.[0-9a-f]{{12}}\.partial"), keep=path)
    path.mkdir(exist_ok=True)
    with locked(path) as ours:
        if not ours:
            raise BadInput(f"{folder}: another process is making it at this moment")
        yield path


def _publish(finished: Path, folder: Path) -> None:
    try:
        finished.rename(folder)  # an empty folder may stand there
    except OSError as error:
        raise BadInput(f"{folder}: {error.strerror}; something was written there meanwhile") from error
    sync_folder(folder.parent)


def _complete(contract: Contract, wanted: Wanted, of: Timeline, out: Path, truth: Path) -> None:
    """Everything but the enquiries, and the manifests."""
    for left in (p for folder in (out, truth) for p in folder.glob(f"*/*{UNFINISHED}")):
        left.unlink()
    pq.write_table(schema.vehicles(contract), out / "vehicles.parquet", compression="zstd")
    pq.write_table(schema.sectors(contract), out / "areas.parquet", compression="zstd")
    # What kind of insurer a brand is stands in its advertisements; how it prices is the truth's.
    kinds = {insurer.id: insurer.archetype for era in of.eras for insurer in era.market.insurers}
    write_atomic(out / "insurers.json", _json({"insurers": list(of.ids), "archetypes": {k: kinds[k] for k in of.ids}}))
    for era in of.eras:
        name = f"insurers-week-{era.first_week:03d}.json" if era.first_week else "insurers.json"
        write_atomic(truth / name, insurers.to_json(contract, era.market).encode())
    write_atomic(truth / "events.json", _json({"events": [asdict(e) for e in of.events]}))
    pq.write_table(schema.shifts(of), truth / "shifts.parquet", compression="zstd")
    counts = _counts(out)
    for folder in (truth, out):
        _finish(folder, contract, wanted, counts)


def _counts(out: Path) -> dict[str, int]:
    """Rows of the market's tables, and how many answers are quotes: what the files' own footers say."""
    counts = {
        name: sum(pq.read_metadata(p).num_rows for p in _files(out, name)) for name in ("risks", "answers", "renewals")
    }
    place = schema.ANSWERS.get_field_index("premium")
    footers = [pq.read_metadata(path) for path in _files(out, "answers")]
    groups: list[Any] = [f.row_group(n).column(place) for f in footers for n in range(f.num_row_groups)]
    return counts | {"quotes": counts["answers"] - sum(g.statistics.null_count for g in groups)}


def _files(folder: Path, table: str) -> list[Path]:
    return sorted((folder / table).glob("*.parquet"))


def _json(document: Mapping[str, Any]) -> bytes:
    return (json.dumps(document, indent=1) + "\n").encode()


def _finish(folder: Path, contract: Contract, wanted: Wanted, counts: Mapping[str, int]) -> None:
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    manifest = {
        "project": PROJECT,
        "contract": contract.fingerprint,
        "parameters": wanted.parameters(),
        "begins": wanted.plan.scenario.begins.isoformat(),
        "ends": wanted.plan.ends.isoformat(),
        "counts": dict(counts),
        "files": {p.relative_to(folder).as_posix(): sha256_of(p) for p in files},
    }
    write_atomic(folder / MANIFEST, _json(manifest))
