"""Do DuckDB and a real Spark write the same, to the byte, and find the same wrong?"""

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import messy
import pytest
from broken import changed, replaced

from kit.stage import BadInput
from kit.training.data.engines import engine_at

REQUIRED = "spark" in os.environ.get("BALLPARK_REQUIRE", "").split(",")
SETTINGS = "spark.master local[2]\nspark.ui.enabled false\nspark.sql.shuffle.partitions 2\n"
# A process of its own, as in life: the session's gateway to Java ends with it.
PROGRAM = """
import sys
from pathlib import Path
from kit.contract import load
from kit.stage import Quiet, StageError
from kit.training.params import SplitParams
from kit.training.data.wrangle import How, wrangle
for case in sys.argv[1:]:
    source, out, engine = case.split("|")
    Path(out).mkdir()
    try:
        wrangle(Path(source), Path(out), load(), SplitParams(), Quiet(), How(engine=engine))
    except StageError as error:
        print(error)
"""


@pytest.fixture(scope="module")
def spark() -> None:
    """PySpark and Java, or a skip; where BALLPARK_REQUIRE names `spark`, a failure."""
    missing = [
        name for name, is_here in (("PySpark", find_spec("pyspark")), ("Java", shutil.which("java"))) if not is_here
    ]
    if missing:
        text = f"no {' and no '.join(missing)} on this machine"
        (pytest.fail if REQUIRED else pytest.skip)(text)


def wrangled(settings: Path, *cases: tuple[Path, Path, str]) -> list[str]:
    """Wrangle each case (in, out, engine) and give the lines of the refusals. Spark reads its own settings, as everywhere."""
    (settings / "spark-defaults.conf").write_text(SETTINGS)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *("|".join(map(str, case)) for case in cases)],
        env=os.environ | {"SPARK_CONF_DIR": str(settings)},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert 0 == done.returncode, done.stderr
    return done.stdout.splitlines()


@pytest.mark.timeout(700)
@pytest.mark.usefixtures("spark")
def test_spark_writes_what_duckdb_writes(market: Path, tmp_path: Path) -> None:
    """All three slices, the manifest and the profile of untidy data; and of wrong data the same message."""
    source = messy.write(market, tmp_path / "in")
    wrong = changed(
        market, tmp_path / "wrong", risks=replaced("age", [3, 4], 12), answers=replaced("outcome", [5], "?")
    )
    engines = ("duckdb", "spark")
    first, second = (tmp_path / name for name in engines)

    refusals = wrangled(
        tmp_path,
        *((source, tmp_path / name, name) for name in engines),
        *((wrong, tmp_path / f"none-{name}", name) for name in engines),
    )

    names = {path.name for path in first.iterdir()}
    assert {"train.parquet", "calibration.parquet", "test.parquet", "manifest.json", "profile.json"} == names
    assert {n: (first / n).read_bytes() for n in names} == {p.name: p.read_bytes() for p in second.iterdir()}
    assert 4 == len(refusals)
    assert refusals[:2] == refusals[2:]


def test_a_file_that_is_no_parquet_is_named(market: Path, tmp_path: Path) -> None:
    """Not as the library's error, but as ours."""
    source = changed(market, tmp_path / "in")
    (source / "risks" / "part-00000.parquet").write_text("not Parquet")

    with engine_at("duckdb", tmp_path) as engine, pytest.raises(BadInput, match="risks: cannot be read as one Parquet"):
        engine.read([source / "risks" / "part-00000.parquet"])


def test_an_engine_leaves_nothing_behind(tmp_path: Path) -> None:
    """Its scratch folder goes with it."""
    with engine_at("duckdb", tmp_path):
        assert 1 == len(list(tmp_path.iterdir()))

    assert not list(tmp_path.iterdir())
