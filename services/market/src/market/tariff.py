"""What does an insurer charge? ln of the gross premium in GBP, before any noise, from its definition alone.

log price = base + group level + brand level + sum over factors of (group slope * brand slope * market curve)
          + the group's own parts and terms + the brand's own, and no more than the group's ceiling.

Sums are taken one summand after the other, never by a matrix product: a row's price may not depend on its neighbours' number.
"""

from collections.abc import Iterator

import numpy as np

from market.columns import Columns, Floats
from market.insurers import Bands, Group, Insurer, Market
from market.parts import Part, Term, all_hold


def log_prices(market: Market, columns: Columns) -> Iterator[tuple[Insurer, Floats]]:
    """Each insurer with ln GBP float64[B], group by group: what brands share is computed once."""
    whole = _factors(market, columns)
    for group in market.groups:
        seen = _banded(columns, group.bands)
        factors = _factors(market, seen) if group.bands else whole
        scaled = [slope * factor for slope, factor in zip(group.slopes, factors, strict=True)]
        shared = market.base + group.level + _own(group.parts, group.terms, seen, columns)
        for insurer in market.insurers:
            if insurer.group == group.id:
                yield insurer, _brand(insurer, group, scaled, shared, columns)


def _brand(insurer: Insurer, group: Group, scaled: list[Floats], shared: Floats, columns: Columns) -> Floats:
    log = shared + insurer.level + _own(insurer.parts, insurer.terms, columns, columns)
    for slope, factor in zip(insurer.slopes, scaled, strict=True):
        log += slope * factor
    return log if group.ceiling is None else np.minimum(log, np.log(group.ceiling))


def _factors(market: Market, columns: Columns) -> list[Floats]:
    return [_sum(parts, columns) for parts in market.factors]


def _sum(parts: tuple[Part, ...], columns: Columns) -> Floats:
    total = parts[0].log(columns)
    for part in parts[1:]:
        total = total + part.log(columns)
    return total


def _own(parts: tuple[Part, ...], terms: tuple[Term, ...], seen: Columns, columns: Columns) -> Floats:
    """Parts see numbers as banded; terms ask the answers themselves."""
    total = _sum(parts, seen)
    for term in terms:
        total = total + term.log * all_hold(term.when, columns)
    return total


def _banded(columns: Columns, bands: tuple[Bands, ...]) -> Columns:
    replaced = {
        b.field: np.array(b.stands_for)[np.searchsorted(b.edges, columns[b.field], side="right")] for b in bands
    }
    return {**columns, **replaced}
