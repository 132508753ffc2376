"""What does a written market look like? In words, insurer by insurer, and its figures beside their targets; read block by block."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from kit.contract import Contract
from kit.stage import BadInput
from market import measure
from market.columns import Columns, Floats, cast_to
from market.measure import USED, Summary
from market.outcomes import DECLINE, NO_RESPONSE, OUTCOMES, QUOTE
from market.presets import PRESETS
from market.scenarios import SCENARIOS
from market.write import MANIFEST, read_manifest

ANSWERED: Final = ["enquiry_id", "insurer", "outcome", "premium", "response_seconds"]


@dataclass(slots=True)
class Tally:
    """What each of K insurers did, counted up block by block."""

    ids: tuple[str, ...]
    outcomes: Any = field(init=False)
    """[K, 3]."""
    log_premium: Floats = field(init=False)
    """[K], summed over quotes."""
    seconds: Floats = field(init=False)
    cheapest: Any = field(init=False)

    def __post_init__(self) -> None:
        """Nothing counted yet."""
        count = len(self.ids)
        self.outcomes, self.cheapest = np.zeros((count, len(OUTCOMES)), np.int64), np.zeros(count, np.int64)
        self.log_premium, self.seconds = np.zeros(count), np.zeros(count)

    def count(self, insurer: Any, outcome: Any, premium: Floats, seconds: Floats) -> None:
        """Add answers, [rows] each; insurers and outcomes as places in their lists."""
        np.add.at(self.outcomes, (insurer, outcome), 1)
        self.log_premium += np.bincount(insurer, np.nan_to_num(np.log(premium)), len(self.ids))
        self.seconds += np.bincount(insurer, seconds, len(self.ids))

    def lines(self) -> list[str]:
        """A table, the most often cheapest first."""
        lines = [
            f"{'insurer':10}{'answers':>10}{'quotes':>8}{'declines':>10}{'none':>7}{'typical GBP':>13}{'seconds':>9}{'cheapest':>10}"
        ]
        best = max(1, int(self.cheapest.sum()))
        for k in np.argsort(-self.cheapest, kind="stable").tolist():
            total = max(1, int(self.outcomes[k].sum()))
            quoted = int(self.outcomes[k, QUOTE])
            typical = f"{np.exp(self.log_premium[k] / quoted):.0f}" if quoted else "-"
            shares = [self.outcomes[k, code] / total for code in (QUOTE, DECLINE, NO_RESPONSE)]
            lines.append(
                f"{self.ids[k]:10}{total:>10,}{shares[0]:>8.1%}{shares[1]:>10.1%}{shares[2]:>7.1%}{typical:>13}"
                f"{self.seconds[k] / total:>9.2f}{self.cheapest[k] / best:>10.1%}"
            )
        return lines


def describe(contract: Contract, folder: Path) -> str:
    """The market in words and figures. Raises BadInput when the folder holds none, or one of another contract."""
    manifest = read_manifest(folder)
    if manifest["contract"] != contract.fingerprint:
        raise BadInput(
            f"{folder / MANIFEST}: made for contract {manifest['contract'][:12]}, this is {contract.short_fingerprint}"
        )
    try:
        tally = Tally(tuple(json.loads((folder / "insurers.json").read_bytes())["insurers"]))
        of = summary(contract, folder, tally)
    except (OSError, pa.ArrowInvalid, KeyError) as error:
        raise BadInput(f"{folder}: cannot be read: {error}") from error
    return "\n".join([*_words(manifest), "", *tally.lines(), "", *_figures(of, contract)])


def _words(manifest: dict[str, Any]) -> list[str]:
    made, counts = manifest["parameters"], manifest["counts"]
    quoted = counts["quotes"] / max(1, counts["answers"])
    return [
        f"{counts['risks']:,} drivers asked {made['insurers']} insurers from {manifest['begins'][:10]} to {manifest['ends'][:10]}.",
        f"They got {counts['answers']:,} answers, {quoted:.0%} of them a quote; {counts['renewals']:,} also got a renewal.",
        f"Scenario {made['scenario']}: {SCENARIOS[made['scenario']].about}.",
        f"Preset {made['preset']}: {PRESETS[made['preset']].about}.",
        f"Made from {', '.join(f'{name} {value}' for name, value in made.items())}.",
    ]


def _figures(of: Summary, contract: Contract) -> list[str]:
    lines = [f"{'figure':42}{'here':>9}   target (of a steady, standard market of 50,000 enquiries or more)"]
    for figure in measure.figures(of, contract):
        mark = "" if figure.fits else "  <- outside"
        lines.append(f"{figure.name:42}{figure.value:9.3f}   {figure.least:.3f} to {figure.most:.3f}{mark}")
    return lines


def summary(contract: Contract, folder: Path, tally: Tally) -> Summary:
    """Every enquiry of a market reduced to what the figures need, and every answer counted."""
    parts = sorted((folder / "risks").glob("*.parquet"))
    if not parts:
        raise BadInput(f"{folder / 'risks'} holds no *.parquet")
    return measure.together(
        [s for path in parts for s in _of_part(contract, path, folder / "answers" / path.name, tally)]
    )


def _of_part(contract: Contract, risks: Path, answers: Path, tally: Tally) -> list[Summary]:
    with pq.ParquetFile(risks) as asked, pq.ParquetFile(answers) as answered:
        return [
            _of_block(
                contract,
                asked.read_row_group(group, columns=["enquiry_id", *USED]),
                answered.read_row_group(group, columns=ANSWERED),
                tally,
            )
            for group in range(asked.num_row_groups)
        ]


def _of_block(contract: Contract, risks: pa.Table, answers: pa.Table, tally: Tally) -> Summary:
    """An insurer without a row was not in the market: to the figures it is one that did not answer."""
    insurer = _codes(answers["insurer"], tally.ids)
    outcome = _codes(answers["outcome"], OUTCOMES)
    asked = answers["premium"].to_numpy()
    tally.count(insurer, outcome, asked, answers["response_seconds"].to_numpy())
    row = np.searchsorted(risks["enquiry_id"].to_numpy(), answers["enquiry_id"].to_numpy())
    shape = (risks.num_rows, len(tally.ids))
    premium, declined = np.full(shape, np.nan), np.zeros(shape, bool)
    premium[row, insurer] = asked
    declined[row, insurer] = outcome == DECLINE
    quoted = ~np.isnan(premium).all(1)
    np.add.at(tally.cheapest, np.nanargmin(premium[quoted], axis=1), 1)
    return measure.summarise(_columns(contract, risks), premium, declined)


def _columns(contract: Contract, table: pa.Table) -> Columns:
    found = {}
    for name in USED:
        of = contract.field(name)
        column = table[name].to_numpy() if of.is_numeric else _codes(table[name], of.values)
        found[name] = cast_to(of, np.asarray(column))
    return found


def _codes(column: Any, names: tuple[str, ...]) -> Any:
    place = {name: code for code, name in enumerate(names)}
    whole = column.combine_chunks()
    here = np.array([place[name] for name in whole.dictionary.to_pylist()])
    return here[whole.indices.to_numpy()]
