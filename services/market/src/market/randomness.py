"""Where does chance come from? From counters, so that one seed gives one market, whatever is made of it and in whatever order.

Enquiries are drawn in blocks of a fixed number of ids. A block of a stream has its own Philox key and counter, so that it can be
drawn alone: any range of enquiries, at any chunk size, by any worker, equals its slice of the whole. Insurers have counters of their
own too, so that one insurer's chance does not depend on how many others there are.
"""

from enum import IntEnum
from typing import Final

import numpy as np

BLOCK: Final = 4096
"""Enquiries per block. It is part of what a seed means: another number is another market."""

COUNTRY_SEED: Final = 2025
"""Of the places and the cars, which are the same in every market."""
LARGEST_SEED: Final = 2**63 - 1
"""Seeds above it are for samples that a market takes of itself."""


class Stream(IntEnum):
    """What a stream decides. The numbers are part of what a seed means: add to the end, never renumber."""

    COUNTRY = 1
    CATALOGUE = 2
    GROUP = 3
    INSURER = 4
    ARRIVAL = 5
    PERSON = 6
    CAR = 7
    USE = 8
    HISTORY = 9
    WANTED = 10
    FOOTPRINT = 11
    NOISE = 12
    PRICE_TEST = 13
    RESPONSE = 14
    MISSTATED = 15
    ENTRANT = 16
    DRIFT = 17
    RENEWAL = 18


def stream(seed: int, of: Stream, *, block: int = 0, insurer: int = 0) -> np.random.Generator:
    """The generator of one stream, for one block of enquiries and one insurer. Two of them never overlap."""
    key = np.array([seed, of], np.uint64)
    # The lowest word counts what is drawn; 2**64 draws fit between two neighbours.
    counter = np.array([0, insurer, block, 0], np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=counter))
