"""From `risks` and `answers` to arrays that a net can be fitted to: checked, joined, one row per enquiry, split by time.

Everything here is Ibis expressions, so the same code runs on DuckDB and on a cluster. What it writes:

    train.parquet, calibration.parquet, test.parquet    the contract's fields, and two lists over the sorted insurers:
        quoted   int8[K]     1 quote, 0 decline, -1 no answer (which teaches nothing about acceptance)
        premium  float32[K]  gross pounds, NaN where there is no quote
    manifest.json            fingerprints of data and contract, insurers, counts, the times of the cuts
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Self

import ibis
import ibis.expr.types as ir
import pyarrow as pa

from kit.contract import Contract
from kit.files import sha256_of, write_atomic
from kit.stage import BadInput, Progress
from kit.training.checks import OUTCOMES, check_answers, check_risks
from kit.training.params import SplitParams

SLICES: Final = ("train", "calibration", "test")
MANIFEST: Final = "manifest.json"


@dataclass(frozen=True, slots=True)
class Wrangled:
    """What manifest.json of a wrangled folder says."""

    contract: str
    data: str
    insurers: tuple[str, ...]
    counts: dict[str, int]
    begins: dict[str, str]  # the time of each slice's first enquiry

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


def wrangle(source: Path, out: Path, contract: Contract, params: SplitParams, progress: Progress) -> Wrangled:
    """Check, join, split and write. Raises `BadInput` with the file and column that is wrong."""
    files = [f for name in ("risks", "answers") for f in parts(source, name)]
    backend = ibis.duckdb.connect()
    with progress.task("wrangling", total=4) as task:
        risks, answers = (backend.read_parquet([str(f) for f in parts(source, name)]) for name in ("risks", "answers"))
        check_risks(risks, contract)
        check_answers(answers, risks)
        task.advance(note="checked")
        insurers = tuple(sorted(answers.select("insurer").distinct().to_pyarrow()["insurer"].to_pylist()))
        joined = backend.create_table("joined", join(risks, answers, insurers, contract), temp=True)
        task.advance(note="joined")
        cuts = boundaries(joined.count().to_pyarrow().as_py(), params)
        counts, begins = {}, {}
        for name, (first, end) in zip(SLICES, cuts, strict=True):
            part = joined.filter((joined.position >= first) & (joined.position < end)).order_by("position")
            part.drop("position").to_parquet(out / f"{name}.parquet")
            counts[name] = end - first
            begins[name] = part.asked_at.min().to_pyarrow().as_py().isoformat()
        task.advance(note="written")
        wrangled = Wrangled(contract.fingerprint, fingerprint(files, source), insurers, counts, begins)
        write_atomic(out / MANIFEST, wrangled.encode())
        task.advance(note=f"{sum(counts.values())} enquiries, {len(insurers)} insurers")
    return wrangled


def parts(source: Path, name: str) -> list[Path]:
    """The Parquet files of a table, in order. Raises `BadInput` when there are none."""
    found = sorted((source / name).glob("*.parquet"))
    if not found:
        raise BadInput(f"{source}: no {name}/*.parquet")
    return found


def fingerprint(files: list[Path], source: Path) -> str:
    """sha256 over the names and contents of the input files."""
    lines = "".join(f"{f.relative_to(source)} {sha256_of(f)}\n" for f in files)
    return hashlib.sha256(lines.encode()).hexdigest()


def boundaries(rows: int, params: SplitParams) -> tuple[tuple[int, int], ...]:
    """First and end position of each slice, in the order of time."""
    first, second = round(rows * params.train), round(rows * (params.train + params.calibration))
    if not 0 < first < second < rows:
        raise BadInput(f"params.toml: split: {rows} enquiries leave a slice empty")
    return (0, first), (first, second), (second, rows)


def join(risks: ir.Table, answers: ir.Table, insurers: tuple[str, ...], contract: Contract) -> ir.Table:
    """One row per enquiry, with its `position` in time and the two lists over the insurers; an insurer without a row did not answer."""
    panel = ibis.memtable(pa.table({"insurer": list(insurers), "place": list(range(len(insurers)))}))
    cells = risks.select("enquiry_id").cross_join(panel)
    cells = cells.left_join(answers.select("enquiry_id", "insurer", "outcome", "premium"), ["enquiry_id", "insurer"])
    code = cells.outcome.cases(*OUTCOMES.items(), else_=-1).cast("int8")
    premium = (cells.outcome == "quote").ifelse(cells.premium.cast("float32"), float("nan")).fill_null(float("nan"))
    lists = (
        cells.select("enquiry_id", "place", code=code, price=premium.cast("float32"))
        .group_by("enquiry_id")
        .aggregate(
            quoted=lambda t: t.code.collect(order_by="place"), premium=lambda t: t.price.collect(order_by="place")
        )
    )
    inputs = risks.select(
        "enquiry_id",
        "asked_at",
        *(f.name for f in contract.fields),
        position=ibis.row_number().over(order_by=["asked_at", "enquiry_id"]),
    )
    return inputs.inner_join(lists, "enquiry_id")
