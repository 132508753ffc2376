"""Where does a local fleet keep its things? All of it lies in one folder that git ignores."""

import hashlib
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from kit.files import sync_folder

LONGEST_SOCKET_PATH: Final = 90
"""A Unix socket's path has at most 107 bytes, and supervisord binds it under a longer, temporary name first."""


def repository() -> Path:
    """The checkout that this package is installed from. Raises FileNotFoundError when it is not installed editable."""
    root = Path(__file__).resolve().parents[4]
    if not (root / "scripts" / "venv").exists():
        raise FileNotFoundError(
            "local_fleet runs the services of its checkout: install it with scripts/venv services/local-fleet"
        )
    return root


def default_home(root: Path) -> Path:
    """BALLPARK_HOME, or .ballpark in the checkout."""
    return Path(os.environ.get("BALLPARK_HOME") or root / ".ballpark").absolute()


@dataclass(frozen=True, slots=True)
class Home:
    """What all fleets of one checkout share: the market, the artefacts, the record of what made them."""

    path: Path

    @property
    def market(self) -> Path:
        """The data that a company would bring: risks, answers, vehicles, areas."""
        return self.path / "market"

    @property
    def truth(self) -> Path:
        """What only tests may read."""
        return self.path / "truth"

    @property
    def next(self) -> "NextMarket":
        """Where a new market is made while the old one stands."""
        return NextMarket(self)

    @property
    def store(self) -> Path:
        """The artefact store."""
        return self.path / "store"

    @property
    def work(self) -> Path:
        """What the stages hand to each other."""
        return self.path / "work"

    @property
    def stamps(self) -> Path:
        """One small file per finished step."""
        return self.path / "steps"

    @property
    def preparing(self) -> Path:
        """The mark that processes of the first run carry."""
        return self.path / "preparing"

    def fleet(self, offset: int) -> "FleetFolder":
        """The folder of the fleet at that offset."""
        return FleetFolder(self.path / f"fleet-{offset}")

    def offsets(self) -> list[int]:
        """The offsets that a fleet was ever started at."""
        names = (p.name.removeprefix("fleet-") for p in self.path.glob("fleet-*"))
        return sorted(int(n) for n in names if n.removeprefix("-").isdecimal())


@dataclass(frozen=True, slots=True)
class NextMarket:
    """A market beside the one in force, which `take` puts in its place.

    A kill at any moment leaves either the old market, or none, or the new one with its truth: the market moves out first and in
    last. What else is left lies in hidden siblings, and `clear` removes them before the next market is made.
    """

    home: Home

    @property
    def market(self) -> Path:
        """Where its data are written."""
        return self.home.path / ".market.next"

    @property
    def truth(self) -> Path:
        """Where its truth is written."""
        return self.home.path / ".truth.next"

    def clear(self) -> None:
        """Remove what an earlier run left of a market that never came into force, or of one that no longer is."""
        for name in ("market", "truth"):
            for path in self.home.path.glob(f".{name}.*"):
                shutil.rmtree(path)

    def take(self) -> None:
        """Put the new market in the place of the old one."""
        old_market, old_truth = self.home.path / ".market.old", self.home.path / ".truth.old"
        moves = (
            (self.home.market, old_market),
            (self.home.truth, old_truth),
            (self.truth, self.home.truth),
            (self.market, self.home.market),
        )
        for source, target in moves:
            if source.exists():
                source.rename(target)
        sync_folder(self.home.path)
        self.clear()


@dataclass(frozen=True, slots=True)
class FleetFolder:
    """What belongs to one fleet. Its path is also the mark that the fleet's processes carry in their environment."""

    path: Path

    @property
    def logs(self) -> Path:
        """One file per process, bounded."""
        return self.path / "logs"

    @property
    def supervisor_config(self) -> Path:
        """supervisord's configuration."""
        return self.path / "supervisord.conf"

    @property
    def supervisor_log(self) -> Path:
        """What supervisord says: every start, exit and restart."""
        return self.logs / "supervisord.log"

    @property
    def release(self) -> Path:
        """The bundle in force."""
        return self.path / "release.json"

    @property
    def redis(self) -> Path:
        """Valkey's snapshot lies here."""
        return self.path / "redis"

    @property
    def state(self) -> Path:
        """Written when the fleet is ready: who runs it, on which ports."""
        return self.path / "fleet.json"

    @property
    def socket(self) -> Path:
        """supervisord's control socket: in the folder, or in the temporary folder when that path is too long."""
        near = self.path / "supervisor.sock"
        if len(os.fsencode(near)) <= LONGEST_SOCKET_PATH:
            return near
        short = hashlib.sha256(os.fsencode(near)).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"ballpark-{os.getuid()}-{short}" / "supervisor.sock"

    def model_config(self, model: str) -> Path:
        """The model server's --model_config_file."""
        return self.path / f"{model}.config"

    @property
    def batching(self) -> Path:
        """The model servers' --batching_parameters_file."""
        return self.path / "batching.config"
