"""A store with a whole bundle in it, made without training anything."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from support import INSURERS, MOTOR

from kit.artefacts import Manifest, Published, Store
from kit.bundles import Bundle, Release, assemble, write_release

EVEN: Final = {"pooled": {"low": -0.1, "high": 0.1, "rows": 100}}
FILES: Final[dict[str, dict[str, Any]]] = {
    "quote-classifier": {
        "calibration.json": {
            "level": 0.8,
            "probabilities": {"pooled": {"slope": 1.0, "intercept": 0.0, "rows": 100}},
            "likely_insurers": {"pooled": {"low": -2.0, "high": 2.0, "rows": 100}},
        },
    },
    "premium-regressor": {
        "calibration.json": {
            "level": 0.8,
            "intervals": EVEN,
            "panel": {"cheapest": EVEN, "mean_of_five_cheapest": EVEN},
        },
        "reference.json": {
            "ncd_years": [[0, 0.5], [9, 0.5]],
            "conviction": [["none", 0.9], ["dr10", 0.1]],
            "modified": [],
        },
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
