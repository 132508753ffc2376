"""The score stage: answers to a file of risks, in batches, through the published SavedModel and its calibration.

What costs time: the net, then writing the floats. TensorFlow keeps one call of this size on one core, so each core works on a batch
of its own, and a few batches at a time are all that is in memory. Prices have nearly no value twice, so a dictionary of them is work
for nothing; as byte streams they shrink to half. `bench/score.py` of kit measures it.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from kit import calibration
from kit.artefacts import BadArtefact, Published, Store
from kit.bundles import published
from kit.calibration import BadCalibration, Calibration
from kit.contract import Contract, Field
from kit.rows import UNKNOWN_CODE, Categorical, Numeric, is_always_known
from kit.stage import BadInput, Places
from kit.training.data import slices
from kit.training.data.checks import refuse_forbidden
from kit.training.data.slices import NOT_GIVEN
from kit.training.judging.branches import Branch, branch_of
from kit.training.nets.served import BATCH, Served
from kit.training.places import reading, writing_file
from kit.training.project import Project

ID: Final = "enquiry_id"
INSURER: Final = "insurer"


def score(project: Project, places: Places, store_url: str, version: int | None, contract: Contract) -> None:
    """Write one row per enquiry and insurer: `enquiry_id`, `insurer` and the branch's calibrated figures, in the order of the input.

    A field's column may be absent or null: then its assumed value is taken, as for a quote, and without one it is not known.
    Raises `BadInput`, also when a required field is not given.
    """
    model = find(project, store_url, version, contract)
    with reading(places.source) as source, writing_file(places.out) as out:
        files = _files(source)
        scorer = Scorer.fetch(project, store_url, model, contract)
        total = sum(pq.ParquetFile(f).metadata.num_rows for f in files)
        if not total:
            raise BadInput(f"{places.source} has no rows")
        writer = None
        try:
            with places.progress.task("scoring", total=total) as task:
                for answers in in_order(scorer.answers, batches(files, contract)):
                    writer = writer or _writer(out, answers.schema)
                    writer.write_batch(answers)
                    task.advance(len(answers) / len(scorer.insurers))
        finally:
            if writer is not None:
                writer.close()


@dataclass(frozen=True)
class Scorer:
    """One published model, ready to answer. Threads may share it."""

    contract: Contract
    branch: Branch
    served: Served
    tables: Calibration
    insurers: tuple[str, ...]

    @classmethod
    def fetch(cls, project: Project, store_url: str, model: Published, contract: Contract) -> Self:
        """Copy the artefact from the store, checked, and load it; the copy does not outlive the loading. Raises `BadInput`."""
        with TemporaryDirectory() as beside:
            try:
                manifest = Store(store_url).fetch(model, Path(beside))
            except BadArtefact as error:
                raise BadInput(str(error)) from error
            folder = Path(beside) / str(model.version)
            served = Served(folder)
            insurers = served.insurers()
            try:
                tables = calibration.read((folder / calibration.FILE).read_bytes(), contract, len(insurers))
                tables.check_model(manifest.files)
            except BadCalibration as error:
                raise BadInput(f"{project.name}/{model.version}: {error}") from error
        return cls(contract, branch_of(project), served, tables, insurers)

    def answers(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The rows of the output for a batch of risks; `insurer` is a dictionary, and the figures are float32. Raises `BadInput`."""
        numeric, categorical = packed(self.contract, batch)
        raw = self.served.packed(numeric, categorical)
        figures = self.branch.answer(raw, self.tables.cells(numeric, categorical), self.tables)
        enquiry = np.repeat(np.arange(len(batch), dtype=np.int32), len(self.insurers))
        insurer = np.tile(np.arange(len(self.insurers), dtype=np.int32), len(batch))
        columns = {
            ID: batch[ID].take(pa.array(enquiry)),
            INSURER: pa.DictionaryArray.from_arrays(insurer, pa.array(self.insurers)),
        }
        return pa.record_batch(columns | {n: v.astype(np.float32).ravel() for n, v in figures.items()})


def find(project: Project, store_url: str, version: int | None, contract: Contract) -> Published:
    """The project's artefact of that version, or the newest. Raises `BadInput` when it is not there, or is for another contract."""
    try:
        store = Store(store_url)
        versions = store.versions(project.name)
        if not versions or (version is not None and version not in versions):
            raise BadInput(f"{store.url} has versions {versions or 'none'} of {project.name}")
        manifest = store.manifest(project.name, version or versions[-1])
    except BadArtefact as error:
        raise BadInput(str(error)) from error
    if manifest.contract != contract.fingerprint:
        raise BadInput(
            f"{project.name}/{manifest.version} is for contract {manifest.contract[:12]}, this is {contract.short_fingerprint}"
        )
    return published(manifest)


def check_columns(names: list[str], where: str) -> None:
    """Raises `BadInput` unless a file or folder with these columns can be scored."""
    if ID not in names:
        raise BadInput(f"{where}: no column `{ID}`")
    refuse_forbidden(names, where)


def wanted(names: Iterable[str], contract: Contract) -> list[str]:
    """Those of a file's columns that scoring reads."""
    return [n for n in names if n == ID or n in contract.by_name]


def _files(source: Path) -> list[Path]:
    files = [source] if source.is_file() else sorted(source.rglob("*.parquet"))
    if not files:
        raise BadInput(f"{source} holds no *.parquet")
    for file in files:
        try:
            names = pq.read_schema(file).names
        except (OSError, pa.ArrowException) as error:
            raise BadInput(f"{file} is not Parquet") from error
        check_columns(names, str(file))
    return files


def batches(files: list[Path], contract: Contract) -> Iterator[pa.RecordBatch]:
    """The rows of some files, in pieces that the model takes at once; strings come as codes."""
    for path in files:
        schema = pq.read_schema(path)
        columns = wanted(schema.names, contract)
        file = pq.ParquetFile(path, read_dictionary=[n for n in slices.texts(schema) if n in contract.by_name])
        yield from file.iter_batches(BATCH, columns=columns)


def in_order(
    work: Callable[[pa.RecordBatch], pa.RecordBatch], batches: Iterable[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    """The work on each batch, in the order of the batches, on every core that is ours; only so many are under way at a time."""
    cores = len(os.sched_getaffinity(0))
    with ThreadPoolExecutor(cores) as pool:
        waiting: deque[Future[pa.RecordBatch]] = deque()
        try:
            for batch in batches:
                waiting.append(pool.submit(work, batch))
                if len(waiting) > 2 * cores:  # none idles while this thread writes
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


def _writer(out: Path, schema: pa.Schema) -> pq.ParquetWriter:
    figures = [n for n in schema.names if n not in (ID, INSURER)]
    return pq.ParquetWriter(
        out, schema, compression="zstd", use_dictionary=[ID, INSURER], use_byte_stream_split=figures
    )


def packed(contract: Contract, batch: pa.RecordBatch) -> tuple[Numeric, Categorical]:
    """The packed rows of a batch, completed as a request is: assumed values where nothing was given.

    Raises `BadInput` when a required field is not given, or a column is not of its field's type.
    """
    numeric = np.full((len(batch), len(contract.numeric)), np.nan, np.float32)
    categorical = np.full((len(batch), len(contract.categorical)), NOT_GIVEN, np.int32)
    for fields, matrix, read in (
        (contract.numeric, numeric, lambda _, column: slices.numbers(column)),
        (contract.categorical, categorical, slices.given_codes),
    ):
        for i, field in enumerate(fields):
            if field.name in batch.schema.names:
                try:
                    matrix[:, i] = read(field, batch[field.name])
                except pa.ArrowException as error:
                    raise BadInput(f"risks: `{field.name}`: {error}") from error
            if is_always_known(field):
                _complete(field, matrix[:, i])
    return numeric, np.maximum(categorical, UNKNOWN_CODE, out=categorical)


def _complete(field: Field, column: Any) -> None:
    missing = np.isnan(column) if field.is_numeric else column == NOT_GIVEN
    if field.assumed is not None:
        column[missing] = field.assumed if field.is_numeric else field.code_of[str(field.assumed)]
    elif missing.any():
        raise BadInput(f"risks: `{field.name}` is required, and not given in {missing.sum()} of {len(column)} rows")
