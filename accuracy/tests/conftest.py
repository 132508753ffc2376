"""What several tests look at: a market of a few insurers that quote along a known tariff."""

import numpy as np
import pytest

from kit import contract
from kit.contract import Contract
from kit.training.data.slices import Rows


@pytest.fixture(scope="session")
def of() -> Contract:
    """The contract of the day."""
    return contract.load()


def rows_of(contract: Contract, count: int, seed: int) -> Rows:
    """Enquiries that three insurers answer: by age and sector, never, and always at one price."""
    rng = np.random.default_rng(seed)
    numeric = rng.integers(0, 20, (count, len(contract.numeric))).astype(np.float32)
    categorical = np.stack([rng.integers(0, min(len(f.code_of), 6), count) for f in contract.categorical], 1).astype(
        np.int32
    )
    age = numeric[:, [f.name for f in contract.numeric].index("age")]
    sector = categorical[:, [f.name for f in contract.categorical].index("sector")]
    quoted = np.stack([np.where(age >= 5, 1, 0), np.zeros(count), np.ones(count)], 1).astype(np.int8)
    log_premium = 6 + 0.05 * age + 0.1 * sector + 0.01 * rng.standard_normal(count)
    premium = np.where(quoted == 1, np.exp(np.stack([log_premium, log_premium, np.full(count, 6.0)], 1)), np.nan)
    return Rows(np.arange(count, dtype=np.int64), numeric, categorical, quoted, premium.astype(np.float32))


@pytest.fixture(scope="session")
def train(of: Contract) -> Rows:
    """What baselines are fitted to."""
    return rows_of(of, 1500, 1)


@pytest.fixture(scope="session")
def held_out(of: Contract) -> Rows:
    """What they are judged on."""
    return rows_of(of, 400, 2)
