"""Data as companies have them: right, and untidy in every way that the schema allows."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from broken import PART, changed, column, replaced


def write(market: Path, to: Path) -> Path:
    """A market with nulls, not-a-numbers, empty strings, unseen codes, whole numbers as floats, equal times, missing answers, and two files."""
    rng = np.random.default_rng(3)
    some = rng.permutation(400)

    def risks(table: pa.Table) -> pa.Table:
        table = replaced("vehicle_value", some[:20], None)(table)
        table = replaced("vehicle_value", some[20:40], float("nan"))(table)
        table = replaced("occupation", some[40:50], "")(table)
        table = replaced("model", some[50:60], "md-999")(table)
        table = replaced("home_owner", some[60:70], None)(table)
        table = column(
            "points", [None if i % 50 == 0 else float(v) for i, v in enumerate(table["points"].to_pylist())]
        )(table)
        times = table["asked_at"].to_pylist()
        return column("asked_at", [times[i - i % 3] for i in range(400)])(table).take(some)

    source = changed(market, to, risks=risks, answers=lambda t: t.filter(pa.array(rng.random(len(t)) < 0.97)))
    for name in ("risks", "answers"):
        path = source / name / PART
        whole = pq.read_table(path)
        pq.write_table(whole.slice(0, 150), path)
        pq.write_table(whole.slice(150), path.with_name("part-00001.parquet"))
    (source / "insurers.json").write_text('{"archetypes": {"i-0001": "direct"}}')
    return source
