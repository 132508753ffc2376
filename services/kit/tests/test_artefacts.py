import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from kit.artefacts import CLAIM, BadArtefact, Manifest, Published, Store
from kit.artefacts.__main__ import main

MANIFEST = Manifest("quote-classifier", 0, "2025-10-01T00:00:00+00:00", "abc", "f" * 64, "d" * 64, ("i-0001", "i-0002"))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A folder that looks like a SavedModel."""
    folder = tmp_path / "model"
    (folder / "variables").mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(b"graph")
    (folder / "variables" / "variables.index").write_bytes(b"weights")
    return folder


@pytest.fixture(params=["disk", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """A store on a disk, and one without renames."""
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]
    return Store(str(tmp_path / "store") if request.param == "disk" else "memory://store")


def test_what_was_published_is_fetched_byte_for_byte(store: Store, model: Path, tmp_path: Path) -> None:
    """Every file arrives, and the manifest lists it."""
    published = store.publish(model, MANIFEST)

    manifest = store.fetch(published, tmp_path / "pod")

    assert {"saved_model.pb", "variables/variables.index"} == set(manifest.files)
    assert b"weights" == (tmp_path / "pod" / "1" / "variables" / "variables.index").read_bytes()


def test_versions_increase(store: Store, model: Path) -> None:
    """A version number is never given twice."""
    assert [1, 2] == [store.publish(model, MANIFEST).version for _ in range(2)]
    assert [1, 2] == store.versions("quote-classifier")


def test_publishers_at_the_same_moment_get_versions_of_their_own(store: Store, model: Path) -> None:
    """And each of them is whole."""
    together = Barrier(4)

    def publish(_: int) -> Published:
        own = Store(store.url)
        together.wait()
        return own.publish(model, MANIFEST)

    with ThreadPoolExecutor(4) as pool:
        published = list(pool.map(publish, range(4)))

    assert [1, 2, 3, 4] == sorted(p.version for p in published)
    assert {2} == {len(store.verify(p).files) for p in published}


def test_what_a_killed_publisher_uploaded_is_swept_a_day_later(model: Path) -> None:
    """Where there is no rename its version stays claimed, and only that: the number is never given again."""
    MemoryFileSystem.store.clear()
    store = Store("memory://swept")
    for version, day in (("1", "2020-01-01"), ("2", "2999-01-01")):
        store.write(f"{day}T00:00:00+00:00".encode(), "quote-classifier", version, CLAIM)
        store.write(b"graph", "quote-classifier", version, "saved_model.pb")

    assert 3 == store.publish(model, MANIFEST).version

    left = {path.removeprefix("/swept/quote-classifier/") for path in MemoryFileSystem.store}
    assert {"1/.claimed", "2/.claimed", "2/saved_model.pb"} == {path for path in left if path[0] != "3"}


def test_what_cannot_be_a_store_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    """With its URL."""
    assert 2 == main(["list", "--store", "nowhere://store", "--project", "quote-classifier"])

    assert "nowhere://store cannot be a store: Protocol not known" in capsys.readouterr().err


def test_a_changed_byte_is_noticed(tmp_path: Path, model: Path) -> None:
    """An artefact that is not what its manifest says is not fetched."""
    store = Store(str(tmp_path / "store"))
    published = store.publish(model, MANIFEST)
    (tmp_path / "store" / "quote-classifier" / "1" / "saved_model.pb").write_bytes(b"grapf")

    with pytest.raises(BadArtefact, match=r"quote-classifier/1/saved_model\.pb is not what the manifest says"):
        store.fetch(published, tmp_path / "pod")
    assert [] == list((tmp_path / "pod").iterdir())


def test_another_manifest_is_noticed(store: Store, model: Path) -> None:
    """The sha256 of the manifest pins every byte of the artefact."""
    store.publish(model, MANIFEST)

    with pytest.raises(BadArtefact, match="expected 000000000000"):
        store.verify(Published("quote-classifier", 1, "0" * 64))


def test_half_an_artefact_is_not_in_the_way(tmp_path: Path, model: Path) -> None:
    """A numbered folder without a manifest takes its number and nothing else."""
    (tmp_path / "store" / "quote-classifier" / "1" / "variables").mkdir(parents=True)

    assert 2 == Store(str(tmp_path / "store")).publish(model, MANIFEST).version


def test_only_the_topmost_manifest_is_ours(store: Store, model: Path, tmp_path: Path) -> None:
    """A model's own asset of that name travels like any other file."""
    (model / "assets").mkdir()
    (model / "assets" / "manifest.json").write_bytes(b"theirs")

    store.fetch(store.publish(model, MANIFEST), tmp_path / "pod")

    assert b"theirs" == (tmp_path / "pod" / "1" / "assets" / "manifest.json").read_bytes()


def test_a_half_copied_artefact_does_not_exist(store: Store, model: Path) -> None:
    """Without its manifest a folder is not a version."""
    store.publish(model, MANIFEST)
    store.write(b"graph", "quote-classifier", "2", "saved_model.pb")

    assert [1] == store.versions("quote-classifier")


def test_a_whole_copy_is_not_fetched_again(tmp_path: Path, model: Path) -> None:
    """A restarted pod starts from what it has, even when the store is gone but for the manifest."""
    store = Store(str(tmp_path / "store"))
    published = store.publish(model, MANIFEST)
    store.fetch(published, tmp_path / "pod")
    (tmp_path / "store" / "quote-classifier" / "1" / "saved_model.pb").unlink()

    assert 2 == len(store.fetch(published, tmp_path / "pod").files)


def test_a_failed_publication_leaves_no_trace(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A crash while copying is a version that never was."""
    store = Store(str(tmp_path / "store"))
    monkeypatch.setattr("kit.artefacts.sync_folder", _raise)

    with pytest.raises(OSError, match="disk full"):
        store.publish(model, MANIFEST)

    assert [] == list((tmp_path / "store" / "quote-classifier").iterdir())


def test_what_a_killed_copy_left_is_swept_a_day_later(tmp_path: Path, model: Path) -> None:
    """A killed publication costs disk for a day, and one that is under way is left alone."""
    project = tmp_path / "store" / "quote-classifier"
    old, young = project / ".1-old", project / ".1-young"
    for folder in (old, young):
        folder.mkdir(parents=True)
    os.utime(old, (0, 0))

    Store(str(tmp_path / "store")).publish(model, MANIFEST)

    assert [young, project / "1"] == sorted(project.iterdir())


def _raise(_: Path) -> None:
    raise OSError("disk full")


@pytest.mark.parametrize(
    ("break_it", "message"), [(lambda t: t[:-9], "not a manifest"), (lambda _: b"[]", "not a manifest")]
)
def test_a_broken_manifest_is_named(
    tmp_path: Path, model: Path, break_it: Callable[[bytes], bytes], message: str
) -> None:
    """The reader says what is wrong instead of failing somewhere else."""
    store = Store(str(tmp_path / "store"))
    store.publish(model, MANIFEST)
    path = tmp_path / "store" / "quote-classifier" / "1" / "manifest.json"
    path.write_bytes(break_it(path.read_bytes()))

    with pytest.raises(BadArtefact, match=message):
        store.manifest("quote-classifier", 1)


def test_the_command_line_fetches(tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An init container's whole work: exit 0 with the files in place, 2 with a message otherwise."""
    published = Store(str(tmp_path / "store")).publish(model, MANIFEST)
    place = ["--store", str(tmp_path / "store"), "--project", "quote-classifier", "--version", "1"]

    done = main(["fetch", *place, "--sha256", published.sha256, "--to", str(tmp_path / "pod")])
    refused = main(["verify", *place, "--sha256", "0" * 64])

    assert (0, 2) == (done, refused)
    assert json.loads((tmp_path / "pod" / "1" / "manifest.json").read_bytes())["version"] == 1
    assert "expected 000000000000" in capsys.readouterr().err
