"""How is a file replaced so that a reader, or the next start after a crash, sees the old one or the new one and nothing between?"""

import fcntl
import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4


def write_atomic(path: Path, content: bytes) -> None:
    """Write beside, flush to the disk, rename: `path` holds either what it held before or all of `content`."""
    _beside(path, content).replace(path)
    sync_folder(path.parent)


def create_atomic(path: Path, content: bytes) -> bool:
    """Like `write_atomic`, but never over a file that is there: whether this call made it."""
    beside = _beside(path, content)
    try:
        path.hardlink_to(beside)
    except FileExistsError:
        return False
    finally:
        beside.unlink()
    sync_folder(path.parent)
    return True


def _beside(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{uuid4().hex}")  # a process number is not alone on a shared disk
    with beside.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return beside


@contextmanager
def locked(folder: Path) -> Iterator[bool]:
    """Whether we alone hold the folder until the block ends; the kernel lets go of it when the process ends, however it ends."""
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except (FileNotFoundError, NotADirectoryError):
        yield False
        return
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            ours = folder.exists()  # whoever held it before may have removed it
        except BlockingIOError:
            ours = False
        yield ours
    finally:
        os.close(handle)


def sweep(parent: Path, named: re.Pattern[str], keep: Path | None = None) -> None:
    """Remove the folders of these names that nobody holds: what killed processes left behind."""
    for path in parent.iterdir():
        if named.fullmatch(path.name) and path != keep:
            with locked(path) as free:
                if free:
                    shutil.rmtree(path, ignore_errors=True)


def sync_folder(folder: Path) -> None:
    """Make renames inside a folder survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sha256_of(path: Path) -> str:
    """The file's sha256 in hex, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
