"""What would somebody do without us? One gradient-boosted model and one linear model per insurer, and per question.

Both see what the nets see: the packed rows of the same training enquiries. They are tuned on the newest of them, on a few insurers, by
the figure that they are judged by.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import KFold
from sklearn.preprocessing import TargetEncoder

from accuracy.design import Design
from kit.contract import Contract
from kit.training.data.slices import Rows
from kit.training.judging import measures

Floats = NDArray[np.float64]

LARGEST_NATIVE: Final = 255
"""Values of a category that scikit-learn's trees split by themselves; a longer vocabulary is encoded by its target."""
TUNED_ON: Final = 2
TUNING_ROWS: Final = (20_000, 100_000)
"""An eighth of the training rows, but not fewer and not more than these: tuning must not cost more than fitting."""
TUNING_SHARE: Final = 0.1  # of those, held apart: the newest
STEPS: Final = 2_000  # of boosting, at most; a tenth of the rows says when to stop
PATIENCE: Final = 20
LOSSES_AND_LEAVES: Final = (
    ("squared_error", 31),
    ("squared_error", 127),
    ("absolute_error", 31),
    ("absolute_error", 127),
)
LEAVES: Final = (15, 31, 127)
RIDGES: Final = (0.1, 0.3, 1.0, 3.0)
INVERSE_RIDGES: Final = (3.0, 10.0, 30.0, 100.0)


class Premiums(Protocol):
    """A kind of model of one insurer's premium."""

    def fit(self, rows: Rows, log_premium: Floats, which: NDArray[np.intp]) -> Callable[[Rows], Floats]:
        """Fitted to some of the rows: what it says of others, the log premium [B]."""
        ...


class Quotes(Protocol):
    """A kind of model of whether one insurer quotes."""

    def fit(self, rows: Rows, quotes: NDArray[np.bool_], which: NDArray[np.intp]) -> Callable[[Rows], Floats]:
        """Fitted to some of the rows: what it says of others, a score that is higher where a quote is likelier, [B]."""
        ...


@dataclass(frozen=True)
class Trees:
    """The packed row as scikit-learn's boosting takes it: numbers, short vocabularies as categories, long ones by their target."""

    short: tuple[int, ...]
    long: tuple[int, ...]
    is_category: tuple[bool, ...]

    @classmethod
    def of(cls, contract: Contract) -> "Trees":
        """By how long each vocabulary is."""
        sizes = [len(f.code_of) for f in contract.categorical]
        short = tuple(i for i, n in enumerate(sizes) if n <= LARGEST_NATIVE)
        long = tuple(i for i, n in enumerate(sizes) if n > LARGEST_NATIVE)
        is_category = (False,) * len(contract.numeric) + (True,) * len(short) + (False,) * len(long)
        return cls(short, long, is_category)

    def columns(self, rows: Rows, encoded: Floats) -> NDArray[np.float32]:
        """The table that a tree is grown from, float32[B, N + M]."""
        categories = rows.categorical[:, self.short].astype(np.float32)
        categories[categories < 0] = np.nan
        return np.hstack([rows.numeric, categories, encoded.astype(np.float32)])

    def encoder(self, kind: str) -> TargetEncoder:
        """Of long vocabularies, crosswise: no row is encoded with its own answer."""
        return TargetEncoder(target_type=kind, cv=KFold(5, shuffle=True, random_state=0))


@dataclass(frozen=True)
class BoostedPremiums:
    """Gradient boosting on the log premium."""

    trees: Trees
    loss: str = "squared_error"
    leaves: int = 31

    def fit(self, rows: Rows, log_premium: Floats, which: NDArray[np.intp]) -> Callable[[Rows], Floats]:
        """See `Premiums`."""
        chosen, encoder = rows.take(which), self.trees.encoder("continuous")
        encoded = encoder.fit_transform(chosen.categorical[:, self.trees.long], log_premium[which])
        model = HistGradientBoostingRegressor(loss=self.loss, **_boosting(self.trees, self.leaves))
        model.fit(self.trees.columns(chosen, encoded), log_premium[which])
        return lambda new: model.predict(
            self.trees.columns(new, encoder.transform(new.categorical[:, self.trees.long]))
        )


@dataclass(frozen=True)
class BoostedQuotes:
    """Gradient boosting on whether there is a quote."""

    trees: Trees
    leaves: int = 31

    def fit(self, rows: Rows, quotes: NDArray[np.bool_], which: NDArray[np.intp]) -> Callable[[Rows], Floats]:
        """See `Quotes`."""
        chosen, encoder = rows.take(which), self.trees.encoder("binary")
        encoded = encoder.fit_transform(chosen.categorical[:, self.trees.long], quotes[which])
        model = HistGradientBoostingClassifier(**_boosting(self.trees, self.leaves))
        model.fit(self.trees.columns(chosen, encoded), quotes[which])
        return lambda new: model.decision_function(
            self.trees.columns(new, encoder.transform(new.categorical[:, self.trees.long]))
        )


def _boosting(trees: Trees, leaves: int) -> dict[str, Any]:
    return {
        "max_iter": STEPS, "learning_rate": 0.1, "max_leaf_nodes": leaves, "early_stopping": True, "validation_fraction": 0.1,
        "n_iter_no_change": PATIENCE, "categorical_features": list(trees.is_category), "random_state": 0,
    }  # fmt: skip


@dataclass(frozen=True)
class Linear:
    """A design, and the columns of the rows that it was asked for last, which every insurer shares."""

    design: Design
    kept: dict[int, tuple[Rows, sp.csr_array]] = field(default_factory=dict, compare=False)

    def columns(self, rows: Rows) -> sp.csr_array:
        """The sparse columns of all of the rows."""
        if id(rows) not in self.kept:
            self.kept[id(rows)] = (rows, self.design.columns(rows.numeric, rows.categorical))
        return self.kept[id(rows)][1]


@dataclass(frozen=True)
class LinearPremiums:
    """Ridge regression of the log premium."""

    linear: Linear
    alpha: float = 0.3

    def fit(self, rows: Rows, log_premium: Floats, which: NDArray[np.intp]) -> Callable[[Rows], Floats]:
        """See `Premiums`."""
        model = Ridge(alpha=self.alpha, solver="sparse_cg", tol=1e-4)
        model.fit(self.linear.columns(rows)[which], log_premium[which])
        return lambda new: model.predict(self.linear.columns(new))


@dataclass(frozen=True)
class LinearQuotes:
    """Logistic regression of whether there is a quote."""

    linear: Linear
    c: float = 3.0

    def fit(self, rows: Rows, quotes: NDArray[np.bool_], which: NDArray[np.intp]) -> Callable[[Rows], Floats]:
        """See `Quotes`."""
        model = LogisticRegression(C=self.c, solver="newton-cg", tol=1e-3, max_iter=200)
        model.fit(self.linear.columns(rows)[which], quotes[which])
        return lambda new: model.decision_function(self.linear.columns(new))


BOOSTED: Final = "HistGradientBoosting"
LINEAR: Final = "GLM"
KINDS: Final = (BOOSTED, LINEAR)


@dataclass(frozen=True)
class Chosen:
    """The kinds of model, with the settings that tuning chose: name to model."""

    premiums: dict[str, Premiums]
    quotes: dict[str, Quotes]

    def settings(self) -> dict[str, dict[str, Any]]:
        """For the report: what was chosen, by kind."""
        return {
            kind: {f"{question} {name}": value for question, of in (("premium", self.premiums), ("quote", self.quotes))
                   for name, value in _plain(of[kind]).items()}
            for kind in self.premiums
        }  # fmt: skip


def _plain(model: Any) -> dict[str, Any]:
    return {name: value for name, value in vars(model).items() if isinstance(value, str | int | float)}


def tune(contract: Contract, train: Rows, insurers: Sequence[int], say: Callable[[str], None]) -> Chosen:
    """Choose among a few settings by the newest tenth of the newest training rows, for the mean of some insurers (by column)."""
    least, most = TUNING_ROWS
    recent = train.take(slice(-min(most, max(least, len(train) // 8)), None))
    cut = round(len(recent) * (1 - TUNING_SHARE))
    old, new = recent.take(slice(cut)), recent.take(slice(cut, None))
    trees = Trees.of(contract)
    linear = Linear(Design.of(old.numeric, [len(f.code_of) for f in contract.categorical]))
    boosted = [BoostedPremiums(trees, loss, leaves) for loss, leaves in LOSSES_AND_LEAVES]
    premiums: dict[str, Sequence[Premiums]] = {
        BOOSTED: boosted, LINEAR: [LinearPremiums(linear, alpha) for alpha in RIDGES],
    }  # fmt: skip
    quotes: dict[str, Sequence[Quotes]] = {
        BOOSTED: [BoostedQuotes(trees, leaves) for leaves in LEAVES],
        LINEAR: [LinearQuotes(linear, c) for c in INVERSE_RIDGES],
    }
    best_premiums = {
        kind: min(models, key=lambda m: np.mean([premium_error(m, old, new, k) for k in insurers]))
        for kind, models in premiums.items()
    }
    best_quotes = {
        kind: max(models, key=lambda m: np.mean([quote_auc(m, old, new, k) for k in insurers]))
        for kind, models in quotes.items()
    }
    whole = Linear(Design.of(train.numeric, linear.design.sizes))
    chosen = Chosen(
        {BOOSTED: best_premiums[BOOSTED], LINEAR: LinearPremiums(whole, _setting(best_premiums[LINEAR], "alpha"))},
        {BOOSTED: best_quotes[BOOSTED], LINEAR: LinearQuotes(whole, _setting(best_quotes[LINEAR], "c"))},
    )
    say(f"tuned: {chosen.settings()}")
    return chosen


def _setting(model: Any, name: str) -> float:
    return float(getattr(model, name))


def premium_error(model: Premiums, old: Rows, new: Rows, insurer: int) -> float:
    """MAPE of a model fitted to one insurer's premiums in `old`, on those in `new`; infinite where there are too few."""
    log_premium = np.log(old.premium[:, insurer].astype(np.float64))
    given = np.flatnonzero(np.isfinite(log_premium))
    if len(given) < 2 * PATIENCE:
        return float("inf")
    actual = np.log(new.premium[:, insurer].astype(np.float64))
    return measures.absolute_percentage_error(model.fit(old, log_premium, given)(new), actual)


def quote_auc(model: Quotes, old: Rows, new: Rows, insurer: int) -> float:
    """AUC of a model fitted to one insurer's answers in `old`, on those in `new`; a half where it has only one kind of answer."""
    given = np.flatnonzero(old.quoted[:, insurer] >= 0)
    quotes = old.quoted[:, insurer] == 1
    if min(quotes[given].sum(), (~quotes[given]).sum()) < 2 * PATIENCE:
        return 0.5
    seen = new.quoted[:, insurer] >= 0
    return measures.auc(model.fit(old, quotes, given)(new)[seen], new.quoted[seen, insurer] == 1)


@dataclass(frozen=True, slots=True)
class Answers:
    """What one baseline says of one insurer, [B]: log premium, and a score of quoting (higher is likelier)."""

    log_premium: Floats
    score: Floats


def answers(chosen: Chosen, train: Rows, held_out: Rows, insurer: int) -> dict[str, Answers]:
    """Each kind of baseline, fitted to one insurer's training answers, on the held-out rows.

    An insurer that gave too few answers of a kind gets their mean, as somebody would do who had to answer.
    """
    log_premium = np.log(train.premium[:, insurer].astype(np.float64))
    priced = np.flatnonzero(np.isfinite(log_premium))
    quotes, seen = train.quoted[:, insurer] == 1, np.flatnonzero(train.quoted[:, insurer] >= 0)
    is_enough = len(priced) >= 2 * PATIENCE
    is_mixed = min(quotes[seen].sum(), (~quotes[seen]).sum()) >= 2 * PATIENCE
    flat = np.full(len(held_out), log_premium[priced].mean() if len(priced) else 0.0)
    return {
        kind: Answers(
            chosen.premiums[kind].fit(train, log_premium, priced)(held_out) if is_enough else flat,
            chosen.quotes[kind].fit(train, quotes, seen)(held_out) if is_mixed else np.zeros(len(held_out)),
        )
        for kind in chosen.premiums
    }
