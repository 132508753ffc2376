"""Which versions are there, in which state, and which of them answer? All of it belongs to the event loop's thread.

Two things are kept apart, as in TensorFlow Serving. The states are what a caller may ask for, and nothing of them is ever
forgotten. The table is what calls are answered from: it is replaced as a whole, a call holds the one that it began with, and
whoever replaces a table waits until no call holds the old one.
"""

import asyncio
from collections.abc import Collection, Mapping
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

    def close(self) -> None:
        """Give its memory back. Blocks."""
        self.servable.close()


@dataclass(frozen=True, slots=True)
class Version:
    """One version's state; `error` says why it ended."""

    number: int
    state: State
    error: ServingError | None = None


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


Labels = Mapping[str, Mapping[str, int]]


@dataclass(slots=True, eq=False)
class Table:
    """The versions that answer: model -> number -> version. `calls` is how many calls hold it."""

    ready: Mapping[str, Mapping[int, Loaded]] = field(default_factory=dict)
    latest: Mapping[str, Loaded] = field(default_factory=dict)
    calls: int = 0
    empty: asyncio.Event | None = None

    def find(self, model: str, version: int | None) -> Loaded:
        """The version meant; without a number the highest. Raises NOT_FOUND."""
        found = self.latest.get(model) if version is None else self.ready.get(model, {}).get(version)
        if found is None:
            wanted = f"Latest({model})" if version is None else f"Specific({model}, {version})"
            raise ServingError(Code.NOT_FOUND, f"Servable not found for request: {wanted}")
        return found

    def release(self) -> None:
        """A call has ended."""
        self.calls -= 1
        if self.empty is not None and not self.calls:
            self.empty.set()


@dataclass(slots=True)
class Lease:
    """A call's hold on the version that answers it; given back once."""

    loaded: Loaded
    _table: Table

    def release(self, *_: object) -> None:
        """Takes what the end of a run passes."""
        self._table.release()


class Registry:
    """The states, the labels and the table."""

    def __init__(self) -> None:
        self._states: dict[str, dict[int, Version]] = {}
        self._table = Table()
        self._swapping = asyncio.Lock()
        self._watches: list[Watch] = []
        self.labels: Labels | None = None  # None until a list of models was read

    def lease(self, spec: Spec) -> Lease:
        """Find the version that a request means, and hold it. Raises `ServingError` in TensorFlow Serving's words."""
        if not spec.has_spec:
            raise invalid("Missing ModelSpec")
        if not spec.model:
            raise invalid("ModelSpec has no name specified.")
        version = self._labelled(spec) if spec.label else spec.version
        table = self._table
        loaded = table.find(spec.model, version)
        table.calls += 1
        return Lease(loaded, table)

    def status(self, name: str, version: int | None) -> list[Version]:
        """The states of a model's versions, highest first, or of one. Raises NOT_FOUND."""
        known = self._states.get(name)
        if not known:
            raise ServingError(Code.NOT_FOUND, f"Could not find any versions of model {name}")
        if version is None:
            return [known[number] for number in sorted(known, reverse=True)]
        if version not in known:
            raise ServingError(Code.NOT_FOUND, f"Could not find version {version} of model {name}")
        return [known[version]]

    def is_available(self, name: str, version: int) -> bool:
        """Can a label point there?"""
        found = self._states.get(name, {}).get(version)
        return found is not None and found.state is State.AVAILABLE

    def ready(self) -> Mapping[str, Mapping[int, Loaded]]:
        """What answers now."""
        return self._table.ready

    def set_state(self, name: str, version: Version) -> None:
        """Tell everybody who watches."""
        self._states.setdefault(name, {})[version.number] = version
        for watch in self._watches:
            watch.saw(name, version)

    async def publish(self, name: str, number: int, loaded: Loaded | None) -> None:
        """Take a version into the table, or (None) out of it, and wait until no call holds the table before."""
        async with self._swapping:
            ready = {model: dict(versions) for model, versions in self._table.ready.items()}
            versions = ready.setdefault(name, {})
            if loaded is None:
                versions.pop(number, None)
            else:
                versions[number] = loaded
            old, self._table = self._table, Table(ready, {m: v[max(v)] for m, v in ready.items() if v})
            if old.calls:
                old.empty = asyncio.Event()
                await old.empty.wait()

    def watch(self, *, afresh: bool) -> "Watch":
        """Follow states: those from now on only, or (not afresh) the present ones, too."""
        watch = Watch({} if afresh else {name: dict(versions) for name, versions in self._states.items()})
        self._watches.append(watch)
        return watch

    def unwatch(self, watch: "Watch") -> None:
        """No more."""
        self._watches.remove(watch)

    def _labelled(self, spec: Spec) -> int:
        if self.labels is None:
            raise ServingError(Code.UNAVAILABLE, f"Model labels does not init yet.{spec.label}")
        version = self.labels.get(spec.model, {}).get(spec.label)
        if version is None:
            raise invalid(f"Unrecognized servable version label: {spec.label}")
        return version


class Watch:
    """Waits for models to come up."""

    def __init__(self, states: dict[str, dict[int, Version]]) -> None:
        self._states = states
        self._changed = asyncio.Event()

    def saw(self, name: str, version: Version) -> None:
        """A version has another state."""
        self._states.setdefault(name, {})[version.number] = version
        self._changed.set()

    async def until_up(self, names: Collection[str]) -> list[tuple[str, Version]]:
        """Wait until each model has a version that is AVAILABLE or has ended; those that have ended come back."""
        while True:
            reached = {name: self._reached(name) for name in names}
            if all(reached.values()):
                return [(name, found) for name, found in reached.items() if found and found.state is State.END]
            self._changed.clear()
            await self._changed.wait()

    def _reached(self, name: str) -> Version | None:
        known = self._states.get(name, {})
        order = (known[number] for number in sorted(known, reverse=True))
        return next((version for version in order if version.state in {State.AVAILABLE, State.END}), None)


def not_available(kind: str, failed: Collection[tuple[str, Version]]) -> ServingError:
    """What a start or a reload fails with; `kind` is the word for a model."""
    each = "".join(
        f"{{name: {name} version: {version.number}}} due to error: {version.error or 'OK'}}}, "
        for name, version in failed
    )
    return ServingError(Code.UNKNOWN, f"{len(failed)} {kind} did not become available: {{{each}}}")
