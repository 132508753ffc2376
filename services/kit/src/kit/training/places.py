"""How does a stage read from and write to an URL, when its libraries want folders on a disk?"""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

import fsspec
from fsspec.implementations.local import LocalFileSystem

from kit.stage import BadInput


@contextmanager
def reading(url: str) -> Iterator[Path]:
    """The folder or file behind an URL: itself when it lies on a disk, else a copy for as long as the block lasts.

    Raises `BadInput` when nothing is there.
    """
    fs, path = fsspec.url_to_fs(url)
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
    """A new folder to fill. It takes the URL's place when the block ends well, and leaves no trace when it does not."""
    fs, path = fsspec.url_to_fs(url)
    if not isinstance(fs, LocalFileSystem):
        with TemporaryDirectory() as beside:
            yield Path(beside)
            fs.put(beside.rstrip("/") + "/", path, recursive=True)
        return
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    _sweep(target)
    new, old = _beside(target), _beside(target)
    new.mkdir()
    try:
        yield new
        if target.exists():
            target.rename(old)
        new.rename(target)
    finally:
        for leftover in (new, old):
            shutil.rmtree(leftover, ignore_errors=True)


@contextmanager
def writing_file(url: str) -> Iterator[Path]:
    """A path to write one file to. It takes the URL's place when the block ends well."""
    fs, path = fsspec.url_to_fs(url)
    if not isinstance(fs, LocalFileSystem):
        with TemporaryDirectory() as beside:
            copy = Path(beside) / Path(path).name
            yield copy
            fs.put_file(str(copy), path)
        return
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    _sweep(target)
    new = _beside(target)
    try:
        yield new
        new.replace(target)
    finally:
        new.unlink(missing_ok=True)


def _beside(target: Path) -> Path:
    """A new hidden name beside `target`, with the number of this process."""
    return target.with_name(f".{target.name}.{os.getpid()}.{uuid4().hex[:8]}.partial")


def _sweep(target: Path) -> None:
    """Remove what killed processes left beside; their numbers are in the names."""
    ours = re.compile(rf"\.{re.escape(target.name)}\.(\d+)\.[0-9a-f]{{8}}\.partial")
    for path in target.parent.iterdir():
        if (match := ours.fullmatch(path.name)) and not _runs(int(match[1])):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # somebody else's
        return True
    return True
