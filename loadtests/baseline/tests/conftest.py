"""A bundle without nets: its tables, and arrays as the nets would give them."""

import numpy as np
import pytest
from baseline.answers import Tables

from kit import contract
from kit.artefacts import Published
from kit.bundles import Bundle
from kit.calibration import BETA, INTERVAL, Bands, Calibration, Table
from kit.contract import Contract
from kit.ranges import Expectations, Pairs, Ranges

INSURERS = tuple(f"i-{n:04d}" for n in range(1, 9))


@pytest.fixture(scope="session")
def motor() -> Contract:
    return contract.load()


@pytest.fixture(scope="session")
def tables(motor: Contract) -> Tables:
    """Intervals a tenth wider on each side, probabilities as they are, and nobody over 90 in range."""
    bands = Bands.of(motor, {"age": [30.0, 60.0]})
    quote = Calibration(0.8, "m", bands, {"probabilities": Table.constant(1.0, 1.0, 0.0, effects=len(BETA) - 2)})
    price = Calibration(0.8, "m", bands, {"intervals": Table.constant(-0.1, 0.1, effects=len(INTERVAL))})
    published = Published("x", 1, "0" * 64)
    bundle = Bundle("2026-11-24.1", motor.fingerprint, published, published, "2026-11-24")
    return Tables(motor, bundle, INSURERS, quote, price, ranges(motor))


def ranges(motor: Contract) -> Ranges:
    """Limits of one number."""
    numbers = len(motor.numeric)
    low, high = np.full(numbers, -np.inf), np.full(numbers, np.inf)
    high[[f.name for f in motor.numeric].index("age")] = 90.0
    none, floats = np.zeros(0, np.intp), np.zeros(0)
    given = np.zeros((0, 1), np.intp)
    expectations = Expectations(none, np.zeros(0, bool), floats, given, given, np.zeros(1), floats, floats)
    pairs = Pairs(none, none, none, none, np.zeros(0, np.uint8), 255)
    names = tuple(f.name for f in (*motor.numeric, *motor.categorical))
    edges = np.full((numbers, 1), -np.inf)
    return Ranges(names, low, high, {}, edges, np.zeros((0, 1)), expectations, (), pairs)
