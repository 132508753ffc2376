"""What does a written market look like? Its counts and its figures beside their targets, read block by block."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from kit.contract import Contract
from kit.stage import BadInput
from market import measure
from market.columns import Columns, cast_to
from market.measure import USED, Summary
from market.outcomes import OUTCOMES
from market.write import MANIFEST, read_manifest


def describe(contract: Contract, folder: Path) -> str:
    """The market in words and figures. Raises BadInput when the folder holds none, or one of another contract."""
    manifest = read_manifest(folder)
    if manifest["contract"] != contract.fingerprint:
        raise BadInput(
            f"{folder / MANIFEST}: made for contract {manifest['contract'][:12]}, this is {contract.short_fingerprint}"
        )
    try:
        of = summary(contract, folder)
    except (OSError, pa.ArrowInvalid, KeyError) as error:
        raise BadInput(f"{folder}: cannot be read: {error}") from error
    made = ", ".join(f"{name} {value}" for name, value in manifest["parameters"].items())
    counts = ", ".join(f"{value:,} {name}" for name, value in manifest["counts"].items())
    lines = [made, counts, "", f"{'figure':42}{'here':>9}   target"]
    for figure in measure.figures(of, contract):
        mark = "" if figure.fits else "  <- outside"
        lines.append(f"{figure.name:42}{figure.value:9.3f}   {figure.least:.3f} to {figure.most:.3f}{mark}")
    return "\n".join(lines)


def summary(contract: Contract, folder: Path) -> Summary:
    """Every enquiry of a market reduced to what the figures need."""
    parts = sorted((folder / "risks").glob("*.parquet"))
    if not parts:
        raise BadInput(f"{folder / 'risks'} holds no *.parquet")
    return measure.together([s for path in parts for s in _of_part(contract, path, folder / "answers" / path.name)])


def _of_part(contract: Contract, risks: Path, answers: Path) -> list[Summary]:
    with pq.ParquetFile(risks) as asked, pq.ParquetFile(answers) as answered:
        return [
            _of_block(
                contract,
                asked.read_row_group(group, columns=["enquiry_id", *USED]),
                answered.read_row_group(group, columns=["enquiry_id", "insurer", "outcome", "premium"]),
            )
            for group in range(asked.num_row_groups)
        ]


def _of_block(contract: Contract, risks: pa.Table, answers: pa.Table) -> Summary:
    """An insurer without a row was not in the market: to the figures it is one that did not answer."""
    names: Any = answers["insurer"].combine_chunks()
    row = np.searchsorted(risks["enquiry_id"].to_numpy(), answers["enquiry_id"].to_numpy())
    cell = (row, names.indices.to_numpy())
    shape = (risks.num_rows, len(names.dictionary))
    premium, declined = np.full(shape, np.nan), np.zeros(shape, bool)
    premium[cell] = answers["premium"].to_numpy()
    declined[cell] = _codes(answers["outcome"], OUTCOMES) == OUTCOMES.index("decline")
    return measure.summarise(_columns(contract, risks), premium, declined)


def _columns(contract: Contract, table: pa.Table) -> Columns:
    found = {}
    for name in USED:
        field = contract.field(name)
        column = table[name].to_numpy() if field.is_numeric else _codes(table[name], field.values)
        found[name] = cast_to(field, np.asarray(column))
    return found


def _codes(column: Any, names: tuple[str, ...]) -> Any:
    place = {name: code for code, name in enumerate(names)}
    whole = column.combine_chunks()
    here = np.array([place[name] for name in whole.dictionary.to_pylist()])
    return here[whole.indices.to_numpy()]
