"""Does a fit that was cut off go on as if nothing had happened?"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny import tiny

from kit.contract import Contract
from kit.rows import pack_columns
from kit.stage import Quiet
from kit.training.data.slices import Rows
from kit.training.data.wrangle import Wrangled
from kit.training.nets.checkpoint import FileCheckpoint
from kit.training.nets.fit import State, epochs_of, fit, whole_rows
from kit.training.params import Params
from kit.training.trained import made_from


@pytest.fixture(scope="module")
def rows(contract: Contract) -> Rows:
    """A few enquiries of four insurers, whose prices follow age."""
    rng = np.random.default_rng(2)
    age = rng.integers(17, 90, 300)
    quoted = (rng.random((300, 4)) < 0.8).astype(np.int8)
    premium = np.where(quoted == 1, np.exp(6.5 - 0.01 * age)[:, None] * rng.uniform(0.9, 1.1, (300, 4)), np.nan)
    return Rows(np.arange(300), *pack_columns(contract, {"age": age.astype(float)}), quoted, premium.astype(np.float32))


class Killed(Exception):
    """Stands for the end of the process."""


class Mortal:
    """Writes like the checkpoint it holds, remembers how many epochs were done each time, and dies after some of them."""

    def __init__(self, inner: FileCheckpoint, after: int) -> None:
        self._inner, self._after = inner, after
        self.written: list[int] = []

    def read(self) -> State | None:
        """As the inner one."""
        return self._inner.read()

    def write(self, state: State) -> None:
        """As the inner one, and dies when enough is written."""
        self._inner.write(state)
        self.written.append(len(state.history))
        if len(state.history) == self._after:
            raise Killed


def test_a_training_goes_on_after_a_kill(rows: Rows, contract: Contract, tmp_path: Path) -> None:
    """At the epoch where it was cut off, and the net and its loss curve are those of a run that never was."""
    expected, whole = fit(contract, rows, rows, tiny(), Quiet())
    checkpoint = FileCheckpoint(str(tmp_path / "out"), "these rows")
    with pytest.raises(Killed):
        fit(contract, rows, rows, tiny(), Quiet(), Mortal(checkpoint, after=2))

    immortal = Mortal(checkpoint, after=0)
    resumed, history = fit(contract, rows, rows, tiny(), Quiet(), immortal)

    assert [3, 4, 5, 6] == immortal.written
    np.testing.assert_allclose([e.loss for e in whole], [e.loss for e in history], rtol=1e-5)
    for first, second in zip(expected.get_weights(), resumed.get_weights(), strict=True):
        np.testing.assert_allclose(first, second, rtol=1e-4, atol=1e-6)


def test_a_checkpoint_of_other_data_is_not_used(rows: Rows, contract: Contract, tmp_path: Path) -> None:
    """It says what it was made from."""
    fit(contract, rows, rows, tiny(), Quiet(), FileCheckpoint(str(tmp_path / "out"), "these rows"))

    assert FileCheckpoint(str(tmp_path / "out"), "these rows").read() is not None
    assert FileCheckpoint(str(tmp_path / "out"), "other rows").read() is None


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 half of a file", b"something else"])
def test_a_checkpoint_that_cannot_be_read_is_not_used(tmp_path: Path, content: bytes) -> None:
    """The training begins anew instead of failing."""
    (tmp_path / "out.checkpoint.npz").write_bytes(content)

    assert FileCheckpoint(str(tmp_path / "out"), "these rows").read() is None


def test_a_finished_training_leaves_no_checkpoint(tmp_path: Path) -> None:
    """Removing twice is as good as once."""
    checkpoint = FileCheckpoint(str(tmp_path / "out"), "these rows")
    checkpoint.write(State((), {"step": np.array(3)}))

    checkpoint.remove()
    checkpoint.remove()

    assert [] == list(tmp_path.iterdir())


def test_slices_that_were_cut_elsewhere_are_other_data() -> None:
    """A checkpoint of another split knows rows that are now held out."""
    one, other = (Wrangled("c", "d", ("i-0001",), {"train": rows}, {}) for rows in (80, 90))

    assert made_from(one, tiny()) != made_from(other, tiny())
    assert made_from(one, tiny()) == made_from(one, tiny())


def test_a_field_that_few_rows_have_is_not_missed(rows: Rows) -> None:
    """A row is whole when it has what rows usually have."""
    numeric = rows.numeric.copy()
    numeric[:, 1:] = np.nan  # nobody says more than the age
    numeric[:30, 0] = np.nan

    found = whole_rows(Rows(rows.ids, numeric, rows.categorical, rows.quoted, rows.premium))

    assert [False] * 30 + [True] * 270 == found.tolist()


@pytest.mark.parametrize(("steps", "expected"), [(10, 6), (40, 5), (500, 1)])
def test_more_rows_mean_fewer_epochs(steps: int, expected: int) -> None:
    """As many epochs as asked for, unless their steps are too many; never none."""
    assert expected == epochs_of(_limited(200), steps)


def _limited(most_steps: int) -> Params:
    params = tiny()
    return replace(params, fit=replace(params.fit, most_steps=most_steps))
