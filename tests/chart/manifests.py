"""What the tests of the chart read manifests with."""

from typing import Any, Protocol

Manifest = dict[str, Any]


class Render(Protocol):
    """Renders the chart with values over those of `ci/local-values.yaml`; a dotted key sets one value."""

    def __call__(self, **values: object) -> list[Manifest]: ...


def of_kind(documents: list[Manifest], kind: str) -> dict[str, Manifest]:
    """The objects of one kind by name."""
    return {d["metadata"]["name"]: d for d in documents if d["kind"] == kind}
