"""How does a stage read from and write to an URL, when its libraries want folders on a disk?"""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final
from uuid import uuid4

import fsspec
from fsspec.implementations.local import LocalFileSystem

from kit.artefacts import MANIFEST
from kit.files import locked, sweep
from kit.stage import BadInput

CHECKPOINT: Final = ".checkpoint.npz"
"""What the name of a training's output is followed by in that of its checkpoint."""


@contextmanager
def reading(url: str) -> Iterator[Path]:
    """The folder or file behind an URL: itself when it lies on a disk, else a copy for as long as the block lasts.

    Raises `BadInput` when nothing is there.
    """
    fs, path = _at(url)
    if not fs.exists(path):
        raise BadInput(f"there is nothing at {url}")
    if isinstance(fs, LocalFileSystem):
        yield Path(path)
        return
    with TemporaryDirectory() as beside:
        copy = Path(beside) / Path(path).name
        fs.get(path, str(copy), recursive=True)
        yield copy


@contextmanager
def writing_folder(url: str) -> Iterator[Path]:
    """A new folder to fill. It takes the URL's place when the block ends well, and leaves no trace when it does not.

    An object store has no rename: there the old folder goes first and the manifest comes last, and what was cut off has none.
    """
    fs, path = _at(url)
    if not isinstance(fs, LocalFileSystem):
        with TemporaryDirectory() as beside:
            yield Path(beside)
            if fs.exists(path):
                fs.rm(path, recursive=True)
            files = [p for p in Path(beside).rglob("*") if p.is_file()]
            for file in sorted(files, key=lambda p: (p == Path(beside, MANIFEST), p)):
                fs.put_file(str(file), f"{path}/{file.relative_to(beside).as_posix()}")
        return
    target = Path(path)
    with _beside(target) as beside:
        new = beside / "new"
        new.mkdir()
        yield new
        if target.exists():
            target.rename(beside / "old")
        new.rename(target)


@contextmanager
def writing_file(url: str) -> Iterator[Path]:
    """A path to write one file to. It takes the URL's place when the block ends well."""
    fs, path = _at(url)
    if not isinstance(fs, LocalFileSystem):
        with TemporaryDirectory() as beside:
            copy = Path(beside) / Path(path).name
            yield copy
            fs.put_file(str(copy), path)
        return
    target = Path(path)
    with _beside(target) as beside:
        new = beside / target.name
        yield new
        new.replace(target)


def _at(url: str) -> tuple[fsspec.AbstractFileSystem, str]:
    try:
        fs, path = fsspec.url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise BadInput(f"{url}: {error}") from error
    return fs, path


@contextmanager
def _beside(target: Path) -> Iterator[Path]:
    """A new hidden folder beside `target` that is ours until the block ends; what killed processes left there is swept first."""
    target.parent.mkdir(parents=True, exist_ok=True)
    sweep(target.parent, re.compile(rf"\.{re.escape(target.name)}\.[0-9a-f]{{8}}\.partial"))
    while True:
        beside = target.with_name(f".{target.name}.{uuid4().hex[:8]}.partial")
        beside.mkdir()
        with locked(beside) as ours:
            if not ours:
                continue  # another process swept between the two steps
            try:
                yield beside
            finally:
                shutil.rmtree(beside, ignore_errors=True)
            return
