"""Where does a trained model lie, and is it whole?

An artefact is a folder `<store>/<project>/<version>/` in TF Serving's layout, with a `manifest.json` that lists the sha256 of every
other file. The store is any fsspec URL (a directory, or `az://container` with the `azure` extra). Versions are increasing integers.

Publishing is atomic, and of two publishers at the same moment each gets a version of its own. On a disk the folder is copied beside,
flushed and renamed, which fails when the name is taken. An object store has no rename: there the version is claimed by a blob that
only one can create, and the manifest is written last; an artefact without a readable manifest does not exist for any reader here.
The artefact's own sha256 is that of its manifest, so naming it pins every byte.
"""

import contextlib
import errno
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Self
from uuid import uuid4

import fsspec
from fsspec.implementations.local import LocalFileSystem

from kit.files import create_atomic, sha256_of, sync_folder, write_atomic

MANIFEST: Final = "manifest.json"
CLAIM: Final = ".claimed"  # in an object store, whose version this is: the time, and nothing of the artefact
ABANDONED_AFTER_S: Final = 86_400  # no copy takes a day; by age, since a process number means nothing to another pod


class BadArtefact(ValueError):
    """An artefact is missing, incomplete or not the one that was named; the message says which and why."""


@dataclass(frozen=True)
class Manifest:
    """What an artefact is made of. `contract` and `data` are fingerprints, `files` is path to sha256."""

    project: str
    version: int
    created: str
    git_revision: str
    contract: str
    data: str
    insurers: tuple[str, ...]
    params: Mapping[str, Any] = field(default_factory=dict)
    seeds: Mapping[str, int] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)

    def encode(self) -> bytes:
        """Canonical JSON: the same manifest is the same bytes."""
        return json.dumps(asdict(self), sort_keys=True, indent=1).encode() + b"\n"

    @classmethod
    def decode(cls, text: bytes) -> Self:
        """Raises `BadArtefact` when the text is not a manifest."""
        try:
            raw = json.loads(text)
            return cls(**{**raw, "insurers": tuple(raw["insurers"])})
        except (ValueError, TypeError, KeyError) as error:
            raise BadArtefact(f"not a manifest: {error}") from error


@dataclass(frozen=True, slots=True)
class Published:
    """An artefact's name for ever: project, version and the sha256 of its manifest."""

    project: str
    version: int
    sha256: str


class Store:
    """The artefacts under one fsspec URL."""

    def __init__(self, url: str) -> None:
        """Raises `BadArtefact` when it is no URL of a store, or what reads such URLs is not installed."""
        self.url = url
        try:
            self._fs, root = fsspec.url_to_fs(url)
        except (ImportError, ValueError) as error:
            raise BadArtefact(f"{url} cannot be a store: {error}") from error
        self._root = root.rstrip("/")

    def path(self, *parts: str | int) -> str:
        """The path of something in the store, as its file system spells it."""
        return "/".join([self._root, *(str(p) for p in parts)])

    def names(self, *parts: str) -> list[str]:
        """What lies in a folder of the store; nothing when there is no such folder. Hidden names are left out."""
        self._fs.invalidate_cache()
        if not self._fs.exists(self.path(*parts)):
            return []
        return sorted(
            n for p in self._fs.ls(self.path(*parts), detail=False) if not (n := Path(p).name).startswith(".")
        )

    def versions(self, project: str) -> list[int]:
        """The published versions of a project, lowest first."""
        numbers = [int(n) for n in self.names(project) if n.isdecimal()]
        return sorted(n for n in numbers if self._fs.exists(self.path(project, n, MANIFEST)))

    def write(self, content: bytes, *parts: str) -> None:
        """Write one small file, whole or not at all."""
        if isinstance(self._fs, LocalFileSystem):
            write_atomic(Path(self.path(*parts)), content)
        else:
            self._fs.pipe_file(self.path(*parts), content)

    def read(self, *parts: str | int) -> bytes:
        """A file's bytes. Raises `BadArtefact` when it is not there."""
        try:
            content: bytes = self._fs.cat_file(self.path(*parts))
        except FileNotFoundError as error:
            raise BadArtefact(f"{'/'.join(str(p) for p in parts)} is not in the store") from error
        return content

    def manifest(self, project: str, version: int, sha256: str | None = None) -> Manifest:
        """An artefact's manifest. Raises `BadArtefact` when it is not there, or is not the one with that sha256."""
        text = self.read(project, version, MANIFEST)
        if sha256 is not None and (found := hashlib.sha256(text).hexdigest()) != sha256:
            raise BadArtefact(f"{project}/{version}: manifest has sha256 {found[:12]}, expected {sha256[:12]}")
        return Manifest.decode(text)

    def read_file(self, project: str, version: int, name: str, manifest: Manifest) -> bytes:
        """One file of an artefact, checked against its manifest. Raises `BadArtefact`."""
        content = self.read(project, version, name)
        if hashlib.sha256(content).hexdigest() != manifest.files.get(name):
            raise BadArtefact(f"{project}/{version}/{name} is not what the manifest says")
        return content

    def create(self, content: bytes, *parts: str) -> bool:
        """Write one small file unless it is there already; whether it was written. Exactly one of two writers wins."""
        if isinstance(self._fs, LocalFileSystem):
            return create_atomic(Path(self.path(*parts)), content)
        try:
            self._fs.pipe_file(self.path(*parts), content, mode="create")
        except FileExistsError:
            return False
        return True

    def publish(self, folder: Path, manifest: Manifest) -> Published:
        """Copy a folder into the store as the project's next version, whole or not at all; the manifest's version and files are set here."""
        paths = [p for p in sorted(folder.rglob("*")) if p.is_file() and p != folder / MANIFEST]
        files = {str(p.relative_to(folder)): sha256_of(p) for p in paths}

        def text(version: int) -> bytes:
            known = {**asdict(manifest), "insurers": manifest.insurers, "version": version, "files": files}
            return Manifest(**known).encode()

        # A number counts as taken whatever its folder holds: half an artefact must not stand in the way of the next.
        free = 1 + max((int(n) for n in self.names(manifest.project) if n.isdecimal()), default=0)
        if isinstance(self._fs, LocalFileSystem):
            version = self._publish_by_rename(folder, Path(self.path(manifest.project)), free, text)
        else:
            self._sweep(manifest.project)
            version = self._claim(manifest.project, free)
            for name in files:
                self._fs.put_file(str(folder / name), self.path(manifest.project, version, name))
            self._fs.pipe_file(self.path(manifest.project, version, MANIFEST), text(version))
        return Published(manifest.project, version, hashlib.sha256(text(version)).hexdigest())

    def _publish_by_rename(self, folder: Path, project: Path, version: int, text: Callable[[int], bytes]) -> int:
        project.mkdir(parents=True, exist_ok=True)
        beside = _beside(project, version)
        try:
            shutil.copytree(folder, beside)
            while True:
                (beside / MANIFEST).write_bytes(text(version))
                _flush_all(beside)
                try:
                    beside.rename(project / str(version))
                except OSError as error:
                    if error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
                        raise
                    version += 1  # another publisher was faster
                else:
                    sync_folder(project)
                    return version
        finally:
            shutil.rmtree(beside, ignore_errors=True)

    def _claim(self, project: str, version: int) -> int:
        """Take the first version from this one on that nobody has."""
        while not self.create(now().encode(), project, str(version), CLAIM):
            version += 1
        return version

    def _sweep(self, project: str) -> None:
        """Remove what killed publishers uploaded long ago, but not their claims: a version is never given twice."""
        for number in set(self.names(project)) - {str(n) for n in self.versions(project)}:
            with contextlib.suppress(BadArtefact, ValueError):
                claimed = datetime.fromisoformat(self.read(project, number, CLAIM).decode())
                if (datetime.now(UTC) - claimed).total_seconds() > ABANDONED_AFTER_S:
                    for path in self._fs.find(self.path(project, number)):
                        if Path(path).name != CLAIM:
                            self._fs.rm_file(path)

    def fetch(self, named: Published, to: Path) -> Manifest:
        """Copy an artefact to `to`/<version>, checked byte for byte, whole or not at all; does nothing when it is already there and whole.

        Raises `BadArtefact` when it is missing or differs from its sha256.
        """
        manifest = self.manifest(named.project, named.version, named.sha256)
        target = to / str(named.version)
        if is_whole(target, manifest):
            return manifest
        beside = _beside(to, named.version)
        try:
            for name, sha256 in manifest.files.items():
                path = beside / name
                path.parent.mkdir(parents=True, exist_ok=True)
                self._fs.get_file(self.path(named.project, named.version, name), str(path))
                if sha256_of(path) != sha256:
                    raise BadArtefact(f"{named.project}/{named.version}/{name} is not what the manifest says")
            (beside / MANIFEST).write_bytes(manifest.encode())
            _flush_all(beside)
            shutil.rmtree(target, ignore_errors=True)
            beside.rename(target)
            sync_folder(to)
        except FileNotFoundError as error:
            raise BadArtefact(
                f"{named.project}/{named.version} is not whole in the store: {Path(str(error.filename or error)).name}"
            ) from error
        finally:
            shutil.rmtree(beside, ignore_errors=True)
        return manifest

    def verify(self, named: Published) -> Manifest:
        """Read every file of an artefact and compare. Raises `BadArtefact`."""
        manifest = self.manifest(named.project, named.version, named.sha256)
        for name in manifest.files:
            self.read_file(named.project, named.version, name, manifest)
        return manifest


def is_whole(folder: Path, manifest: Manifest) -> bool:
    """Whether a folder holds every file of a manifest, byte for byte."""
    return all((folder / n).is_file() and sha256_of(folder / n) == s for n, s in manifest.files.items()) and (
        (folder / MANIFEST).is_file() and (folder / MANIFEST).read_bytes() == manifest.encode()
    )


def now() -> str:
    """The time for a manifest: UTC, to the second."""
    return datetime.now(UTC).replace(microsecond=0).isoformat()


def _flush_all(folder: Path) -> None:
    sync_folder(folder)
    for path in sorted(folder.rglob("*")):
        if path.is_dir():
            sync_folder(path)
            continue
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _beside(folder: Path, version: int) -> Path:
    """Where a version is put together: beside its place, once what killed processes left there long ago is swept away."""
    for left in folder.glob(".*-*"):
        with contextlib.suppress(FileNotFoundError):  # another one sweeps at the same time
            if time.time() - left.stat().st_mtime > ABANDONED_AFTER_S:
                shutil.rmtree(left, ignore_errors=True)
    return folder / f".{version}-{uuid4().hex}"
