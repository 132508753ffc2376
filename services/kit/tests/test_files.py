import re
from pathlib import Path

from kit import series
from kit.files import create_atomic, locked, sweep, write_atomic


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    """The new content stands under the old name, and nothing else is left in the folder."""
    path = tmp_path / "deep" / "release.json"
    write_atomic(path, b"old")
    write_atomic(path, b"new")

    assert b"new" == path.read_bytes()
    assert [path] == list(path.parent.iterdir())


def test_a_file_that_is_there_is_not_created_again(tmp_path: Path) -> None:
    """The second of two writers learns that it is the second, and the first one's content stays."""
    path = tmp_path / "bundle.json"

    assert [True, False] == [create_atomic(path, b"first"), create_atomic(path, b"second")]
    assert (b"first", [path]) == (path.read_bytes(), list(tmp_path.iterdir()))


def test_what_nobody_holds_is_swept(tmp_path: Path) -> None:
    """Folders of the name alone, and neither what is held nor what is to be kept."""
    for name in (".out.1", ".out.2", ".out.3", ".other.1"):
        (tmp_path / name).mkdir()
    (tmp_path / ".out.4").touch()

    with locked(tmp_path / ".out.2") as first, locked(tmp_path / ".out.2") as second:
        sweep(tmp_path, re.compile(r"\.out\.\d"), keep=tmp_path / ".out.3")

    assert (True, False) == (first, second)
    assert {".out.2", ".out.3", ".out.4", ".other.1"} == {p.name for p in tmp_path.iterdir()}


def test_a_folder_that_is_gone_is_not_ours(tmp_path: Path) -> None:
    """Nor is a file."""
    (tmp_path / "file").touch()

    for name in ("nowhere", "file"):
        with locked(tmp_path / name) as ours:
            assert not ours


def test_every_series_carries_our_prefix_and_its_unit() -> None:
    """Counters end in _total, histograms in their unit, and all have help."""
    table = series.load().values()

    assert [] == [s.name for s in table if not s.name.startswith("ballpark_") or len(s.help) < 10]
    assert [] == [s.name for s in table if s.kind == "counter" and not s.name.endswith("_total")]
    assert [] == [s.name for s in table if s.kind == "histogram" and not (s.name.endswith("_seconds") and s.buckets)]
