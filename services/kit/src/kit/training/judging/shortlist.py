"""How is the shortlist's table fitted, and what does it keep? `kit.shortlist` says what it is and applies it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from kit.contract import Contract
from kit.rows import answered, half_answered
from kit.shortlist import HALF, KEYS, POOLED, Floats, Shortlists, loss, ranked
from kit.training.data.slices import Rows
from kit.training.nets.masking import Mask
from kit.training.nets.served import Served

Keys = NDArray[np.int64]
Premiums = NDArray[np.floating[Any]]

KEEPS: Final = (0.8, 0.9, 0.95, 0.975, 0.99)
GATED: Final = 0.95
SPARE: Final = (
    0.1  # of what may be lost is not used up: the market moves on from the slice, and a promise is kept rather than met
)
MOST_ROWS: Final = 40_000  # of a part, that are looked at


@dataclass(frozen=True)
class Seen:
    """B enquiries: the model's probabilities to be the cheapest [B, K] and log quantiles [B, K, 3], what was quoted (pounds, [B, K],
    NaN nothing), and the keys of `kit.rows.answered`, int64[B].
    """

    p: Floats
    log_premium: Floats
    premium: Premiums
    keys: Keys

    def with_a_price(self) -> "Seen":
        """Only those that somebody quoted: the others have no best price."""
        given = np.isfinite(self.premium).any(axis=1)
        return Seen(self.p[given], self.log_premium[given], self.premium[given], self.keys[given])


def some_of(rows: Rows) -> slice:
    """Which of the rows are looked at, evenly over all: more of them would move no threshold by much."""
    return slice(None, None, max(1, -(-len(rows) // MOST_ROWS)))


def observe(served: Served, rows: Rows, log_premium: Floats, keys: Keys) -> Seen:
    """What the model says of some of the rows; `log_premium` are its quantiles and `keys` the keys of all of them."""
    some = some_of(rows)
    p = served.shortlist(rows.numeric[some], rows.categorical[some])
    return Seen(p, log_premium[some].astype(np.float32), rows.premium[some], keys[some])


def measured(
    section: Mapping[str, Any], served: Served, rows: Rows, asked: Mapping[str, Mask], contract: Contract
) -> dict[str, dict[str, dict[str, float]]]:
    """The part `shortlist` of report.json: `measure` for each profile; `asked` are masks by profile."""
    some = some_of(rows)
    few, found = rows.take(some), {}
    for name, known in asked.items():
        hidden = few.hidden(known[some] if known.ndim > 1 else known)
        log_premium = served.packed(hidden.numeric, hidden.categorical)
        keys = answered(contract, hidden.numeric, hidden.categorical)
        found[name] = measure(section, observe(served, hidden, log_premium, keys))
    return found


def stack(parts: Sequence[Seen]) -> Seen:
    """Several as one."""
    names = ("p", "log_premium", "premium", "keys")
    return Seen(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def fit(seen: Seen, least_rows: int, keeps: tuple[float, ...] = KEEPS) -> dict[str, Any]:
    """The section of calibration.json. Raises ValueError when nobody quoted anything."""
    of = seen.with_a_price()
    if not len(of.p):
        raise ValueError("there is no best price to keep")
    scores, halves = score(of.p, of.premium), half_answered(of.keys)

    def row(which: Any) -> dict[str, Any]:
        thresholds = [_quantile(scores[which], keep + SPARE * (1 - keep)) for keep in keeps]
        return _described(of.p[which], of.log_premium[which], of.premium[which], thresholds)

    def rows(by: Keys) -> dict[str, Any]:
        counted = zip(*np.unique(by, return_counts=True), strict=True)
        return {str(key): row(by == key) for key, count in counted if count >= least_rows}

    return {"keeps": list(keeps), POOLED: row(slice(None)), HALF: rows(halves), KEYS: rows(of.keys)}


def score(p: Floats, premium: Premiums) -> Floats:
    """The probability [B] of all that come before the cheapest; NaN without any price."""
    order, before = ranked(p)
    best = np.where(np.isnan(premium), np.inf, premium).argmin(axis=1)
    place = (order == best[:, None]).argmax(axis=1)
    found: Floats = np.where(np.isfinite(premium).any(axis=1), before[np.arange(len(p)), place], np.nan)
    return found


def measure(section: Mapping[str, Any], seen: Seen) -> dict[str, dict[str, float]]:
    """The figures of one profile in the part `shortlist` of report.json, by keep: what share of best prices was `kept`, and `promised` on average; the share of
    insurers `asked`; the `regret` in pounds, a mean over enquiries in which somebody asked quotes, and the `expected_regret`; and the
    share in which `nobody` asked quotes.
    """
    table = Shortlists.read(section)
    of = seen.with_a_price()
    best = np.nanmin(of.premium, axis=1, initial=np.inf)
    found = {}
    for keep in table.keeps:
        asked = table.ask(of.p, of.keys, keep)
        mask = asked.mask()
        cheapest = np.where(mask & ~np.isnan(of.premium), of.premium, np.inf).min(axis=1)
        answered = np.isfinite(cheapest)
        expected = table.regret(asked, of.p, of.log_premium, of.keys, keep)
        found[f"{keep:g}"] = {
            "kept": float((cheapest == best).mean()),
            "promised": float(asked.kept.mean()),
            "asked": float(mask.mean()),
            "regret": _mean(cheapest[answered] - best[answered]),
            "expected_regret": _mean(expected[answered]),
            "nobody": float(1 - answered.mean()),
        }
    return found


def figures(report: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """What a gate can look at, as it looks at a profile: at keep 0.95 the least and the most `kept` of a profile, and the mean share
    `asked` over profiles; {} without a shortlist.
    """
    if "shortlist" not in report:
        return {}
    found = [by_keep[f"{GATED:g}"] for by_keep in report["shortlist"].values()]
    kept = [of["kept"] for of in found]
    asked = sum(of["asked"] for of in found) / len(found)
    return {"shortlist": {"kept_least": min(kept), "kept_most": max(kept), "asked": asked}}


def _described(p: Floats, log_premium: Floats, premium: Premiums, thresholds: list[float]) -> dict[str, Any]:
    """A row of the table: with these thresholds, what has to be added to a set's probability, and by what its loss is off."""
    best = np.nanmin(premium, axis=1)
    shifts, regrets = [], []
    order, before = ranked(p)
    falling = np.take_along_axis(p, order, 1)
    for threshold in thresholds:
        within = before <= threshold
        within[:, 0] = True
        mask = np.zeros(p.shape, bool)
        np.put_along_axis(mask, order, within, axis=1)
        cheapest = np.where(mask & ~np.isnan(premium), premium, np.inf).min(axis=1)
        shifts.append(float((cheapest == best).mean() - np.where(within, falling, 0).sum(axis=1).mean()))
        answered = np.isfinite(cheapest)
        lost, expected = (cheapest - best)[answered].sum(), loss(mask, p, log_premium)[answered].sum()
        regrets.append(float(lost / expected) if expected > 0 else 0.0)
    return {"thresholds": thresholds, "shifts": shifts, "regrets": regrets, "rows": len(p)}


def _quantile(scores: Floats, keep: float) -> float:
    """The ceil((n + 1) keep)-th smallest of n scores; the largest when there is no such one."""
    place = min(int(np.ceil((len(scores) + 1) * keep)), len(scores)) - 1
    return float(np.partition(scores, place)[place])


def _mean(values: Floats) -> float:
    return float(values.mean()) if len(values) else 0.0
