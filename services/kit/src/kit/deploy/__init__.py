"""What does a deployment need of a bundle?

The section of the chart's values that names it, the variables of docker-compose.yml, and, in a gateway pod's init container, the
bundle itself with both artefacts.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kit.artefacts import Store
from kit.bundles import FOLDER, Bundle
from kit.files import write_atomic


def chart_values(bundle: Bundle) -> Mapping[str, Any]:
    """The chart's `release`: the stable track serves this bundle."""
    models = (bundle.classifier, bundle.regressor)
    artefacts = {model.project: {"version": model.version, "sha256": model.sha256} for model in models}
    return {"release": {"stable": {"bundle": bundle.id, "artefacts": artefacts}}}


def compose_variables(bundle: Bundle) -> Mapping[str, str]:
    """The variables of docker-compose.yml that name a release."""
    return {
        "BALLPARK_BUNDLE": bundle.id,
        "QUOTE_CLASSIFIER_VERSION": str(bundle.classifier.version),
        "PREMIUM_REGRESSOR_VERSION": str(bundle.regressor.version),
    }


def fetch(store: Store, bundle: Bundle, to: Path) -> None:
    """Copy a bundle and its artefacts into a store in a folder, checked byte for byte; the bundle's own file last.

    Raises `BadArtefact` when an artefact is missing or differs from its sha256.
    """
    for model in (bundle.classifier, bundle.regressor):
        folder = to / model.project
        folder.mkdir(parents=True, exist_ok=True)
        store.fetch(model, folder)
    (to / FOLDER).mkdir(exist_ok=True)
    write_atomic(to / FOLDER / f"{bundle.id}.json", bundle.encode())
