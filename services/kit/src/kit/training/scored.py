"""The score stage: answers to a file of risks, in batches, through the published SavedModel and its calibration."""

import json
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from kit.artefacts import BadArtefact, Store
from kit.bundles import published
from kit.contract import Contract
from kit.rows import answered, is_always_known, pack_columns
from kit.stage import BadInput, Places
from kit.training import slices
from kit.training.branches import Branch
from kit.training.checks import refuse_forbidden
from kit.training.export import raw_inputs
from kit.training.places import reading, writing_file
from kit.training.project import Project
from kit.training.served import BATCH, Served
from kit.training.tested import branch_of

ID: Final = "enquiry_id"


def score(project: Project, places: Places, store_url: str, version: int | None, contract: Contract) -> None:
    """Write one row per enquiry and insurer: `enquiry_id`, `insurer` and the branch's calibrated figures.

    A field's column may be absent or null: then its assumed value is taken, as for a quote, and without one it is not known.
    Raises `BadInput`, also when a required field is not given.
    """
    with TemporaryDirectory() as beside, reading(places.source) as source, writing_file(places.out) as out:
        files = _files(source)
        model = _fetch(project, Store(store_url), version, Path(beside), contract)
        served, tables = Served(model), json.loads((model / "calibration.json").read_bytes())
        total = sum(pq.ParquetFile(f).metadata.num_rows for f in files)
        writer = None
        with places.progress.task("scoring", total=total) as task:
            for batch in _batches(files):
                answers = _answers(batch, served, branch_of(project), contract, tables)
                writer = writer or pq.ParquetWriter(out, answers.schema)
                writer.write_table(answers)
                task.advance(len(batch))
        if writer is None:
            raise BadInput(f"{places.source} has no rows")
        writer.close()


def _fetch(project: Project, store: Store, version: int | None, to: Path, contract: Contract) -> Path:
    versions = store.versions(project.name)
    if not versions or (version is not None and version not in versions):
        raise BadInput(f"{store.url} has versions {versions or 'none'} of {project.name}")
    try:
        manifest = store.manifest(project.name, version or versions[-1])
        store.fetch(published(manifest), to)
    except BadArtefact as error:
        raise BadInput(str(error)) from error
    if manifest.contract != contract.fingerprint:
        raise BadInput(
            f"{project.name}/{manifest.version} is for contract {manifest.contract[:12]}, this is {contract.short_fingerprint}"
        )
    return to / str(manifest.version)


def _files(source: Path) -> list[Path]:
    files = [source] if source.is_file() else sorted(source.rglob("*.parquet"))
    if not files:
        raise BadInput(f"{source} holds no *.parquet")
    for file in files:
        try:
            names = pq.read_schema(file).names
        except (OSError, pa.ArrowException) as error:
            raise BadInput(f"{file} is not Parquet") from error
        if ID not in names:
            raise BadInput(f"{file}: no column `{ID}`")
        refuse_forbidden(names, str(file))
    return files


def _batches(files: list[Path]) -> Iterator[pa.Table]:
    for file in files:
        for batch in pq.ParquetFile(file).iter_batches(BATCH):
            yield pa.table(batch)


def completed(contract: Contract, columns: dict[str, NDArray[Any]], rows: int) -> dict[str, NDArray[Any]]:
    """The columns as a request is completed: assumed values where nothing was given. Raises `BadInput` when a required field is not given."""
    found = dict(columns)
    for field in contract.fields:
        if is_always_known(field):
            empty = np.full(rows, np.nan, np.float32) if field.is_numeric else np.full(rows, None, object)
            column = columns.get(field.name, empty)
            missing = np.isnan(column) if field.is_numeric else (column == "") | (column == None)  # noqa: E711 -- element by element
            if field.assumed is not None:
                column = np.where(missing, field.assumed, column)
            elif missing.any():
                raise BadInput(f"risks: `{field.name}` is required, and not given in {missing.sum()} of {rows} rows")
            found[field.name] = column
    return found


def _answers(batch: pa.Table, served: Served, branch: Branch, contract: Contract, tables: Any) -> pa.Table:
    try:
        columns = slices.columns(batch, contract)
    except pa.ArrowException as error:
        raise BadInput(f"risks: {error}") from error
    ids = batch[ID].to_numpy()
    numeric, categorical = pack_columns(contract, completed(contract, columns, len(ids)))
    raw = served.by_name(raw_inputs(contract, numeric, categorical))
    insurers = served.insurers()
    figures = branch.answer(raw, answered(contract, numeric, categorical), tables)
    named = pa.DictionaryArray.from_arrays(
        np.tile(np.arange(len(insurers), dtype=np.int32), len(ids)), pa.array(insurers)
    )
    return pa.table(
        {ID: np.repeat(ids, len(insurers)), "insurer": named}
        | {n: v.astype(np.float32).ravel() for n, v in figures.items()}
    )
