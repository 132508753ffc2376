"""The score stage as a Spark job: the same answers, batch by batch on the executors, into a folder of Parquet files.

An executor's Python process fetches the model from the store when its first batch comes, and keeps it. It needs this package with
the extra `training`, and its way to the store: an fsspec URL, while `--in` and `--out` are URLs as Spark spells them (a path is a file's).
What `--out` holds is whole when Spark's `_SUCCESS` lies in it. Nothing is promised of the order of the rows.
"""

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from kit.artefacts import Published
from kit.contract import Contract, load
from kit.stage import BadInput, Places
from kit.training.nets.served import BATCH
from kit.training.project import Project
from kit.training.scoring.scored import ID, INSURER, Scorer, check_columns, find, wanted

FIGURES: Final = {"quote": ("probability",), "premium": ("premium", "low", "high")}
BATCH_ROWS: Final = "spark.sql.execution.arrow.maxRecordsPerBatch"

_SAID: Final = re.compile(r"kit\.stage\.BadInput: (.+)")


def score(
    project: Project, places: Places, store_url: str, version: int | None, contract: Contract, master: str | None
) -> None:
    """As `kit.training.scoring.scored.score`; `--out` becomes a folder, and must not be there. Raises `BadInput`."""
    model = find(project, store_url, version, contract)
    with session_at(master) as session, places.progress.task("scoring on Spark", total=1) as task:
        risks = _read(session, places.source)
        check_columns(risks.columns, places.source)
        chosen = risks.select(*wanted(risks.columns, contract))
        schema = ", ".join(
            [f"{ID} {chosen.schema[ID].dataType.simpleString()}", f"{INSURER} string"]
            + [f"{name} float" for name in FIGURES[project.branch]]
        )
        answers = chosen.mapInArrow(partial(_answers, project, store_url, model, contract.fingerprint), schema)
        with _our_errors():
            answers.write.parquet(_spelt(places.out))
        task.advance()


@contextmanager
def session_at(master: str | None) -> Iterator[Any]:
    """The Spark session that runs here already (a notebook's), else one by Spark's own settings and `master`. Raises `BadInput`."""
    try:
        from pyspark.sql import SparkSession  # noqa: PLC0415 -- an extra
    except ImportError as error:
        raise BadInput(
            "--engine spark needs PySpark: install the project with its extra `spark`, and Java 17"
        ) from error
    if master is None or master.startswith("local"):
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)  # else it is whatever python3 the path has
    is_ours = SparkSession.getActiveSession() is None
    builder = SparkSession.builder.appName("ballpark score").config("spark.ui.showConsoleProgress", "false")
    try:
        session = (builder.master(master) if master else builder).getOrCreate()
    except Exception as error:
        raise BadInput(f"--engine spark: no session with master {master or 'of the settings'}: {error}") from error
    before = session.conf.get(BATCH_ROWS)
    session.conf.set(BATCH_ROWS, str(BATCH))
    try:
        yield session
    finally:
        if is_ours:
            session.stop()
        else:
            session.conf.set(BATCH_ROWS, before)


def _read(session: Any, url: str) -> Any:
    reader = session.read.option("recursiveFileLookup", "true")
    if not Path(url).is_file():
        reader = reader.option("pathGlobFilter", "*.parquet")
    with _our_errors():
        return reader.parquet(_spelt(url))


def _spelt(url: str) -> str:
    return url if "://" in url else Path(url).absolute().as_uri()


@contextmanager
def _our_errors() -> Iterator[None]:
    """What a batch, or Spark itself, says of bad input, as `BadInput`."""
    from pyspark.errors import AnalysisException, PySparkException  # noqa: PLC0415 -- an extra

    try:
        yield
    except AnalysisException as error:
        raise BadInput(str(error).strip().splitlines()[0]) from error
    except PySparkException as error:
        if said := _SAID.search(str(error)):
            raise BadInput(said[1]) from error
        raise


def _answers(
    project: Project, store_url: str, model: Published, fingerprint: str, batches: Iterator[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    """On an executor: the answers to one partition."""
    for batch in batches:
        found = _scorer(project, store_url, model, fingerprint).answers(batch)
        # Spark takes no dictionaries.
        yield found.set_column(1, INSURER, found[INSURER].cast(pa.string()))


@lru_cache(maxsize=1)
def _scorer(project: Project, store_url: str, model: Published, fingerprint: str) -> Scorer:
    contract = load()
    if contract.fingerprint != fingerprint:
        raise BadInput(f"the executors' contract is {contract.short_fingerprint}, the driver's is {fingerprint[:12]}")
    return Scorer.fetch(project, store_url, model, contract)
