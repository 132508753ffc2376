"""Which shape of the net is worth its time? A few variants of params.toml, fitted to the same rows and measured on the same later ones.

A grid is TOML: what all variants change, and for each variant what else it changes, by the path of a parameter:

    [base]
    "fit.epochs" = 12
    [[variant]]
    name = "no additive path"
    changes = { "net.additive" = false }

To see what a newcomer to the panel gets, `newcomers` insurers keep only their last `newcomer_answers` answers of the training rows, in
every variant. What is measured is the net itself, before calibration, on the calibration slice: the test slice stays unseen until
a shape is chosen.
"""

import json
import resource
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import keras
import numpy as np
from numpy.typing import NDArray

from kit.contract import Contract
from kit.files import write_atomic
from kit.stage import BadInput, Progress, Quiet
from kit.training import params
from kit.training.data import slices
from kit.training.data.slices import Rows, panel_prices
from kit.training.data.wrangle import Wrangled
from kit.training.judging import measures
from kit.training.nets.fit import fit
from kit.training.nets.net import PANEL, PREMIUM, QUOTE
from kit.training.params import Params

BATCH: Final = 4096
SEED: Final = 11  # of who the newcomers are


@dataclass(frozen=True, slots=True)
class Variant:
    """A name, and the parameters that differ from the project's."""

    name: str
    changes: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Grid:
    """What is compared, on how many rows, and how many insurers are made newcomers with how few answers."""

    base: Mapping[str, Any]
    variant: tuple[Variant, ...]
    enquiries: int
    newcomers: int = 0
    newcomer_answers: int = 500

    @classmethod
    def read(cls, text: str, where: str) -> "Grid":
        """Raises `BadInput`."""
        try:
            raw = tomllib.loads(text)
            variants = tuple(Variant(**found) for found in raw.pop("variant"))
            return cls(base=raw.pop("base", {}), variant=variants, **raw)
        except (tomllib.TOMLDecodeError, TypeError, KeyError) as error:
            raise BadInput(f"{where}: {error}") from error


def sweep(
    wrangled: Path, out: Path, contract: Contract, text: str, grid: Grid, progress: Progress
) -> list[dict[str, Any]]:
    """Fit and measure every variant of the params.toml in `text`; sweep.json and sweep.md in `out` grow with each of them.

    Raises `BadInput` before anything is fitted when a variant's parameters are wrong.
    """
    told = Wrangled.read(wrangled, contract)
    variants = [(v.name, changed(text, {**grid.base, **v.changes}, v.name)) for v in grid.variant]
    rows, later = (
        slices.read(wrangled / f"{n}.parquet", contract, len(told.insurers)) for n in ("train", "calibration")
    )
    rows = rows.take(slice(-grid.enquiries, None))
    if grid.newcomers >= len(told.insurers):
        raise BadInput(f"newcomers = {grid.newcomers} of {len(told.insurers)} insurers leaves none that is known")
    new = np.sort(np.random.default_rng(SEED).choice(len(told.insurers), grid.newcomers, replace=False))
    thin = thinned(rows, new, grid.newcomer_answers)
    found: list[dict[str, Any]] = []
    out.mkdir(parents=True, exist_ok=True)
    with progress.task("sweep", total=len(variants)) as task:
        for name, chosen in variants:
            before = resource.getrusage(resource.RUSAGE_SELF)
            net, history = fit(contract, thin, later, chosen, Quiet())
            after = resource.getrusage(resource.RUSAGE_SELF)
            spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            found.append(
                {"name": name, "weights": net.count_params(), "cpu_seconds": round(spent, 1)}
                | figures(net, later, new)
                | {"history": [asdict(epoch) for epoch in history]}
            )
            write_atomic(out / "sweep.json", json.dumps({"grid": asdict(grid), "found": found}, indent=1).encode())
            write_atomic(out / "sweep.md", table(found).encode())
            task.advance(note=name)
            keras.backend.clear_session()
    return found


def changed(text: str, changes: Mapping[str, Any], where: str) -> Params:
    """The parameters of `text` with some changed by their path, `net.rank`. Raises `BadInput`."""
    raw = tomllib.loads(text)
    for path, value in changes.items():
        *tables, name = path.split(".")
        at = raw
        for part in tables:
            at = at.setdefault(part, {})
        at[name] = value
    return params.make(raw, where)


def thinned(rows: Rows, insurers: NDArray[np.intp], answers: int) -> Rows:
    """The rows where some insurers gave only their last `answers` answers."""
    quoted, premium = rows.quoted.copy(), rows.premium.copy()
    for k in insurers:
        given = np.flatnonzero(quoted[:, k] >= 0)
        gone = given[: max(0, len(given) - answers)]
        quoted[gone, k], premium[gone, k] = -1, np.nan
    return Rows(rows.ids, rows.numeric, rows.categorical, quoted, premium)


def figures(net: keras.Model, rows: Rows, new: NDArray[np.intp]) -> dict[str, float]:
    """What the net itself answers to whole rows, in figures; `new` are the places of the newcomers."""
    answers = _answers(net, rows)
    old = np.setdiff1d(np.arange(rows.quoted.shape[1]), new)
    found = {}
    if PREMIUM in answers:
        middle, actual = answers[PREMIUM][..., 1], np.log(rows.premium)
        found["premium_mape"] = measures.absolute_percentage_error(middle[:, old], actual[:, old])
        if len(new):
            found["newcomer_mape"] = measures.absolute_percentage_error(middle[:, new], actual[:, new])
    if QUOTE in answers:
        aucs = measures.insurer_aucs(answers[QUOTE], rows.quoted)
        found["auc_mean"] = float(np.nanmean(aucs[old]))
        if len(new):
            found["newcomer_auc"] = float(np.nanmean(aucs[new]))
    if PANEL in answers:
        cheapest = np.log(panel_prices(rows.premium))[:, 0]
        found["cheapest_mape"] = measures.absolute_percentage_error(answers[PANEL][:, 0, 1], cheapest)
    return found


def _answers(net: keras.Model, rows: Rows) -> dict[str, NDArray[np.float32]]:
    parts = [
        net({"numeric": rows.numeric[i : i + BATCH], "categorical": rows.categorical[i : i + BATCH]}, training=False)
        for i in range(0, len(rows), BATCH)
    ]
    return {name: np.concatenate([part[name].numpy() for part in parts]) for name in parts[0]}


def table(found: Sequence[Mapping[str, Any]]) -> str:
    """The figures in Markdown, a variant a line."""
    names = list(dict.fromkeys(n for row in found for n, value in row.items() if n != "history"))
    lines = ["| " + " | ".join(n.replace("_", " ") for n in names) + " |", "|---" * len(names) + "|"]
    lines += ["| " + " | ".join(_spelt(row.get(n, "")) for n in names) + " |" for row in found]
    return "\n".join(lines) + "\n"


def _spelt(value: Any) -> str:
    return (
        f"{value:.4f}"
        if isinstance(value, float) and value < 1
        else f"{value:,}"
        if isinstance(value, int)
        else str(value)
    )
