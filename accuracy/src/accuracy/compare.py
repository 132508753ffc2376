"""How do ours, the baselines and the oracle stand beside each other on the same held-out answers?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from accuracy.baselines import Answers
from accuracy.data import Floats, Models, Quoted
from accuracy.truth import Truth
from kit.training.judging import measures

OURS: Final = "ours"
ORACLE: Final = "oracle"


@dataclass(frozen=True, slots=True)
class HeldOut:
    """The market's answers to the held-out enquiries, [B, K]: `quoted` 1, 0 or -1 (none), and the log premium (NaN: no quote)."""

    quoted: Quoted
    log_premium: Floats


@dataclass(frozen=True, slots=True)
class Said:
    """What somebody says of K insurers, [B, K]: log premium, and a score of quoting (higher is likelier)."""

    log_premium: Floats
    score: Floats

    def of(self, insurers: Sequence[int]) -> "Said":
        """Of some insurers only, by column."""
        return Said(self.log_premium[:, insurers], self.score[:, insurers])


@dataclass(frozen=True, slots=True)
class Standing:
    """How somebody stands over some insurers: premium MAPE over all their quotes, mean AUC, and both of each insurer."""

    mape: float
    auc: float
    mapes: tuple[float, ...]
    aucs: tuple[float, ...]


def side_by_side(ours: Models, truth: Truth) -> dict[str, Said]:
    """Those who speak of every insurer."""
    return {
        OURS: Said(np.log(ours.premium), ours.probability),
        ORACLE: Said(truth.oracle.log_price, truth.oracle.probability),
    }


def together(answers: Sequence[Mapping[str, Answers]]) -> dict[str, Said]:
    """The baselines of several insurers, by name, each over those insurers in their order."""
    names = answers[0] if answers else {}
    return {
        name: Said(
            np.stack([of[name].log_premium for of in answers], axis=1),
            np.stack([of[name].score for of in answers], axis=1),
        )
        for name in names
    }


def standing(said: Said, held_out: HeldOut, insurers: Sequence[int]) -> Standing:
    """Of what is said of `insurers` (columns of `held_out`). An insurer with one kind of answer has no AUC, and does not count in the mean."""
    actual, quoted = held_out.log_premium[:, insurers], held_out.quoted[:, insurers]
    mapes = [
        measures.absolute_percentage_error(s, a) for s, a in zip(said.log_premium.T, actual.T, strict=True)
    ]  # fmt: skip
    aucs = measures.insurer_aucs(said.score, quoted)
    known = aucs[np.isfinite(aucs)]
    return Standing(
        mape=measures.absolute_percentage_error(said.log_premium, actual),
        auc=float(known.mean()) if len(known) else float("nan"),
        mapes=tuple(mapes),
        aucs=tuple(float(a) for a in aucs),
    )


def calibration_error(probability: Floats, quoted: Quoted) -> float:
    """Over all answers that came."""
    given = quoted >= 0
    return measures.calibration_error(probability[given], quoted[given] == 1)


def agreement(inside: NDArray[np.bool_], given: NDArray[np.bool_]) -> float:
    """How alike the cells of one enquiry are, of bool[B, K] where `given`: the intraclass correlation, 0 (not) to 1 (all the same).

    By analysis of variance over enquiries with at least two cells; it is what makes a thousand answers to one driver worth fewer than
    a thousand drivers.
    """
    enough = given.sum(axis=1) >= 2
    given, inside = given[enough], inside[enough] & given[enough]
    sizes = given.sum(axis=1).astype(np.float64)
    cells, rows = sizes.sum(), len(sizes)
    if rows < 2:
        return 1.0
    shares = inside.sum(axis=1) / sizes
    mean = inside.sum() / cells
    between = (sizes * (shares - mean) ** 2).sum() / (rows - 1)
    within = (sizes * shares * (1 - shares)).sum() / (cells - rows)
    size = (cells - (sizes**2).sum() / cells) / (rows - 1)
    total = between + (size - 1) * within
    return float(np.clip((between - within) / total, 0, 1)) if total > 0 else 0.0


def by_sex(ours: Models, truth: Truth, held_out: HeldOut) -> dict[str, Any]:
    """Men's mean log premium less women's, as a ratio: as asked, and as predicted of the same quotes; and the bias in each sex.

    Sex is in no answer, so that a difference comes from what men and women answer, not from being one.
    """
    given = np.isfinite(held_out.log_premium)
    men, women = given & truth.is_male[:, None], given & ~truth.is_male[:, None]
    predicted, actual = np.log(ours.premium), held_out.log_premium
    if not men.any() or not women.any():
        return {}
    return {
        "asked_ratio": float(np.exp(actual[men].mean() - actual[women].mean())),
        "predicted_ratio": float(np.exp(predicted[men].mean() - predicted[women].mean())),
        "bias_men": float((predicted - actual)[men].mean()),
        "bias_women": float((predicted - actual)[women].mean()),
    }
