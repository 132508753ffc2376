"""What would a company have to put right before a model can be trained on its data? Every problem, with its first rows."""

import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from kit.contract import Contract
from kit.stage import BadInput, Places
from kit.training.data.engines import engine_at
from kit.training.data.examined import STEPS, Examined, Limits, examine
from kit.training.params import Params


def validate(source: Path, contract: Contract, params: Params, last: Mapping[str, Any] | None, places: Places) -> None:
    """Print the report on standard output. Raises `BadInput` with the number of problems when there are any."""
    limits = Limits(params.split, params.data, last, datetime.now(UTC))
    with (
        TemporaryDirectory() as scratch,
        places.progress.task("validating", total=STEPS) as task,
        engine_at("duckdb", Path(scratch)) as engine,
    ):
        found = examine(source, engine, contract, limits, task, locate=True)
    sys.stdout.write(report(found))
    if found.problems:
        raise BadInput(f"{places.source} cannot be trained on: {counted(len(found.problems))}")


def report(found: Examined) -> str:
    """The problems by table, then what is worth knowing; a line each."""
    lines = [str(p) for p in sorted(found.problems, key=lambda p: p.table, reverse=True)]
    lines += [f"note: {note}" for note in found.notes]
    if found.joined is not None:
        lines.append(
            f"{len(found.joined.table)} enquiries, {len(found.joined.insurers)} insurers, {counted(len(found.problems))}"
        )
    return "\n".join([*lines, ""])


def counted(problems: int) -> str:
    """`1 problem`, `no problems`."""
    return f"{problems or 'no'} problem{'' if problems == 1 else 's'}"
