"""Is it like the real market? The figures that a generated market is held to, each with its tolerance.

First every enquiry is reduced to a few numbers (`summarise`), block by block; then the figures are taken over all of them. Indices are
weighted by licence holders, shares and rates are of the traffic.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from kit.contract import Contract
from market.columns import Bools, Columns, Floats
from market.customers import market_weight

INDEX: Final = 726.0
"""GBP, gross: the mean of the five cheapest comprehensive quotes in the last quarter of 2025."""
TOP: Final = 5
USED: Final = (
    *("age", "region", "vehicle_group", "vehicle_value", "ncd_years", "cover", "points", "conviction", "fault_claims"),
    *("days_to_start", "modified", "cancelled_before", "unspent_criminal", "non_fault_claims", "annual_mileage"),
)


@dataclass(frozen=True, slots=True)
class Summary:
    """What the figures need of N enquiries: some answers, and what came back. Prices are NaN where too few quoted."""

    columns: Columns
    cheapest: Floats
    fifth: Floats
    top_mean: Floats
    log_sd: Floats
    spread: Floats
    """Dearest over cheapest."""
    quotes: NDArray[np.int64]
    declines: NDArray[np.int64]
    answers: NDArray[np.int64]
    """Quotes and declines."""


def summarise(columns: Columns, premium: Floats, declined: Bools) -> Summary:
    """Reduce [B, K] premiums (NaN: no quote) and declines."""
    ranked = np.sort(premium, axis=1)
    quotes = (~np.isnan(premium)).sum(1)
    some, many = quotes > 0, quotes >= TOP
    last = np.take_along_axis(ranked, np.maximum(quotes - 1, 0)[:, None], axis=1)[:, 0]
    log_sd = np.full(len(premium), np.nan)
    log_sd[many] = np.nanstd(np.log(premium[many]), axis=1, ddof=1)
    declines = declined.sum(1)
    return Summary(
        columns={name: columns[name] for name in USED},
        cheapest=ranked[:, 0],
        fifth=ranked[:, TOP - 1],
        top_mean=np.where(many, ranked[:, :TOP].mean(1), np.nan),
        log_sd=log_sd,
        spread=np.where(some, last / ranked[:, 0], np.nan),
        quotes=quotes,
        declines=declines,
        answers=quotes + declines,
    )


def together(summaries: Sequence[Summary]) -> Summary:
    """The summaries one after the other."""
    joined: dict[str, Any] = {"columns": {n: np.concatenate([s.columns[n] for s in summaries]) for n in USED}}
    for name in Summary.__slots__[1:]:
        joined[name] = np.concatenate([getattr(s, name) for s in summaries])
    return Summary(**joined)


@dataclass(frozen=True, slots=True)
class Figure:
    """A statistic of a market, and the range it must lie in for a market of 50,000 enquiries or more."""

    name: str
    value: float
    least: float
    most: float

    @property
    def fits(self) -> bool:
        """Whether it lies in the range; a figure of nobody does not."""
        return bool(self.least <= self.value <= self.most)


def index(of: Summary, contract: Contract) -> float:
    """GBP: the market-weighted mean of the five cheapest comprehensive quotes."""
    chosen = _is(of, contract, "cover", "comprehensive")
    return _weighted(of, chosen)


def at_ages(of: Summary, contract: Contract, first: int, last: int) -> float:
    """The index of drivers of these ages, over the whole index."""
    age, comprehensive = of.columns["age"], _is(of, contract, "cover", "comprehensive")
    return _weighted(of, comprehensive & (age >= first) & (age <= last)) / index(of, contract)


def in_region(of: Summary, contract: Contract, region: str) -> float:
    """The index in a region, over the whole index."""
    chosen = _is(of, contract, "cover", "comprehensive") & _is(of, contract, "region", region)
    return _weighted(of, chosen) / index(of, contract)


def figures(of: Summary, contract: Contract) -> list[Figure]:
    """The main rows of the market's table of targets."""
    return [
        *_by_age(of, contract),
        *_spread(of),
        *_levels(of),
        *_by_answer(of, contract),
        *_declines(of, contract),
    ]


def misfits(of: Summary, contract: Contract) -> dict[str, float]:
    """What is known not to be quite like the real market, and has no tolerance."""
    top, ncd = of.top_mean, of.columns["ncd_years"]
    miles, comprehensive = of.columns["annual_mileage"], _is(of, contract, "cover", "comprehensive")
    none = _mean(top, ncd == 0)
    return {
        **{f"bonus of {years} years / none": _mean(top, ncd == years) / none for years in (1, 2, 3)},
        "nine years of bonus or more, share of enquiries": _share(ncd >= 9),
        "up to 3,000 miles / 7,000 to 9,000": _mean(top, comprehensive & (miles <= 3000))
        / _mean(top, comprehensive & (miles >= 7000) & (miles <= 9000)),
        "cheapest GBP 250-499, share": _share((of.cheapest >= 250) & (of.cheapest < 500)),
    }


def _is(of: Summary, contract: Contract, field: str, *values: str) -> Bools:
    return np.isin(of.columns[field], [contract.field(field).code_of[v] for v in values])


def _weighted(of: Summary, chosen: Bools) -> float:
    chosen = chosen & ~np.isnan(of.top_mean)
    if not chosen.any():
        return float("nan")
    return float(np.average(of.top_mean[chosen], weights=market_weight(of.columns["age"][chosen])))


def about(name: str, value: float, target: float, tolerance: float) -> Figure:
    """A figure whose range lies evenly about a target."""
    return Figure(name, value, target - tolerance, target + tolerance)


AGE_RATIOS: Final = (
    {"17": (17, 17, 2.2, 3.2), "18": (18, 18, 2.2, 3.2), "19": (19, 19, 2.2, 3.2), "20": (20, 20, 1.9, 2.8)}
    | {"21-24": (21, 24, 1.72, 2.12), "25-29": (25, 29, 1.25, 1.49), "30-39": (30, 39, 1.04, 1.20)}
    | {"40-49": (40, 49, 0.93, 1.05), "50-59": (50, 59, 0.79, 0.91), "60-69": (60, 69, 0.61, 0.71)}
    | {"70-79": (70, 79, 0.68, 0.80), "80+": (80, 99, 0.93, 1.23)}
)
AGE_TARGETS: Final = (
    *((17, 17, 2.69), (18, 18, 2.80), (19, 19, 2.60), (20, 20, 2.33), (21, 24, 1.92), (25, 29, 1.37), (30, 39, 1.12)),
    *((40, 49, 0.99), (50, 59, 0.85), (60, 69, 0.66), (70, 79, 0.74), (80, 99, 1.08)),
)
"""First and last age, and the index there over the whole index."""
REGIONS: Final = (
    {"R01": 1.59, "R02": 1.30, "R03": 1.21, "R04": 1.23, "R05": 1.13, "R06": 1.05, "R07": 0.98, "R08": 0.93}
    | {"R09": 0.96, "R10": 0.91, "R11": 0.86, "R12": 0.86, "R13": 0.93, "R14": 0.90, "R15": 0.80, "R16": 0.78}
    | {"R17": 0.70, "R18": 0.68, "R19": 0.72}
)
GROUP_RATIOS: Final = {(1, 10): 0.76, (11, 20): 0.94, (31, 40): 1.43, (41, 50): 1.83}


def _by_age(of: Summary, contract: Contract) -> Iterator[Figure]:
    whole = index(of, contract)
    comprehensive = _is(of, contract, "cover", "comprehensive")
    yield Figure("index, GBP", whole, 0.99 * INDEX, 1.01 * INDEX)
    for name, (first, last, least, most) in AGE_RATIOS.items():
        yield Figure(f"index at {name}, ratio", at_ages(of, contract, first, last), least, most)
    measured = []
    for region, ratio in REGIONS.items():
        measured.append(in_region(of, contract, region))
        yield about(f"index in {region}, ratio", measured[-1], ratio, 0.10)
    yield Figure("regions in order, Spearman", _spearman(measured, list(REGIONS.values())), 0.95, 1.0)
    group = of.columns["vehicle_group"]
    for (first, last), ratio in GROUP_RATIOS.items():
        chosen = comprehensive & (group >= first) & (group <= last)
        yield about(f"index in groups {first}-{last}, ratio", _weighted(of, chosen) / whole, ratio, 0.15)


def _spearman(left: Sequence[float], right: Sequence[float]) -> float:
    ranks = [np.argsort(np.argsort(np.array(v))) for v in (left, right)]
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])


def _spread(of: Summary) -> Iterator[Figure]:
    many = of.quotes >= TOP
    yield Figure("savings variable", float(np.mean(1 - of.cheapest[many] / of.top_mean[many])), 0.140, 0.176)
    yield Figure("fifth / cheapest, median", float(np.median(of.fifth[many] / of.cheapest[many])), 1.20, 1.35)
    yield Figure("log sd within an enquiry, median", float(np.nanmedian(of.log_sd)), 0.25, 0.35)
    yield Figure("dearest / cheapest, median", float(np.nanmedian(of.spread)), 2.8, 4.5)


def _levels(of: Summary) -> Iterator[Figure]:
    age, quoted = of.columns["age"], of.quotes > 0
    bands = {"under 25": (0, 24, 0.15, 0.35), "25-49": (25, 49, 0.60, 0.72), "50+": (50, 99, 0.80, 0.92)}
    for name, (first, last, least, most) in bands.items():
        chosen = quoted & (age >= first) & (age <= last)
        yield Figure(f"cheapest below GBP 750, {name}", _share(of.cheapest[chosen] < 750), least, most)
    cheapest = of.cheapest[quoted]
    yield about("cheapest GBP 250-499", _share((cheapest >= 250) & (cheapest < 500)), 0.35, 0.08)
    yield about("cheapest GBP 500-749", _share((cheapest >= 500) & (cheapest < 750)), 0.26, 0.08)
    log = np.log(cheapest)
    yield Figure("log cheapest, sd", float(log.std()), 0.52, 0.70)
    yield Figure("log cheapest, skew", float(np.mean(((log - log.mean()) / log.std()) ** 3)), -0.6, 0.6)


def _share(holds: Bools) -> float:
    return float(holds.mean()) if len(holds) else float("nan")


def _mean(price: Floats, chosen: Bools) -> float:
    chosen = chosen & ~np.isnan(price)
    return float(price[chosen].mean()) if chosen.any() else float("nan")


def _by_answer(of: Summary, contract: Contract) -> Iterator[Figure]:
    top, ncd, points = of.top_mean, of.columns["ncd_years"], of.columns["points"]
    by_bonus = [_mean(top, ncd == years) for years in range(4)]
    for years, (least, most) in enumerate(((0.65, 0.80), (0.5, 1.0), (0.5, 1.0)), start=1):
        ratio = by_bonus[years] / by_bonus[years - 1]
        yield Figure(f"bonus {years - 1} to {years} years, ratio", ratio, least, most)
    clean, major = points == 0, _is(of, contract, "conviction", "dr10", "in10")
    none = _mean(top, clean)
    yield about("3 points / none", _mean(top, points == 3) / none, 1.11, 0.10)
    yield about("6 points / none", _mean(top, points == 6) / none, 1.50, 0.20)
    yield about("major conviction / none", _mean(top, major) / none, 2.5, 0.6)
    faults = of.columns["fault_claims"]
    one = _mean(top, faults == 1) / _mean(top, faults == 0)
    yield Figure("one fault claim / none", one, 1.08, 1.22)
    day = of.columns["days_to_start"]
    at_once = _mean(of.cheapest, day == 0) / _mean(of.cheapest, (day >= 20) & (day <= 22))
    yield Figure("cheapest, day 0 / day 21", at_once, 1.45, 1.85)
    comp = _mean(top, _is(of, contract, "cover", "comprehensive"))
    yield Figure("TPO / comprehensive", _mean(top, _is(of, contract, "cover", "tpo")) / comp, 2.0, 3.0)
    yield Figure("TPFT / comprehensive", _mean(top, _is(of, contract, "cover", "tpft")) / comp, 1.4, 2.1)


def _declines(of: Summary, contract: Contract) -> Iterator[Figure]:
    age, value = of.columns["age"], of.columns["vehicle_value"]
    major = _is(of, contract, "conviction", "dr10", "in10")
    unmodified = _is(of, contract, "modified", "none")
    blemished = of.columns["cancelled_before"] | of.columns["unspent_criminal"]
    clean = (of.columns["points"] == 0) & (of.columns["fault_claims"] == 0) & ~blemished & unmodified
    comprehensive = _is(of, contract, "cover", "comprehensive")
    # Not so cheap that a prestige brand minds, nor so dear that any other does.
    standard = (value >= 5_000) & (value < 25_000) & comprehensive
    rows: Mapping[str, tuple[Bools, float, float]] = {
        "all": (age > 0, 0.30, 0.05),
        "17": (age == 17, 0.80, 0.08),
        "18": (age == 18, 0.69, 0.08),
        "19-20": ((age >= 19) & (age <= 20), 0.60, 0.08),
        "21-24": ((age >= 21) & (age <= 24), 0.40, 0.08),
        "clean 30-60, standard car": (clean & standard & (age >= 30) & (age <= 60), 0.22, 0.05),
        "80+": (age >= 80, 0.535, 0.085),
        "6+ points": (of.columns["points"] >= 6, 0.47, 0.08),
        "DR/IN": (major, 0.79, 0.08),
        "modified": (~unmodified, 0.64, 0.08),
        "over GBP 60,000": (value > 60_000, 0.75, 0.08),
        "cancelled": (of.columns["cancelled_before"], 0.83, 0.08),
        "unspent conviction": (of.columns["unspent_criminal"], 0.88, 0.08),
    }
    for name, (chosen, target, tolerance) in rows.items():
        answers = of.answers[chosen].sum()
        rate = float(of.declines[chosen].sum() / answers) if answers else float("nan")
        yield about(f"declined, {name}", rate, target, tolerance)
    yield Figure("no quote at all", _share(of.quotes == 0), 0.0, 0.01)
    yield Figure("fewer than five quotes", _share(of.quotes < TOP), 0.0, 0.02)
