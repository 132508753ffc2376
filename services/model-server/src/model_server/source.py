"""Looks at the base paths, once a second, and tells the manager which versions are wanted."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from kit import logs
from model_server import versions
from model_server.config import ModelConfig, Specific

Aspire = Callable[[str, Mapping[int, Path]], None]


class BasePathMissing(Exception):
    """A base path cannot be listed: then the whole look counts for nothing."""


class Source:
    """The models that are configured, and where their versions lie."""

    def __init__(self, aspire: Aspire, poll_s: int) -> None:
        self._aspire, self._poll_s = aspire, poll_s
        self._configs: tuple[ModelConfig, ...] = ()

    @property
    def models(self) -> tuple[ModelConfig, ...]:
        """What is configured now."""
        return self._configs

    def update(self, configs: Sequence[ModelConfig]) -> None:
        """From now on these models. Those left out are not wanted any more; new ones are seen at the next look."""
        for gone in {config.name for config in self._configs} - {config.name for config in configs}:
            self._aspire(gone, {})
        self._configs = tuple(configs)

    async def run(self) -> None:
        """Look until cancelled; with 0 seconds once, with less never."""
        while self._poll_s >= 0:
            await self.look()
            if self._poll_s == 0:
                return
            await asyncio.sleep(self._poll_s)

    async def look(self) -> None:
        """One look at every base path. One that is missing keeps all models as they are."""
        configs = self._configs
        try:
            found = await asyncio.to_thread(lambda: {config.name: wanted(config) for config in configs})
        except BasePathMissing as error:
            logs.get().error("no_base_path", reason=str(error))
            return
        if configs is not self._configs:
            return  # reloaded meanwhile: what was seen is of another list
        for name, folders in found.items():
            self._aspire(name, folders)


def wanted(config: ModelConfig) -> Mapping[int, Path]:
    """The folders of the versions to serve. Raises `BasePathMissing`."""
    base = Path(config.base_path.removeprefix("file://"))
    if isinstance(config.policy, Specific):
        named = {number: base / str(number) for number in config.policy.versions}
        if named and all(folder.exists() for folder in named.values()):
            return named
    try:
        folders = versions.folders(base)
    except OSError as error:
        raise BasePathMissing(
            f"Could not find base path {base} for servable {config.name} with error {error.strerror}"
        ) from error
    _warn(config, folders)
    return {number: folders[number] for number in versions.wanted(config.policy, folders)}


def _warn(config: ModelConfig, folders: Mapping[int, Path]) -> None:
    log = logs.get().bind(model=config.name, base_path=config.base_path)
    if not folders:
        log.warning(
            "no_versions",
            reason=f"No versions of servable {config.name} found under base path {config.base_path}. Did you forget to "
            "name your leaf directory as a number (eg. '/1/')?",
        )
    elif isinstance(config.policy, Specific):
        if not config.policy.versions:
            log.warning("no_specific_version")
        for number in set(config.policy.versions) - set(folders):
            log.warning("specific_version_missing", version=number)
