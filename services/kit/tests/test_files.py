from pathlib import Path

from kit import series
from kit.files import create_atomic, write_atomic


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


def test_every_series_carries_our_prefix_and_its_unit() -> None:
    """Counters end in _total, histograms in their unit, and all have help."""
    table = series.load().values()

    assert [] == [s.name for s in table if not s.name.startswith("ballpark_") or len(s.help) < 10]
    assert [] == [s.name for s in table if s.kind == "counter" and not s.name.endswith("_total")]
    assert [] == [s.name for s in table if s.kind == "histogram" and not (s.name.endswith("_seconds") and s.buckets)]
