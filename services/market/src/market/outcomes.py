"""How does an insurer's answer leave it? With noise on the price, rounded, after a while, or not at all."""

from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from market.columns import Bools, Floats
from market.insurers import Answering
from market.randomness import BLOCK, Stream, stream

OUTCOMES: Final = ("quote", "decline", "no_response")
QUOTE, DECLINE, NO_RESPONSE = range(len(OUTCOMES))
ABSENT: Final = -1
"""No outcome, and no row: the insurer had left, or had not joined."""

TIMEOUT_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Chance:
    """What one insurer leaves to chance in one block, all [BLOCK]."""

    footprint: Floats
    noise: Floats
    response: Floats
    outage: Floats

    def __getitem__(self, rows: slice) -> "Chance":
        """These rows alone."""
        return Chance(self.footprint[rows], self.noise[rows], self.response[rows], self.outage[rows])


def chance(seed: int, block: int, insurer: int) -> Chance:
    """The draws of one insurer (by its number) for one block of enquiries."""
    answers = stream(seed, Stream.RESPONSE, block=block, insurer=insurer)
    return Chance(
        footprint=stream(seed, Stream.FOOTPRINT, block=block, insurer=insurer).random(BLOCK),
        noise=stream(seed, Stream.NOISE, block=block, insurer=insurer).standard_normal(BLOCK),
        response=answers.standard_normal(BLOCK),
        outage=answers.random(BLOCK),
    )


@cache
def price_tests(seed: int, insurer: int, weeks: int) -> Floats:
    """-1 or +1 for each week, float64[weeks]: the side that an insurer's price test is on."""
    drawn = [stream(seed, Stream.PRICE_TEST, block=week, insurer=insurer).random() for week in range(weeks)]
    return np.where(np.array(drawn) < 0.5, -1.0, 1.0)


def premiums(answering: Answering, log_price: Floats, score: Floats, noise: Floats, test_side: Floats) -> Floats:
    """What is asked, GBP to the penny, [B], from the true price, the hidden score, and the week's price test."""
    log = log_price + answering.hidden_loading * score + answering.noise * noise + answering.price_test * test_side
    pounds: Floats = np.exp(log)
    to_the_penny: Floats = np.round(pounds, 2)
    return np.floor(pounds) + 0.99 if answering.ends_in_99 else to_the_penny


def response_seconds(answering: Answering, of: Chance) -> tuple[NDArray[np.float32], Bools]:
    """When the answer came (float32[B]) and whether one did; who waits gives up after ten seconds."""
    took = np.round(answering.median_s * np.exp(answering.sigma * of.response), 3)
    answered = (took < TIMEOUT_S) & (of.outage >= answering.outage)
    return np.where(answered, took, TIMEOUT_S).astype(np.float32), answered
