"""Which bundle is in force, and is it whole? Read and checked once, before anything is served."""

import json
import math
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from gateway.domain.serving import Model, Serving, Typical
from kit.artefacts import BadArtefact, Manifest, Published, Store
from kit.bundles import BadBundle, Bundle, mismatch, read_bundle, read_release
from kit.calibration import BadCalibration, Intervals, Probabilities, Table, read_section
from kit.contract import Contract

CALIBRATION: Final = "calibration.json"
REFERENCE: Final = "reference.json"
CARD: Final = "card.md"

T = TypeVar("T")


class BadRelease(Exception):
    """What the release names cannot be served; the message says what does not match."""


def load_serving(store_url: str, release_url: str, contract: Contract) -> Serving:
    """The stable bundle of a release, every byte checked against the sha256 that the bundle pins.

    Raises `BadRelease` when something is missing, was changed, or belongs to another contract.
    """
    try:
        store = _named("GATEWAY_STORE", lambda: Store(store_url))
        release = _named("GATEWAY_RELEASE", lambda: read_release(release_url))
        return _serving(store, read_bundle(store, release.stable), contract)
    except OSError as error:
        raise BadRelease(f"the store cannot be read: {error.strerror or type(error).__name__}") from error
    except (BadArtefact, BadBundle, BadCalibration) as error:
        raise BadRelease(str(error)) from error


def _named(setting: str, opened: Callable[[], T]) -> T:
    """What a URL opens. Raises `BadRelease` where its protocol is unknown, or needs a package that is not installed."""
    try:
        return opened()
    except BadBundle:
        raise
    except (ValueError, ImportError) as error:
        raise BadRelease(f"{setting}: {error}") from error


def _serving(store: Store, bundle: Bundle, contract: Contract) -> Serving:
    if bundle.contract != contract.fingerprint:
        raise BadRelease(
            f"bundle {bundle.id} was made for contract {bundle.contract[:12]}, this gateway speaks {contract.short_fingerprint}"
        )
    for name, share in (("level", bundle.level), ("thresholds.likely", bundle.thresholds.likely)):
        if not _is_share(share):
            raise BadRelease(f"bundle {bundle.id}: `{name}` must be a number between 0 and 1")
    classifier, regressor = _manifest(store, bundle.classifier), _manifest(store, bundle.regressor)
    if (difference := mismatch(classifier, regressor)) is not None:
        raise BadRelease(f"bundle {bundle.id}: {difference}")
    if classifier.contract != bundle.contract:
        raise BadRelease(f"bundle {bundle.id}: its models were trained on contract {classifier.contract[:12]}")
    quote_tables = store.read_file(classifier.project, classifier.version, CALIBRATION, classifier)
    price_tables = store.read_file(regressor.project, regressor.version, CALIBRATION, regressor)
    for project, tables in ((classifier.project, quote_tables), (regressor.project, price_tables)):
        if not math.isclose(level := _level(project, tables), bundle.level):
            raise BadRelease(f"bundle {bundle.id} has level {bundle.level}, {project} was calibrated at {level}")
    panel = read_section(price_tables, "panel")
    return Serving(
        bundle=bundle.id,
        contract=bundle.contract,
        created=bundle.created,
        level=bundle.level,
        likely=bundle.thresholds.likely,
        insurers=classifier.insurers,
        classifier=_model(store, classifier, bundle.classifier),
        regressor=_model(store, regressor, bundle.regressor),
        probabilities=Probabilities(Table.read(read_section(quote_tables, "probabilities"), "slope", "intercept")),
        intervals=_intervals(read_section(price_tables, "intervals")),
        cheapest=_intervals(_figure(panel, "cheapest")),
        mean_of_five_cheapest=_intervals(_figure(panel, "mean_of_five_cheapest")),
        likely_insurers=Table.read(read_section(quote_tables, "likely_insurers"), "low", "high"),
        typical=_typical(store.read_file(regressor.project, regressor.version, REFERENCE, regressor), contract),
    )


def _is_share(value: object) -> bool:
    return isinstance(value, int | float) and 0 < value < 1  # false for NaN and for both booleans


def _level(project: str, tables: bytes) -> float:
    """The level at which an artefact was calibrated."""
    try:
        level = json.loads(tables)["level"]
    except (ValueError, KeyError, TypeError) as error:
        raise BadRelease(f"{project}: {CALIBRATION} has no `level`") from error
    if not _is_share(level):
        raise BadRelease(f"{project}: `level` of {CALIBRATION} must be a number between 0 and 1")
    return float(level)


def _manifest(store: Store, pinned: Published) -> Manifest:
    return store.manifest(pinned.project, pinned.version, pinned.sha256)


def _model(store: Store, manifest: Manifest, pinned: Published) -> Model:
    card = store.read_file(manifest.project, manifest.version, CARD, manifest).decode()
    return Model(manifest.project, manifest.version, pinned.sha256, manifest.created, card)


def _figure(panel: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    if name not in panel:
        raise BadRelease(f"{CALIBRATION}: `panel` has no `{name}`")
    table: Mapping[str, Any] = panel[name]
    return table


def _intervals(raw: Mapping[str, Any]) -> Intervals:
    return Intervals(Table.read(raw, "low", "high"))


def _typical(text: bytes, contract: Contract) -> Mapping[str, tuple[Typical, ...]]:
    """`{field: [[value, weight], ...]}`; a field without values is not worth asking for."""
    try:
        raw: dict[str, list[tuple[Any, float]]] = json.loads(text)
        return {
            contract.field(name).name: tuple(Typical(value, float(weight)) for value, weight in entries)
            for name, entries in raw.items()
            if entries
        }
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise BadRelease(f"{REFERENCE} cannot be read: {type(error).__name__}") from error
