"""What nobody could know better: the market's own prices before noise, and its own probabilities. Only checks may read this."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from accuracy.data import ID, INSURER, Floats, Ids, matrices, of_enquiries
from kit.stage import BadInput


@dataclass(frozen=True, slots=True)
class Oracle:
    """Who knows the market: the log price before noise and the probability of a quote before the dice fall, [B, K].

    It does not know the hidden score of a driver, by which some insurers load their prices, nor the side of this week's price test.
    """

    log_price: Floats
    probability: Floats


@dataclass(frozen=True, slots=True)
class Truth:
    """The oracle, and whether each driver is a man, bool[B], which no model is told."""

    oracle: Oracle
    is_male: NDArray[np.bool_]


def read(folder: Path, ids: Ids, insurers: Sequence[str]) -> Truth:
    """The truth of some enquiries. Raises `BadInput` when the folder is of another market."""
    cells = of_enquiries(folder / "answers", [INSURER, "log_price", "decline_probability"], ids)
    log_price, decline = matrices(cells, ("log_price", "decline_probability"), ids, insurers)
    people = of_enquiries(folder / "risks", ["sex"], ids)
    found = people[ID].to_numpy()
    order = np.argsort(found)
    place = order[np.minimum(np.searchsorted(found[order], ids), len(found) - 1)]
    if not np.array_equal(found[place], ids):
        raise BadInput(f"{folder}: not every held-out enquiry is there")
    male = np.array(people["sex"].to_pylist()) == "male"
    return Truth(Oracle(log_price, 1 - decline), male[place])


def parameters(folder: Path) -> dict[str, str | int]:
    """With what a market, or its truth, was made. Raises `BadInput` when there is none."""
    try:
        found: dict[str, str | int] = json.loads((folder / "manifest.json").read_bytes())["parameters"]
    except (OSError, ValueError, KeyError) as error:
        raise BadInput(f"{folder} is not what `market generate` writes") from error
    return found


def archetypes(folder: Path) -> dict[str, str]:
    """What kind of insurer each is, by id."""
    return {i["id"]: i["archetype"] for i in json.loads((folder / "insurers.json").read_bytes())["insurers"]}
