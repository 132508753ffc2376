"""A few hundred made-up enquiries in the public input format, for tests that must not wait for a market.

Prices follow age, the car's group and the region, and each insurer has a least age: enough for a small net to learn something.
"""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from kit.contract import Contract

BEGIN = datetime(2025, 10, 6, tzinfo=UTC)


def risks(contract: Contract, enquiries: int, rng: np.random.Generator) -> dict[str, Any]:
    """A column per field of the contract, uniform over what the contract allows (long vocabularies: over 40 values)."""
    columns: dict[str, Any] = {
        "enquiry_id": np.arange(enquiries, dtype=np.int64),
        "asked_at": [BEGIN + timedelta(minutes=10 * i) for i in range(enquiries)],
        "vehicle_id": [f"v-{i:05d}" for i in range(enquiries)],
    }
    for field in contract.fields:
        if field.kind == "bool":
            columns[field.name] = rng.random(enquiries) < 0.5
        elif field.kind == "int":
            columns[field.name] = rng.integers(int(field.minimum), int(field.maximum) + 1, enquiries, dtype=np.int32)
        elif field.kind == "float":
            columns[field.name] = rng.uniform(field.minimum, field.maximum, enquiries)
        else:
            columns[field.name] = pa.array(rng.choice(np.array(field.values[:40]), enquiries)).dictionary_encode()
    return columns


def answers(columns: dict[str, Any], insurers: int, rng: np.random.Generator) -> dict[str, NDArray[Any]]:
    """A row per enquiry and insurer."""
    enquiries = len(columns["enquiry_id"])
    age, group = columns["age"][:, None], columns["vehicle_group"][:, None]
    region = columns["region"].indices.to_numpy()[:, None]
    level = rng.normal(0, 0.1, insurers)
    log_price = 6.5 + level - 0.01 * age + 0.02 * group + 0.02 * region + rng.normal(0, 0.05, (enquiries, insurers))
    outcome = np.where(age >= 20 + 5 * np.arange(insurers), "quote", "decline").astype(object)
    outcome[rng.random(outcome.shape) < 0.02] = "no_response"
    price = np.where(outcome == "quote", np.round(np.exp(log_price), 2), np.nan)
    return {
        "enquiry_id": np.repeat(columns["enquiry_id"], insurers),
        "insurer": np.tile([f"i-{k + 1:04d}" for k in range(insurers)], enquiries),
        "outcome": outcome.ravel(),
        "premium": price.ravel(),
        "response_seconds": np.ones(outcome.size, np.float32),
    }


def write(folder: Path, contract: Contract, enquiries: int = 400, insurers: int = 6, seed: int = 1) -> Path:
    """Write `risks` and `answers` and give the folder."""
    rng = np.random.default_rng(seed)
    asked = risks(contract, enquiries, rng)
    replies = answers(asked, insurers, rng)
    table = pa.table({**replies, "premium": pa.array(replies["premium"], from_pandas=True)})
    for name, content in (("risks", pa.table(asked)), ("answers", table)):
        (folder / name).mkdir(parents=True, exist_ok=True)
        pq.write_table(content, folder / name / "part-00000.parquet")
    return folder
