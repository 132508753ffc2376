"""Which models and versions are there, in which state, and which one does a request mean?"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Protocol

from model_server.errors import Code, ServingError, invalid
from model_server.scheduler import Runner
from model_server.servable import Servable


class State(IntEnum):
    """A version's life, with the numbers of `ModelVersionStatus.State`."""

    START = 10
    LOADING = 20
    AVAILABLE = 30
    UNLOADING = 40
    END = 50


@dataclass(frozen=True, slots=True)
class Loaded:
    """A version that answers."""

    number: int
    servable: Servable
    runner: Runner


@dataclass(frozen=True, slots=True)
class Version:
    """One version's state; `error` says why it ended, `loaded` is there while it is AVAILABLE."""

    number: int
    state: State
    error: ServingError | None = None
    loaded: Loaded | None = None


class Spec(Protocol):
    """What a request says about the model it wants; `version` is None if it does not say."""

    @property
    def has_spec(self) -> bool: ...
    @property
    def model(self) -> str: ...
    @property
    def version(self) -> int | None: ...
    @property
    def label(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Models:
    """All models by name; a snapshot that is replaced as a whole."""

    versions: Mapping[str, Mapping[int, Version]]
    labels: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    def find(self, spec: Spec) -> Loaded:
        """The version that a request means. Raises `ServingError` in TensorFlow Serving's words."""
        if not spec.has_spec:
            raise invalid("Missing ModelSpec")
        if not spec.model:
            raise invalid("ModelSpec has no name specified.")
        version = self._labelled(spec) if spec.label else spec.version
        known = self.versions.get(spec.model, {})
        if version is None:
            ready = max((v.number for v in known.values() if v.loaded), default=None)
            wanted = f"Latest({spec.model})"
        else:
            ready, wanted = version, f"Specific({spec.model}, {version})"
        found = known[ready].loaded if ready is not None and ready in known else None
        if found is None:
            raise ServingError(Code.NOT_FOUND, f"Servable not found for request: {wanted}")
        return found

    def status(self, name: str, version: int | None) -> list[Version]:
        """The states of a model's versions, highest first, or of one. Raises NOT_FOUND."""
        known = self.versions.get(name)
        if not known:
            raise ServingError(Code.NOT_FOUND, f"Could not find any versions of model {name}")
        if version is None:
            return [known[number] for number in sorted(known, reverse=True)]
        if version not in known:
            raise ServingError(Code.NOT_FOUND, f"Could not find version {version} of model {name}")
        return [known[version]]

    def _labelled(self, spec: Spec) -> int:
        if not self.versions:
            raise ServingError(Code.UNAVAILABLE, f"Model labels does not init yet.{spec.label}")
        version = self.labels.get(spec.model, {}).get(spec.label)
        if version is None:
            raise invalid(f"Unrecognized servable version label: {spec.label}")
        return version
