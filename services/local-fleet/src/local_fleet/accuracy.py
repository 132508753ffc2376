"""Does the running fleet answer exactly as well as the test stages measured? Held-out enquiries, sent as a website would send them.

Cars go by `vehicle_id` and places by `sector`, so that the feature store is on the path; every other answer is sent. The figures are
those of `kit.training.judging.measures`, computed here from what the gateway answered and by the test stages from the exported models.
Whatever differs between training and serving shows as a difference between the two.
"""

import http.client
import json
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import local
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from numpy.typing import NDArray

from kit import contract
from kit.artefacts import Published, Store
from kit.bundles import read_bundle
from kit.contract import Contract
from kit.stage import DONE
from kit.training.judging import measures
from local_fleet import commands, fleet, sample
from local_fleet.ports import HOST

AT_ONCE: Final = 8
BUDGET_MS: Final = 2_000
PAUSES_S: Final = (0.0, 0.1, 0.2, 0.5, 1.0, 2.0, 4.0)
"""Before each try. On a busy machine a part may be late, which is an answer, but not the one that is measured here."""
AGREES_WITHIN: Final = 0.001
"""0.1 percentage points."""
MOST_OUT_OF_RANGE: Final = 0.02
"""Of real enquiries. A price without an interval is left out of the coverage, so that too many of them would flatter it."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the verdict: what was measured through the gateway, by the test stage (None: over other enquiries), and the limits."""

    name: str
    served: float
    tested: float | None
    at_least: float = 0.0
    at_most: float = 1.0

    @property
    def difference(self) -> float | None:
        """Absolute; None when there is nothing to compare with."""
        return None if self.tested is None else abs(self.served - self.tested)

    @property
    def fault(self) -> str | None:
        """Why it does not hold, or None. A figure that is not a number does not hold."""
        if not self.at_least <= self.served <= self.at_most:
            return f"must be from {self.at_least:.0%} to {self.at_most:.0%}"
        if self.difference is not None and not self.difference <= AGREES_WITHIN:
            return f"differs by more than {AGREES_WITHIN:.1%} points"
        return None


@dataclass(frozen=True)
class Enquiries:
    """Held-out enquiries: their requests, and the answers of the market, [B, K]: `quoted` 1, 0, -1 (none) and `premium` (NaN)."""

    risks: Sequence[Mapping[str, Any]]
    quoted: NDArray[np.int8]
    premium: Floats


@dataclass(frozen=True)
class Answers:
    """What the gateway answered, [B, K]."""

    probability: Floats
    premium: Floats
    low: Floats
    high: Floats


def figures(enquiries: Enquiries, answers: Answers, tested: Mapping[str, float]) -> tuple[Figure, ...]:
    """The three figures that the promise is about, and for how many enquiries it is made; `tested` is empty when the test stages measured other enquiries."""
    actual = np.log(enquiries.premium)
    has_interval = ~np.isnan(answers.low)
    return (
        Figure(
            "premium MAPE",
            measures.absolute_percentage_error(np.log(answers.premium), actual),
            tested.get("premium_mape"),
            0.0,
            0.14,
        ),
        Figure(
            "decline AUC",
            float(np.nanmean(measures.insurer_aucs(answers.probability, enquiries.quoted))),
            tested.get("auc_mean"),
            0.90,
            1.0,
        ),
        Figure(
            "coverage of 80 %",
            measures.coverage(answers.low, answers.high, np.where(has_interval, enquiries.premium, np.nan)),
            tested.get("coverage"),
            0.77,
            0.85,
        ),
        Figure(
            "out of range",
            float(1 - has_interval.all(axis=1).mean()),
            tested.get("out_of_range"),
            0.0,
            MOST_OUT_OF_RANGE,
        ),
    )


def table(found: Sequence[Figure]) -> list[str]:
    """The verdict as lines of text."""
    lines = [f"{'':<18}{'gateway':>10}{'test stage':>12}{'difference':>12}"]
    for figure in found:
        tested = "" if figure.tested is None else f"{figure.tested:.3%}"
        difference = "" if figure.difference is None else f"{figure.difference:.4%}"
        lines.append(f"{figure.name:<18}{figure.served:>10.3%}{tested:>12}{difference:>12}  {figure.fault or 'holds'}")
    return lines


def request(of: Contract, row: Mapping[str, Any]) -> dict[str, Any]:
    """The risk that a website sends for a row of `risks`: entities by id, the rest by value, what is null not at all."""
    groups: dict[str, dict[str, Any]] = {g.name: {} for g in of.groups}
    for group in of.groups:
        if group.consent:
            groups[group.name]["consent"] = True
        if group.entity is not None:
            groups[group.name][group.entity] = row[group.entity]
    for field in of.fields:
        if field.entity is None and row[field.name] is not None:
            groups[field.group][field.name] = row[field.name]
    return groups


def held_out(market: Path, of: Contract, split: Mapping[str, float], count: int, insurers: Sequence[str]) -> Enquiries:
    """The first enquiries of the test slice, which is what comes after the shares for training and calibration, in the order of time."""
    risks = ds.dataset(market / "risks", format="parquet")
    order = risks.to_table(columns=["asked_at", "enquiry_id"]).sort_by(
        [("asked_at", "ascending"), ("enquiry_id", "ascending")]
    )
    first = round(len(order) * (split["train"] + split["calibration"]))
    ids = order["enquiry_id"].combine_chunks()[first : first + count]
    chosen = risks.to_table(filter=pc.field("enquiry_id").isin(ids)).sort_by(
        [("asked_at", "ascending"), ("enquiry_id", "ascending")]
    )
    answers = ds.dataset(market / "answers", format="parquet").to_table(filter=pc.field("enquiry_id").isin(ids))
    quoted, premium = _matrices(answers, ids, insurers)
    return Enquiries([request(of, row) for row in chosen.to_pylist()], quoted, premium)


def _matrices(answers: pa.Table, ids: pa.Array, insurers: Sequence[str]) -> tuple[NDArray[np.int8], Floats]:
    row = pc.index_in(answers["enquiry_id"], value_set=ids).to_numpy()
    column = pc.index_in(answers["insurer"].cast(pa.string()), value_set=pa.array(insurers)).to_numpy()
    outcome = (
        pc.index_in(answers["outcome"].cast(pa.string()), value_set=pa.array(["decline", "quote"]))
        .fill_null(-1)
        .to_numpy()
    )
    quoted = np.full((len(ids), len(insurers)), -1, np.int8)
    premium = np.full(quoted.shape, np.nan)
    quoted[row, column] = outcome
    premium[row, column] = np.where(outcome == 1, answers["premium"].to_numpy(), np.nan)
    return quoted, premium


class Refused(Exception):
    """The gateway gave an enquiry no whole answer; the message says what it said."""


class Asker:
    """Sends enquiries to one gateway, a kept connection for each thread."""

    def __init__(self, port: int, key: str) -> None:
        self._port, self._threads = port, local()
        self._headers = sample.headers(key) | {"X-Request-Timeout-Ms": str(BUDGET_MS)}

    def ask(self, risk: Mapping[str, Any]) -> Mapping[str, Sequence[Any]]:
        """The insurers' columns of a whole answer. Raises `Refused`, and OSError or HTTPException when the gateway is gone."""
        status, body = 0, dict[str, Any]()
        for pause_s in PAUSES_S:
            time.sleep(pause_s)
            status, body = self._post(json.dumps({"risk": risk}).encode())
            if status == http.HTTPStatus.OK and body["complete"] and not body["degraded"]:
                columns: Mapping[str, Sequence[Any]] = body["insurers"]
                return columns
        raise Refused(f"{status} {json.dumps({k: v for k, v in body.items() if k != 'insurers'})[:1000]}")

    def _post(self, body: bytes) -> tuple[int, dict[str, Any]]:
        connection = self._connection()
        connection.request("POST", "/v1/quotes?layout=columns", body, self._headers)
        response = connection.getresponse()
        return response.status, json.loads(response.read())

    def _connection(self) -> http.client.HTTPConnection:
        if not hasattr(self._threads, "connection"):
            self._threads.connection = http.client.HTTPConnection(HOST, self._port, timeout=BUDGET_MS / 1000 + 5)
        connection: http.client.HTTPConnection = self._threads.connection
        return connection


def answers_of(columns: Sequence[Mapping[str, Sequence[Any]]], insurers: Sequence[str]) -> Answers:
    """Arrays in the order of `insurers`, whatever the order in each answer."""
    arrays: dict[str, list[Floats]] = {name: [] for name in ("probability", "premium", "low", "high")}
    for answer in columns:
        place = {insurer: i for i, insurer in enumerate(answer["insurer"])}
        order = [place[insurer] for insurer in insurers]
        for name, rows in arrays.items():
            rows.append(np.array(answer[name], np.float64)[order])
    return Answers(**{name: np.stack(rows) for name, rows in arrays.items()})


def run(session: commands.Session, offset: int | None, count: int) -> int:
    """Ask, measure, compare. Exit 1 when a figure does not hold."""
    number = commands.choose(session.home, offset)
    state = fleet.State.read(session.home.fleet(number))
    if state is None:
        raise commands.NoFleet("the fleet is not ready yet")
    store, of = Store(str(session.home.store)), contract.load()
    bundle = read_bundle(store, state.bundle)
    manifest = store.manifest(bundle.regressor.project, bundle.regressor.version, bundle.regressor.sha256)
    enquiries = held_out(session.home.market, of, manifest.params["split"], count, manifest.insurers)
    session.say(
        f"{len(enquiries.risks)} held-out enquiries through http://{HOST}:{state.ports.gateway}/v1/quotes, bundle {state.bundle}"
    )
    asker = Asker(state.ports.gateway, fleet.dev_key())
    try:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            columns = list(pool.map(asker.ask, enquiries.risks))
    except (Refused, OSError, http.client.HTTPException) as error:
        session.say(f"the gateway gave no whole answer: {error or type(error).__name__}")
        return commands.FAILED
    found = figures(
        enquiries,
        answers_of(columns, manifest.insurers),
        tested(store, (bundle.classifier, bundle.regressor), len(enquiries.risks)),
    )
    for line in table(found):
        session.say(line)
    return commands.FAILED if any(f.fault for f in found) else DONE


def tested(store: Store, models: Sequence[Published], count: int) -> dict[str, float]:
    """What the test stages measured on these very enquiries; empty when they measured another number of them."""
    found: dict[str, float] = {}
    for model in models:
        manifest = store.manifest(model.project, model.version, model.sha256)
        section = json.loads(store.read_file(model.project, model.version, "report.json", manifest))["accuracy_sample"]
        if section.get("enquiries") == count:
            found |= {name: value for name, value in section.items() if isinstance(value, float)}
    return found
