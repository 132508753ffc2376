"""What do a company's two tables say, once joined, and what is wrong with them? What `wrangle` splits and `validate` reports."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import ibis
import ibis.expr.types as ir

from kit.contract import Contract
from kit.stage import BadInput, Task
from kit.training.data import checks, gates
from kit.training.data.checks import Gate, Problem, RowCheck
from kit.training.data.engines import FILE, ROW, Engine
from kit.training.data.joined import Joined, join
from kit.training.data.profile import profile
from kit.training.params import DataParams, SplitParams

TABLES: Final = ("risks", "answers")
INSURERS: Final = "insurers.json"
STEPS: Final = 3  # of a task that `examine` advances
SHOWN_ROWS: Final = 5

Seen = tuple[tuple[str, int], ...]  # file and row from 0


@dataclass(frozen=True, slots=True)
class Limits:
    """What is allowed, and what the answers are held against: the last release's profile, and the present time."""

    split: SplitParams
    data: DataParams
    last: Mapping[str, Any] | None
    now: datetime


@dataclass(frozen=True)
class Examined:
    """The joined data and their profile (None when the columns are wrong), the problems, and what a person should know besides."""

    joined: Joined | None
    profile: Mapping[str, Any]
    archetypes: Mapping[str, str]
    problems: tuple[Problem, ...]
    notes: tuple[str, ...] = field(default=())


def examine(
    source: Path, engine: Engine, contract: Contract, limits: Limits, task: Task, *, locate: bool = False
) -> Examined:
    """Read, check and join. `locate` also finds the first rows of each problem. Raises `BadInput` when the tables cannot be read."""
    files = {name: parts(source, name) for name in TABLES}
    tables = {name: checks.typed(engine.read(files[name]), name, contract) for name in TABLES}
    problems = [p for name, t in tables.items() for p in checks.check_columns(name, dict(t.schema().items()), contract)]
    notes = [
        f"{name}: ignored {', '.join(f'`{c}`' for c in strange)}: no column of docs/own-data.md"
        for name, t in tables.items()
        if (strange := checks.ignored(name, t.columns, contract))
    ]
    wrong = {(p.table, p.column) for p in problems if p.gate == Gate.SCHEMA}
    rows = [
        p for name in TABLES for p in _rows(name, engine, tables[name], files[name], contract, limits, wrong, locate)
    ]
    task.advance(note="checked")
    archetypes, more = read_archetypes(source)
    problems += more
    if wrong:
        task.advance(2)
        return Examined(None, {}, archetypes, (*problems, *rows), tuple(notes))
    joined = join(engine, tables["risks"], tables["answers"], contract)
    ids = checks.check_pairs(joined.repeated, joined.orphans)
    if locate:
        ids = [replace(p, seen_in=_pairs_seen(engine, p, files)) for p in ids]
    problems += [*rows, *ids]
    task.advance(note="joined")
    page: Mapping[str, Any] = {}
    if all(p.is_limit for p in problems):
        page = profile(joined.table, joined.quoted, joined.premium, joined.insurers, contract)
        cuts = boundaries(len(joined.table), limits.split)
        problems += gates.problems(joined, cuts, contract, limits.data, limits.last, page)
    else:
        notes.append("leaks, drift and insurers were not looked at: they need data that are right")
    task.advance(note="examined")
    return Examined(joined, page, archetypes, tuple(problems), tuple(notes))


def parts(source: Path, name: str) -> list[Path]:
    """The Parquet files of a table, in order. Raises `BadInput` when there are none."""
    found = sorted((source / name).glob("*.parquet"))
    if not found:
        raise BadInput(f"{source}: no {name}/*.parquet")
    return found


def boundaries(rows: int, params: SplitParams) -> dict[str, tuple[int, int]]:
    """First and end position of each slice, in the order of time. Raises `BadInput` when one would be empty."""
    first, second = round(rows * params.train), round(rows * (params.train + params.calibration))
    if not 0 < first < second < rows:
        raise BadInput(f"params.toml: split: {rows} enquiries leave a slice empty")
    return {"train": (0, first), "calibration": (first, second), "test": (second, rows)}


def read_archetypes(source: Path) -> tuple[dict[str, str], list[Problem]]:
    """What kind each insurer is, from the optional insurers.json; nothing when it does not say."""
    try:
        raw = json.loads((source / INSURERS).read_bytes())
        found = raw.get("archetypes", {})
        if all(isinstance(value, str) for value in found.values()):
            return dict(sorted(found.items())), []
    except FileNotFoundError:
        return {}, []
    except (OSError, ValueError, AttributeError):
        pass
    text = 'must be {"archetypes": {"<insurer>": "<kind>"}}'
    return {}, [Problem(INSURERS, Gate.SCHEMA, "archetypes", text)]


def _rows(
    name: str,
    engine: Engine,
    table: ir.Table,
    files: Sequence[Path],
    contract: Contract,
    limits: Limits,
    wrong: Iterable[tuple[str, str]],
    locate: bool,
) -> list[Problem]:
    """What single rows of a table get wrong, by the columns that are there and of their type."""
    unreadable = {column for where, column in wrong if where == name}
    every = (
        checks.risk_checks(contract, limits.data, limits.now)
        if name == "risks"
        else checks.answer_checks(table.columns, limits.data)
    )
    usable: list[RowCheck] = [
        c for c in every if not {c.column, *(("outcome",) if c.gate == Gate.PREMIUMS else ())} & unreadable
    ]
    counted = engine.rows(checks.counts(table, usable))[0]
    problems = []
    if name == "risks" and "enquiry_id" not in unreadable:
        distinct = engine.rows(table.aggregate(ids=table.enquiry_id.nunique()))[0]["ids"]
        problems = checks.check_ids(counted["rows"], distinct, limits.data)
        if locate:
            seen = _repeats_seen(engine, files, ["enquiry_id"])
            problems = [replace(p, seen_in=seen if p.rows else ()) for p in problems]
    for check, problem in checks.found(name, usable, counted):
        seen = _seen(engine, files, check.wrong, lambda t: checks.typed(t, name, contract)) if locate else ()
        problems.append(replace(problem, seen_in=seen))
    return problems


def _seen(engine: Engine, files: Sequence[Path], wrong: Any, typed: Callable[[ir.Table], ir.Table]) -> Seen:
    """Where the first wrong rows are, as far as the engine knows."""
    numbered = engine.numbered(files)
    if numbered is None:
        return ()
    table = typed(numbered)
    found = engine.rows(table.filter(wrong(table)).select(FILE, ROW).order_by(FILE, ROW).limit(SHOWN_ROWS))
    return tuple((Path(r[FILE]).name, r[ROW]) for r in found)


def _repeats_seen(engine: Engine, files: Sequence[Path], key: Sequence[str]) -> Seen:
    """Where a key stands again, or is null."""
    table = engine.numbered(files)
    if table is None:
        return ()
    repeated = table.group_by(key).aggregate(first=ibis._.count()).filter(ibis._.first > 1).drop("first")
    again = table.semi_join(repeated, key)
    again = again.mutate(nth=ibis.row_number().over(group_by=key, order_by=[FILE, ROW])).filter(ibis._.nth > 0)
    null = table.filter(ibis.or_(*(table[k].isnull() for k in key)))
    found = engine.rows(again.select(FILE, ROW).union(null.select(FILE, ROW)).order_by(FILE, ROW).limit(SHOWN_ROWS))
    return tuple((Path(r[FILE]).name, r[ROW]) for r in found)


def _pairs_seen(engine: Engine, problem: Problem, files: Mapping[str, Sequence[Path]]) -> Seen:
    if "repeat" in problem.text:
        return _repeats_seen(engine, files["answers"], ["enquiry_id", "insurer"])
    risks = engine.read(files["risks"])
    return _seen(engine, files["answers"], lambda t: t.enquiry_id.notin(risks.enquiry_id), lambda t: t)
