"""Brings wanted versions up and others down, one step a model every 100 ms, for as long as the server lives."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from kit import logs
from model_server.errors import Code, ServingError
from model_server.states import Loaded, Registry, State, Version
from model_server.transition import Known, Load, Phase, Unload, next_step

Loader = Callable[[int, Path], Awaitable[Loaded]]

TICK_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class Patience:
    """How often a load is tried after its first failure, and how far apart (below 0: at once)."""

    retries: int = 5
    interval_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Threads:
    """How many loads and unloads run at once; 0: in the manager's own loop, which does nothing else meanwhile."""

    initial: int = 1
    loads: int = 0
    unloads: int = 0


@dataclass(slots=True, eq=False)
class _Managed:
    number: int
    folder: Path
    phase: Phase = Phase.NEW
    loaded: Loaded | None = None
    dropped: asyncio.Event = field(default_factory=asyncio.Event)  # set: nobody wants it any more

    @property
    def wanted(self) -> bool:
        return not self.dropped.is_set()


class Manager:
    """Owns every version from the moment it is wanted until it is gone."""

    def __init__(self, registry: Registry, load: Loader, patience: Patience, threads: Threads) -> None:
        self._registry, self._load, self._patience, self._threads = registry, load, patience, threads
        self._models: dict[str, dict[int, _Managed]] = {}
        self._pending: dict[str, Mapping[int, Path]] = {}
        self._started = False
        self._initial = asyncio.Semaphore(max(threads.initial, 1))
        self._loads = asyncio.Semaphore(max(threads.loads, 1))
        self._unloads = asyncio.Semaphore(max(threads.unloads, 1))

    def aspire(self, model: str, folders: Mapping[int, Path]) -> None:
        """From the next step on, exactly these versions of the model are wanted."""
        self._pending[model] = folders

    def initial_load_is_over(self) -> None:
        """From now on loads run as the flags say."""
        self._started = True

    async def run(self) -> None:
        """Go on until cancelled."""
        async with asyncio.TaskGroup() as work:
            while True:
                self._take_pending()
                for model, step in self._steps():
                    await self._perform(work, model, step)
                await asyncio.sleep(TICK_S)

    def _take_pending(self) -> None:
        pending, self._pending = self._pending, {}
        for model, folders in pending.items():
            managed = self._models.setdefault(model, {})
            for number, version in managed.items():
                if number not in folders:
                    version.dropped.set()
            for number, folder in folders.items():
                if number not in managed:
                    managed[number] = _Managed(number, folder)
                    self._registry.set_state(model, Version(number, State.START))
                elif not managed[number].wanted and managed[number].phase is not Phase.BUSY:
                    managed[number].dropped.clear()
        for model, managed in self._models.items():
            self._models[model] = {n: v for n, v in managed.items() if v.wanted or v.phase in {Phase.BUSY, Phase.READY}}

    def _steps(self) -> list[tuple[str, Load | Unload]]:
        """One for each model that has any, the unloads first."""
        found = []
        for model, managed in self._models.items():
            step = next_step(Known(v.number, v.phase, v.wanted) for v in managed.values())
            if step is not None:
                found.append((model, step))
        return sorted(found, key=lambda one: isinstance(one[1], Load))

    async def _perform(self, work: asyncio.TaskGroup, model: str, step: Load | Unload) -> None:
        version = self._models[model][step.number]
        version.phase = Phase.BUSY
        if isinstance(step, Unload):
            act, slots, inline = self._bring_down(model, version), self._unloads, not self._threads.unloads
        elif self._started:
            act, slots, inline = self._bring_up(model, version), self._loads, not self._threads.loads
        else:
            act, slots, inline = self._bring_up(model, version), self._initial, False
        if inline:
            await act
        else:
            work.create_task(_within(slots, act))

    async def _bring_up(self, model: str, version: _Managed) -> None:
        log = logs.get().bind(model=model, version=version.number)
        self._registry.set_state(model, Version(version.number, State.LOADING))
        try:
            version.loaded = await self._try(model, version)
        except ServingError as error:
            version.phase = Phase.FAILED
            self._registry.set_state(model, Version(version.number, State.END, error))
            return
        await self._registry.publish(model, version.number, version.loaded)
        version.phase = Phase.READY
        self._registry.set_state(model, Version(version.number, State.AVAILABLE))
        log.info("loaded")

    async def _try(self, model: str, version: _Managed) -> Loaded:
        """Load, again and again while there are tries left and the version is wanted. Raises the last `ServingError`."""
        for left in range(max(self._patience.retries, 0), -1, -1):
            try:
                return await self._load(version.number, version.folder)
            except ServingError as error:
                failure = error
            except Exception as error:  # noqa: BLE001 -- whatever a version is made of, it must not end the server
                failure = ServingError(Code.INTERNAL, repr(error))
            logs.get().warning("load_failed", model=model, version=version.number, error=str(failure), tries_left=left)
            if left and self._patience.interval_s > 0:
                with suppress(TimeoutError):
                    await asyncio.wait_for(version.dropped.wait(), self._patience.interval_s)
            if not version.wanted:
                break
        raise failure

    async def _bring_down(self, model: str, version: _Managed) -> None:
        self._registry.set_state(model, Version(version.number, State.UNLOADING))
        await self._registry.publish(model, version.number, None)
        loaded, version.loaded = version.loaded, None
        if loaded is not None:
            loaded.runner.close()
            await asyncio.to_thread(loaded.close)
        self._registry.set_state(model, Version(version.number, State.END))
        del self._models[model][version.number]
        logs.get().info("unloaded", model=model, version=version.number)


async def _within(slots: asyncio.Semaphore, act: Awaitable[None]) -> None:
    async with slots:
        await act
