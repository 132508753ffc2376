import json
from dataclasses import replace
from pathlib import Path

import pytest

from kit.artefacts import Manifest, Store
from kit.bundles import Bundle, assemble, read_bundle
from kit.deploy.__main__ import BAD_INPUT, DONE, main

CLASSIFIER = Manifest("quote-classifier", 0, "2025-10-01T00:00:00+00:00", "abc", "f" * 64, "d" * 64, ("i-0001",))
REGRESSOR = replace(CLASSIFIER, project="premium-regressor")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


@pytest.fixture
def bundle(store: Store, tmp_path: Path) -> Bundle:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "saved_model.pb").write_bytes(b"graph")
    (folder / "calibration.json").write_text('{"level": 0.8}')
    store.publish(folder, CLASSIFIER)
    store.publish(folder, REGRESSOR)
    made = assemble(store)
    assert made is not None
    return made


def test_the_charts_release_pins_both_artefacts(
    store: Store, bundle: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is printed names the bundle, and for each model the version and the sha256 of its manifest."""
    assert DONE == main(["values", "--store", store.url])

    stable = json.loads(capsys.readouterr().out)["release"]["stable"]
    assert bundle.id == stable["bundle"]
    assert {"version": 1, "sha256": bundle.regressor.sha256} == stable["artefacts"]["premium-regressor"]


def test_compose_is_told_the_versions(store: Store, bundle: Bundle, capsys: pytest.CaptureFixture[str]) -> None:
    """One variable a line, as a .env file has them."""
    assert DONE == main(["env", "--store", store.url, "--bundle", bundle.id])

    printed = capsys.readouterr().out.splitlines()
    assert [f"BALLPARK_BUNDLE={bundle.id}", "QUOTE_CLASSIFIER_VERSION=1", "PREMIUM_REGRESSOR_VERSION=1"] == printed


def test_a_fetched_bundle_is_a_store_of_its_own(store: Store, bundle: Bundle, tmp_path: Path) -> None:
    """A gateway reads from the copy what it would have read from the store."""
    assert DONE == main(["fetch", "--store", store.url, "--bundle", bundle.id, "--to", str(tmp_path / "copy")])

    copy = Store(str(tmp_path / "copy"))
    assert bundle == read_bundle(copy, bundle.id)
    assert store.verify(bundle.classifier) == copy.verify(bundle.classifier)


def test_a_changed_artefact_is_not_fetched(
    store: Store, bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A byte that differs from the manifest stops the pod, and no bundle appears in the copy."""
    Path(store.path("premium-regressor", 1, "saved_model.pb")).write_bytes(b"other")

    code = main(["fetch", "--store", store.url, "--bundle", bundle.id, "--to", str(tmp_path / "copy")])

    assert BAD_INPUT == code
    assert "premium-regressor/1/saved_model.pb is not what the manifest says" in capsys.readouterr().err
    assert [] == list((tmp_path / "copy").glob("bundles/*"))


def test_an_empty_store_says_what_makes_a_bundle(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The first thing that a newcomer meets names the next step."""
    assert BAD_INPUT == main(["values", "--store", str(tmp_path)])

    assert "the models' `test` stages make one" in capsys.readouterr().err
