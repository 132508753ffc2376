"""On what does wrangle run: DuckDB in this process, or a Spark cluster? The expressions are the same, and so is what comes out.

An engine reads Parquet files as Ibis tables and hands results back as Arrow: small ones as rows, large ones batch by batch. Times are UTC
whatever the machine's zone.
"""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, Literal, Protocol, get_args

import duckdb
import ibis
import ibis.expr.types as ir
import pyarrow as pa
import pyarrow.dataset as ds

from kit.stage import BadInput

EngineName = Literal["duckdb", "spark"]
ENGINES: Final[tuple[str, ...]] = get_args(EngineName)
BATCH_ROWS: Final = 262_144
MEMORY: Final = "2GB"  # of DuckDB; what needs more goes to the disk
FILE, ROW = "file_of_row", "row_in_file"  # of a numbered table


class Engine(Protocol):
    """What wrangle needs of a place to compute."""

    def read(self, files: Sequence[Path]) -> ir.Table:
        """The rows of Parquet files. Raises `BadInput` when they cannot be read as one table."""
        ...

    def numbered(self, files: Sequence[Path]) -> ir.Table | None:
        """The same with `FILE` and `ROW` (from 0) of each row, or None where the engine does not know them."""
        ...

    def put(self, table: pa.Table) -> ir.Table:
        """A small table of ours."""
        ...

    def keep(self, expression: ir.Table) -> ir.Table:
        """Compute once what is asked more than once."""
        ...

    def rows(self, expression: ir.Table) -> list[dict[str, Any]]:
        """A small result."""
        ...

    def batches(self, expression: ir.Table) -> Iterator[pa.RecordBatch]:
        """A large result, in any order."""
        ...


class DuckDb:
    """DuckDB in this process."""

    def __init__(self, scratch: Path) -> None:
        self._duckdb = ibis.duckdb.connect(
            memory_limit=MEMORY, temp_directory=str(scratch), preserve_insertion_order=False
        )
        self._duckdb.raw_sql("SET TimeZone = 'UTC'")

    def read(self, files: Sequence[Path]) -> ir.Table:
        return self._read(files)

    def numbered(self, files: Sequence[Path]) -> ir.Table | None:
        found = self._read(files, filename=FILE, file_row_number=True)
        return found.rename({ROW: "file_row_number"})

    def _read(self, files: Sequence[Path], **options: Any) -> ir.Table:
        try:
            return self._duckdb.read_parquet([str(f) for f in files], **options)
        except duckdb.Error as error:
            raise unreadable(files, error) from error

    def put(self, table: pa.Table) -> ir.Table:
        return self.keep(ibis.memtable(table))

    def keep(self, expression: ir.Table) -> ir.Table:
        return self._duckdb.create_table(ibis.util.gen_name("kept"), expression, temp=True)

    def rows(self, expression: ir.Table) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._duckdb.to_pyarrow(expression).to_pylist()
        return found

    def batches(self, expression: ir.Table) -> Iterator[pa.RecordBatch]:
        # Ibis 12 asks for batches by a name that DuckDB 2 no longer has.
        yield from self._duckdb.con.sql(self._duckdb.compile(expression)).to_arrow_reader(BATCH_ROWS)

    def close(self) -> None:
        """Free its memory."""
        self._duckdb.disconnect()


class Spark:
    """A Spark session: the one that runs here already (a notebook's), else one by Spark's own settings and `master`.

    Large results go through Parquet files in `scratch`, which the cluster must see too: the driver would take them row by row.
    """

    def __init__(self, scratch: Path, master: str | None) -> None:
        try:
            from pyspark.sql import SparkSession  # noqa: PLC0415 -- an extra
        except ImportError as error:
            raise BadInput(
                "--engine spark needs PySpark: install the project with its extra `spark`, and Java 17"
            ) from error
        self._is_ours = SparkSession.getActiveSession() is None
        builder = SparkSession.builder.appName("ballpark wrangle").config("spark.ui.showConsoleProgress", "false")
        try:
            self._session = (builder.master(master) if master else builder).getOrCreate()
        except Exception as error:
            raise BadInput(f"--engine spark: no session with master {master or 'of the settings'}: {error}") from error
        self._zone = self._session.conf.get("spark.sql.session.timeZone")
        self._spark = ibis.pyspark.connect(self._session)
        self._session.conf.set("spark.sql.session.timeZone", "UTC")
        self._scratch = scratch

    def read(self, files: Sequence[Path]) -> ir.Table:
        name = ibis.util.gen_name("read")
        try:
            self._session.read.parquet(*(str(f.absolute()) for f in files)).createTempView(name)
        except Exception as error:
            raise unreadable(files, error) from error
        return self._spark.table(name)

    def numbered(self, files: Sequence[Path]) -> ir.Table | None:
        del files
        return None

    def put(self, table: pa.Table) -> ir.Table:
        return self._through_parquet(self._session.createDataFrame(table.to_pylist()))

    def keep(self, expression: ir.Table) -> ir.Table:
        return self._through_parquet(self._frame(expression))

    def rows(self, expression: ir.Table) -> list[dict[str, Any]]:
        return [row.asDict() for row in self._frame(expression).collect()]

    def batches(self, expression: ir.Table) -> Iterator[pa.RecordBatch]:
        folder = self._scratch / ibis.util.gen_name("batches")
        self._frame(expression).write.parquet(str(folder.absolute()))
        yield from ds.dataset(folder, format="parquet").to_batches(batch_size=BATCH_ROWS)
        shutil.rmtree(folder)

    def _frame(self, expression: ir.Table) -> Any:
        return self._session.sql(self._spark.compile(expression))

    def _through_parquet(self, frame: Any) -> ir.Table:
        folder = self._scratch / ibis.util.gen_name("kept")
        frame.write.parquet(str(folder.absolute()))
        return self.read([folder])

    def close(self) -> None:
        """End the session if it was begun here."""
        if self._is_ours:
            self._session.stop()
        else:
            self._session.conf.set("spark.sql.session.timeZone", self._zone)


def unreadable(files: Sequence[Path], error: Exception) -> BadInput:
    """What an engine says of a file that is no Parquet, or not of the others' columns, in our words."""
    first = str(error).strip().splitlines()[0]
    return BadInput(f"{files[0].parent.name}: cannot be read as one Parquet table of {len(files)} files: {first}")


@contextmanager
def engine_at(name: EngineName, scratch: Path, master: str | None = None) -> Iterator[Engine]:
    """An engine for as long as the block lasts; it may fill a folder in `scratch` meanwhile. Raises `BadInput`."""
    with TemporaryDirectory(dir=scratch, prefix=".engine-") as folder:
        engine = DuckDb(Path(folder)) if name == "duckdb" else Spark(Path(folder), master)
        try:
            yield engine
        finally:
            engine.close()
