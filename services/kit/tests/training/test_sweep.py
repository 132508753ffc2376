"""Does a sweep compare like with like, and say what is wrong before it has cost anything?"""

import json
from pathlib import Path

import numpy as np
import pytest
import tiny

from kit.contract import Contract
from kit.stage import BadInput, Quiet
from kit.training.data.slices import Rows
from kit.training.data.wrangle import wrangle
from kit.training.params import SplitParams
from kit.training.sweep import Grid, Variant, changed, sweep, table, thinned

PARAMS = "gate = []\n" + tiny.TEXT


def test_a_change_reaches_its_parameter() -> None:
    """By its path, and nothing else moves."""
    found = changed(PARAMS, {"net.rank": 4, "fit.epochs": 1}, "low rank")

    assert (4, 1) == (found.net.rank, found.fit.epochs)
    assert tiny.tiny().mask == found.mask


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"net.rnak": 4}, "low rank: net: no parameter `rnak`; did you mean `rank`"), ({"net.rank": "4"}, "must be int")],
)
def test_a_wrong_change_is_refused(changes: dict[str, object], message: str) -> None:
    """With the variant, the parameter and the nearest right spelling."""
    with pytest.raises(BadInput, match=message):
        changed(PARAMS, changes, "low rank")


@pytest.mark.parametrize(
    "text", ["enquiries = 5", "enquiries = ", "[[variant]]\nname = 'x'\nchanges = {}\nstrange = 1"]
)
def test_a_grid_that_cannot_be_read_is_refused(text: str) -> None:
    """With its name."""
    with pytest.raises(BadInput, match=r"grid\.toml"):
        Grid.read(text, "grid.toml")


def test_newcomers_keep_their_last_answers() -> None:
    """The others keep all."""
    rows = Rows(
        np.arange(5),
        np.zeros((5, 1), np.float32),
        np.zeros((5, 1), np.int32),
        np.array([[1, 1], [1, 0], [-1, 1], [1, 1], [0, 1]], np.int8),
        np.array([[1, 1], [2, np.nan], [np.nan, 3], [4, 4], [np.nan, 5]], np.float32),
    )

    found = thinned(rows, np.array([0]), 2)

    assert [-1, -1, -1, 1, 0] == found.quoted[:, 0].tolist()
    np.testing.assert_array_equal([np.nan, np.nan, np.nan, 4, np.nan], found.premium[:, 0])
    np.testing.assert_array_equal(rows.premium[:, 1], found.premium[:, 1])


def test_a_sweep_writes_a_line_for_each_variant(market: Path, contract: Contract, tmp_path: Path) -> None:
    """Its figures and its loss curve, in JSON and as a table."""
    wrangle(market, tmp_path, contract, SplitParams(0.7, 0.15), Quiet())
    grid = Grid(
        {"fit.epochs": 1}, (Variant("as it is", {}), Variant("low rank", {"net.rank": 2})), 200, 1, newcomer_answers=20
    )

    found = sweep(tmp_path, tmp_path / "out", contract, PARAMS, grid, Quiet())

    assert ["as it is", "low rank"] == [row["name"] for row in found]
    assert all(0 < row["premium_mape"] and 0 < row["newcomer_mape"] and 1 == len(row["history"]) for row in found)
    assert found == json.loads((tmp_path / "out" / "sweep.json").read_text())["found"]
    assert table(found) == (tmp_path / "out" / "sweep.md").read_text()
