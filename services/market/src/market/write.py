"""How does a market reach the disk so that whatever looks finished is finished? Beside its place, manifest last, then one rename.

Two folders are written: the market, and apart from it the truth, which only checks may read. The truth never lies below the market.
"""

import json
import os
import re
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from kit.contract import Contract
from kit.files import sha256_of, sync_folder, write_atomic
from kit.stage import BadInput, Progress
from market import calibrate, enquiries, insurers, panel, schema
from market.enquiries import Enquiries, Plan
from market.insurers import Market
from market.randomness import BLOCK

MANIFEST: Final = "manifest.json"
PROJECT: Final = "market"
GENERATOR: Final = 2
"""Raised whenever the same arguments would give other bytes."""
FEWEST_INSURERS, MOST_INSURERS = 30, 160


@dataclass(frozen=True, slots=True)
class Wanted:
    """A market to be generated."""

    plan: Plan
    insurers: int
    market_seed: int

    def parameters(self) -> dict[str, int]:
        """What the manifest says it was made from."""
        return {
            "enquiries": self.plan.enquiries,
            "insurers": self.insurers,
            "seed": self.plan.seed,
            "market_seed": self.market_seed,
            "weeks": self.plan.weeks,
            "generator": GENERATOR,
        }


def generate(contract: Contract, wanted: Wanted, out: Path, truth: Path, chunk: int, progress: Progress) -> bool:
    """Write both folders; False when both were there already, made from the same. Raises BadInput before any work."""
    out, truth = out.resolve(), truth.resolve()
    _apart(out, truth)
    missing = [folder for folder in (truth, out) if not is_there(folder, contract, wanted)]
    if not missing:
        return False
    with progress.task("market: insurers", 1) as task:
        market = defined(contract, wanted)
        task.advance()
    with ExitStack() as stack:
        # The market is renamed last: where it stands, its truth stands.
        beside = {folder: stack.enter_context(_beside(folder)) for folder in (truth, out)}
        _fill(contract, wanted, market, beside[out], beside[truth], chunk, progress)
        for folder in missing:
            _publish(beside[folder], folder)
    return True


def defined(contract: Contract, wanted: Wanted) -> Market:
    """The insurers of a market seed, read back from their definitions as written, so that these are all that prices."""
    drawn = panel.make(contract, wanted.market_seed, wanted.insurers)
    return insurers.from_json(contract, insurers.to_json(contract, calibrate.calibrated(contract, drawn)))


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
def _beside(folder: Path) -> Iterator[Path]:
    """A new folder on the same file system as `folder`, gone afterwards unless it was renamed."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    _sweep(folder)
    path = folder.with_name(f".{folder.name}.{os.getpid()}.{uuid.uuid4().hex[:8]}.partial")
    path.mkdir()
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _sweep(folder: Path) -> None:
    """Remove what a killed process left beside; its number is in the name."""
    ours = re.compile(rf"\.{re.escape(folder.name)}\.(\d+)\.[0-9a-f]{{8}}\.partial")
    for path in folder.parent.iterdir():
        if (match := ours.fullmatch(path.name)) and not Path(f"/proc/{match[1]}").exists():
            shutil.rmtree(path, ignore_errors=True)


def _publish(finished: Path, folder: Path) -> None:
    try:
        finished.rename(folder)  # an empty folder may stand there
    except OSError as error:
        raise BadInput(f"{folder}: {error.strerror}; something was written there meanwhile") from error
    sync_folder(folder.parent)


class _Tables:
    """Tables that are cut into files of `PART` enquiries and row groups of a block, however many rows come at once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: dict[str, pq.ParquetWriter] = {}
        self._part = -1

    def write(self, tables: Mapping[str, pa.Table], first: int) -> None:
        """Append the tables of one block, whose first enquiry is `first`."""
        if first // schema.PART != self._part:
            self.close()
            self._part = first // schema.PART
        for name, table in tables.items():
            if name not in self._open:
                path = self._folder / name / f"part-{self._part:05d}.parquet"
                path.parent.mkdir(parents=True, exist_ok=True)
                self._open[name] = pq.ParquetWriter(path, table.schema, compression="zstd")
            self._open[name].write_table(table, row_group_size=max(table.num_rows, 1))

    def close(self) -> None:
        """Finish the files of this part."""
        for writer in self._open.values():
            writer.close()
        self._open.clear()


def _fill(
    contract: Contract, wanted: Wanted, market: Market, out: Path, truth: Path, chunk: int, progress: Progress
) -> None:
    quotes = 0
    plan, ids = wanted.plan, market.ids
    seen, hidden = _Tables(out), _Tables(truth)
    try:
        with progress.task("market: enquiries", plan.enquiries) as task:
            for part in _blocks(contract, market, plan, chunk):
                seen.write({"risks": schema.risks(contract, part), "answers": schema.answers(ids, part)}, part.first)
                hidden.write({"risks": schema.true_risks(part), "answers": schema.true_answers(ids, part)}, part.first)
                quotes += int(np.count_nonzero(~np.isnan(part.premium)))
                task.advance(len(part.ids))
    finally:
        seen.close()
        hidden.close()
    pq.write_table(schema.vehicles(contract), out / "vehicles.parquet", compression="zstd")
    pq.write_table(schema.sectors(contract), out / "areas.parquet", compression="zstd")
    write_atomic(out / "insurers.json", (json.dumps({"insurers": list(ids)}, indent=1) + "\n").encode())
    write_atomic(truth / "insurers.json", insurers.to_json(contract, market).encode())
    counts = {"risks": plan.enquiries, "answers": plan.enquiries * len(ids), "quotes": quotes}
    for folder in (truth, out):
        _finish(folder, contract, wanted, counts)


def _blocks(contract: Contract, market: Market, plan: Plan, chunk: int) -> Iterator[Enquiries]:
    """Blocks of all enquiries in order, `chunk` enquiries (rounded up to whole blocks) computed at a time."""
    step = -(-chunk // BLOCK) * BLOCK
    for first in range(0, plan.enquiries, step):
        yield from list(enquiries.between(contract, market, plan, first, min(first + step, plan.enquiries)))


def _finish(folder: Path, contract: Contract, wanted: Wanted, counts: Mapping[str, int]) -> None:
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    manifest = {
        "project": PROJECT,
        "contract": contract.fingerprint,
        "parameters": wanted.parameters(),
        "begins": enquiries.BEGINS.isoformat(),
        "ends": wanted.plan.ends.isoformat(),
        "counts": dict(counts),
        "files": {p.relative_to(folder).as_posix(): sha256_of(p) for p in files},
    }
    write_atomic(folder / MANIFEST, (json.dumps(manifest, indent=1) + "\n").encode())
