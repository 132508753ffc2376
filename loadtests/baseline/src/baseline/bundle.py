"""Which bundle is answered with? The fleet's own: the same artefacts, tables and cars."""

from dataclasses import dataclass
from pathlib import Path

from baseline.answers import Tables
from baseline.rows import Packer, Table
from kit import calibration, contract, ranges
from kit.artefacts import BadArtefact, Manifest, Store
from kit.bundles import BadBundle, read_bundle, read_release
from kit.calibration import BadCalibration, Calibration
from kit.ranges import BadRanges, Ranges


class BadInput(Exception):
    """The store, the release or the market cannot be used; the message says why."""


@dataclass(frozen=True)
class Places:
    """Where everything lies."""

    store: str
    release: str
    market: Path


@dataclass(frozen=True)
class Loaded:
    """What an app needs beside the nets: the tables, the packer, and the SavedModels' folders (classifier, regressor)."""

    tables: Tables
    packer: Packer
    folders: tuple[str, str]


def read(places: Places) -> Loaded:
    """The bundle in force, with the market's cars and areas in memory. Raises `BadInput`."""
    motor = contract.load()
    try:
        store = Store(places.store)
        bundle = read_bundle(store, read_release(places.release).stable)
        classifier, regressor = (
            store.manifest(model.project, model.version, model.sha256)
            for model in (bundle.classifier, bundle.regressor)
        )

        def tables_of(manifest: Manifest) -> Calibration:
            text = store.read_file(manifest.project, manifest.version, calibration.FILE, manifest)
            return calibration.read(text, motor, len(manifest.insurers))

        limits = store.read_file(regressor.project, regressor.version, ranges.FILE, regressor)
        tables = Tables(
            motor,
            bundle,
            classifier.insurers,
            tables_of(classifier),
            tables_of(regressor),
            Ranges.read(limits, motor),
        )
        packer = Packer(motor, [Table.read(places.market, motor, entity.name) for entity in motor.entities])
    except (BadArtefact, BadBundle, BadCalibration, BadRanges, OSError) as error:
        raise BadInput(str(error)) from error
    folders = (store.path(m.project, m.version) for m in (classifier, regressor))
    return Loaded(tables, packer, (next(folders), next(folders)))
