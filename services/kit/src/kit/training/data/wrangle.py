"""From `risks` and `answers` to arrays that a net can be fitted to: checked, joined, one row per enquiry, split by time.

The same on DuckDB and on a Spark cluster (see `kit.training.data.engines`), to the byte. What it writes:

    train.parquet, calibration.parquet, test.parquet    the contract's fields, and two lists over the sorted insurers:
        quoted   int8[K]     1 quote, 0 decline, -1 no answer (which teaches nothing about acceptance)
        premium  float32[K]  gross pounds, NaN where there is no quote
    manifest.json            fingerprints of data and contract, insurers and their archetypes, counts, the times of the cuts
    profile.json             what the data look like (see `kit.training.data.profile`)
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Self

import pyarrow.compute as pc
import pyarrow.parquet as pq

from kit.artefacts import BadArtefact, Store
from kit.contract import Contract
from kit.files import sha256_of, write_atomic
from kit.stage import BadInput, Progress
from kit.training.data.checks import refuse
from kit.training.data.engines import EngineName, engine_at
from kit.training.data.examined import STEPS, TABLES, Limits, boundaries, examine, parts
from kit.training.data.joined import Joined, lists, spelt
from kit.training.data.profile import PROFILE
from kit.training.params import DataParams, SplitParams

SLICES: Final = ("train", "calibration", "test")
MANIFEST: Final = "manifest.json"
ROW_GROUP: Final = 65_536  # enquiries: what a reader holds at once

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Wrangled:
    """What manifest.json of a wrangled folder says."""

    contract: str
    data: str
    insurers: tuple[str, ...]
    counts: dict[str, int]
    begins: dict[str, str]  # the time of each slice's first enquiry
    archetypes: dict[str, str] = field(default_factory=dict)  # insurer -> its kind, as far as insurers.json said

    def encode(self) -> bytes:
        """JSON."""
        return json.dumps(asdict(self), indent=1, sort_keys=True).encode() + b"\n"

    @classmethod
    def read(cls, folder: Path, contract: Contract) -> Self:
        """Raises `BadInput` when the folder was not written by `wrangle`, or for another contract."""
        try:
            raw: dict[str, Any] = json.loads((folder / MANIFEST).read_bytes())
            found = cls(**raw | {"insurers": tuple(raw["insurers"])})
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise BadInput(
                f"{folder} is not what `wrangle` or `train` writes: {MANIFEST} is missing or not readable"
            ) from error
        if found.contract != contract.fingerprint:
            raise BadInput(
                f"{folder} was wrangled for contract {found.contract[:12]}, this is {contract.short_fingerprint}: wrangle again"
            )
        return found


@dataclass(frozen=True, slots=True)
class How:
    """What a command may choose: limits of the data, the profile of the last release, the engine (and Spark's master), who hears notes."""

    data: DataParams = field(default_factory=DataParams)
    last: Mapping[str, Any] | None = None
    engine: EngineName = "duckdb"
    master: str | None = None
    say: Say = lambda _: None


def wrangle(
    source: Path, out: Path, contract: Contract, params: SplitParams, progress: Progress, how: How | None = None
) -> Wrangled:
    """Check, join, split and write. Raises `BadInput` or `GateRefused` with everything that is wrong with the data."""
    how = how or How()
    limits = Limits(params, how.data, how.last, datetime.now(UTC))
    with progress.task("wrangling", total=STEPS + 1) as task, engine_at(how.engine, out, how.master) as engine:
        found = examine(source, engine, contract, limits, task)
        for note in found.notes:
            how.say(note)
        refuse(found.problems)
        assert found.joined is not None  # noqa: S101 -- without it there is a problem
        wrangled = _write(source, out, contract, found.joined, params, found.archetypes)
        write_atomic(out / PROFILE, _json({**found.profile, "contract": contract.fingerprint, "data": wrangled.data}))
        write_atomic(out / MANIFEST, wrangled.encode())
        task.advance(note=f"{len(found.joined.table)} enquiries, {len(wrangled.insurers)} insurers")
    return wrangled


def _write(
    source: Path, out: Path, contract: Contract, joined: Joined, params: SplitParams, archetypes: Mapping[str, str]
) -> Wrangled:
    counts, begins = {}, {}
    for name, (first, end) in boundaries(len(joined.table), params).items():
        here = slice(first, end)
        part = spelt(joined.table.slice(first, end - first))
        counts[name] = len(part)
        begins[name] = pc.min(part["asked_at"]).as_py().isoformat()
        part = part.append_column("quoted", lists(joined.quoted[here]))
        part = part.append_column("premium", lists(joined.premium[here]))
        pq.write_table(part, out / f"{name}.parquet", row_group_size=ROW_GROUP, compression="zstd")
    known = {k: v for k, v in archetypes.items() if k in joined.insurers}
    files = [f for name in TABLES for f in parts(source, name)]
    return Wrangled(contract.fingerprint, fingerprint(files, source), joined.insurers, counts, begins, known)


def fingerprint(files: list[Path], source: Path) -> str:
    """sha256 over the names and contents of the input files."""
    lines = "".join(f"{f.relative_to(source)} {sha256_of(f)}\n" for f in files)
    return hashlib.sha256(lines.encode()).hexdigest()


def last_profile(store: str | None, project: str, say: Say) -> Mapping[str, Any] | None:
    """What the data of a store's newest version looked like; None, and the reason said, when it does not tell. Raises `BadInput`."""
    if store is None:
        say("no --store: drift against the last release is not looked at")
        return None
    try:
        found = Store(store)
        versions = found.versions(project)
        if not versions:
            say(f"no release of {project} in {store}: drift is not looked at")
            return None
        manifest = found.manifest(project, versions[-1])
        if PROFILE not in manifest.files:
            say(f"{project}/{versions[-1]} has no {PROFILE}: drift is not looked at")
            return None
        page: Mapping[str, Any] = json.loads(found.read_file(project, versions[-1], PROFILE, manifest))
    except (BadArtefact, OSError, ValueError) as error:
        raise BadInput(f"--store {store}: {error}") from error
    return page


def _json(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, indent=1, sort_keys=True).encode() + b"\n"
