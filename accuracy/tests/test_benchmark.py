"""Are baselines that were fitted once read again, and does a cut run go on where it was?"""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from accuracy import benchmark
from accuracy.baselines import Answers
from accuracy.places import Places, repository
from accuracy.sizes import Kitchen
from kit.contract import Contract
from kit.stage import Quiet
from kit.training.data.slices import Rows

NAMES = ("i-1", "i-2", "i-3")


@pytest.fixture
def kitchen(of: Contract, train: Rows, tmp_path: Path) -> Kitchen:
    """A wrangled folder with a training slice."""
    places = Places.of_size(tmp_path, 1500)
    places.wrangled.mkdir(parents=True)
    columns: dict[str, object] = {"enquiry_id": train.ids}
    columns |= {f.name: train.numeric[:, i] for i, f in enumerate(of.numeric)}
    columns |= {f.name: np.array(f.values, object)[train.categorical[:, i]] for i, f in enumerate(of.categorical)}
    columns |= {"quoted": list(train.quoted), "premium": list(train.premium)}
    pq.write_table(pa.table(columns), places.wrangled / "train.parquet")
    (places.wrangled / "manifest.json").write_text("{}")
    return Kitchen(repository(), places, lambda _: None)


def test_baselines_are_fitted_once(kitchen: Kitchen, held_out: Rows) -> None:
    """A second run reads them, one with more insurers fits only those that are new, and the cost stays that of fitting."""
    first, settings, cost = benchmark.fit(kitchen, held_out, NAMES, (0,), Quiet())
    (kitchen.places.wrangled / "train.parquet").unlink()
    second, again, cost_again = benchmark.fit(kitchen, held_out, NAMES, (0,), Quiet())

    assert np.array_equal(first[0]["GLM"].log_premium, second[0]["GLM"].log_premium)
    assert (settings, cost) == (again, cost_again)
    assert cost.cost.wall_s > 0
    with pytest.raises(Exception, match=r"train\.parquet"):
        benchmark.fit(kitchen, held_out, NAMES, (0, 1), Quiet())


def test_other_slices_have_other_baselines(kitchen: Kitchen, held_out: Rows) -> None:
    """What was fitted to another market is not read."""
    benchmark.fit(kitchen, held_out, NAMES, (2,), Quiet())
    (kitchen.places.wrangled / "manifest.json").write_text(json.dumps({"another": "market"}))
    benchmark.fit(kitchen, held_out, NAMES, (2,), Quiet())

    assert 2 == len(list((kitchen.places.work / "baselines").iterdir()))


def test_what_is_kept_comes_back(tmp_path: Path) -> None:
    """Each kind with both of its arrays, and no file half written beside."""
    answers = {
        "GLM": Answers(np.arange(3.0), np.arange(3.0) + 5),
        "HistGradientBoosting": Answers(np.ones(3), np.zeros(3)),
    }
    benchmark.keep(tmp_path / "i-1.npz", answers)
    found = benchmark.kept(tmp_path / "i-1.npz")

    assert answers.keys() == found.keys()
    assert all(np.array_equal(of.score, found[kind].score) for kind, of in answers.items())
    assert ["i-1.npz"] == [p.name for p in tmp_path.iterdir()]
