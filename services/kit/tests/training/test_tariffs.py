"""Does the regression find additive tariffs, with the right trust in few rows, and what does it say of what is not known?"""

from dataclasses import dataclass

import numpy as np
import pytest

from kit.contract import Contract
from kit.rows import pack_columns
from kit.training.data.slices import Rows
from kit.training.nets.encoding import segments
from kit.training.nets.tariffs import Coefficients, Design, Penalties, Tariffs, fit

PENALTIES = Penalties(0.3, 0.5)
LONG = 100


@dataclass(frozen=True)
class Market:
    """Rows, their true log prices [B, K] and who quoted them."""

    rows: Rows
    truth: np.ndarray


def market(contract: Contract, enquiries: int, insurers: int, seed: int = 1, noise: float = 0.05) -> Market:
    """Curves of age and group, a table of the make and one of the sector, which pairs of insurers nearly share."""
    rng = np.random.default_rng(seed)
    age, group = rng.integers(17, 90, enquiries), rng.integers(1, 51, enquiries)
    make, sector = rng.integers(0, 20, enquiries), rng.integers(0, 60, enquiries)
    fixed = np.random.default_rng(5)
    of_make, of_sector = fixed.normal(0, 0.1, (20, insurers)), fixed.normal(0, 0.2, (60, (insurers + 1) // 2))
    of_sector = np.repeat(of_sector, 2, axis=1)[:, :insurers] + fixed.normal(0, 0.02, (60, insurers))
    steep = fixed.uniform(0.5, 1.5, insurers)
    curve = np.interp(age, [17, 25, 60, 90], [0.8, 0.3, 0.0, 0.4]) + 0.02 * group
    truth = 6.5 + curve[:, None] * steep + of_make[make] + of_sector[sector]
    quoted = rng.random(truth.shape) < 0.7
    premium = np.where(quoted, np.exp(truth + rng.normal(0, noise, truth.shape)), np.nan).astype(np.float32)
    columns = {
        "age": age.astype(np.float32),
        "vehicle_group": group.astype(np.float32),
        "make": np.array(contract.field("make").values, object)[make],
        "sector": np.array(contract.field("sector").values, object)[sector],
    }
    rows = Rows(np.arange(enquiries), *pack_columns(contract, columns), quoted.astype(np.int8), premium)
    return Market(rows, truth)


def prices(contract: Contract, found: Tariffs, trained: Rows, asked: Rows) -> np.ndarray:
    """What tariffs say, in the log, [B, K]."""
    bins = segments(contract, trained.numeric, 16)
    design = Design.of(contract, bins, asked.numeric, asked.categorical, LONG)
    return found.level + design.times(Coefficients(found.dense, found.tables))


def fitted(contract: Contract, rows: Rows) -> Tariffs:
    """With 16 bins for each number."""
    return fit(contract, segments(contract, rows.numeric, 16), rows, LONG, PENALTIES)


def test_additive_tariffs_are_found(contract: Contract) -> None:
    """From noisy quotes of two thirds of the rows, the true prices of all rows within a fraction of the noise."""
    made = market(contract, 4000, 6)

    found = prices(contract, fitted(contract, made.rows), made.rows, made.rows)

    assert np.abs(found - made.truth).mean() < 0.025


def test_a_newcomer_learns_from_its_like(contract: Contract) -> None:
    """An insurer with a handful of quotes is priced better beside one that prices alike than alone."""
    made = market(contract, 3000, 6)
    premium = made.rows.premium.copy()
    premium[100:, 5] = np.nan
    together = Rows(made.rows.ids, made.rows.numeric, made.rows.categorical, made.rows.quoted, premium)
    alone = Rows(made.rows.ids, made.rows.numeric, made.rows.categorical, made.rows.quoted[:, 5:], premium[:, 5:])

    by_all = prices(contract, fitted(contract, together), together, together)[:, 5]
    by_itself = prices(contract, fitted(contract, alone), alone, alone)[:, 0]

    assert np.abs(by_all - made.truth[:, 5]).mean() < 0.7 * np.abs(by_itself - made.truth[:, 5]).mean()


@pytest.mark.parametrize("numeric_column", ["age", "vehicle_group"])
def test_a_number_that_is_not_known_adds_its_mean(contract: Contract, numeric_column: str) -> None:
    """The mean price stays where it is when nobody says it."""
    made = market(contract, 2000, 4)
    found = fitted(contract, made.rows)
    hidden = made.rows.numeric.copy()
    hidden[:, [f.name for f in contract.numeric].index(numeric_column)] = np.nan
    asked = Rows(made.rows.ids, hidden, made.rows.categorical, made.rows.quoted, made.rows.premium)

    np.testing.assert_allclose(
        prices(contract, found, made.rows, made.rows).mean(axis=0),
        prices(contract, found, made.rows, asked).mean(axis=0),
        atol=1e-3,
    )


@pytest.mark.parametrize("code", [-1, 10**6])
def test_a_code_that_is_not_known_adds_its_mean(contract: Contract, code: int) -> None:
    """Of a table, and of a short vocabulary; a code beyond the vocabulary is not known either."""
    made = market(contract, 2000, 4)
    found = fitted(contract, made.rows)
    hidden = made.rows.categorical.copy()
    for name in ("make", "sector"):
        hidden[:, [f.name for f in contract.categorical].index(name)] = code
    asked = Rows(made.rows.ids, made.rows.numeric, hidden, made.rows.quoted, made.rows.premium)

    np.testing.assert_allclose(
        prices(contract, found, made.rows, made.rows).mean(axis=0),
        prices(contract, found, made.rows, asked).mean(axis=0),
        atol=1e-3,
    )


def test_an_insurer_without_quotes_has_the_markets_level(contract: Contract) -> None:
    """Nobody knows its prices, and nothing fails."""
    made = market(contract, 500, 3)
    premium = made.rows.premium.copy()
    premium[:, 1] = np.nan
    rows = Rows(made.rows.ids, made.rows.numeric, made.rows.categorical, made.rows.quoted, premium)

    found = prices(contract, fitted(contract, rows), rows, rows)

    assert pytest.approx(np.nanmean(np.log(premium)), abs=0.01) == found[:, 1].mean()
