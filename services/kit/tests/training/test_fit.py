"""Does a fit that was cut off go on as if nothing had happened?"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny import tiny

from kit.contract import Contract
from kit.rows import pack_columns
from kit.stage import Quiet
from kit.training.checkpoint import FileCheckpoint
from kit.training.fit import State, epochs_of, fit
from kit.training.params import Params
from kit.training.slices import Rows


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
    """Writes like the checkpoint it holds, and dies after some epochs."""

    def __init__(self, inner: FileCheckpoint, after: int) -> None:
        self._inner, self._after = inner, after

    def read(self) -> State | None:
        """As the inner one."""
        return self._inner.read()

    def write(self, state: State) -> None:
        """As the inner one, and dies when enough is written."""
        self._inner.write(state)
        if len(state.history) == self._after:
            raise Killed


def test_a_training_goes_on_after_a_kill(rows: Rows, contract: Contract, tmp_path: Path) -> None:
    """The net and its loss curve are those of a run that was never cut off."""
    expected, whole = fit(contract, rows, rows, tiny(), Quiet())
    checkpoint = FileCheckpoint(str(tmp_path / "out"), "these rows")
    with pytest.raises(Killed):
        fit(contract, rows, rows, tiny(), Quiet(), Mortal(checkpoint, after=2))

    resumed, history = fit(contract, rows, rows, tiny(), Quiet(), checkpoint)

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


@pytest.mark.parametrize(("steps", "expected"), [(10, 6), (40, 5), (500, 1)])
def test_more_rows_mean_fewer_epochs(steps: int, expected: int) -> None:
    """As many epochs as asked for, unless their steps are too many; never none."""
    assert expected == epochs_of(_limited(200), steps)


def _limited(most_steps: int) -> Params:
    params = tiny()
    return replace(params, fit=replace(params.fit, most_steps=most_steps))
