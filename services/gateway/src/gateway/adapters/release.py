"""Which bundle is in force, and is it whole? Read and checked once, before anything is served."""

import json
import math
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from gateway.domain.risk import Value
from gateway.domain.serving import Model, Serving, Typical
from kit.artefacts import BadArtefact, Manifest, Published, Store
from kit.bundles import BadBundle, Bundle, mismatch, read_bundle, read_release
from kit.calibration import FILE as CALIBRATION, BadCalibration, Calibration, read as read_calibration
from kit.contract import Contract
from kit.ranges import FILE as RANGES, BadRanges, Ranges

REFERENCE: Final = "reference.json"
TYPICAL_ROW: Final = "row"
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
    except (BadArtefact, BadBundle, BadCalibration, BadRanges) as error:
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
    quote, price = (_calibration(store, manifest, contract) for manifest in (classifier, regressor))
    for project, tables in ((classifier.project, quote), (regressor.project, price)):
        if not math.isclose(tables.level, bundle.level):
            raise BadRelease(f"bundle {bundle.id} has level {bundle.level}, {project} was calibrated at {tables.level}")
    reference = store.read_file(regressor.project, regressor.version, REFERENCE, regressor)
    return Serving(
        bundle=bundle.id,
        contract=bundle.contract,
        created=bundle.created,
        level=bundle.level,
        likely=bundle.thresholds.likely,
        insurers=classifier.insurers,
        classifier=_model(store, classifier, bundle.classifier),
        regressor=_model(store, regressor, bundle.regressor),
        probabilities=quote.probabilities(),
        intervals=price.intervals(),
        cheapest=price.intervals("panel.cheapest"),
        mean_of_five_cheapest=price.intervals("panel.mean_of_five_cheapest"),
        likely_insurers=quote.counts(),
        quote_bands=quote.bands,
        price_bands=price.bands,
        ranges=Ranges.read(store.read_file(regressor.project, regressor.version, RANGES, regressor), contract),
        typical=_typical(reference, contract),
        typical_row=_typical_row(reference, contract),
    )


def _is_share(value: object) -> bool:
    return isinstance(value, int | float) and 0 < value < 1  # false for NaN and for both booleans


def _calibration(store: Store, manifest: Manifest, contract: Contract) -> Calibration:
    """An artefact's tables. Raises `BadRelease` when they were not fitted to its model."""
    text = store.read_file(manifest.project, manifest.version, CALIBRATION, manifest)
    try:
        tables = read_calibration(text, contract, len(manifest.insurers))
        tables.check_model(manifest.files)
    except BadCalibration as error:
        raise BadRelease(f"{manifest.project}: {error}") from error
    return tables


def _manifest(store: Store, pinned: Published) -> Manifest:
    return store.manifest(pinned.project, pinned.version, pinned.sha256)


def _model(store: Store, manifest: Manifest, pinned: Published) -> Model:
    card = store.read_file(manifest.project, manifest.version, CARD, manifest).decode()
    return Model(manifest.project, manifest.version, pinned.sha256, manifest.created, card)


def _typical(text: bytes, contract: Contract) -> Mapping[str, tuple[Typical, ...]]:
    """`{field: [[value, weight], ...]}`; a field without values is not worth asking for."""
    try:
        raw: dict[str, list[tuple[Any, float]]] = json.loads(text)
        return {
            contract.field(name).name: tuple(Typical(value, float(weight)) for value, weight in entries)
            for name, entries in raw.items()
            if entries and name != TYPICAL_ROW
        }
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise BadRelease(f"{REFERENCE} cannot be read: {type(error).__name__}") from error


def _typical_row(text: bytes, contract: Contract) -> Mapping[str, Value]:
    """`{"row": {field: value}}`: answers that can be one driver's; none in a file from before there was one."""
    try:
        raw: dict[str, Value] = json.loads(text).get(TYPICAL_ROW, {})
        return {contract.field(name).name: value for name, value in raw.items()}
    except (ValueError, KeyError, AttributeError) as error:
        raise BadRelease(f"{REFERENCE}: `{TYPICAL_ROW}` cannot be read: {type(error).__name__}") from error
