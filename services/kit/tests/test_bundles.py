from dataclasses import replace
from pathlib import Path

import pytest

from kit.artefacts import Manifest, Store
from kit.bundles import BadBundle, Bundle, Release, assemble, list_bundles, read_bundle, read_release, write_release

CLASSIFIER = Manifest("quote-classifier", 0, "2025-10-01T00:00:00+00:00", "abc", "f" * 64, "d" * 64, ("i-0001",))
REGRESSOR = replace(CLASSIFIER, project="premium-regressor")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "saved_model.pb").write_bytes(b"graph")
    (folder / "calibration.json").write_text('{"level": 0.9}')
    return folder


def made(store: Store) -> Bundle:
    bundle = assemble(store)
    assert bundle is not None
    return bundle


def test_two_matching_artefacts_make_a_bundle(store: Store, model: Path) -> None:
    """Whichever `test` stage ends second makes it, and it reads back as it was written."""
    store.publish(model, CLASSIFIER)
    store.publish(model, REGRESSOR)

    bundle = made(store)

    assert bundle == read_bundle(store, bundle.id)
    assert (1, 1, 0.9) == (bundle.classifier.version, bundle.regressor.version, bundle.level)


def test_one_artefact_alone_makes_none(store: Store, model: Path) -> None:
    """Half a bundle is not a bundle."""
    store.publish(model, CLASSIFIER)

    assert None is assemble(store)


@pytest.mark.parametrize("other", [{"contract": "e" * 64}, {"data": "e" * 64}, {"insurers": ("i-0001", "i-0002")}])
def test_artefacts_that_do_not_belong_together_make_none(store: Store, model: Path, other: dict[str, object]) -> None:
    """Another contract, other data or another panel would give answers that do not line up."""
    store.publish(model, CLASSIFIER)
    store.publish(model, Manifest(**{**REGRESSOR.__dict__, **other}))

    assert None is assemble(store)


def test_intervals_of_two_levels_make_none(store: Store, model: Path) -> None:
    """An answer states one level."""
    store.publish(model, CLASSIFIER)
    (model / "calibration.json").write_text('{"level": 0.8}')
    store.publish(model, REGRESSOR)

    assert None is assemble(store)


def test_a_stray_file_is_no_bundle(store: Store) -> None:
    """Notes beside the bundles do no harm."""
    store.write(b"{}", "bundles", "notes.json")

    assert [] == list_bundles(store)


def test_the_same_pair_is_the_same_bundle(store: Store, model: Path) -> None:
    """Assembling again changes nothing; a new version makes the next bundle of the day."""
    store.publish(model, CLASSIFIER)
    store.publish(model, REGRESSOR)
    first, again = made(store), made(store)
    store.publish(model, REGRESSOR)
    second = made(store)

    assert first == again
    assert [first.id, second.id] == list_bundles(store)


def test_an_unknown_bundle_is_named_with_those_that_exist(store: Store) -> None:
    """A misspelt release says what it could have said."""
    with pytest.raises(BadBundle, match=r"no bundle '2025-10-01\.9' in the store; it has none"):
        read_bundle(store, "2025-10-01.9")


def test_a_release_reads_back(tmp_path: Path) -> None:
    """release.json is written whole and read from a path."""
    write_release(tmp_path / "release.json", Release("2025-10-01.1"))

    assert Release("2025-10-01.1") == read_release(str(tmp_path / "release.json"))


@pytest.mark.parametrize("text", ["{}", "", "[1]"])
def test_a_release_without_a_stable_bundle_is_refused(tmp_path: Path, text: str) -> None:
    """The gateway does not guess what to serve."""
    (tmp_path / "release.json").write_text(text)

    with pytest.raises(BadBundle, match="names no `stable` bundle"):
        read_release(str(tmp_path / "release.json"))
