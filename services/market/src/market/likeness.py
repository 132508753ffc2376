"""How do the brands of a market differ from each other? The figures of the targets that need more than what was asked and answered."""

from collections.abc import Sequence
from itertools import combinations
from typing import Final

import numpy as np

from market.columns import Bools, Column, Floats
from market.insurers import Market
from market.measure import TOP, Figure, about

PAIRS: Final = 300
"""Enquiries that two brands must both have quoted before their correlation counts."""
ROWS: Final = 20_000
"""Enquiries that correlations are taken of."""


def figures(market: Market, premium: Floats, declined: Bools, age: Column, male: Bools) -> list[Figure]:
    """Of premiums [B, K] (NaN unless quoted) and declines [B, K], and each driver's age and sex [B]."""
    groups = [i.group for i in market.insurers]
    same, other = correlations(premium[:ROWS], groups)
    rates = declined.sum(0) / (declined.sum(0) + (~np.isnan(premium)).sum(0))
    quotes = (~np.isnan(premium)).sum(1)
    best = np.nanmin(np.where(np.isnan(premium), np.inf, premium), axis=1)
    quoted = np.isfinite(best)
    return [
        Figure("men / women, sex not used", best[male & quoted].mean() / best[~male & quoted].mean(), 1.08, 1.24),
        Figure("telematics in the top five, under 25", telematics_share(market, premium, age), 0.30, 0.60),
        about("declined, most willing brand", float(rates.min()), 0.06, 0.06),
        about("declined, median brand", float(np.median(rates)), 0.19, 0.08),
        Figure("declined, least willing brand", float(rates.max()), 0.60, 1.0),
        Figure("quotes per enquiry, median share", float(np.median(quotes)) / len(groups), 40 / 60, 52 / 60),
        about("correlation, two brands of a group", same, 0.86, 0.05),
        about("correlation, brands of two groups", other, 0.72, 0.05),
        Figure("top fives that five groups take", _concentration(premium[quotes >= TOP], groups), 0.49, 0.69),
    ]


def telematics_share(market: Market, premium: Floats, age: Column) -> float:
    """Of the places in the top fives of drivers under 25."""
    young = (age < 25) & ((~np.isnan(premium)).sum(1) >= TOP)
    telematics = np.array([i.archetype == "telematics" for i in market.insurers])
    return float(telematics[_top(premium[young])].mean())


def correlations(premium: Floats, groups: Sequence[str]) -> tuple[float, float]:
    """Of log premiums over the enquiries that both quoted: the mean over pairs of one group, and over pairs of two groups."""
    log = np.log(premium)
    quoted = ~np.isnan(log)
    found: dict[bool, list[float]] = {True: [], False: []}
    for i, j in combinations(range(len(groups)), 2):
        both = quoted[:, i] & quoted[:, j]
        if both.sum() >= PAIRS:
            found[groups[i] == groups[j]].append(float(np.corrcoef(log[both, i], log[both, j])[0, 1]))
    return float(np.mean(found[True])), float(np.mean(found[False]))


def _top(premium: Floats) -> Column:
    """The places of the five cheapest of each row, [B, 5]."""
    return np.argsort(np.where(np.isnan(premium), np.inf, premium), axis=1)[:, :TOP]


def _concentration(premium: Floats, groups: Sequence[str]) -> float:
    """The share of all places in top fives that the five most successful groups take."""
    code = np.unique(np.array(groups), return_inverse=True)[1]
    taken = np.sort(np.bincount(code[_top(premium)].ravel()))
    return float(taken[-TOP:].sum() / taken.sum())
