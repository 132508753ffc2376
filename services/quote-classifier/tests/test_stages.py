"""Do the four stages work by their command line, on a few hundred enquiries, and end with the right code?"""

import json
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fabricated import write as write_market

from kit import calibration
from kit.artefacts import Store
from kit.contract import load
from kit.stage import BAD_INPUT, DONE, REFUSED
from kit.training import params
from kit.training.data import slices
from kit.training.data.checks import FORBIDDEN
from kit.training.nets.served import Served
from kit.training.project import main
from kit.training.report import page
from kit.training.report.page import section
from quote_classifier.project import PROJECT

ENQUIRIES, INSURERS = 400, 6
SMALL = {"bins": "8", "width": "16", "epochs": "3", "batch": "32", "learning_rate": "0.01"}


@dataclass(frozen=True)
class Places:
    """Where one run of the stages read and wrote."""

    market: Path
    wrangled: Path
    trained: Path
    store: Path
    params: Path

    @property
    def artefact(self) -> Path:
        """The published version."""
        return self.store / PROJECT.name / "1"


def run(stage: str, source: Path, out: Path, *more: str) -> int:
    """One stage as its command line runs it."""
    return main(PROJECT, [stage, "--quiet", "--in", str(source), "--out", str(out), *more])


def small(gate: str = "") -> str:
    """The project's own parameters, with a tiny net and without its gate."""
    text = PROJECT.params[: PROJECT.params.index("[[gate]]")]
    for name, value in SMALL.items():
        text, count = re.subn(rf"^{name} = .*$", f"{name} = {value}", text, flags=re.MULTILINE)
        assert 1 == count
    return text + (gate or '[[gate]]\nfigure = "full.auc_mean"\n')


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Places:
    """Everything that wrangle, train and test wrote."""
    folder = tmp_path_factory.mktemp("quote_classifier")
    found = Places(folder / "market", folder / "wrangled", folder / "trained", folder / "store", folder / "params.toml")
    write_market(found.market, load(), ENQUIRIES, INSURERS)
    found.params.write_text(small())
    steps = (
        ("wrangle", found.market, found.wrangled),
        ("train", found.wrangled, found.trained),
        ("test", found.trained, found.store),
    )
    assert [DONE] * 3 == [run(*step, "--params", str(found.params)) for step in steps]
    return found


def test_the_artefact_is_whole(places: Places) -> None:
    """It has all that serving needs, and the manifest pins every byte of it."""
    store = Store(str(places.store))
    manifest = store.manifest(PROJECT.name, 1)

    assert {
        "saved_model.pb",
        "assets.extra/tf_serving_warmup_requests",
        "calibration.json",
        "golden.jsonl",
        "report.json",
        "report.html",
        "card.md",
    } <= set(manifest.files)
    assert any(name.startswith("variables/") for name in manifest.files)
    assert (load().fingerprint, INSURERS) == (manifest.contract, len(manifest.insurers))
    assert {"fit"} == set(manifest.seeds)
    assert 3 == manifest.params["fit"]["epochs"]


def test_golden_rows_are_what_the_model_answers(places: Places) -> None:
    """At least a hundred rows, some with answers hidden, and both ways in give the expected output."""
    lines = [json.loads(line) for line in (places.artefact / "golden.jsonl").read_text().splitlines()]
    contract, served = load(), Served(places.artefact)
    numeric = np.array([line["numeric"] for line in lines], np.float32)
    categorical = np.array([line["categorical"] for line in lines], np.int32)
    expected = np.array([line["outputs"]["probability"] for line in lines], np.float32)
    by_name = {
        f.name: np.array([line["raw"][f.name] for line in lines], np.float32)
        if f.is_numeric
        else np.array([line["raw"][f.name] or "" for line in lines], object)
        for f in contract.fields
    }

    assert len(lines) >= 100
    assert len({line["profile"] for line in lines}) >= 5
    np.testing.assert_allclose(expected, served.packed(numeric, categorical), atol=1e-6)
    np.testing.assert_allclose(expected, served.by_name(by_name), atol=1e-6)


def test_golden_rows_are_nobodys(places: Places) -> None:
    """Those with every answer have only values that were given, and none is a row of the test slice."""
    lines = [json.loads(line) for line in (places.artefact / "golden.jsonl").read_text().splitlines()]
    given = slices.read(places.trained / "test.parquet", load(), INSURERS)
    written = [(*line["numeric"], *line["categorical"]) for line in lines if line["profile"] == "full"]
    rows = np.hstack([given.numeric, given.categorical])

    assert written
    assert not set(written) & {tuple(row) for row in rows}
    for row in written:
        assert (rows == np.array(row, rows.dtype)).any(axis=0).all()


def test_the_report_has_figures_of_every_profile(places: Places) -> None:
    """And of the enquiries that are also sent through a running fleet: the first of the test slice."""
    report = json.loads((places.artefact / "report.json").read_text())

    assert {"full", "no_history", "no_store", "showroom9", "showroom6", "showroom4", "some_missing"} <= set(
        report["profiles"]
    )
    assert {"first_enquiry_id": 360, "last_enquiry_id": 399, "enquiries": 40}.items() <= report[
        "accuracy_sample"
    ].items()
    assert set(report["profiles"]["full"]) <= set(report["accuracy_sample"])
    assert 3 == len(report["history"])


def test_the_report_has_figures_of_every_group(places: Places) -> None:
    """For each profile, of what it knows; and the curve over age."""
    report = json.loads((places.artefact / "report.json").read_text())
    groups = report["segments"]

    assert {"full", "no_history", "showroom9", "showroom6", "showroom4"} == set(groups)
    assert {"age", "points", "region", "urbanity", "deprivation"} <= set(groups["full"])
    assert {"age", "region"} == set(groups["showroom4"]) - {"archetype"}
    assert report["enquiries"] >= sum(g["rows"] for g in groups["full"]["age"].values()) > 0
    assert {"age", "region", "urbanity", "deprivation"} == set(report["fairness"]["groups"])
    assert {74} == {len(c) for c in (report["age_curve"]["age"], *report["age_curve"]["archetypes"].values())}


def test_no_input_stands_for_what_may_not_be_used(places: Places) -> None:
    """Answers cannot change with a person's sex: no signature has an input for it."""
    signatures = Served(places.artefact)._signatures
    inputs = {name for s in signatures.values() for name in s.structured_input_signature[1]}

    assert {f.name for f in load().fields} | {"numeric", "categorical"} == inputs
    assert not inputs & FORBIDDEN


def test_the_page_says_what_the_model_must_not_be_used_for(places: Places) -> None:
    """In the words of the card."""
    forbidden = section((places.artefact / "card.md").read_text(), page.FORBIDDEN)
    first = forbidden.removeprefix("- ").partition(";")[0]

    assert first
    assert first in (places.artefact / "report.html").read_text()


def test_an_unfair_model_is_not_published(places: Places, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 3; the group, its gap and the limit are named, and the page with them is kept."""
    unfair = re.sub("gap_at_most = .*", "gap_at_most = 0.0", re.sub("least_rows = 200", "least_rows = 2", small()))
    (tmp_path / "params.toml").write_text(re.sub("false_alarm = .*", "false_alarm = 0.9999", unfair))

    code = run("test", places.trained, tmp_path / "store", "--params", str(tmp_path / "params.toml"))

    assert REFUSED == code
    said = capsys.readouterr().err
    assert re.search(r"fairness: \w+ .* is [+-]\d\.\d+ apart from all \(\d+ enquiries\), and may be 0", said)
    assert f"refused/{PROJECT.name}/report.html" in said
    assert "<b>Refused:</b>" in (tmp_path / "store" / "refused" / PROJECT.name / "report.html").read_text()


def test_the_gate_of_the_project_names_figures_that_exist(places: Places) -> None:
    """A misspelt figure would refuse every model."""
    report = json.loads((places.artefact / "report.json").read_text())
    limits = params.read(PROJECT.params).gate

    assert limits
    for limit in limits:
        profile, _, figure = limit.figure.partition(".")
        assert figure in report["profiles"][profile]


def test_the_calibration_belongs_to_the_model(places: Places) -> None:
    """Its tables have a pooled row, and name the very graph and weights that the manifest pins beside them."""
    tables = json.loads((places.artefact / "calibration.json").read_text())

    assert {"probabilities", "likely_insurers"} <= {
        name for name, table in tables.items() if isinstance(table, dict) and "pooled" in table
    }
    pinned = Store(str(places.store)).manifest(PROJECT.name, 1).files
    assert calibration.fingerprint(pinned) == tables["model"]
    assert "calibration.json" in pinned
    assert 0.8 == tables["level"]


def test_scores_are_one_row_per_enquiry_and_insurer(places: Places, tmp_path: Path) -> None:
    """From any subset of the columns, by the newest model of the store."""
    risks = pq.read_table(places.market / "risks").slice(0, 10).select(["enquiry_id", "age", "region", "home_owner"])
    pq.write_table(risks, tmp_path / "risks.parquet")

    code = run("score", tmp_path / "risks.parquet", tmp_path / "out.parquet", "--store", str(places.store))

    found = pq.read_table(tmp_path / "out.parquet")
    assert DONE == code
    assert ["enquiry_id", "insurer", "probability"] == found.column_names
    assert [(i, f"i-{k:04d}") for i in range(10) for k in range(1, 7)] == list(
        zip(found["enquiry_id"].to_pylist(), found["insurer"].to_pylist(), strict=True)
    )
    assert all(np.isfinite(found[name].to_numpy()).all() for name in ("probability",))


def test_what_is_assumed_for_a_quote_is_assumed_in_a_batch(places: Places, tmp_path: Path) -> None:
    """A column that is absent, one that is null and one of the contract's assumed values give the same answers."""
    risks = pq.read_table(places.market / "risks").slice(0, 10).select(["enquiry_id", "age", "region"])
    fields = [f for f in load().fields if f.assumed is not None]
    said = {
        "absent": {},
        "null": {f.name: pa.nulls(10, pa.float64() if f.is_numeric else pa.string()) for f in fields},
        "said": {f.name: [f.assumed] * 10 for f in fields},
    }
    answers = []
    for name, more in said.items():
        table = pa.table({c: risks[c] for c in risks.column_names} | more)
        pq.write_table(table, tmp_path / f"{name}.parquet")
        run("score", tmp_path / f"{name}.parquet", tmp_path / name, "--store", str(places.store))
        answers.append(pq.read_table(tmp_path / name))

    assert answers[2] == answers[0]
    assert answers[2] == answers[1]


@pytest.mark.parametrize(
    ("gate", "message"),
    [
        ("at_least = 1e6", "full.auc_mean is"),
        ("at_most = -1.0", "has to be at most -1"),
    ],
)
def test_a_model_that_misses_its_limit_is_not_published(
    places: Places, tmp_path: Path, capsys: pytest.CaptureFixture[str], gate: str, message: str
) -> None:
    """Exit 3; the figure and the limit are named, and the report is kept."""
    (tmp_path / "params.toml").write_text(small(f'[[gate]]\nfigure = "full.auc_mean"\n{gate}\n'))

    code = run("test", places.trained, tmp_path / "store", "--params", str(tmp_path / "params.toml"))

    assert REFUSED == code
    assert message in capsys.readouterr().err
    assert [] == Store(str(tmp_path / "store")).versions(PROJECT.name)
    assert {"report.html", "report.json"} == set(Store(str(tmp_path / "store")).names("refused", PROJECT.name))


def test_a_figure_that_does_not_exist_is_refused(places: Places, tmp_path: Path) -> None:
    """No figure is no pass."""
    (tmp_path / "params.toml").write_text(small('[[gate]]\nfigure = "full.acuracy"\nat_least = 0.0\n'))

    assert REFUSED == run("test", places.trained, tmp_path / "store", "--params", str(tmp_path / "params.toml"))


def test_bad_input_ends_with_two_and_writes_nothing(
    places: Places, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each stage says what it wanted to read."""
    table = pq.read_table(places.market / "risks")
    wrong = tmp_path / "sex.parquet"
    pq.write_table(table.append_column("sex", pa.array(["f"] * len(table))), wrong)
    ageless = tmp_path / "ageless.parquet"
    pq.write_table(table.drop_columns(["age"]), ageless)
    (tmp_path / "loss.toml").write_text(small().replace("quote = 1.0", "quote = 0.0"))
    out = tmp_path / "out"
    cases = {
        "there is nothing at": run("wrangle", tmp_path / "nowhere", out),
        "no risks/*.parquet": run("wrangle", tmp_path, out),
        "is not what `wrangle`": run("train", places.market, out),
        "fit.json is missing": run("test", places.wrangled, out),
        "`quote` is 0": run("train", places.wrangled, out, "--params", str(tmp_path / "loss.toml")),
        "`age` is required, and not given in 400 of 400 rows": run("score", ageless, out, "--store", str(places.store)),
        "column `sex` may not be used": run("score", wrong, out, "--store", str(places.store)),
        "has versions [1]": run("score", places.market / "risks", out, "--store", str(places.store), "--version", "9"),
        "No such file": run("train", places.wrangled, out, "--params", str(tmp_path / "none.toml")),
    }

    said = capsys.readouterr().err
    assert {BAD_INPUT} == set(cases.values())
    for message in cases:
        assert message in said
    assert not out.exists()
