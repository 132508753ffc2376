"""Is the input data what the contract says? Every refusal names the file, the column, how many rows, and what would be right."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import ibis.expr.types as ir

from kit.contract import Contract, Field
from kit.stage import BadInput

OUTCOMES: Final = {"quote": 1, "decline": 0, "no_response": -1}
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
UNCHECKED: Final = frozenset({"bool", "code"})  # a code that is not in the vocabulary means "not known", and is allowed
LEAST_ENQUIRIES: Final = 100


def check_risks(risks: ir.Table, contract: Contract) -> None:
    """The risks have every field, in type and range, one row per enquiry, and nothing that is forbidden. Raises `BadInput`."""
    check_names(risks.columns, contract)
    types = risks.schema()
    for field in contract.fields:
        _check_type(field, types[field.name])
    _check_values(risks.aggregate(_measures(risks, contract)).to_pyarrow().to_pylist()[0], contract)


def refuse_forbidden(columns: Iterable[str], where: str) -> None:
    """Raises `BadInput` when one of the columns may not be used."""
    for column in columns:
        if column.lower() in FORBIDDEN:
            raise BadInput(f"{where}: column `{column}` may not be used; remove it")


def check_names(columns: Sequence[str], contract: Contract) -> None:
    """Every field has its column, and no column is forbidden. Raises `BadInput`."""
    refuse_forbidden(columns, "risks")
    have = set(columns)
    for name in ("enquiry_id", "asked_at", *(f.name for f in contract.fields)):
        if name not in have:
            near = difflib.get_close_matches(name, sorted(have - set(contract.by_name)), 1)
            raise BadInput(f"risks: no column `{name}`" + (f"; is `{near[0]}` it?" if near else ""))


def _check_values(found: Mapping[str, int], contract: Contract) -> None:
    if found["rows"] < LEAST_ENQUIRIES:
        raise BadInput(f"risks: {found['rows']} enquiries are too few, {LEAST_ENQUIRIES} is the least")
    if found["rows"] != found["ids"]:
        raise BadInput(f"risks: `enquiry_id` must be unique and not null, {found['rows'] - found['ids']} rows are not")
    if found["untimed"]:
        raise BadInput(f"risks: `asked_at` is null in {found['untimed']} rows")
    for field in contract.fields:
        if wrong := found.get(f"wrong_{field.name}"):
            allowed = (
                f"{field.minimum:g} to {field.maximum:g} {field.unit}".strip()
                if field.is_numeric
                else f"one of {', '.join(field.values)}"
            )
            raise BadInput(f"risks: `{field.name}` is outside the contract in {wrong} rows; it must be {allowed}")


def _check_type(field: Field, found: Any) -> None:
    fits = found.is_boolean() if field.kind == "bool" else found.is_numeric() if field.is_numeric else found.is_string()
    if not fits:
        wanted = "bool" if field.kind == "bool" else "a number" if field.is_numeric else "a string"
        raise BadInput(f"risks: `{field.name}` must be {wanted}, not {found}")


def _measures(risks: ir.Table, contract: Contract) -> dict[str, ir.Value]:
    measures: dict[str, ir.Value] = {
        "rows": risks.count(),
        "ids": risks.enquiry_id.nunique(),
        "untimed": risks.asked_at.isnull().sum(),
    }
    for field in contract.fields:
        if field.kind in UNCHECKED:
            continue
        column = risks[field.name]
        wrong = ~(
            column.cast("float64").between(field.minimum, field.maximum)
            if field.is_numeric
            else column.isin(field.values)
        )
        measures[f"wrong_{field.name}"] = wrong.sum().fill_null(0)
    return measures


def check_answers(answers: ir.Table, risks: ir.Table) -> None:
    """One known outcome per enquiry and insurer, and a premium with each quote. Raises `BadInput`."""
    for name in ("enquiry_id", "insurer", "outcome", "premium"):
        if name not in answers.columns:
            raise BadInput(f"answers: no column `{name}`")
    unpriced = (answers.outcome == "quote") & ~(answers.premium.fill_null(0.0) > 0).fill_null(False)
    pair = answers.enquiry_id.cast("string") + " " + answers.insurer
    found = (
        answers.aggregate(
            rows=answers.count(),
            pairs=pair.nunique(),
            strange=(~answers.outcome.isin(list(OUTCOMES))).fill_null(True).sum(),
            unpriced=unpriced.sum(),
            unnamed=answers.insurer.isnull().sum(),
        )
        .to_pyarrow()
        .to_pylist()[0]
    )
    if found["strange"]:
        raise BadInput(f"answers: `outcome` must be one of {', '.join(OUTCOMES)}; {found['strange']} rows are not")
    if found["unnamed"]:
        raise BadInput(f"answers: `insurer` is null in {found['unnamed']} rows")
    if found["unpriced"]:
        raise BadInput(f"answers: {found['unpriced']} quotes have no `premium` above zero")
    if found["pairs"] != found["rows"]:
        raise BadInput(f"answers: {found['rows'] - found['pairs']} rows repeat an `enquiry_id` and `insurer`")
    if orphans := answers.anti_join(risks, "enquiry_id").count().to_pyarrow().as_py():
        raise BadInput(f"answers: {orphans} rows have an `enquiry_id` that is not in risks")
