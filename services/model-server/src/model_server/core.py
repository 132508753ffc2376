"""Which models are configured, and what happens when another list comes: by the first config, by a call, or by the polled file."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from kit import logs
from model_server import config
from model_server.config import ModelConfig
from model_server.errors import ServingError, invalid, unmet
from model_server.manager import Manager
from model_server.source import Source
from model_server.states import Registry, not_available

_NOT_A_LIST = (
    "ServerModelConfig type not supported by HandleReloadConfigRequest. Only ModelConfigList is currently supported"
)
_NO_TRANSITION = (
    "Cannot transition to requested config. It is only legal to transition from one ModelConfigList to another."
)


class Core:
    """The list in force. One change at a time; the others wait for it, for ever if it takes that long."""

    def __init__(self, registry: Registry, manager: Manager, source: Source, *, labels_for_unavailable: bool) -> None:
        self._registry, self._manager, self._source = registry, manager, source
        self._labels_for_unavailable = labels_for_unavailable
        self._changing = asyncio.Lock()
        self._first = True

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Versions come and go while this is open. What fails in there is raised here."""
        async with asyncio.TaskGroup() as work:
            managing = work.create_task(self._manager.run())
            looking = work.create_task(self._source.run())
            yield
            managing.cancel()
            looking.cancel()

    async def start(self, models: Sequence[ModelConfig] | None) -> None:
        """The first config: comes back when every model is up. Raises `ServingError` when one has failed for good."""
        await self.reload(models)
        self._manager.initial_load_is_over()

    async def reload_by_request(self, message: Any) -> None:
        """A `ModelServerConfig` that came by a call. Raises `ServingError`."""
        if message.WhichOneof("config") != "model_config_list":
            raise invalid(_NOT_A_LIST)
        await self.reload(config.listed(message))

    async def reload(self, models: Sequence[ModelConfig] | None) -> None:
        """Put a list in force and wait until the models whose names are new are up. Raises `ServingError`."""
        async with self._changing:
            if models is None:
                if not self._first:
                    raise unmet(_NO_TRANSITION)
                return
            config.check(models, self._source.models, self._may_be_labelled)
            self._registry.labels = {one.name: dict(one.labels) for one in models if one.labels}
            new = {one.name for one in models} - {one.name for one in self._source.models}
            kind = "servable(s)" if self._first else "model(s)"
            watch = self._registry.watch(afresh=not self._first)
            self._first = False
            try:
                self._source.update(models)
                failed = await watch.until_up(new)
            finally:
                self._registry.unwatch(watch)
        if failed:
            raise not_available(kind, failed)

    async def poll(self, path: str, every_s: float) -> None:
        """Read the model config file again and again, until cancelled. What is wrong with it is logged, and changes nothing."""
        while True:
            await asyncio.sleep(every_s)
            try:
                await self.reload(await asyncio.to_thread(config.read_models, path))
            except ServingError as error:
                logs.get().error(
                    "config_not_reloaded", path=path, reason=f"Failed to read ModelServerConfig file: {error}"
                )

    def _may_be_labelled(self, wish: tuple[str, str, int]) -> bool:
        model, label, version = wish
        if self._registry.is_available(model, version):
            return True
        present = (self._registry.labels or {}).get(model, {}).get(label, version)
        return self._labels_for_unavailable and present == version
