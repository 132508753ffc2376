"""The start-up order: which versions are looked for, loaded, warmed up and tried again before any port opens?"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from kit import logs
from model_server import versions
from model_server.config import ModelConfig
from model_server.errors import Code, ServingError
from model_server.models import Loaded, Models, State, Version

Load = Callable[[int, Path], Awaitable[Loaded]]

_LOG_EVERY_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to go on: `retries` after the first failure, `interval_s` apart; `poll_s` below 0: never look again."""

    retries: int = 5
    interval_s: float = 60.0
    poll_s: float = 1.0


async def load_all(configs: Sequence[ModelConfig], load: Load, patience: Patience) -> Models:
    """Bring every model up. Waits for ever for a base path without versions; raises `ServingError` if a model fails."""
    loaded = await asyncio.gather(*(_load_model(config, load, patience) for config in configs))
    by_name = {config.name: found for config, found in zip(configs, loaded, strict=True)}
    failures = [
        f"{{name: {name} version: {version.number}}} due to error: {version.error}}}, "
        for name, found in by_name.items()
        if not any(version.loaded for version in found.values())
        for version in found.values()
    ]
    if failures:
        raise ServingError(
            Code.UNKNOWN, f"{len(failures)} servable(s) did not become available: {{{''.join(failures)}}}"
        )
    return Models(by_name, {config.name: dict(config.labels) for config in configs if config.labels})


async def _load_model(config: ModelConfig, load: Load, patience: Patience) -> Mapping[int, Version]:
    found = await _discover(config, patience)
    return {number: await _load_version(config, number, folder, load, patience) for number, folder in found.items()}


async def _discover(config: ModelConfig, patience: Patience) -> Mapping[int, Path]:
    """The folders of the versions to serve, highest first; comes back only when there is one."""
    log = logs.get()
    base = Path(config.base_path)
    while True:
        try:
            folders = versions.folders(base)
            wanted = versions.wanted(config.policy, folders)
            if wanted:
                return {number: folders[number] for number in wanted}
            log.warning("no_versions", model=config.name, base_path=config.base_path)
        except OSError as error:
            log.warning("no_base_path", model=config.name, base_path=config.base_path, reason=error.strerror)
        if patience.poll_s > 0:
            await asyncio.sleep(min(patience.poll_s, _LOG_EVERY_S))
        else:
            await asyncio.Event().wait()  # told to look once: it is waited for, for ever


async def _load_version(config: ModelConfig, number: int, folder: Path, load: Load, patience: Patience) -> Version:
    log = logs.get().bind(model=config.name, version=number)
    for left in range(patience.retries, -1, -1):
        try:
            loaded = await load(number, folder)
        except ServingError as error:
            log.warning("load_failed", error=str(error), tries_left=left)
            failure = error
            if left:
                await asyncio.sleep(max(patience.interval_s, 0.0))
        else:
            log.info("loaded")
            return Version(number, State.AVAILABLE, loaded=loaded)
    return Version(number, State.END, failure)
