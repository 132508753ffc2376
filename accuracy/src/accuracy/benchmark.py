"""The benchmark: score, read the truth, fit the baselines, put everything beside each other and hold it to what must be shown."""

import json
import resource
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from accuracy import baselines, compare, coverage, data, must, sizes, truth
from accuracy.baselines import Answers
from accuracy.compare import OURS, HeldOut, Said
from accuracy.costs import Cost
from accuracy.coverage import Group
from accuracy.must import Row
from accuracy.places import digest_of
from accuracy.sizes import Kitchen
from accuracy.steps import Done, digest
from kit import contract
from kit.bundles import CLASSIFIER, REGRESSOR
from kit.files import sha256_of
from kit.stage import BadInput, Progress
from kit.training.data import slices
from kit.training.data.slices import Rows

SEED: Final = 1
"""Of the order in which insurers are drawn for the baselines: a small sample is the beginning of a large one."""


@dataclass(frozen=True)
class Result:
    """All that a report says."""

    market: Mapping[str, str | int]
    held_out: int
    versions: Mapping[str, int]
    rows: tuple[Row, ...]
    groups: tuple[Group, ...]
    standings: Mapping[str, Mapping[str, Any]]
    sampled: tuple[str, ...]
    settings: Mapping[str, Mapping[str, Any]]
    done: Mapping[str, Done]
    rates: Mapping[str, float]
    by_sex: Mapping[str, float]
    kinds: Mapping[str, Collection[str]]
    """The kinds of groups that each profile has."""
    params: Mapping[str, str]
    """The file of each model that was made with other parameters than its own."""

    @property
    def enquiries(self) -> int:
        """The size of the market."""
        return int(self.market["enquiries"])

    @property
    def stale(self) -> tuple[str, ...]:
        """The stages that were done by other code than the present one."""
        return tuple(name for name, done in self.done.items() if done.is_stale)


def run(
    kitchen: Kitchen,
    made: Mapping[str, Done],
    insurers: int | None,
    progress: Progress,
    params: Mapping[str, Path] | None = None,
) -> Result:
    """Everything after the models are published. `made` is what they cost, `params` other parameters that some were made with. Raises `BadInput` and `running.StageFailed`."""
    places, of = kitchen.places, contract.load()
    market = truth.parameters(places.market)
    if market != truth.parameters(places.truth):
        raise BadInput(f"{places.truth} is not the truth of {places.market}")
    wrangled = json.loads((places.wrangled / "manifest.json").read_bytes())
    versions = {model: sizes.newest(places.store, model) for model in (CLASSIFIER, REGRESSOR)}
    reports = {model: sizes.report_of(places.store, model, version) for model, version in versions.items()}
    if strange := [model for model, report in reports.items() if report["data"] != wrangled["data"]]:
        raise BadInput(f"{strange[0]}/{versions[strange[0]]} was not trained on {places.market}")
    scored, count = sizes.score(kitchen)
    rates = sizes.rates(scored, count)

    names = tuple(wrangled["insurers"])
    held_out = slices.read(places.wrangled / "test.parquet", of, len(names))
    ours = data.scored(places.scored(CLASSIFIER), places.scored(REGRESSOR), held_out.ids, names)
    known = truth.read(places.truth, held_out.ids, names)
    market_said = HeldOut(held_out.quoted, np.log(held_out.premium.astype(np.float64)))
    sample = sampled(len(names), insurers or default_insurers(int(market["enquiries"])))
    fitted, settings, cost = fit(kitchen, held_out, names, sample, progress)
    stages = {**made, **scored}

    everybody = compare.side_by_side(ours, known)
    every = range(len(names))
    overall = {name: compare.standing(said, market_said, every) for name, said in everybody.items()}
    here = standings(everybody, fitted, market_said, sample)
    given = np.isfinite(market_said.log_premium)
    inside = given & (ours.low <= held_out.premium) & (held_out.premium <= ours.high)
    agreement = compare.agreement(inside, given)
    quotes = int(given.sum())
    groups = [g for report in reports.values() for g in coverage.groups(report, agreement, quotes)]
    if not any(g.kind == "archetype" for g in groups):
        groups += coverage.by_insurers("archetype", truth.archetypes(places.truth), names, inside, given, agreement)
    kinds = coverage.kinds(of, sizes.profiles_of(places.store, REGRESSOR, versions[REGRESSOR]))
    rows = (
        *must.premium(overall[OURS].mape, overall[compare.ORACLE].mape, _pairs(here, "mape"), int(market["enquiries"])),
        *must.quotes(overall[OURS].auc, overall[compare.ORACLE].auc,
                     compare.calibration_error(ours.probability, held_out.quoted), _pairs(here, "auc")),
        *must.profiles(reports[REGRESSOR]),
        *must.coverage(groups),
        *must.coverage_is_there(groups, kinds),
        *must.shortlist(reports[REGRESSOR]),
        *must.out_of_range(reports[REGRESSOR]),
        *must.costs({name: done.cost for name, done in stages.items()}, rates, int(market["enquiries"])),
    )  # fmt: skip
    return Result(
        market=market, held_out=count, versions=versions, rows=rows, groups=tuple(groups),
        standings={
            "all": {name: asdict(s) for name, s in overall.items()},
            "sampled": {name: asdict(s) for name, s in here.items()},
        },
        sampled=tuple(names[k] for k in sample), settings=settings, done={**stages, "baselines": cost}, rates=rates,
        by_sex=compare.by_sex(ours, known, market_said), kinds=kinds,
        params={model: f"{file.name} (sha256 {sha256_of(file)[:12]})" for model, file in (params or {}).items()},
    )  # fmt: skip


def standings(
    everybody: Mapping[str, Said],
    fitted: Sequence[Mapping[str, Answers]],
    market_said: HeldOut,
    sample: Sequence[int],
) -> dict[str, compare.Standing]:
    """Everybody on the insurers that the baselines were fitted to."""
    all_of = {name: said.of(sample) for name, said in everybody.items()} | compare.together(fitted)
    return {name: compare.standing(said, market_said, sample) for name, said in all_of.items()}


def _pairs(here: Mapping[str, compare.Standing], figure: str) -> dict[str, tuple[float, float]]:
    return {
        name: (getattr(here[OURS], figure), getattr(here[name], figure)) for name in baselines.KINDS if name in here
    }


def sampled(insurers: int, count: int) -> tuple[int, ...]:
    """Which insurers the baselines are fitted to, by column, in the order of the draw."""
    return tuple(int(k) for k in np.random.default_rng(SEED).permutation(insurers)[:count])


def default_insurers(enquiries: int) -> int:
    """As many as the baselines can be fitted to in minutes, on two cores."""
    return 12 if enquiries <= must.ORACLE_FROM else 6


def fit(
    kitchen: Kitchen, held_out: Rows, names: Sequence[str], sample: Sequence[int], progress: Progress
) -> tuple[list[dict[str, Answers]], Mapping[str, Mapping[str, Any]], Done]:
    """The baselines' answers for each sampled insurer, the settings that tuning chose, and the cost. What was fitted before is read."""
    places, of = kitchen.places, contract.load()
    here = Path(__file__).parent
    code = digest_of([here / "baselines.py", here / "design.py"], here)[:12]
    of_slices = (digest(places.wrangled / "manifest.json") or "")[:12]
    folder = places.work / "baselines" / f"{of_slices}-{code}"
    folder.mkdir(parents=True, exist_ok=True)
    begun, used = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF)
    train: Rows | None = None
    chosen: baselines.Chosen | None = None
    answers, spent = [], 0.0
    settings_file = folder / "settings.json"
    with progress.task("fitting the baselines", total=len(sample)) as task:
        for k in sample:
            file = folder / f"{names[k]}.npz"
            if not (file.exists() and settings_file.exists()):
                if train is None or chosen is None:
                    train = slices.read(places.wrangled / "train.parquet", of, len(names))
                    chosen = baselines.tune(of, train, sampled(len(names), baselines.TUNED_ON), kitchen.say)
                    settings_file.write_text(json.dumps(chosen.settings()))
                first = time.monotonic()
                keep(file, baselines.answers(chosen, train, held_out, k))
                spent = time.monotonic() - first
            answers.append(kept(file))
            task.advance(note=f"{names[k]}, {spent:.0f} s")
    cost_file = folder / f"cost-{len(sample)}.json"
    if train is not None:
        now = resource.getrusage(resource.RUSAGE_SELF)
        cpu_s = now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime
        cost_file.write_text(json.dumps(asdict(Cost(time.monotonic() - begun, cpu_s, now.ru_maxrss * 1024))))
    cost = Cost(**json.loads(cost_file.read_text())) if cost_file.exists() else Cost(0.0, 0.0, 0)
    return answers, json.loads(settings_file.read_text()), Done(cost, "")


def keep(file: Path, answers: Mapping[str, Answers]) -> None:
    """Write one insurer's answers, whole or not at all."""
    arrays = {f"{kind}.{name}": value for kind, of in answers.items() for name, value in asdict(of).items()}
    beside = file.with_suffix(".partial.npz")
    np.savez(beside, **arrays)
    beside.replace(file)


def kept(file: Path) -> dict[str, Answers]:
    """What `keep` wrote."""
    with np.load(file) as arrays:
        return {
            kind: Answers(arrays[f"{kind}.log_premium"], arrays[f"{kind}.score"])
            for kind in sorted({name.partition(".")[0] for name in arrays.files})
        }
