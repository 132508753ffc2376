"""Which questions are asked? Enquiries of the market, one JSON body a line: `python -m baseline.sample --market DIR --count 256`.

Answers of one driver go together there; answers drawn one by one would nearly all be out of range.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.dataset as ds

from kit import contract
from kit.contract import Contract


def bodies(market: Path, count: int, seed: int) -> Iterator[str]:
    """So many different enquiries, drawn at random. Raises OSError."""
    motor, risks = contract.load(), ds.dataset(market / "risks")
    chosen = np.random.default_rng(seed).choice(risks.count_rows(), count, replace=False)
    for row in risks.take(np.sort(chosen)).to_pylist():
        yield json.dumps({"risk": risk(motor, row)})


def risk(of: Contract, row: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """A risk as a website sends it: cars and areas by id, every other answer by value."""
    groups: dict[str, dict[str, Any]] = {g.name: {"consent": True} if g.consent else {} for g in of.groups}
    stored = {f.name for e in of.entities for f in of.fields_of(e.name)}
    for entity in of.entities:
        group = next(g.name for g in of.groups if g.entity == entity.id)
        groups[group][entity.id] = row[entity.id]
    for field in of.fields:
        value = row.get(field.name)
        if value is not None and field.name not in stored:
            groups[field.group][field.name] = round(value, 4) if isinstance(value, float) else value
    return groups


def main(arguments: list[str] | None = None) -> int:
    """Print them."""
    parser = argparse.ArgumentParser(prog="python -m baseline.sample", description="Enquiries of a market as requests.")
    parser.add_argument("--market", required=True, type=Path, help="folder that `python -m market generate` wrote")
    parser.add_argument("--count", type=int, default=256, help="how many (default 256)")
    parser.add_argument("--seed", type=int, default=1, help="which ones (default 1)")
    options = parser.parse_args(arguments)
    for body in bodies(options.market, options.count, options.seed):
        print(body)
    return 0


if __name__ == "__main__":
    sys.exit(main())
