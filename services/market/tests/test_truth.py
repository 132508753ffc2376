"""The truth is for checks: nothing that trains can read it, find it, or make it again."""

import ast
import json
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from kit.contract import Contract
from kit.stage import Quiet
from market import schema
from market.enquiries import Plan
from market.write import How, Wanted, generate

SERVICES = Path(__file__).parents[2]
CHECKERS = {"market", "local-fleet"}
"""The market writes the truth, and the fleet tells it where to. Everything else may not know that there is one."""
OTHERS = sorted(p.parent for p in SERVICES.glob("*/pyproject.toml") if p.parent.name not in CHECKERS)


def _words(code: ast.AST) -> Iterator[str]:
    """Modules that code imports, and what its strings say, its docstrings apart."""
    spoken = {n.value for n in ast.walk(code) if isinstance(n, ast.Expr)}
    for node in ast.walk(code):
        if isinstance(node, ast.Import):
            yield from (f"import {name.name}" for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield f"import {node.module}"
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in spoken:
            yield node.value


@pytest.mark.parametrize("project", OTHERS, ids=lambda p: p.name)
def test_no_other_project_can_reach_it(project: Path) -> None:
    """No project installs or imports the market, whose seed would give the truth again, or names the truth or a column of it."""
    wanted = tomllib.loads((project / "pyproject.toml").read_text())["project"].get("dependencies", [])
    assert "market" not in wanted

    # "risk" is a request's, and "sex" is what training refuses by name.
    columns = (set(schema.TRUE_RISKS.names) | set(schema.TRUE_ANSWERS.names)) - {"enquiry_id", "insurer", "risk", "sex"}
    for file in project.glob("src/**/*.py"):
        words = set(_words(ast.parse(file.read_text())))
        assert not {w for w in words if w == "import market" or w.startswith("import market.")}, file
        assert not words & (columns | {"truth", "--truth"}), file


def test_training_projects_are_among_those(request: pytest.FixtureRequest) -> None:
    """Where the training projects lie beside the market, the test above reads them."""
    training = {"quote-classifier", "premium-regressor"} & {p.name for p in SERVICES.iterdir()}
    if not training:
        pytest.skip(f"{request.node.name}: no training project lies beside the market")
    assert training <= {p.name for p in OTHERS}


def test_the_market_does_not_say_where_it_is(contract: Contract, tmp_path: Path) -> None:
    """Of all that training is given, no file names the truth's folder, no column is of the truth, and no tariff is there."""
    wanted = Wanted(Plan(seed=3, enquiries=200, weeks=2), insurers=30, market_seed=3)
    hidden = tmp_path / "where-nobody-looks"
    generate(contract, wanted, tmp_path / "market", hidden, How(), Quiet())

    files = [p for p in (tmp_path / "market").rglob("*") if p.is_file()]
    assert not [p for p in files if b"where-nobody-looks" in p.read_bytes()]
    assert not [p for p in files if p.is_symlink()]
    true = (set(schema.TRUE_RISKS.names) | set(schema.TRUE_ANSWERS.names)) - {"enquiry_id", "insurer"}
    for path in files:
        if path.suffix == ".parquet":
            assert not true & set(pq.read_schema(path).names), path
    assert {"insurers", "archetypes"} == json.loads((tmp_path / "market" / "insurers.json").read_text()).keys()


def test_the_truth_is_its_owners_alone(contract: Contract, tmp_path: Path) -> None:
    """Another user of the machine, as whom training may run, cannot open the folder."""
    wanted = Wanted(Plan(seed=3, enquiries=10, weeks=2), insurers=30, market_seed=3)
    generate(contract, wanted, tmp_path / "market", tmp_path / "truth", How(), Quiet())

    assert 0o700 == (tmp_path / "truth").stat().st_mode & 0o777
