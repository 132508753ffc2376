"""Which answers make a price what it is, in pounds against that of a typical driver? Shapley values of sampled orders, with NumPy only.

The typical driver's answers are replaced by the driver's own, one after the other; each step changes the price, and the change is put
down to the answer. What a step is worth depends on the order, so it is the mean over several orders (Štrumbelj, Kononenko 2014), each
taken forwards and backwards: backwards whatever was early comes late, so that interactions of two answers are split evenly at once.
Along every order the steps lead from the one price to the other, so the amounts add up to the difference, whatever the model.

What the driver left open is left open for the typical driver as well: it explains nothing, and the comparison is with a driver of whom
as much is known.

A plan is made of rows to be priced (in as few calls as the model server takes), and turns their prices into amounts. With eight orders
that is 150 rows; the error of an amount is then 6 pounds on average (of prices of 800), the three largest are found in 97 of 100, and four
times as many orders halve the error.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from kit.contract import Contract, Field
from kit.rows import UNKNOWN_CODE, Categorical, Numeric

Floats = NDArray[np.floating[Any]]
Predict = Callable[[Numeric, Categorical], Floats]

ORDERS: Final = 8  # four drawn, each with its reverse
SEED: Final = 1
QUANTILES: Final = 3  # low, middle, high
THOUSAND: Final = 1000


@dataclass(frozen=True, slots=True)
class Player:
    """What a price is put down to: an answer, or several that come together (the car, the place)."""

    name: str
    title: str
    fields: tuple[Field, ...]


@dataclass(frozen=True, eq=False)
class Explanation:
    """Of F figures: what they are, what they are for the typical driver, [F], and what each player adds, [D, F], all in pounds.

    `errors` [D, F] are the standard errors of the amounts, from the spread over pairs of orders; NaN with one pair only.
    """

    players: tuple[Player, ...]
    price: Floats
    reference: Floats
    amounts: Floats
    errors: Floats

    def top(self, most: int, figure: int = 0) -> list[tuple[Player, float]]:
        """The players that move a figure most, with their amounts, largest first; those of nothing are left out."""
        order = np.argsort(-np.abs(self.amounts[:, figure]), kind="stable")[:most]
        return [(self.players[d], float(self.amounts[d, figure])) for d in order if self.amounts[d, figure]]


@dataclass(frozen=True, eq=False)
class Plan:
    """Rows to be priced ([R, N], [R, M]): the typical driver's, the driver's, and those between them on every order int[P, D]."""

    players: tuple[Player, ...]
    orders: NDArray[np.intp]
    numeric: Numeric
    categorical: Categorical

    def explain(self, log_prices: Floats) -> Explanation:
        """Of the rows' log prices: [R], [R, F], or [R, F, 3] with the middle quantile meant."""
        log_prices = np.asarray(log_prices, np.float64)
        if log_prices.ndim == QUANTILES:
            log_prices = log_prices[..., 1]
        prices = np.exp(log_prices.reshape(len(self.numeric), -1))
        (paths, players), figures = self.orders.shape, prices.shape[1]
        ends = np.broadcast_to(prices[:2, None, None], (2, paths, 1, figures))
        between = prices[2:].reshape(paths, max(0, players - 1), figures)
        steps = np.diff(np.concatenate([ends[0], between, ends[1]], axis=1), axis=1)[:, :players]
        own = np.empty((paths, players, figures))
        np.put_along_axis(own, self.orders[..., None], steps, axis=1)
        count = paths // 2
        pairs = own.reshape(count, 2, players, figures).mean(axis=1)
        errors = pairs.std(axis=0, ddof=1) / np.sqrt(count) if count > 1 else np.full(pairs.shape[1:], np.nan)
        return Explanation(self.players, prices[1], prices[0], pairs.mean(axis=0), errors)


def plan(
    contract: Contract,
    row: tuple[Numeric, Categorical],
    reference: tuple[Numeric, Categorical],
    players: Sequence[Player],
    orders: int = ORDERS,
    seed: int = SEED,
) -> Plan:
    """Rows to be priced for a packed row ([N], [M]) against a reference; the same arguments give the same rows.

    Only players whose answers differ take part. `orders` is even: each is there with its reverse.
    """
    if orders < 2 or orders % 2:
        raise ValueError(f"orders must be an even number from 2, not {orders}")
    numeric, categorical = row
    typical = (
        np.where(np.isnan(numeric), np.float32(np.nan), reference[0]).astype(np.float32),
        np.where(categorical == UNKNOWN_CODE, UNKNOWN_CODE, reference[1]).astype(np.int32),
    )
    differs = np.concatenate([~np.isnan(numeric) & (numeric != typical[0]), categorical != typical[1]])
    column = {f.name: i for i, f in enumerate((*contract.numeric, *contract.categorical))}
    moved = tuple(p for p in players if any(differs[column[f.name]] for f in p.fields))
    belongs = np.zeros((len(moved), len(column)), bool)
    for d, player in enumerate(moved):
        belongs[d, [column[f.name] for f in player.fields]] = True
    rng = np.random.default_rng(seed)
    drawn = [rng.permutation(len(moved)) for _ in range(orders // 2)]
    paths = np.array([order for one in drawn for order in (one, one[::-1])], np.intp).reshape(orders, len(moved))
    own = _own(paths, belongs)
    count = len(numeric)
    return Plan(
        moved,
        paths,
        np.where(own[:, :count], numeric, typical[0]),
        np.where(own[:, count:], categorical, typical[1]),
    )


def explain(
    contract: Contract,
    row: tuple[Numeric, Categorical],
    reference: tuple[Numeric, Categorical],
    players: Sequence[Player],
    predict: Predict,
) -> Explanation:
    """A plan, priced by `predict`: packed arrays [R, N], [R, M] to log prices [R], [R, F] or [R, F, 3]."""
    planned = plan(contract, row, reference, players)
    return planned.explain(predict(planned.numeric, planned.categorical))


def _own(paths: NDArray[np.intp], belongs: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which columns [R, N + M] of each row to be priced are the driver's own."""
    players, columns = belongs.shape
    rank = np.argsort(paths, axis=1)
    has_come = rank[:, None, :] < np.arange(1, max(1, players))[:, None]
    between = (has_come @ belongs).reshape(-1, columns) if players > 1 else np.zeros((0, columns), bool)
    return np.concatenate([np.zeros((1, columns), bool), np.ones((1, columns), bool), between])


def of_fields(contract: Contract) -> tuple[Player, ...]:
    """Every field by itself."""
    return tuple(Player(f.path, f.title, (f,)) for f in contract.fields)


def of_entities(contract: Contract) -> tuple[Player, ...]:
    """Every field by itself, but what a row of the feature store knows as one: nobody chooses the group of a car, but the car."""
    found: list[Player] = []
    for entity in contract.entities:
        fields = tuple(f for f in contract.fields if f.entity == entity.name or f.name == entity.id)
        group = next(g for g in contract.groups if g.entity == entity.id)
        found.append(Player(group.name, group.title, fields))
    taken = {f.name for player in found for f in player.fields}
    return (*(p for p in of_fields(contract) if p.fields[0].name not in taken), *found)


def sentence(contract: Contract, player: Player, amount: float, row: tuple[Numeric, Categorical]) -> str:
    """In plain words: "because of `Age` (21): +£312"; without a value where the player has several."""
    said = f" ({spelt(contract, player.fields[0], row)})" if len(player.fields) == 1 else ""
    return f"because of `{player.title}`{said}: {'+' if amount >= 0 else '-'}£{abs(amount):,.0f}"


def spelt(contract: Contract, field: Field, row: tuple[Numeric, Categorical]) -> str:
    """A field's value in a packed row as a person writes it."""
    if not field.is_numeric:
        code = int(row[1][contract.categorical.index(field)])
        return "not known" if code == UNKNOWN_CODE else field.values[code]
    value = float(row[0][contract.numeric.index(field)])
    if np.isnan(value):
        return "not known"
    if field.kind == "bool":
        return "yes" if value else "no"
    text = f"{value:,.0f}" if field.kind == "int" or abs(value) >= THOUSAND else f"{value:,.2f}".rstrip("0").rstrip(".")
    return f"£{text}" if field.unit == "GBP" else text
