"""Which exact two models answer together? A bundle names them, and a release names the bundle in force.

A bundle is made when both models' `test` stages have published artefacts for the same contract, data and insurers. It has an id
that every answer, metric and log line carries. `release.json` names the `stable` bundle; changing it is the only way to change
what is served.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Self

import fsspec

from kit.artefacts import BadArtefact, Manifest, Published, Store, now
from kit.files import write_atomic

CLASSIFIER: Final = "quote-classifier"
REGRESSOR: Final = "premium-regressor"
FOLDER: Final = "bundles"

_ID: Final = re.compile(r"(?P<id>(?P<day>\d{4}-\d\d-\d\d)\.(?P<number>\d+))\.json")  # 2026-11-23.1.json


class BadBundle(ValueError):
    """A bundle or release is missing, or does not match; the message says what."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """At and above `likely` an insurer is expected to quote."""

    likely: float = 0.5


@dataclass(frozen=True)
class Bundle:
    """Two artefacts that belong together, the contract they were trained on, and how their answers are read."""

    id: str
    contract: str
    classifier: Published
    regressor: Published
    created: str
    level: float = 0.8
    thresholds: Thresholds = field(default_factory=Thresholds)

    def encode(self) -> bytes:
        """Canonical JSON."""
        return json.dumps(asdict(self), sort_keys=True, indent=1).encode() + b"\n"

    @classmethod
    def decode(cls, text: bytes) -> Self:
        """Raises `BadBundle` when the text is not a bundle."""
        try:
            raw: dict[str, Any] = json.loads(text)
            models = {name: Published(**raw.pop(name)) for name in ("classifier", "regressor")}
            return cls(**raw | models | {"thresholds": Thresholds(**raw["thresholds"])})
        except (ValueError, TypeError, KeyError) as error:
            raise BadBundle(f"not a bundle: {error}") from error


@dataclass(frozen=True, slots=True)
class Release:
    """What is served: `stable` is a bundle's id."""

    stable: str

    def encode(self) -> bytes:
        """JSON as it lies in release.json."""
        return json.dumps(asdict(self), indent=1).encode() + b"\n"


def assemble(store: Store) -> Bundle | None:
    """Make and write the bundle of the newest two artefacts; None when one is missing or the two do not belong together.

    The same two artefacts always give the bundle that was made of them first.
    """
    newest = [_newest(store, CLASSIFIER), _newest(store, REGRESSOR)]
    if newest[0] is None or newest[1] is None:
        return None
    (classifier, classifier_manifest), (regressor, regressor_manifest) = newest[0], newest[1]
    if mismatch(classifier_manifest, regressor_manifest) is not None:
        return None
    level, other = (_level(store, manifest) for manifest in (classifier_manifest, regressor_manifest))
    if level != other:
        return None
    known = [read_bundle(store, name) for name in list_bundles(store)]
    for bundle in known:
        if (bundle.classifier, bundle.regressor) == (classifier, regressor):
            return bundle
    day = datetime.now(UTC).date().isoformat()
    number = 1 + max((int(b.id.rpartition(".")[2]) for b in known if b.id.startswith(f"{day}.")), default=0)
    while True:  # the other project's `test` stage may end in the same moment: an id names one pair for ever
        bundle = Bundle(f"{day}.{number}", classifier_manifest.contract, classifier, regressor, now(), level)
        if store.create(bundle.encode(), FOLDER, f"{bundle.id}.json"):
            return bundle
        number += 1


def mismatch(classifier: Manifest, regressor: Manifest) -> str | None:
    """Why two artefacts cannot answer together, or None."""
    if classifier.contract != regressor.contract:
        return f"contracts differ: {classifier.contract[:12]} and {regressor.contract[:12]}"
    if classifier.data != regressor.data:
        return f"they were trained on different data: {classifier.data[:12]} and {regressor.data[:12]}"
    if classifier.insurers != regressor.insurers:
        return f"insurers differ: {len(classifier.insurers)} and {len(regressor.insurers)}"
    return None


def list_bundles(store: Store) -> list[str]:
    """The ids of a store's bundles, in the order in which they were made."""
    ids = [match for name in store.names(FOLDER) if (match := _ID.fullmatch(name))]
    return [m["id"] for m in sorted(ids, key=lambda m: (m["day"], int(m["number"])))]


def read_bundle(store: Store, bundle_id: str) -> Bundle:
    """Raises `BadBundle` when there is none of that id."""
    try:
        return Bundle.decode(store.read(FOLDER, f"{bundle_id}.json"))
    except BadArtefact as error:
        raise BadBundle(f"no bundle {bundle_id!r} in the store; it has {list_bundles(store) or 'none'}") from error


def read_release(url: str) -> Release:
    """Read a release.json from a path or fsspec URL. Raises `BadBundle`."""
    try:
        with fsspec.open(url, "rb") as file:
            raw: Mapping[str, Any] = json.loads(file.read())
        return Release(stable=str(raw["stable"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadBundle(f"release.json cannot be read, or names no `stable` bundle: {type(error).__name__}") from error


def write_release(path: Path, release: Release) -> None:
    """Replace a local release.json atomically."""
    write_atomic(path, release.encode())


def _newest(store: Store, project: str) -> tuple[Published, Manifest] | None:
    versions = store.versions(project)
    if not versions:
        return None
    manifest = store.manifest(project, versions[-1])
    return published(manifest), manifest


def _level(store: Store, manifest: Manifest) -> float:
    text = store.read_file(manifest.project, manifest.version, "calibration.json", manifest)
    return float(json.loads(text)["level"])


def published(manifest: Manifest) -> Published:
    """The name of the artefact that a manifest describes."""
    return Published(manifest.project, manifest.version, hashlib.sha256(manifest.encode()).hexdigest())
