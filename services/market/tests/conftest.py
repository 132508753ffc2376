"""One small market for all tests: defined once, drawn once."""

from dataclasses import dataclass

import numpy as np
import pytest

from kit.contract import Contract, load
from market import calibrate, enquiries, panel
from market.columns import Column
from market.drift import still
from market.enquiries import Enquiries, Plan
from market.insurers import Market

ENQUIRIES = 20_000


@dataclass(frozen=True, slots=True)
class Drawn:
    """20,000 enquiries of the market of seed 1, in blocks."""

    market: Market
    plan: Plan
    blocks: list[Enquiries]

    def all(self, name: str) -> Column:
        """A contract's field or an array of the enquiries, over all blocks."""
        return np.concatenate([b.columns[name] if name in b.columns else getattr(b, name) for b in self.blocks])


@pytest.fixture(scope="session")
def contract() -> Contract:
    """The contract that is shipped."""
    return load()


@pytest.fixture(scope="session")
def market(contract: Contract) -> Market:
    """The insurers of seed 1, with the base where the index wants it."""
    return calibrate.calibrated(contract, panel.make(contract, seed=1, insurers=60))


@pytest.fixture(scope="session")
def drawn(contract: Contract, market: Market) -> Drawn:
    """A sample large enough for the figures that tests look at."""
    plan = Plan(seed=1, enquiries=ENQUIRIES, weeks=8)
    return Drawn(market, plan, list(enquiries.between(contract, still(market, 8), plan, 0, ENQUIRIES)))
