"""Are data that would train a bad model refused, each kind with its own message? A zoo of sets that are broken in one way each."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import broken
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from broken import Change, added, at, changed, column, of_insurer, replaced, without
from hypothesis import given, strategies as st

from kit.contract import Contract
from kit.stage import BadInput, GateRefused, Quiet, StageError
from kit.training.data import gates
from kit.training.data.checks import Gate
from kit.training.data.profile import PROFILE
from kit.training.data.wrangle import How, Wrangled, wrangle
from kit.training.params import DataParams, SplitParams

SPLIT = SplitParams(0.8, 0.1)
LAST = "i-0006"  # declines everybody below 45, quotes the others

ZOO: dict[str, tuple[type[StageError], Gate, str, dict[str, Change]]] = {
    "sex": (BadInput, Gate.FORBIDDEN, "column `sex` may not be used", {"risks": added("sex", "f")}),
    "misspelt": (
        BadInput,
        Gate.SCHEMA,
        "no column `ncd_years`; is `ncd_year` it?",
        {"risks": lambda t: t.rename_columns({"ncd_years": "ncd_year"})},
    ),
    "text for a number": (
        BadInput,
        Gate.SCHEMA,
        "`age` must be a number, not string",
        {"risks": lambda t: column("age", t["age"].cast(pa.string()))(t)},
    ),
    "text for the id": (
        BadInput,
        Gate.SCHEMA,
        "`enquiry_id` must be a whole number",
        {"risks": lambda t: column("enquiry_id", t["enquiry_id"].cast(pa.string()))(t)},
    ),
    "a child at the wheel": (
        BadInput,
        Gate.RANGES,
        "`age` is outside the contract in 2 rows; it must be 17 to 99 years",
        {"risks": replaced("age", [3, 4], 12)},
    ),
    "half a year": (
        BadInput,
        Gate.RANGES,
        "`age` must be a whole number, and 1 rows are not",
        {"risks": lambda t: column("age", [17.5, *t["age"].to_pylist()[1:]])(t)},
    ),
    "a new cover": (
        BadInput,
        Gate.CATEGORIES,
        "`cover` is outside the contract in 1 rows",
        {"risks": replaced("cover", [0], "third")},
    ),
    "no age": (
        BadInput,
        Gate.NULLS,
        "`age` is null in 1 rows, 0.2%; at most 0.0% (the contract requires it)",
        {"risks": replaced("age", [7], None)},
    ),
    "an enquiry twice": (BadInput, Gate.IDS, "`enquiry_id` must be unique", {"risks": replaced("enquiry_id", [1], 0)}),
    "few": (BadInput, Gate.SIZE, "50 enquiries are too few", {"risks": lambda t: t.slice(0, 50)}),
    "tomorrow": (
        BadInput,
        Gate.TIMES,
        "`asked_at` lies in the future in 1 rows",
        {"risks": replaced("asked_at", [399], at(2999, 1, 1))},
    ),
    "no time": (
        BadInput,
        Gate.TIMES,
        "`asked_at` is null in 1 rows",
        {"risks": replaced("asked_at", [1], None)},
    ),
    "no premiums": (
        BadInput,
        Gate.SCHEMA,
        "no column `premium`",
        {"answers": lambda t: t.drop_columns("premium")},
    ),
    "another unit of time": (
        BadInput,
        Gate.TIMES,
        "`asked_at` lies before 2000 in 400 rows",
        {"risks": column("asked_at", [at(1970, 1, 21)] * 400)},
    ),
    "answered before asked": (
        BadInput,
        Gate.TIMES,
        "`response_seconds` is below zero in 1 rows",
        {"answers": replaced("response_seconds", [0], -1.0)},
    ),
    "a new outcome": (
        BadInput,
        Gate.OUTCOMES,
        "`outcome` must be one of quote, decline, no_response; 1 rows are not",
        {"answers": replaced("outcome", [5], "refer")},
    ),
    "a time in nanoseconds": (
        BadInput,
        Gate.SCHEMA,
        "`asked_at` must be a timestamp, to the microsecond at most",
        {"risks": lambda t: column("asked_at", t["asked_at"].cast(pa.timestamp("ns", "UTC")))(t)},
    ),
    "a time of day in nanoseconds": (
        BadInput,
        Gate.SCHEMA,
        "`asked_at` must be a timestamp, to the microsecond at most",
        {"risks": lambda t: column("asked_at", t["asked_at"].cast(pa.timestamp("ns")))(t)},
    ),
    "a time in words": (
        BadInput,
        Gate.SCHEMA,
        "`response_seconds` must be a number, not string",
        {"answers": lambda t: column("response_seconds", ["soon"] * len(t))(t)},
    ),
    "without end": (
        BadInput,
        Gate.PREMIUMS,
        "have no `premium` above zero",
        {"answers": lambda t: column("premium", [float("inf")] * len(t))(t)},
    ),
    "a small panel": (
        BadInput,
        Gate.INSURERS,
        "4 insurers are too few, 5 is the least",
        {"answers": lambda t: t.filter(pc.less(t["insurer"].cast(pa.string()), "i-0005"))},
    ),
    "free of charge": (
        BadInput,
        Gate.PREMIUMS,
        "have no `premium` above zero",
        {"answers": lambda t: column("premium", [0.0] * len(t))(t)},
    ),
    "an answer twice": (
        BadInput,
        Gate.IDS,
        "2 rows repeat an `enquiry_id` and `insurer`",
        {"answers": lambda t: pa.concat_tables([t, t.slice(0, 2)])},
    ),
    "an answer to nobody": (
        BadInput,
        Gate.IDS,
        "1 rows have an `enquiry_id` that is not in risks",
        {"answers": replaced("enquiry_id", [0], 10**6)},
    ),
    "the premium beside the risk": (
        BadInput,
        Gate.LEAKAGE,
        "column `premium` is known only after the insurers have answered",
        {"risks": added("premium", 500.0)},
    ),
    "mostly null": (
        GateRefused,
        Gate.NULLS,
        "`vehicle_value` is null in 240 rows, 60.0%; at most 50.0% (data.null_share)",
        {"risks": replaced("vehicle_value", range(240), None)},
    ),
    "other codes": (
        GateRefused,
        Gate.CATEGORIES,
        "`make` has codes that the contract does not know in 100 rows, 25.0%; at most 5.0% (data.unknown_share)",
        {"risks": replaced("make", range(100), "mk-x")},
    ),
    "one moment": (
        GateRefused,
        Gate.TIMES,
        "`asked_at` spans 0.0 hours",
        {"risks": column("asked_at", [at(2025, 10, 6)] * 400)},
    ),
    "in pence": (
        GateRefused,
        Gate.PREMIUMS,
        "the median `premium` of i-0001 is",
        {"answers": of_insurer("i-0001", "premium", lambda v, _: v and v * 100)},
    ),
    "a penny": (
        GateRefused,
        Gate.PREMIUMS,
        "`premium` of 4 quotes is not £10 to £100000",
        {"answers": of_insurer("i-0001", "premium", lambda v, e: 0.01 if e < 5 and v else v)},
    ),
    "never quotes": (
        GateRefused,
        Gate.INSURERS,
        "1 insurers never quote in all of the data: i-0006",
        {
            "answers": lambda t: of_insurer(LAST, "premium", lambda *_: None)(
                of_insurer(LAST, "outcome", lambda *_: "decline")(t)
            )
        },
    ),
    "vanished": (
        GateRefused,
        Gate.INSURERS,
        "1 insurers answer nothing in the slice test: i-0006",
        {"answers": without(LAST, after=350)},
    ),
    "nobody declines": (
        GateRefused,
        Gate.OUTCOMES,
        "`outcome` is never `decline`",
        {"answers": lambda t: t.filter(pc.not_equal(t["outcome"], "decline"))},
    ),
    "unanswered": (
        GateRefused,
        Gate.OUTCOMES,
        "80 enquiries, 20.0%, have no quote and no decline",
        {"answers": lambda t: t.filter(pc.greater_equal(t["enquiry_id"], 80))},
    ),
}


def run(source: Path, out: Path, contract: Contract, how: How | None = None) -> Wrangled:
    """Wrangle quietly to a folder of its own."""
    (out / "out").mkdir()
    return wrangle(source, out / "out", contract, SPLIT, Quiet(), how)


@pytest.mark.parametrize(("error", "gate", "message", "changes"), ZOO.values(), ids=ZOO)
def test_a_broken_set_is_refused(
    market: Path,
    contract: Contract,
    tmp_path: Path,
    error: type[StageError],
    gate: Gate,
    message: str,
    changes: dict[str, Change],
) -> None:
    """By the gate that is meant, and with a message that says what would be right."""
    source = changed(market, tmp_path / "in", **changes)

    with pytest.raises(error) as refused:
        run(source, tmp_path, contract)

    assert [line for line in str(refused.value).splitlines() if message in line and line.endswith(f"[gate {gate}]")]
    assert not list((tmp_path / "out").iterdir())


def test_every_problem_is_listed(market: Path, contract: Contract, tmp_path: Path) -> None:
    """Not only the first; what contradicts the schema makes all of it bad input."""
    changes = {name: change for case in ("mostly null", "a new outcome") for name, change in ZOO[case][3].items()}
    source = changed(market, tmp_path / "in", **changes)

    with pytest.raises(BadInput) as refused:
        run(source, tmp_path, contract)

    assert [Gate.NULLS, Gate.OUTCOMES] == [line.split("[gate ")[1][:-1] for line in str(refused.value).splitlines()]


@pytest.mark.parametrize("name", ["vehicle_value", "annual_mileage"])
def test_a_field_that_holds_the_premium_is_a_leak(market: Path, contract: Contract, tmp_path: Path, name: str) -> None:
    """Whatever its unit and its scale: no request will have it."""
    cheapest = broken.cheapest(market)
    scaled = np.interp(cheapest, (cheapest.min(), cheapest.max()), (0.0, 1.0))
    field = contract.field(name)
    values = field.minimum + (field.maximum - field.minimum) * scaled**3
    kind = np.int32 if field.kind == "int" else np.float32
    source = changed(market, tmp_path / "in", risks=column(name, values.astype(kind)))

    with pytest.raises(GateRefused, match=f"`{name}` follows the cheapest premium"):
        run(source, tmp_path, contract)


def test_a_value_that_names_the_price_is_a_leak(market: Path, contract: Contract, tmp_path: Path) -> None:
    """A code that stands for a band of the premium, too."""
    cheapest = broken.cheapest(market)
    makes = np.array(contract.field("make").values[:20])
    bands = makes[np.searchsorted(np.quantile(cheapest, np.arange(1, 20) / 20), cheapest)]
    source = changed(market, tmp_path / "in", risks=column("make", bands))

    with pytest.raises(GateRefused, match="`make` follows the cheapest premium"):
        run(source, tmp_path, contract, How(replace(DataParams(), leakage=0.9)))


def page(market: Path, contract: Contract, folder: Path) -> dict[str, Any]:
    """The profile of a market."""
    folder.mkdir()
    run(market, folder, contract)
    return dict(json.loads((folder / "out" / PROFILE).read_bytes()))


def test_the_same_data_have_not_drifted(market: Path, contract: Contract, tmp_path: Path) -> None:
    """A release's data pass against its own profile."""
    last = page(market, contract, tmp_path / "last")

    assert 6 == len(run(market, tmp_path, contract, How(last=last)).insurers)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"risks": broken.younger}, "`age` has drifted from the last release's data: index"),
        ({"risks": replaced("cover", range(400), "tpo")}, "`cover` has drifted"),
        ({"risks": replaced("vehicle_value", range(190), None)}, "`vehicle_value` has drifted"),
        ({"answers": without(LAST)}, "1 insurers of the last release are gone: i-0006"),
        (
            {"answers": of_insurer("i-0001", "premium", lambda v, _: v and v * 1.6)},
            "the median `premium` of i-0001 is",
        ),
        (
            {"answers": of_insurer(LAST, "outcome", lambda v, e: "no_response" if v == "decline" and e > 5 else v)},
            "i-0006 quotes",
        ),
    ],
)
def test_what_has_drifted_is_named(
    market: Path, contract: Contract, tmp_path: Path, changes: dict[str, Change], message: str
) -> None:
    """Fields by their shares in the last release's bins, insurers by their acceptance and prices."""
    last = page(market, contract, tmp_path / "last")
    source = changed(market, tmp_path / "in", **changes)

    with pytest.raises(GateRefused) as refused:
        run(source, tmp_path, contract, How(last=last))

    assert any(message in line and line.endswith("[gate drift]") for line in str(refused.value).splitlines())


@given(st.integers(0, 2**32 - 1), st.sampled_from([200, 2_000, 20_000]), st.sampled_from([5, 11, 40]))
def test_few_rows_do_not_look_like_drift(seed: int, rows: int, bins: int) -> None:
    """Two samples of one distribution stay below the widened limit, however small they are (with a margin for a thousand draws)."""
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet(np.full(bins, 5.0))
    before, after = (rng.multinomial(rows, shares) / rows for _ in range(2))
    limits = replace(DataParams(), drift=0.0, drift_confidence=0.9999999)

    assert gates.stability(before, after, rows) < gates.widened(limits, bins, rows, rows)


def test_the_widening_is_chi_squared() -> None:
    """The 99.9 % quantiles of chi squared with 1, 10 and 100 degrees of freedom, within four percent."""
    limits = replace(DataParams(), drift=0.0)
    found = [gates.widened(limits, bins, 2, 2) for bins in (2, 11, 101)]

    np.testing.assert_allclose(found, [10.828, 29.588, 149.449], rtol=0.04)


def test_correlations_are_those_of_numpy() -> None:
    """Of the rows that both columns have."""
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(400, 2)), rng.normal(size=(400, 3))
    b[:, 0] += a[:, 0]
    a[rng.random(a.shape) < 0.2], b[rng.random(b.shape) < 0.2] = np.nan, np.nan
    both = ~np.isnan(a[:, 0]) & ~np.isnan(b[:, 0])

    found = gates.correlations(a, b)

    assert (2, 3) == found.shape
    np.testing.assert_allclose(abs(np.corrcoef(a[both, 0], b[both, 0])[0, 1]), found[0, 0], rtol=1e-9)


def test_random_codes_explain_nothing() -> None:
    """However many they are: the share of variance is adjusted for their number."""
    rng = np.random.default_rng(1)

    assert gates.ratios(rng.integers(0, 300, 400, np.int32), rng.normal(size=(400, 1)))[0] < 0.6
    assert 1.0 == pytest.approx(
        gates.ratios(np.arange(400, dtype=np.int32) // 40, np.repeat(np.arange(10.0), 40)[:, None])[0]
    )
