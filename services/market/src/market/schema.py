"""Which files is a market, and which columns do they have? `risks` follows the contract; the truth has tables of its own.

A table's rows lie in the order of `enquiry_id`, in files of 65,536 enquiries and row groups of one block, whatever made them.
"""

from typing import Any, Final

import numpy as np
import pyarrow as pa

from kit.contract import Contract, Field
from market.columns import Column
from market.customers import MISSTATED
from market.drift import Timeline
from market.enquiries import Enquiries
from market.outcomes import ABSENT, OUTCOMES, QUOTE
from market.places import areas
from market.randomness import BLOCK
from market.renewals import Renewals
from market.rules import REASONS
from market.vehicles import catalogue, rows

PART: Final = 16 * BLOCK
"""Enquiries per file."""

TYPES: Final[dict[str, pa.DataType]] = {"int": pa.int32(), "float": pa.float32(), "bool": pa.bool_()}
NAMES: Final = pa.dictionary(pa.int32(), pa.string())
ASKED_AT: Final = pa.timestamp("us", tz="UTC")


def risks_schema(contract: Contract) -> pa.Schema:
    """`enquiry_id`, `asked_at`, `vehicle_id`, then every field of the contract by its name."""
    first = [("enquiry_id", pa.int64()), ("asked_at", ASKED_AT), ("vehicle_id", pa.string())]
    return pa.schema(
        [*(pa.field(n, t, nullable=False) for n, t in first)]
        + [pa.field(f.name, TYPES.get(f.kind, NAMES), nullable=False) for f in contract.fields]
    )


ANSWERS: Final = pa.schema(
    [
        pa.field("enquiry_id", pa.int64(), nullable=False),
        pa.field("insurer", NAMES, nullable=False),
        pa.field("outcome", NAMES, nullable=False),
        pa.field("premium", pa.float64()),  # gross GBP, null unless quoted
        pa.field("response_seconds", pa.float32(), nullable=False),
    ]
)
RENEWALS: Final = pa.schema(
    [
        pa.field("enquiry_id", pa.int64(), nullable=False),
        pa.field("insurer", NAMES, nullable=False),  # who holds the policy that ends
        pa.field("last_premium", pa.float64(), nullable=False),  # gross GBP, a year ago
        pa.field("enbp", pa.float64(), nullable=False),  # what a new customer of the same risk is asked now
        pa.field("renewal", pa.float64(), nullable=False),  # what the customer is asked: never above enbp
    ]
)
TRUE_RISKS: Final = pa.schema(
    [
        pa.field("enquiry_id", pa.int64(), nullable=False),
        pa.field("sex", NAMES, nullable=False),
        pa.field("risk", pa.float32(), nullable=False),
        pa.field("hidden_score", pa.float32(), nullable=False),
        pa.field("market_weight", pa.float32(), nullable=False),
        pa.field("misstated", NAMES),  # the field that is not true in `risks`; null for nearly all
        pa.field("true_annual_mileage", pa.int32(), nullable=False),
        pa.field("true_overnight", NAMES, nullable=False),
        pa.field("true_occupation", NAMES, nullable=False),
    ]
)
TRUE_ANSWERS: Final = pa.schema(
    [
        pa.field("enquiry_id", pa.int64(), nullable=False),
        pa.field("insurer", NAMES, nullable=False),
        pa.field("log_price", pa.float32(), nullable=False),  # ln gross GBP before noise, of every cell
        pa.field("decline_reason", NAMES),  # null where it would quote
        pa.field("decline_probability", pa.float32(), nullable=False),  # given the answers, over all chance
    ]
)


def risks(contract: Contract, of: Enquiries) -> pa.Table:
    """What was asked."""
    columns = {
        "enquiry_id": pa.array(of.ids),
        "asked_at": pa.array(of.asked_at_us).cast(ASKED_AT),
        "vehicle_id": _vehicle_ids(of.vehicle),
    } | {f.name: _column(f, of.columns[f.name]) for f in contract.fields}
    return pa.table(columns, schema=risks_schema(contract))


def answers(insurers: tuple[str, ...], of: Enquiries) -> pa.Table:
    """What came back, one row per enquiry and insurer in the market."""
    there = _there(of)
    columns = _cells(insurers, of, there) | {
        "outcome": _named(of.outcome.ravel()[there], OUTCOMES),
        "premium": pa.array(of.premium.ravel()[there], mask=(of.outcome != QUOTE).ravel()[there]),
        "response_seconds": pa.array(of.response_s.ravel()[there]),
    }
    return pa.table(columns, schema=ANSWERS)


def renewals(insurers: tuple[str, ...], of: Enquiries, offers: Renewals) -> pa.Table:
    """What insurers ask of the customers that they have."""
    columns = {
        "enquiry_id": pa.array(of.ids[offers.row]),
        "insurer": _named(offers.insurer, insurers),
        "last_premium": pa.array(offers.last_premium),
        "enbp": pa.array(offers.enbp),
        "renewal": pa.array(offers.renewal),
    }
    return pa.table(columns, schema=RENEWALS)


def true_risks(contract: Contract, of: Enquiries) -> pa.Table:
    """What is true of who asked."""
    misstated = of.latent["misstated"]
    columns = {
        "enquiry_id": pa.array(of.ids),
        "sex": _named(of.latent["male"], ("female", "male")),
        "risk": pa.array(of.latent["risk"].astype(np.float32)),
        "hidden_score": pa.array(of.latent["score"].astype(np.float32)),
        "market_weight": pa.array(of.latent["market_weight"].astype(np.float32)),
        "misstated": _named(misstated, MISSTATED, missing=misstated == 0),
    } | {f"true_{name}": _column(contract.field(name), of.latent[f"true_{name}"]) for name in MISSTATED[1:]}
    return pa.table(columns, schema=TRUE_RISKS)


def true_answers(insurers: tuple[str, ...], of: Enquiries) -> pa.Table:
    """Why it came back, one row per enquiry and insurer in the market."""
    there = _there(of)
    reason = of.reason.ravel()[there]
    columns = _cells(insurers, of, there) | {
        "log_price": pa.array(of.log_price.ravel()[there].astype(np.float32)),
        "decline_reason": _named(reason, REASONS, missing=reason == 0),
        "decline_probability": pa.array(of.decline_chance.ravel()[there]),
    }
    return pa.table(columns, schema=TRUE_ANSWERS)


def shifts(of: Timeline) -> pa.Table:
    """What each insurer's log price is moved by in each week."""
    weeks = len(next(iter(of.shifts.values())))
    return pa.table(
        {
            "week": pa.array(np.tile(np.arange(weeks, dtype=np.int32), len(of.ids))),
            "insurer": _named(np.repeat(np.arange(len(of.ids), dtype=np.int32), weeks), of.ids),
            "log_shift": pa.array(np.concatenate([of.shifts[name] for name in of.ids])),
        }
    )


def vehicles(contract: Contract) -> pa.Table:
    """The catalogue of cars, one row per `vehicle_id`."""
    found = rows(catalogue(contract))
    numbers = np.arange(len(found["vehicle_age"]))
    fields = contract.fields_of("vehicle")
    return pa.table({"vehicle_id": _vehicle_ids(numbers)} | {f.name: _column(f, found[f.name]) for f in fields})


def sectors(contract: Contract) -> pa.Table:
    """What is known of each sector."""
    country, names = areas(contract), contract.field("sector").values
    fields = contract.fields_of("area")
    known = {f.name: _column(f, getattr(country, f.name)) for f in fields}
    return pa.table({"sector": pa.array(names)} | known)


def _there(of: Enquiries) -> Any:
    """Which cells are rows: all, unless some insurer was not in the market."""
    absent = (of.outcome == ABSENT).ravel()
    return np.flatnonzero(~absent) if absent.any() else slice(None)


def _cells(insurers: tuple[str, ...], of: Enquiries, there: Any) -> dict[str, Any]:
    who = np.tile(np.arange(len(insurers), dtype=np.int32), len(of.ids))[there]
    return {"enquiry_id": pa.array(np.repeat(of.ids, len(insurers))[there]), "insurer": _named(who, insurers)}


def _named(codes: Column, names: tuple[str, ...], missing: Column | None = None) -> Any:
    indices: Any = pa.array(codes.astype(np.int32), mask=missing)
    return pa.DictionaryArray.from_arrays(indices, pa.array(names))


def _column(field: Field, values: Column) -> Any:
    if field.is_numeric:
        return pa.array(values).cast(TYPES[field.kind])
    return _named(values, field.values)


def _vehicle_ids(numbers: Column) -> Any:
    return pa.array([f"v-{number:05d}" for number in numbers.tolist()])
