"""Where is everything? The fleet's own market and models, and what a benchmark of another size makes."""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from kit.bundles import CLASSIFIER, REGRESSOR
from kit.files import sha256_of

MODELS: Final = (CLASSIFIER, REGRESSOR)
MARKET: Final = "market"
INSURERS: Final = 60
SEED: Final = 1
"""The market of the fleet and of the dated reports."""
SOURCES: Final = frozenset({".py", ".toml", ".txt"})
NOT_IN_MODELS: Final = frozenset({"deploy", "logs.py", "series.py", "series.toml"})
"""Parts of the kit that no model is made with."""


def repository() -> Path:
    """The checkout that this package is installed from. Raises FileNotFoundError when it is not installed editable."""
    root = Path(__file__).resolve().parents[3]
    if not (root / "scripts" / "venv").exists():
        raise FileNotFoundError("accuracy runs the projects of its checkout: install it with scripts/venv accuracy")
    return root


def default_home(root: Path) -> Path:
    """BALLPARK_HOME, or .ballpark in the checkout."""
    return Path(os.environ.get("BALLPARK_HOME") or root / ".ballpark").absolute()


@dataclass(frozen=True, slots=True)
class Places:
    """What a benchmark reads (market, truth, wrangled slices, store) and where it keeps its own (`work`)."""

    market: Path
    truth: Path
    wrangled: Path
    store: Path
    work: Path

    @classmethod
    def of_fleet(cls, home: Path) -> "Places":
        """What `make run` made."""
        wrangled = home / "work" / CLASSIFIER / "wrangled"
        return cls(home / "market", home / "truth", wrangled, home / "store", home / "accuracy" / "fleet")

    @classmethod
    def of_size(cls, home: Path, enquiries: int, insurers: int = INSURERS, seed: int = SEED) -> "Places":
        """What a benchmark of that market makes for itself; the folder's name says what is not as in the fleet's."""
        other = (f"-{insurers}-insurers" if insurers != INSURERS else "") + (f"-seed-{seed}" if seed != SEED else "")
        work = home / "accuracy" / f"{enquiries}{other}"
        return cls(work / "market", work / "truth", work / "wrangled", work / "store", work)

    @property
    def stamps(self) -> Path:
        """One small file per finished stage."""
        return self.work / "steps"

    @property
    def logs(self) -> Path:
        """What each stage said."""
        return self.work / "logs"

    @property
    def asked(self) -> Path:
        """The held-out enquiries without their answers."""
        return self.work / "held-out.parquet"

    def trained(self, model: str) -> Path:
        """What the train stage of a model writes."""
        return self.work / "trained" / model

    def scored(self, model: str) -> Path:
        """What the score stage of a model writes."""
        return self.work / "scored" / f"{model}.parquet"

    def params(self, model: str) -> Path:
        """The parameters that a model is made with here."""
        return self.work / "params" / f"{model}.toml"


def package(model: str) -> str:
    """The Python package of a model project."""
    return model.replace("-", "_")


def python(root: Path, service: str) -> str:
    """The interpreter of a service's own environment."""
    return str(root / "services" / service / ".venv" / "bin" / "python")


def environment() -> Mapping[str, str]:
    """What stages are started with: lines at once, and TensorFlow compiled once and not each time."""
    return {**os.environ, "PYTHONDONTWRITEBYTECODE": "", "PYTHONUNBUFFERED": "1"}


def code_of(root: Path, service: str) -> str:
    """A digest of the sources and the locked packages that a service's stages run, its part of the kit included; not of its parameters."""
    own, kit = root / "services" / service, root / "services" / "kit" / "src" / "kit"
    # The market takes the contract from the kit, and otherwise how files are written and progress is shown.
    shared = (
        (kit / "contract").rglob("*")
        if service == MARKET
        else (p for p in kit.rglob("*") if p.relative_to(kit).parts[0] not in NOT_IN_MODELS)
    )
    paths = sorted(p for p in [*(own / "src").rglob("*"), *shared] if p.suffix in SOURCES and p.name != "params.toml")
    return digest_of([*paths, own / "requirements.lock"], root)


def digest_of(paths: list[Path], root: Path) -> str:
    """One digest for the names and contents of files."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(f"{path.relative_to(root)} {sha256_of(path)}\n".encode())
    return digest.hexdigest()
