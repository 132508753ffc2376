"""Is the input data what docs/own-data.md says? One list of checks: wrangle counts by it, `validate` also shows the rows.

A check is an Ibis expression that is true for a row that is wrong, so it runs wherever the data are. What it finds is a `Problem`: the
table, the column, how many rows, and what would be right. What contradicts the public schema is bad input; shares have limits in
params.toml's `[data]` and are a gate's matter (see `kit.training.data.gates`).
"""

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.types as ir

from kit.contract import Contract, Field
from kit.stage import BadInput, GateRefused, StageError
from kit.training.data.joined import OUTCOMES
from kit.training.params import DataParams

# A price may not depend on these (Equality Act 2010), or nobody needs them (data minimisation): a file that has them is refused,
# so that they cannot reach a model by accident.
FORBIDDEN: Final = frozenset(
    {
        "sex",
        "gender",
        "title",
        "name",
        "first_name",
        "surname",
        "marital",
        "marital_status",
        "ethnicity",
        "religion",
        "nationality",
    }
    | {"medical", "disability", "postcode", "address", "email", "phone", "date_of_birth", "dob", "registration", "vrm"}
)
# Names of what only an answer can know: risks that have them were exported after the answers.
ANSWER_LIKE: Final = frozenset(
    {"premium", "premiums", "price", "quote", "quoted", "quote_price", "outcome", "decline", "declined", "insurer"}
    | {"cheapest", "cheapest_premium", "best_price", "label", "target"}
)
KEYS: Final = {"risks": ("enquiry_id", "asked_at"), "answers": ("enquiry_id", "insurer", "outcome", "premium")}
OPTIONAL: Final = {"risks": {"vehicle_id": "a string"}, "answers": {"response_seconds": "a number"}}
MICROSECONDS: Final = 6  # digits of a second
FIRST_TIME: Final = datetime(2000, 1, 1, tzinfo=UTC)  # what lies before is a time in another unit


class Gate(StrEnum):
    """What a problem is about: the name that stands behind its message."""

    SCHEMA = "schema"
    FORBIDDEN = "forbidden"
    SIZE = "size"
    IDS = "ids"
    TIMES = "times"
    RANGES = "ranges"
    CATEGORIES = "categories"
    NULLS = "nulls"
    OUTCOMES = "outcomes"
    PREMIUMS = "premiums"
    INSURERS = "insurers"
    LEAKAGE = "leakage"
    DRIFT = "drift"


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is wrong with the data. `is_limit`: the schema allows it, and a limit of params.toml does not."""

    table: str
    gate: Gate
    column: str
    text: str
    rows: int = 0  # that are wrong; 0 where it is not about rows
    is_limit: bool = False
    seen_in: tuple[tuple[str, int], ...] = ()  # the first of them: file and row from 0

    def __str__(self) -> str:
        files = {file: [str(row) for name, row in self.seen_in if name == file] for file, _ in self.seen_in}
        where = "; ".join(f"{file} row {', '.join(rows)}" for file, rows in files.items())
        more = ", ..." if self.rows > len(self.seen_in) else ""
        return f"{self.table}: {self.text}{f' ({where}{more})' if where else ''} [gate {self.gate}]"


def refuse(problems: Sequence[Problem]) -> None:
    """Raises `BadInput` with every problem when one contradicts the schema, `GateRefused` when they only exceed limits."""
    if problems:
        text = "\n".join(str(p) for p in problems)
        error: type[StageError] = GateRefused if all(p.is_limit for p in problems) else BadInput
        raise error(text)


def refuse_forbidden(columns: Iterable[str], where: str) -> None:
    """Raises `BadInput` when one of the columns may not be used."""
    if problems := forbidden(columns, where):
        raise BadInput(f"{where}: {problems[0].text}")


def forbidden(columns: Iterable[str], where: str) -> list[Problem]:
    """A problem per column that may not be used."""
    return [
        Problem(where, Gate.FORBIDDEN, c, f"column `{c}` may not be used; remove it")
        for c in columns
        if c.lower() in FORBIDDEN
    ]


# ---- the columns ----------------------------------------------------------------------------------------------------


def columns_of(table: str, contract: Contract) -> dict[str, str]:
    """What a table needs: each column, and what it holds."""
    if table == "risks":
        return {"enquiry_id": "a whole number", "asked_at": "a timestamp"} | {f.name: holds(f) for f in contract.fields}
    return {"enquiry_id": "a whole number", "insurer": "a string", "outcome": "a string", "premium": "a number"}


def holds(field: Field) -> str:
    """The type of a field's column, in words."""
    return "bool" if field.kind == "bool" else "a number" if field.is_numeric else "a string"


FITS: Final[Mapping[str, Callable[[dt.DataType], bool]]] = {
    "a whole number": lambda t: t.is_integer(),
    "a number": lambda t: t.is_numeric() and not t.is_boolean(),
    "a string": lambda t: t.is_string(),
    # Finer than a microsecond, two enquiries could change places between the engines, which count in microseconds.
    "a timestamp": lambda t: t.is_timestamp() and (t.scale is None or t.scale <= MICROSECONDS),
    "bool": lambda t: t.is_boolean(),
}

NULLS: Final = {
    "a whole number": "int64",
    "a number": "float64",
    "a string": "string",
    "a timestamp": "timestamp",
    "bool": "boolean",
}


def typed(table: ir.Table, name: str, contract: Contract) -> ir.Table:
    """A table whose columns that are null throughout, and were written without a type, have the type that they should have."""
    untyped = {
        column: ibis.null(NULLS[what])
        for column, what in columns_of(name, contract).items()
        if column in table.columns and _is_untyped(table[column].type(), what)
    }
    return table.mutate(**untyped) if untyped else table


def _is_untyped(found: dt.DataType, what: str) -> bool:
    # A column without a type is "unknown" to DuckDB, and so is a timestamp in nanoseconds.
    return found.is_null() or (found.is_unknown() and what != "a timestamp")


def check_columns(table: str, schema: Mapping[str, dt.DataType], contract: Contract) -> list[Problem]:
    """Every column that is needed is there and of its type, and none is forbidden or known only from the answers."""
    problems = forbidden(schema, table)
    wanted = columns_of(table, contract)
    for name, what in wanted.items():
        if name not in schema:
            near = difflib.get_close_matches(name, sorted(set(schema) - set(wanted)), 1)
            text = f"no column `{name}`" + (f"; is `{near[0]}` it?" if near else "")
            problems.append(Problem(table, Gate.SCHEMA, name, text))
        elif not FITS[what](schema[name]):
            finest = ", to the microsecond at most" if what == "a timestamp" else ""
            problems.append(Problem(table, Gate.SCHEMA, name, f"`{name}` must be {what}{finest}, not {schema[name]}"))
    for name, what in OPTIONAL[table].items():
        if name in schema and not (schema[name].is_null() or FITS[what](schema[name])):
            problems.append(Problem(table, Gate.SCHEMA, name, f"`{name}` must be {what}, not {schema[name]}"))
    if table == "risks":
        problems += [
            Problem(table, Gate.LEAKAGE, c, f"column `{c}` is known only after the insurers have answered; remove it")
            for c in schema
            if c.lower() in ANSWER_LIKE
        ]
    return problems


def ignored(table: str, columns: Iterable[str], contract: Contract) -> list[str]:
    """Columns that nothing reads: they reach no model."""
    known = {*columns_of(table, contract), *OPTIONAL[table]}
    return [c for c in columns if c not in known and c.lower() not in FORBIDDEN | ANSWER_LIKE]


# ---- the rows -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RowCheck:
    """`wrong(table)` is true for a row that is wrong; `text(rows, share)` says so; `limit`, the share of rows that may be."""

    gate: Gate
    column: str
    wrong: Callable[[ir.Table], ir.BooleanValue]
    text: Callable[[int, float], str]
    limit: float | None = None


def risk_checks(contract: Contract, limits: DataParams, now: datetime) -> Iterator[RowCheck]:
    """The checks of `risks`, apart from what needs more than a row."""
    yield RowCheck(
        Gate.TIMES, "asked_at", lambda t: t.asked_at.isnull(), lambda n, _: f"`asked_at` is null in {n} rows"
    )
    yield RowCheck(
        Gate.TIMES,
        "asked_at",
        lambda t: t.asked_at.epoch_seconds() > int(now.timestamp() + limits.future_hours * 3600),
        lambda n, _: f"`asked_at` lies in the future in {n} rows",
    )
    yield RowCheck(
        Gate.TIMES,
        "asked_at",
        lambda t: t.asked_at.epoch_seconds() < int(FIRST_TIME.timestamp()),
        lambda n, _: f"`asked_at` lies before {FIRST_TIME:%Y} in {n} rows: is it in another unit?",
    )
    for field in contract.fields:
        yield from field_checks(field, limits)


def field_checks(field: Field, limits: DataParams) -> Iterator[RowCheck]:
    """What one field's column may hold."""
    name, allowed = field.name, in_words(field)
    if field.is_numeric and field.kind != "bool":
        yield RowCheck(
            Gate.RANGES,
            name,
            lambda t: ~is_null(t[name]) & ~t[name].cast("float64").between(field.minimum, field.maximum),
            lambda n, _: f"`{name}` is outside the contract in {n} rows; it must be {allowed}",
        )
    if field.kind == "int":
        yield RowCheck(
            Gate.RANGES,
            name,
            lambda t: ~is_null(t[name]) & (t[name].cast("float64").floor().cast("float64") != t[name].cast("float64")),
            lambda n, _: f"`{name}` must be a whole number, and {n} rows are not",
        )
    if field.kind == "enum":
        yield RowCheck(
            Gate.CATEGORIES,
            name,
            lambda t: ~is_null(t[name]) & ~t[name].isin(field.values),
            lambda n, _: f"`{name}` is outside the contract in {n} rows; it must be {allowed}",
        )
    if field.kind == "code":
        yield RowCheck(
            Gate.CATEGORIES,
            name,
            lambda t: ~is_null(t[name]) & ~t[name].isin(field.values),
            lambda n, share: (
                f"`{name}` has codes that the contract does not know in {n} rows, {share:.1%}; "
                f"at most {limits.unknown_share:.1%} (data.unknown_share)"
            ),
            limits.unknown_share,
        )
    most, by = null_limit(field, limits)
    yield RowCheck(
        Gate.NULLS,
        name,
        lambda t: is_null(t[name]),
        lambda n, share: f"`{name}` is null in {n} rows, {share:.1%}; at most {most:.1%} ({by})",
        None if field.required else most,
    )


def null_limit(field: Field, limits: DataParams) -> tuple[float, str]:
    """The share of a field's rows that may be null, and who says so."""
    if field.required:
        return 0.0, "the contract requires it"
    if field.name in limits.nulls:
        return limits.nulls[field.name], f"data.nulls.{field.name}"
    return limits.null_share, "data.null_share"


def in_words(field: Field) -> str:
    """What a field may hold, in words."""
    if field.is_numeric:
        return f"{field.minimum:g} to {field.maximum:g} {field.unit}".strip()
    return f"one of {', '.join(field.values)}"


def is_null(column: ir.Column) -> ir.BooleanValue:
    """Whether a value is not known: null, not a number, or the empty string."""
    if column.type().is_floating():
        return column.isnull() | column.isnan().fill_null(False)
    if column.type().is_string():
        return column.isnull() | (column == "").fill_null(False)
    return column.isnull()


def _is_price(premium: ir.Column) -> ir.BooleanValue:
    """Whether it is a number of pounds at all."""
    number = premium.cast("float64")
    return ~is_null(number) & (number > 0).fill_null(False) & ~number.isinf().fill_null(False)


def answer_checks(columns: Iterable[str], limits: DataParams) -> Iterator[RowCheck]:
    """The checks of `answers`, apart from what needs more than a row."""
    outcomes = ", ".join(OUTCOMES)
    yield RowCheck(
        Gate.IDS, "enquiry_id", lambda t: t.enquiry_id.isnull(), lambda n, _: f"`enquiry_id` is null in {n} rows"
    )
    yield RowCheck(
        Gate.OUTCOMES,
        "outcome",
        lambda t: ~t.outcome.isin(list(OUTCOMES)).fill_null(False),
        lambda n, _: f"`outcome` must be one of {outcomes}; {n} rows are not",
    )
    yield RowCheck(
        Gate.INSURERS, "insurer", lambda t: is_null(t.insurer), lambda n, _: f"`insurer` is null in {n} rows"
    )
    yield RowCheck(
        Gate.PREMIUMS,
        "premium",
        lambda t: (t.outcome == "quote") & ~_is_price(t.premium),
        lambda n, _: f"{n} quotes have no `premium` above zero",
    )
    yield RowCheck(
        Gate.PREMIUMS,
        "premium",
        lambda t: (
            (t.outcome == "quote")
            & _is_price(t.premium)
            & ~t.premium.cast("float64").between(limits.least_premium, limits.most_premium)
        ),
        lambda n, _: (
            f"`premium` of {n} quotes is not £{limits.least_premium:g} to £{limits.most_premium:g}: is it in another unit? "
            f"At most {limits.odd_premiums:.1%} of the rows (data.odd_premiums)"
        ),
        limits.odd_premiums,
    )
    if "response_seconds" in columns:
        yield RowCheck(
            Gate.TIMES,
            "response_seconds",
            lambda t: t.response_seconds < 0,
            lambda n, _: f"`response_seconds` is below zero in {n} rows: answered before it was asked",
        )


def counts(table: ir.Table, checks: Sequence[RowCheck]) -> ir.Table:
    """One row: `rows`, and for each check the number of wrong rows as `wrong_<index>`."""
    return table.aggregate(
        rows=table.count(), **{f"wrong_{i}": c.wrong(table).sum().fill_null(0) for i, c in enumerate(checks)}
    )


def found(table: str, checks: Sequence[RowCheck], counted: Mapping[str, Any]) -> Iterator[tuple[RowCheck, Problem]]:
    """What `counts` says is too much."""
    for i, check in enumerate(checks):
        wrong, share = int(counted[f"wrong_{i}"]), int(counted[f"wrong_{i}"]) / max(counted["rows"], 1)
        if wrong and (check.limit is None or share > check.limit):
            text = check.text(wrong, share)
            yield check, Problem(table, check.gate, check.column, text, wrong, is_limit=check.limit is not None)


# ---- what needs more than a row -------------------------------------------------------------------------------------


def check_ids(rows: int, distinct: int, limits: DataParams) -> list[Problem]:
    """`risks`: enough rows, one per enquiry."""
    problems = []
    if rows < limits.least_enquiries:
        text = f"{rows} enquiries are too few, {limits.least_enquiries} is the least (data.least_enquiries)"
        problems.append(Problem("risks", Gate.SIZE, "", text))
    if rows != distinct:
        text = f"`enquiry_id` must be unique and not null, {rows - distinct} rows are not"
        problems.append(Problem("risks", Gate.IDS, "enquiry_id", text, rows - distinct))
    return problems


def check_pairs(repeated: int, orphans: int) -> list[Problem]:
    """`answers`: one row per enquiry and insurer, and no enquiry that `risks` lacks."""
    problems = []
    if repeated:
        text = f"{repeated} rows repeat an `enquiry_id` and `insurer`"
        problems.append(Problem("answers", Gate.IDS, "enquiry_id", text, repeated))
    if orphans:
        text = f"{orphans} rows have an `enquiry_id` that is not in risks"
        problems.append(Problem("answers", Gate.IDS, "enquiry_id", text, orphans))
    return problems
