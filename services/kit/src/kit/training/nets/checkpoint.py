"""Where does a training that was killed go on? At the last epoch that it finished: its state lies in one file beside the output.

The file says what it was made from; a state of other data or other parameters is not used. It is gone when the training is done.
"""

import io
import json
import zipfile
from dataclasses import asdict
from pathlib import Path
from typing import Final

import fsspec
import numpy as np
from fsspec.implementations.local import LocalFileSystem

from kit.files import write_atomic
from kit.training.nets.fit import Epoch, State
from kit.training.places import CHECKPOINT

ABOUT: Final = "about"


class FileCheckpoint:
    """One file `<out>.checkpoint.npz`, on a disk or wherever else `out` is. `made_from` identifies data and parameters."""

    def __init__(self, out: str, made_from: str) -> None:
        self._fs, path = fsspec.url_to_fs(out.rstrip("/"))
        self._path, self._made_from = f"{path}{CHECKPOINT}", made_from

    def read(self) -> State | None:
        """What an earlier run over the same data and parameters left; None when there is nothing that can be used."""
        try:
            with np.load(io.BytesIO(self._fs.cat_file(self._path)), allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            about = json.loads(arrays.pop(ABOUT).item())
            if about["made_from"] != self._made_from:
                return None
            return State(tuple(Epoch(**epoch) for epoch in about["history"]), arrays)
        except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile):
            return None

    def write(self, state: State) -> None:
        """Replace the file in one step."""
        about = {"made_from": self._made_from, "history": [asdict(epoch) for epoch in state.history]}
        content = io.BytesIO()
        np.savez(content, allow_pickle=False, **{ABOUT: np.array(json.dumps(about))}, **state.arrays)
        if isinstance(self._fs, LocalFileSystem):
            Path(self._path).parent.mkdir(parents=True, exist_ok=True)
            write_atomic(Path(self._path), content.getvalue())
        else:
            self._fs.pipe_file(self._path, content.getvalue())

    def remove(self) -> None:
        """There is nothing to go on with any more."""
        if self._fs.exists(self._path):
            self._fs.rm_file(self._path)
