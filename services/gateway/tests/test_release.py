"""What is served is exactly what the release names, or nothing."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import bundle as bundles
import pytest
from support import INSURERS, MOTOR

from gateway.adapters.release import BadRelease, load_serving
from gateway.domain.serving import Typical
from kit.artefacts import Store
from kit.bundles import Thresholds


def test_a_whole_bundle_is_read(tmp_path: Path) -> None:
    """Versions, tables, cards and typical values."""
    store, release, bundle = bundles.make(tmp_path)
    serving = load_serving(store, release, MOTOR)

    assert (bundle.id, INSURERS, 0.8, 0.5) == (serving.bundle, serving.insurers, serving.level, serving.likely)
    assert ("quote-classifier", 1, bundle.classifier.sha256) == (
        serving.classifier.project,
        serving.classifier.version,
        serving.classifier.sha256,
    )
    assert [-0.1, 0.1] == serving.cheapest.table.last[0, :, 0].tolist()
    assert "# premium-regressor\n" == serving.regressor.card
    assert {"ncd_years", "conviction"} == serving.typical.keys()
    assert (Typical(0, 0.5), Typical(9, 0.5)) == serving.typical["ncd_years"]
    assert {"ncd_years": 9} == serving.typical_row


def test_a_release_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """With what is missing, and not with where it was looked for."""
    store, _, _ = bundles.make(tmp_path)

    with pytest.raises(BadRelease, match=r"release.json cannot be read"):
        load_serving(store, str(tmp_path / "nothing.json"), MOTOR)


def test_a_bundle_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """The message says which there are."""
    store, release, bundle = bundles.make(tmp_path)
    Path(release).write_text('{"stable": "2020-01-01.1"}')

    with pytest.raises(BadRelease, match=bundle.id):
        load_serving(store, release, MOTOR)


def test_another_contract_is_refused(tmp_path: Path) -> None:
    """A model that has learnt other fields would give wrong premiums without a sign."""
    store, release, _ = bundles.make(tmp_path)

    with pytest.raises(BadRelease, match=r"this gateway speaks 0123456789ab"):
        load_serving(store, release, replace(MOTOR, fingerprint="0123456789abcdef"))


@pytest.mark.parametrize("name", ["manifest.json", "calibration.json", "reference.json", "ranges.json", "card.md"])
def test_a_changed_file_is_refused(tmp_path: Path, name: str) -> None:
    """Every file that is read is the one that was published."""
    store, release, bundle = bundles.make(tmp_path)
    changed = Path(store) / bundle.regressor.project / str(bundle.regressor.version) / name
    changed.write_text(changed.read_text() + " ")

    with pytest.raises(BadRelease, match=r"premium-regressor/1"):
        load_serving(store, release, MOTOR)


def test_a_table_without_its_numbers_is_refused(tmp_path: Path) -> None:
    """A bundle that cannot be calibrated is no bundle."""
    store, release, _ = bundles.make(
        tmp_path,
        changed={"calibration.json": bundles.HEAD | {"probabilities": bundles.even(1.0, 1.0, names=("a", "b", "c"))}},
    )

    with pytest.raises(BadRelease, match=r"quote-classifier: .*`probabilities`.* needs `add` with a, b, c"):
        load_serving(store, release, MOTOR)


def test_tables_of_another_model_are_refused(tmp_path: Path) -> None:
    """Intervals of one model around the prices of another would promise nothing, without a sign."""
    store, release, _ = bundles.make(
        tmp_path,
        changed={"calibration.json": bundles.FILES["quote-classifier"]["calibration.json"] | {"model": "c0ffee"}},
    )

    with pytest.raises(BadRelease, match=r"quote-classifier: calibration.json was fitted to model c0ffee, this is"):
        load_serving(store, release, MOTOR)


@pytest.mark.parametrize("scheme", [1, 3, None])
def test_a_scheme_that_is_not_known_is_refused(tmp_path: Path, scheme: int | None) -> None:
    """The message says what to do."""
    tables = bundles.FILES["quote-classifier"]["calibration.json"] | {"scheme": scheme}
    store, release, _ = bundles.make(tmp_path, changed={"calibration.json": tables})

    with pytest.raises(BadRelease, match=rf"has scheme {scheme}, this program reads 2: run the model's test stage"):
        load_serving(store, release, MOTOR)


def test_models_of_different_panels_are_refused(tmp_path: Path) -> None:
    """Their arrays would be merged insurer by insurer, wrongly."""
    store, release, bundle = bundles.make(tmp_path)
    other = bundles.publish(Store(store), "premium-regressor", insurers=INSURERS[:3])
    (Path(store) / "bundles" / f"{bundle.id}.json").write_bytes(replace(bundle, regressor=other).encode())

    with pytest.raises(BadRelease, match=r"insurers differ"):
        load_serving(store, release, MOTOR)


@pytest.mark.parametrize("project", ["quote-classifier", "premium-regressor"])
def test_a_level_that_no_interval_has_is_refused(tmp_path: Path, project: str) -> None:
    """Every answer says the level of its intervals: it is the one for which both models were calibrated."""
    store, release, bundle = bundles.make(tmp_path)
    calibration = bundles.FILES[project]["calibration.json"] | {"level": 0.9}
    other: Any = bundles.publish(Store(store), project, **{"calibration.json": calibration})
    place = "classifier" if project == "quote-classifier" else "regressor"
    (Path(store) / "bundles" / f"{bundle.id}.json").write_bytes(replace(bundle, **{place: other}).encode())

    with pytest.raises(BadRelease, match=rf"has level 0.8, {project} was calibrated at 0.9"):
        load_serving(store, release, MOTOR)


@pytest.mark.parametrize("share", [0, 1, 1.5, -0.1, float("nan"), True, "0.5", None])
@pytest.mark.parametrize("name", ["level", "thresholds"])
def test_a_share_that_is_none_is_refused(tmp_path: Path, share: Any, name: str) -> None:
    """A threshold of 0 would call every insurer likely."""
    store, release, bundle = bundles.make(tmp_path)
    value: Any = Thresholds(share) if name == "thresholds" else share
    changed = replace(bundle, **{name: value})
    (Path(store) / "bundles" / f"{bundle.id}.json").write_bytes(changed.encode())

    with pytest.raises(BadRelease, match=rf"`{name}.*` must be a number between 0 and 1"):
        load_serving(store, release, MOTOR)


@pytest.mark.parametrize("missing", [{}, {"level": None}])
def test_a_calibration_without_its_level_is_refused(tmp_path: Path, missing: dict[str, Any]) -> None:
    """Nobody could say what its intervals promise."""
    store, release, bundle = bundles.make(tmp_path)
    tables: Any = {
        k: v for k, v in bundles.FILES["quote-classifier"]["calibration.json"].items() if k != "level"
    } | missing
    other = bundles.publish(Store(store), "quote-classifier", **{"calibration.json": tables})
    (Path(store) / "bundles" / f"{bundle.id}.json").write_bytes(replace(bundle, classifier=other).encode())

    with pytest.raises(BadRelease, match=r"quote-classifier: .*level"):
        load_serving(store, release, MOTOR)


@pytest.mark.parametrize("name", ["GATEWAY_STORE", "GATEWAY_RELEASE"])
@pytest.mark.parametrize("url", ["foo://x/release.json", "az://container/release.json"])
def test_a_url_that_nothing_opens_is_refused(tmp_path: Path, name: str, url: str) -> None:
    """An unknown protocol, and one whose package is not installed; the message names the setting."""
    store, release, _ = bundles.make(tmp_path)
    urls = {"GATEWAY_STORE": store, "GATEWAY_RELEASE": release, name: url}

    with pytest.raises(BadRelease, match=name if url.startswith("az") or name.endswith("STORE") else "release.json"):
        load_serving(urls["GATEWAY_STORE"], urls["GATEWAY_RELEASE"], MOTOR)
