"""What was prepared is made again when it has to be, by the command that a person runs."""

import json
import re
import subprocess
from pathlib import Path

from e2e.fleets import PYTHON, small_params


def prepare(home: Path, *flags: str) -> "subprocess.CompletedProcess[str]":
    """`local_fleet prepare` of a market just large enough for both models to be trained on."""
    size = ("--enquiries", "600", "--insurers", "30")
    return subprocess.run(
        [PYTHON, "-m", "local_fleet", "prepare", "--home", str(home), *size, *small_params(), *flags],
        capture_output=True,
        text=True,
        check=False,
    )


def seed_of(home: Path) -> int:
    """What the market in force was made from."""
    seed: int = json.loads((home / "market" / "manifest.json").read_bytes())["parameters"]["seed"]
    return seed


def test_another_market_replaces_the_old_one(environment: None, tmp_path: Path) -> None:  # noqa: ARG001
    """With another seed, and though a file of the old market is damaged, everything is made again and the reason is said."""
    first = prepare(tmp_path)
    assert 0 == first.returncode, first.stdout + first.stderr

    (tmp_path / "market" / "vehicles.parquet").write_bytes(b"damaged")
    other = prepare(tmp_path, "--seed", "2")

    assert 0 == other.returncode, other.stdout + other.stderr
    assert "seed was 1, is now 2" in other.stdout
    assert 2 == seed_of(tmp_path)
    assert [] == [p for p in tmp_path.iterdir() if re.match(r"\.(market|truth)", p.name)]
