"""Does a stage write all or nothing, on a disk and elsewhere?"""

from contextlib import AbstractContextManager
from pathlib import Path

import fsspec
import pytest

from kit.files import locked
from kit.stage import BadInput
from kit.training.places import reading, writing_file, writing_folder


def fail_inside(place: AbstractContextManager[Path]) -> None:
    """Open a place to write to, and break off."""
    with place:
        raise BadInput("stop")


def test_a_folder_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    """Nothing of the old one is left, and no helper folder either."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").touch()

    with writing_folder(str(tmp_path / "out")) as folder:
        (folder / "new").write_text("x")

    assert ["out", "out/new"] == sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*"))


def test_a_failed_stage_leaves_what_was_there(tmp_path: Path) -> None:
    """An error inside the block changes nothing."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").touch()

    for place in (writing_folder(str(tmp_path / "out")), writing_file(str(tmp_path / "file"))):
        with pytest.raises(BadInput, match="stop"):
            fail_inside(place)

    assert ["out", "out/old"] == sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*"))


def test_leftovers_of_killed_runs_are_swept(tmp_path: Path) -> None:
    """And nothing else: not what a living process holds, nor what is of another name."""
    left, held, other = (tmp_path / f".{n}.partial" for n in ("out.0123abcd", "out.4567abcd", "other.0123abcd"))
    for folder in (left, held, other):
        folder.mkdir()

    with locked(held), writing_folder(str(tmp_path / "out")), writing_file(str(tmp_path / "file")) as file:
        file.touch()

    assert {"file", "out", held.name, other.name} == {p.name for p in tmp_path.iterdir()}


def test_two_may_write_to_one_place(tmp_path: Path) -> None:
    """The last to end stays, and neither takes the other's for a leftover."""
    out = str(tmp_path / "out")

    with writing_folder(out) as first:
        with writing_folder(out) as second:
            (second / "file").write_text("second")
        (first / "file").write_text("first")

    assert ["out", "out/file"] == sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*"))
    assert "first" == (tmp_path / "out" / "file").read_text()


def test_a_place_that_is_not_a_disk() -> None:
    """Folders and files go through a copy."""
    with writing_folder("memory://places/out") as folder:
        (folder / "deep").mkdir()
        (folder / "deep" / "file").write_text("x")
    with writing_file("memory://places/one") as file:
        file.write_text("y")

    with reading("memory://places/out") as folder, reading("memory://places/one") as file:
        assert ("x", "y") == ((folder / "deep" / "file").read_text(), file.read_text())
    fsspec.filesystem("memory").rm("/places", recursive=True)


def test_a_place_that_is_not_there_is_named(tmp_path: Path) -> None:
    """With its URL."""
    with pytest.raises(BadInput, match=r"there is nothing at .*nowhere"), reading(str(tmp_path / "nowhere")):
        pass
