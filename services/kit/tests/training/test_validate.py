"""Does `validate` name everything that is wrong, with the rows, and end with the right code?"""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from broken import added, changed, replaced
from tiny import tiny

from kit.contract import Contract
from kit.stage import BadInput, Places, Quiet
from kit.training.data.validate import validate


def report(source: Path, contract: Contract, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The lines that validate prints."""
    validate(source, contract, tiny(), None, Places(str(source), "", Quiet()))
    return capsys.readouterr().out.splitlines()


def test_good_data_have_no_problems(market: Path, contract: Contract, capsys: pytest.CaptureFixture[str]) -> None:
    """One line says what they are."""
    assert ["400 enquiries, 6 insurers, no problems"] == report(market, contract, capsys)


def test_every_problem_has_its_rows(
    market: Path, contract: Contract, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Table, column, how many, and the first few by file and row from 0; what is only ignored is a note."""
    source = changed(
        market,
        tmp_path / "in",
        risks=lambda t: added("colour", "red")(replaced("enquiry_id", [9], 0)(replaced("age", range(3, 11), 12)(t))),
        answers=replaced("outcome", [5], "refer"),
    )
    answers = pq.read_table(source / "answers")
    pq.write_table(answers.slice(100, 2), source / "answers" / "part-00001.parquet")

    with pytest.raises(BadInput, match="cannot be trained on: 5 problems"):
        report(source, contract, capsys)

    assert [
        "risks: `enquiry_id` must be unique and not null, 1 rows are not (part-00000.parquet row 9) [gate ids]",
        "risks: `age` is outside the contract in 8 rows; it must be 17 to 99 years (part-00000.parquet row 3, 4, 5, 6, 7, ...) [gate ranges]",
        "answers: `outcome` must be one of quote, decline, no_response; 1 rows are not (part-00000.parquet row 5) [gate outcomes]",
        "answers: 2 rows repeat an `enquiry_id` and `insurer` (part-00001.parquet row 0, 1) [gate ids]",
        "answers: 6 rows have an `enquiry_id` that is not in risks (part-00000.parquet row 54, 55, 56, 57, 58, ...) [gate ids]",
        "note: risks: ignored `colour`: no column of docs/own-data.md",
        "note: leaks, drift and insurers were not looked at: they need data that are right",
        "400 enquiries, 6 insurers, 5 problems",
    ] == capsys.readouterr().out.splitlines()


def test_wrong_columns_do_not_hide_wrong_rows(
    market: Path, contract: Contract, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Columns that are there are looked at though others are missing."""
    source = changed(
        market,
        tmp_path / "in",
        risks=lambda t: replaced("age", [7], 12)(t.drop_columns(["region"])),
        answers=lambda t: t.set_column(2, "outcome", pa.array([1] * len(t))),
    )

    with pytest.raises(BadInput, match="cannot be trained on: 3 problems"):
        report(source, contract, capsys)

    assert [
        "risks: no column `region` [gate schema]",
        "risks: `age` is outside the contract in 1 rows; it must be 17 to 99 years (part-00000.parquet row 7) [gate ranges]",
        "answers: `outcome` must be a string, not int64 [gate schema]",
    ] == capsys.readouterr().out.splitlines()
