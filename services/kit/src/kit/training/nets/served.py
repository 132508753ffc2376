"""The exported SavedModel as a function of arrays: what is measured, calibrated and scored with is what is served."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from kit.rows import Categorical, Numeric
from kit.stage import BadInput
from kit.training.nets.export import (
    CHEAPEST_PROBABILITY,
    DEFAULT,
    INSURERS,
    LIKELY_INSURERS,
    LOG_PREMIUM,
    PACKED,
    PANEL_SIGNATURE,
    SHORTLIST_SIGNATURE,
)

BATCH: Final = 4096


class Served:
    """A loaded SavedModel."""

    def __init__(self, folder: Path) -> None:
        """Raises `BadInput` when the folder holds none."""
        if not (folder / "saved_model.pb").is_file():
            raise BadInput(f"{folder} holds no saved_model.pb")
        self._model = tf.saved_model.load(str(folder))  # kept: its signatures do not keep its variables alive
        self._signatures = self._model.signatures

    @property
    def output(self) -> str:
        """The name of the branch's output."""
        (name,) = self._signatures[PACKED].structured_outputs
        return str(name)

    @property
    def has_panel(self) -> bool:
        """Whether there are the heads for the panel: `panel`, `likely` and `shortlist`."""
        return PANEL_SIGNATURE in self._signatures

    def insurers(self) -> tuple[str, ...]:
        """The insurers' ids, in the order of the outputs."""
        return tuple(name.decode() for name in self._signatures[INSURERS]()[INSURERS].numpy())

    def packed(self, numeric: Numeric, categorical: Categorical) -> NDArray[np.float32]:
        """The branch's output for packed rows [B, N], [B, M]: [B, K] or [B, K, 3]."""
        return self._batches(PACKED, self.output, {"numeric": numeric, "categorical": categorical})

    def panel(self, numeric: Numeric, categorical: Categorical) -> NDArray[np.float32]:
        """The panel figures' log quantiles, [B, 2, 3]; the middle one is the price with the least percentage error."""
        return self._batches(PANEL_SIGNATURE, LOG_PREMIUM, {"numeric": numeric, "categorical": categorical})

    def likely(self, numeric: Numeric, categorical: Categorical) -> NDArray[np.float32]:
        """Quantiles of the number of insurers that quote, [B, 3]."""
        return self._batches(PANEL_SIGNATURE, LIKELY_INSURERS, {"numeric": numeric, "categorical": categorical})

    def shortlist(self, numeric: Numeric, categorical: Categorical) -> NDArray[np.float32]:
        """The probability of each insurer to be the cheapest, [B, K]; a row sums to 1."""
        rows = {"numeric": numeric, "categorical": categorical}
        return self._batches(SHORTLIST_SIGNATURE, CHEAPEST_PROBABILITY, rows)

    def by_name(self, values: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """The branch's output for columns by field name."""
        return self._batches(DEFAULT, self.output, values)

    def _batches(self, signature: str, output: str, inputs: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        call = self._signatures[signature]
        count = len(next(iter(inputs.values())))
        found = [
            call(**{n: tf.constant(v[i : i + BATCH]) for n, v in inputs.items()})[output].numpy()
            for i in range(0, count, BATCH)
        ]
        return np.concatenate(found)
