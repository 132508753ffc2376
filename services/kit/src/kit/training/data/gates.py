"""May these data train a model? What the schema allows and no sane market shows: leaks, drift, silent insurers, pence for pounds.

Pure functions on what wrangle has joined; each gives the problems that it finds, with its limit's name in params.toml's `[data]`.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from statistics import NormalDist
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from kit.contract import Contract, Field
from kit.training.data.checks import Gate, Problem
from kit.training.data.joined import Joined
from kit.training.data.profile import beside
from kit.training.data.slices import given_codes, numbers
from kit.training.params import DataParams

SAMPLE: Final = 20_000  # enquiries, evenly over the time, that leaks are looked for in
LEAST_PAIRS: Final = 50  # enquiries that a correlation is believed from
FLOOR: Final = 1e-4  # of a share in the stability index: an empty bin is a small number, not an infinite one
NAMED: Final = 5  # insurers that a message names

Floats = NDArray[np.float64]
LEAST_INSURERS: Final = 5


def problems(
    data: Joined,
    slices: Mapping[str, tuple[int, int]],
    contract: Contract,
    limits: DataParams,
    last: Mapping[str, Any] | None,
    now: Mapping[str, Any],
) -> list[Problem]:
    """Of all gates. `slices` are first and end row by name; `last` and `now` are profiles (see `kit.training.data.profile`)."""
    return [
        *panel(data),
        *times(data, limits),
        *answers(data, limits),
        *insurers(data, slices, limits),
        *leaks(data, contract, limits),
        *(drift(data, contract, limits, last, now) if last else ()),
    ]


def panel(data: Joined) -> Iterator[Problem]:
    """The mean of the five cheapest needs five."""
    if len(data.insurers) < LEAST_INSURERS:
        text = f"{len(data.insurers)} insurers are too few, {LEAST_INSURERS} is the least"
        yield Problem("answers", Gate.INSURERS, "insurer", text)


def times(data: Joined, limits: DataParams) -> Iterator[Problem]:
    """A split by time needs time to pass."""
    span = pc.min_max(data.table["asked_at"]).as_py()
    hours = (span["max"] - span["min"]).total_seconds() / 3600
    if hours < limits.least_span_hours:
        text = f"`asked_at` spans {hours:.1f} hours, and a split by time needs {limits.least_span_hours:g} (data.least_span_hours)"
        yield Problem("risks", Gate.TIMES, "asked_at", text, is_limit=True)


def answers(data: Joined, limits: DataParams) -> Iterator[Problem]:
    """Enquiries are answered, and some are declined."""
    rows = int((data.quoted < 0).all(axis=1).sum())
    share = rows / len(data.quoted)
    if share > limits.unanswered:
        text = f"{rows} enquiries, {share:.1%}, have no quote and no decline in answers; at most {limits.unanswered:.1%} (data.unanswered)"
        yield Problem("risks", Gate.OUTCOMES, "enquiry_id", text, rows, is_limit=True)
    for name, code in (("quote", 1), ("decline", 0)):
        if not (data.quoted == code).any():
            text = f"`outcome` is never `{name}`: nothing teaches who quotes and who does not"
            yield Problem("answers", Gate.OUTCOMES, "outcome", text, is_limit=True)


def insurers(data: Joined, slices: Mapping[str, tuple[int, int]], limits: DataParams) -> Iterator[Problem]:
    """Every insurer quotes, in every slice it answers, and in the same currency as the others."""
    silent = {
        name: [k for k in range(len(data.insurers)) if (data.quoted[first:end, k] < 0).all()]
        for name, (first, end) in slices.items()
    }
    silent["all of the data"] = [k for k in range(len(data.insurers)) if not (data.quoted[:, k] == 1).any()]
    for where, who in silent.items():
        if len(who) > limits.silent_insurers:
            verb = "never quote in" if where == "all of the data" else "answer nothing in the slice"
            names = named([data.insurers[k] for k in who])
            text = f"{len(who)} insurers {verb} {where}: {names}; remove their rows, or raise data.silent_insurers ({limits.silent_insurers})"
            yield Problem("answers", Gate.INSURERS, "insurer", text, is_limit=True)
    medians = {k: float(np.nanmedian(p)) for k, p in enumerate(data.premium.T) if not np.isnan(p).all()}
    middle = float(np.median(list(medians.values()))) if medians else math.nan
    for k, median in medians.items():
        if max(median / middle, middle / median) > limits.price_ratio:
            text = (
                f"the median `premium` of {data.insurers[k]} is £{median:,.2f}, that of the panel £{middle:,.2f}: pence? "
                f"At most {limits.price_ratio:g} times (data.price_ratio)"
            )
            yield Problem("answers", Gate.PREMIUMS, "premium", text, is_limit=True)


def named(names: Sequence[str]) -> str:
    """The first few names."""
    return ", ".join(names[:NAMED]) + (" …" if len(names) > NAMED else "")


# ---- leaks ----------------------------------------------------------------------------------------------------------


def leaks(data: Joined, contract: Contract, limits: DataParams) -> Iterator[Problem]:
    """A field that follows what the insurers answered: it was filled in from the answers, and no request will have it.

    Numbers by correlation, plain or of ranks; values by the share of variance between them (adjusted for their number), as its root.
    """
    chosen = np.unique(np.linspace(0, len(data.table) - 1, SAMPLE).astype(np.int64))
    table, names, targets = data.table.take(chosen), *of_answers(data, chosen)
    columns = [numbers(table[f.name].combine_chunks()).astype(np.float64) for f in contract.numeric]
    follow = np.maximum(
        correlations(np.stack(columns, axis=1), targets),
        correlations(np.stack([ranked(c) for c in columns], axis=1), np.apply_along_axis(ranked, 0, targets)),
    )
    found = dict(zip(contract.numeric, follow, strict=True)) | {
        f: ratios(given_codes(f, table[f.name].combine_chunks()), targets) for f in contract.categorical
    }
    for field, closeness in found.items():
        worst = int(closeness.argmax())
        if closeness[worst] > limits.leakage:
            text = (
                f"`{field.name}` follows {names[worst]} ({closeness[worst]:.3f}, at most {limits.leakage:g}, data.leakage): "
                f"it was filled in from the answers"
            )
            yield Problem("risks", Gate.LEAKAGE, field.name, text, is_limit=True)


def of_answers(data: Joined, chosen: NDArray[np.int64]) -> tuple[list[str], Floats]:
    """What a leak would follow, of the panel and of each insurer: names, and columns [B, T] with NaN where there is none."""
    quoted, premium = data.quoted[chosen], data.premium[chosen].astype(np.float64)
    some, answered = ~np.isnan(premium).all(axis=1), (quoted >= 0).sum(axis=1)
    panel = np.full((len(chosen), 3), np.nan)
    panel[some, 0] = np.log(np.nanmin(premium[some], axis=1))
    panel[some, 1] = np.log(np.nanmedian(premium[some], axis=1))
    np.divide((quoted == 1).sum(axis=1), answered, out=panel[:, 2], where=answered > 0)
    names = ["the cheapest premium", "the median premium", "the share of insurers that quote"]
    return [*names, *(f"the premium of {i}" for i in data.insurers)], np.hstack([panel, np.log(premium)])


def ranked(values: Floats) -> Floats:
    """Ranks from 0 to 1, equal ones sharing their mean; NaN stays."""
    distinct, where, times_seen = np.unique(values, return_inverse=True, return_counts=True, equal_nan=True)
    ranks = (np.cumsum(times_seen) - (times_seen + 1) / 2) / max(len(values), 1)
    ranks[np.isnan(distinct)] = np.nan
    return np.asarray(ranks[where], np.float64)


def correlations(a: Floats, b: Floats) -> Floats:
    """Of each column of [B, N] with each of [B, T], over the rows that have both, without sign: [N, T].

    0 where these rows are few or a column does not vary in them.
    """
    (x, in_x), (y, in_y) = centred(a), centred(b)
    rows = in_x.T @ in_y
    enough = np.maximum(rows, 1)
    sum_x, sum_y = x.T @ in_y, in_x.T @ y
    of_x, of_y = (x**2).T @ in_y - sum_x**2 / enough, in_x.T @ (y**2) - sum_y**2 / enough
    product = np.sqrt(np.maximum(of_x, 0) * np.maximum(of_y, 0))
    believed = (rows >= LEAST_PAIRS) & (product > 1e-9 * enough)
    found: Floats = np.zeros(rows.shape)
    np.divide(np.abs(x.T @ y - sum_x * sum_y / enough), product, out=found, where=believed)
    return found


def centred(columns: Floats) -> tuple[Floats, Floats]:
    """Columns with mean 0 and deviation 1 (as far as they vary), 0 where there is no value; and where there is one, as 0 and 1."""
    known = ~np.isnan(columns)
    count = np.maximum(known.sum(axis=0), 1)
    values = np.where(known, columns, 0.0)
    values = np.where(known, values - values.sum(axis=0) / count, 0.0)
    scale = np.sqrt((values**2).sum(axis=0) / count)
    return values / np.where(scale > 0, scale, 1.0), known.astype(np.float64)


def ratios(codes: NDArray[np.int32], targets: Floats) -> Floats:
    """The root of epsilon squared of each column [B, T]: which part of its variance lies between the codes, beyond what chance would show."""
    y, known = centred(targets)
    order = np.argsort(codes, kind="stable")
    starts = np.flatnonzero(np.diff(codes[order], prepend=codes[order[0]] - 1))
    sums, rows = (np.add.reduceat(v[order], starts, axis=0) for v in (y, known))
    total, groups, count = (y**2).sum(axis=0), (rows > 0).sum(axis=0), known.sum(axis=0)
    within = total - (sums**2 / np.maximum(rows, 1)).sum(axis=0)
    free = count - groups
    believed = (free >= LEAST_PAIRS) & (total > 0)
    left = np.divide(within * (count - 1), free * total, out=np.ones(len(total)), where=believed)
    root: Floats = np.sqrt(np.maximum(0.0, 1 - left))
    return root


# ---- drift ----------------------------------------------------------------------------------------------------------


def drift(
    data: Joined, contract: Contract, limits: DataParams, last: Mapping[str, Any], now: Mapping[str, Any]
) -> Iterator[Problem]:
    """Fields and insurers look as they did in the last release's data, as far as so many rows can tell."""
    for field in contract.fields:
        if field.name in last["fields"]:
            yield from field_drift(field, data.table[field.name], limits, last)
    gone = sorted(set(last["insurers"]) - set(now["insurers"]))
    if len(gone) > limits.insurers_gone:
        text = f"{len(gone)} insurers of the last release are gone: {named(gone)}; at most {limits.insurers_gone} (data.insurers_gone)"
        yield Problem("answers", Gate.DRIFT, "insurer", text, is_limit=True)
    for name in sorted(set(last["insurers"]) & set(now["insurers"])):
        yield from insurer_drift(name, limits, last["insurers"][name], now["insurers"][name])


def field_drift(
    field: Field, column: pa.ChunkedArray, limits: DataParams, last: Mapping[str, Any]
) -> Iterator[Problem]:
    """The stability index of one field."""
    expected, found = beside(last["fields"][field.name], field, column)
    index = stability(expected, found, min(last["enquiries"], len(column)))
    most = widened(limits, len(expected), last["enquiries"], len(column))
    if index > most:
        text = (
            f"`{field.name}` has drifted from the last release's data: index {index:.3f}, at most {most:.3f} "
            f"(data.drift {limits.drift:g}, widened for few rows)"
        )
        yield Problem("risks", Gate.DRIFT, field.name, text, is_limit=True)


def insurer_drift(name: str, limits: DataParams, last: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Problem]:
    """An insurer's acceptance and level of price."""
    if abs(now["quoted"] - last["quoted"]) > limits.quote_share_change:
        text = (
            f"{name} quotes {now['quoted']:.0%} of what it answers, {last['quoted']:.0%} in the last release's data; "
            f"at most {limits.quote_share_change:.0%} apart (data.quote_share_change)"
        )
        yield Problem("answers", Gate.DRIFT, "outcome", text, is_limit=True)
    before, after = last["median_premium"], now["median_premium"]
    if before and after and max(before / after, after / before) > limits.premium_change:
        text = (
            f"the median `premium` of {name} is £{after:,.2f}, £{before:,.2f} in the last release's data; "
            f"at most {limits.premium_change:g} times (data.premium_change)"
        )
        yield Problem("answers", Gate.DRIFT, "premium", text, is_limit=True)


def stability(expected: Floats, found: Floats, rows: int) -> float:
    """The population stability index of two lists of shares; `rows` is what the smaller sample has. An empty bin counts half a row."""
    least = max(FLOOR, 0.5 / max(rows, 1))
    a, b = np.maximum(expected, least), np.maximum(found, least)
    return float(((b - a) * np.log(b / a)).sum())


def widened(limits: DataParams, bins: int, before: int, after: int) -> float:
    """The most that the index of B bins may be: the limit, or what chance alone shows between samples of these sizes.

    Without drift the index divided by (1/n + 1/m) follows chi squared with B - 1 degrees of freedom (Yurdakul and Naranjo 2020); its
    quantile here is Wilson and Hilferty's, at most three percent above it.
    """
    degrees = max(bins - 1, 1)
    spread = 2 / (9 * degrees)
    chi_squared = degrees * (1 - spread + NormalDist().inv_cdf(limits.drift_confidence) * math.sqrt(spread)) ** 3
    return max(limits.drift, chi_squared * (1 / max(before, 1) + 1 / max(after, 1)))
