"""Is the oracle that of the enquiries that are held out?"""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from accuracy import truth
from kit.stage import BadInput

INSURERS = ("i-1", "i-2")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three enquiries, two insurers, in two files each."""
    for part, ids in enumerate(([1, 2], [3])):
        table = pa.table(
            {
                "enquiry_id": [i for i in ids for _ in INSURERS],
                "insurer": pa.array([k for _ in ids for k in INSURERS]).dictionary_encode(),
                "log_price": [float(i) for i in ids for _ in INSURERS],
                "decline_probability": [0.25 * (j + 1) for _ in ids for j in range(2)],
            }
        )
        people = pa.table(
            {"enquiry_id": ids, "sex": pa.array(["male" if i == 2 else "female" for i in ids]).dictionary_encode()}
        )
        for name, of in (("answers", table), ("risks", people)):
            (tmp_path / name).mkdir(exist_ok=True)
            pq.write_table(of, tmp_path / name / f"part-{part}.parquet")
    definitions = {"insurers": [{"id": "i-1", "archetype": "direct"}, {"id": "i-2", "archetype": "broker"}]}
    (tmp_path / "insurers.json").write_text(json.dumps(definitions))
    (tmp_path / "manifest.json").write_text(json.dumps({"parameters": {"enquiries": 3}}))
    return tmp_path


def test_it_is_in_the_order_of_the_enquiries(folder: Path) -> None:
    """Log prices, probabilities of a quote, and sexes."""
    found = truth.read(folder, np.array([3, 2]), INSURERS)

    assert [[3, 3], [2, 2]] == found.oracle.log_price.tolist()
    assert [[0.75, 0.5], [0.75, 0.5]] == found.oracle.probability.tolist()
    assert [False, True] == found.is_male.tolist()


def test_another_market_is_refused(folder: Path) -> None:
    """An enquiry that is not there."""
    with pytest.raises(BadInput, match="not known of every one"):
        truth.read(folder, np.array([3, 4]), INSURERS)


def test_what_the_market_says_of_itself(folder: Path) -> None:
    """With what it was made, and what kind of insurer each is."""
    assert {"enquiries": 3} == truth.parameters(folder)
    assert {"i-1": "direct", "i-2": "broker"} == truth.archetypes(folder)


def test_a_folder_without_a_market_is_refused(tmp_path: Path) -> None:
    """It names the folder."""
    with pytest.raises(BadInput, match="is not what `market generate` writes"):
        truth.parameters(tmp_path)
