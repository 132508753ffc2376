"""A store with a whole bundle in it, made without training anything."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from support import INSURERS, MOTOR, ranges_file

from kit.artefacts import Manifest, Published, Store
from kit.bundles import Bundle, Release, assemble, write_release
from kit.calibration import fingerprint

MODEL: Final = b"not a graph"
HEAD: Final = {"scheme": 2, "level": 0.8, "model": fingerprint({"saved_model.pb": hashlib.sha256(MODEL).hexdigest()})}


def even(*numbers: float, names: tuple[str, ...] = ("low", "high")) -> dict[str, Any]:
    """A table with the same numbers for every risk."""
    return {"numbers": names, "pooled": {"add": numbers, "rows": 100}, "half": {}, "keys": {}}


EVEN: Final = even(-0.1, 0.1)
FILES: Final[dict[str, dict[str, Any]]] = {
    "quote-classifier": {
        "calibration.json": {
            **HEAD,
            "probabilities": even(1.0, 1.0, 0.0, names=("a", "b", "c")),
            "likely_insurers": even(-2.0, 2.0),
        },
    },
    "premium-regressor": {
        "calibration.json": {
            **HEAD,
            "intervals": EVEN,
            "panel": {"cheapest": EVEN, "mean_of_five_cheapest": EVEN},
        },
        "reference.json": {
            "ncd_years": [[0, 0.5], [9, 0.5]],
            "conviction": [["none", 0.9], ["dr10", 0.1]],
            "modified": [],
            "row": {"ncd_years": 9},
        },
        "ranges.json": json.loads(ranges_file()),
    },
}


def publish(
    store: Store, project: str, *, contract: str = MOTOR.fingerprint, insurers: tuple[str, ...] = INSURERS, **files: Any
) -> Published:
    """Publish an artefact of a project, with some files changed or (None) left out."""
    folder = Path(store.url) / ".work" / project
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in (FILES[project] | files).items():
        if content is None:
            (folder / name).unlink(missing_ok=True)
        else:
            (folder / name).write_text(json.dumps(content))
    (folder / "card.md").write_text(f"# {project}\n")
    (folder / "saved_model.pb").write_bytes(MODEL)
    return store.publish(
        folder, Manifest(project, 0, "2026-01-01T00:00:00+00:00", "unknown", contract, "data", insurers)
    )


def make(
    folder: Path, insurers: tuple[str, ...] = INSURERS, changed: Mapping[str, Any] | None = None
) -> tuple[str, str, Bundle]:
    """A store and a release.json that names its bundle: their URLs and the bundle; `changed` files of the classifier."""
    store = Store(str(folder / "store"))
    publish(store, "quote-classifier", insurers=insurers, **(changed or {}))
    publish(store, "premium-regressor", insurers=insurers)
    bundle = assemble(store)
    assert bundle is not None
    write_release(folder / "release.json", Release(bundle.id))
    return store.url, str(folder / "release.json"), bundle
