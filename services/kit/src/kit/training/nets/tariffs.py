"""What is every insurer's additive tariff? Ridge regressions of the log premium, all insurers at once; the net learns only the rest.

A tariff is mostly a sum: a curve of the age, a table of the sector, and so on, in the log. Descent by small steps finds a table of four
thousand sectors badly; a regression finds it in seconds, with the right trust in few rows. So the net is nested on it (Wüthrich and
Merz 2019 call that a combined actuarial neural net): the tariff is fixed, and the net is fitted to what it leaves. Numbers enter as filled
bins (`kit.training.nets.encoding`): a penalty on their coefficients is one on the steps of a curve, and draws it smooth where data are thin.

The regression finds, for the coefficients B [columns, K] of all insurers, the least of

    sum over the quotes of (log premium - level - x B)^2  +  sum over the columns j of  b_j P b_j'

with a matrix P [K, K] for each kind of column. At first P is a number times the identity, and every insurer learns from its own quotes.
Then P is made from what was found, as empirical Bayes does: P = noise * inverse(covariance of the kind's coefficients over the columns).
Insurers that price alike then learn from each other's quotes, and a newcomer's few quotes move it from where its likes are.

The least is found by conjugate gradients over all insurers together, preconditioned by the problem in which all have the same share of
the rows: there, eigenvectors of the columns' Gram matrix and of P part it into numbers.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from kit.contract import Contract
from kit.rows import Categorical, Numeric
from kit.training.data.slices import Rows
from kit.training.nets.encoding import Segments

Floats = NDArray[np.float32]
Codes = NDArray[np.int32]

SHARING: Final = 2  # times that the penalty is made from what was found
PASSES: Final = 40  # of conjugate gradients, at most
CLOSE_ENOUGH: Final = 5e-3  # relative to what there is to find
SMALLEST: Final = 1e-6  # variance that a coefficient is always granted
OWN_SHARE: Final = 0.05  # of the covariance: what is never believed to be shared
PIECE: Final = 65_536  # rows that are encoded at once


@dataclass(frozen=True)
class Tariffs:
    """For K insurers: what each dense column adds [E, K], a table for each long vocabulary [size + 1, K] by column; and the levels [K].

    The dense columns are those that begin `kit.training.nets.net.Encode`: filled bins, what is not known, short vocabularies. Row 0 of
    a table is for "not known". What is not known adds the mean of what was known, so that hiding an answer moves no price far.
    """

    dense: Floats
    tables: Mapping[int, Floats]
    level: Floats


@dataclass(frozen=True)
class Penalties:
    """How little is believed of a coefficient before data are seen, as long as every insurer learns by itself."""

    numbers: float  # a step of a curve
    codes: float  # a value of a vocabulary


@dataclass(frozen=True)
class Design:
    """Rows as a regression sees them: dense columns float32[B, E], and their rows int32[B] in the table of each long vocabulary."""

    dense: Floats
    codes: Mapping[int, Codes]
    sizes: Mapping[int, int]  # of the tables
    numbers: slice  # of the dense columns: those of numbers, and of what of them is not known
    bins: int  # of these: so many are filled bins
    short: tuple[int, ...]  # sizes of the short vocabularies, whose columns are the others

    @classmethod
    def of(cls, contract: Contract, bins: Segments, numeric: Numeric, categorical: Categorical, long: int) -> "Design":
        """Vocabularies of at least `long` values get tables."""
        sizes = [len(f.values) for f in contract.categorical]
        short = [i for i, size in enumerate(sizes) if size < long]
        numbers = len(bins) + numeric.shape[1]
        dense = np.empty((len(numeric), numbers + sum(sizes[i] for i in short)), np.float32)
        for first in range(0, len(numeric), PIECE):
            here = slice(first, first + PIECE)
            missing = np.isnan(numeric[here]).astype(np.float32)
            ones = [categorical[here, i : i + 1] == np.arange(sizes[i]) for i in short]
            dense[here] = np.concatenate([bins.encode(numeric[here]), missing, *ones], axis=1)
        tables = {i: size + 1 for i, size in enumerate(sizes) if size >= long}
        codes = {i: np.where(categorical[:, i] < sizes[i], categorical[:, i], -1) + 1 for i in tables}
        return cls(dense, codes, tables, slice(numbers), len(bins), tuple(sizes[i] for i in short))

    def times(self, found: "Coefficients") -> Floats:
        """The columns times coefficients, [B, K]."""
        total: Floats = self.dense @ found.dense
        for i, table in found.tables.items():
            total += table[self.codes[i]]
        return total

    def sums(self, values: Floats) -> "Coefficients":
        """The transposed columns times values [B, K]."""
        return Coefficients(self.dense.T @ values, {i: self._by_code(i, values) for i in self.codes})

    def _by_code(self, column: int, values: Floats) -> Floats:
        order = np.argsort(self.codes[column], kind="stable")
        present, begins = np.unique(self.codes[column][order], return_index=True)
        found = np.zeros((self.sizes[column], values.shape[1]), np.float32)
        found[present] = np.add.reduceat(values[order], begins, axis=0)
        return found


@dataclass(frozen=True)
class Coefficients:
    """A number for each column and insurer: dense [E, K], tables [size, K]."""

    dense: Floats
    tables: Mapping[int, Floats]

    def dot(self, other: "Coefficients") -> float:
        """The inner product."""
        return float(
            np.vdot(self.dense, other.dense) + sum(np.vdot(t, other.tables[i]) for i, t in self.tables.items())
        )

    def plus(self, other: "Coefficients", factor: float = 1.0) -> "Coefficients":
        """The sum, the other one times a factor."""
        by = np.float32(factor)
        return Coefficients(
            self.dense + by * other.dense, {i: t + by * other.tables[i] for i, t in self.tables.items()}
        )


@dataclass(frozen=True)
class Prior:
    """The matrices P [K, K]: of the columns of numbers, of short vocabularies, and of each table."""

    numbers: Floats
    codes: Floats
    tables: Mapping[int, Floats]

    @classmethod
    def alone(cls, design: Design, penalties: Penalties, insurers: int) -> "Prior":
        """Every insurer by itself."""
        same = np.eye(insurers, dtype=np.float32)
        codes = penalties.codes * same
        return cls(penalties.numbers * same, codes, dict.fromkeys(design.sizes, codes))

    @classmethod
    def shared(
        cls, design: Design, found: Coefficients, counts: Coefficients, noise: float, before: "Prior"
    ) -> "Prior":
        """What the coefficients that were found say of each other; `noise` is the variance that they leave."""
        numbers, codes = found.dense[: design.bins], found.dense[design.numbers.stop :]
        tables = {}
        for i, table in found.tables.items():
            seen = counts.tables[i].sum(axis=1) > 0
            # What few rows leave uncertain is added to what is seen: else shrunk tables would shrink the next ones more.
            belief = np.diag(before.tables[i])
            unsure = (noise / (counts.tables[i][seen] + belief)).mean(axis=0)
            tables[i] = _inverse(table[seen].T @ table[seen] / max(1, seen.sum()) + np.diag(unsure), noise)
        return cls(_inverse(_covariance(numbers), noise), _inverse(_covariance(codes), noise), tables)

    def times(self, design: Design, found: Coefficients) -> Coefficients:
        """The penalty's gradient, halved."""
        numbers, codes = found.dense[design.numbers], found.dense[design.numbers.stop :]
        return Coefficients(
            np.concatenate([numbers @ self.numbers, codes @ self.codes]),
            {i: table @ self.tables[i] for i, table in found.tables.items()},
        )


def _covariance(found: Floats) -> NDArray[np.float64]:
    used = found[np.abs(found).max(axis=1) > 0].astype(np.float64)
    shared = used.T @ used / max(1, len(used))
    own = OWN_SHARE * np.trace(shared) / len(shared)
    return np.asarray(shared + own * np.eye(len(shared)), np.float64)


def _inverse(covariance: NDArray[Any], noise: float) -> Floats:
    found: Floats = (noise * np.linalg.inv(covariance + SMALLEST * np.eye(len(covariance)))).astype(np.float32)
    return found


def fit(contract: Contract, bins: Segments, rows: Rows, long: int, penalties: Penalties) -> Tariffs:
    """The tariffs of all insurers, from the enquiries that each of them quoted. Vocabularies of at least `long` values get tables."""
    design = Design.of(contract, bins, rows.numeric, rows.categorical, long)
    given = np.isfinite(rows.premium)
    weight = given.astype(np.float32)
    log_premium = np.log(np.where(given, rows.premium, 1.0), dtype=np.float32)
    # The market's mean counts as one more quote of everybody: an insurer without any has its level.
    market = log_premium.sum() / max(1.0, float(weight.sum()))
    level = ((log_premium.sum(axis=0) + market) / (weight.sum(axis=0) + 1.0)).astype(np.float32)
    target = np.where(given, log_premium - level, np.float32(0.0))
    counts, wanted = design.sums(weight), design.sums(target)
    system = System.of(design, weight)
    prior = Prior.alone(design, penalties, weight.shape[1])
    found = solve(system, wanted, prior, wanted.plus(wanted, -1.0))
    for _ in range(SHARING):
        left = target - weight * design.times(found)
        prior = Prior.shared(design, found, counts, float(np.vdot(left, left) / weight.sum()), prior)
        found = solve(system, wanted, prior, found)
    return centred(design, bins, found, level)


@dataclass(frozen=True)
class System:
    """The rows, who quoted them float32[B, K], each insurer's share of them [K], and the dense columns' Gram matrix by eigenvectors."""

    design: Design
    weight: Floats
    share: Floats
    values: Floats
    vectors: Floats
    counts: Mapping[int, Floats]  # how often each value of a long vocabulary occurs, [size, 1]

    @classmethod
    def of(cls, design: Design, weight: Floats) -> "System":
        """The eigenvectors take the longest."""
        values, vectors = np.linalg.eigh((design.dense.T @ design.dense).astype(np.float64))
        counts = {
            i: np.bincount(codes, minlength=design.sizes[i]).astype(np.float32)[:, None]
            for i, codes in design.codes.items()
        }
        share = np.maximum(weight.mean(axis=0), 1.0 / len(weight)).astype(np.float32)
        return cls(
            design, weight, share, np.maximum(values, 0)[:, None].astype(np.float32), vectors.astype(np.float32), counts
        )

    def times(self, found: Coefficients, prior: Prior) -> Coefficients:
        """The left side of the normal equations."""
        return self.design.sums(self.weight * self.design.times(found)).plus(prior.times(self.design, found))


def solve(system: System, wanted: Coefficients, prior: Prior, start: Coefficients) -> Coefficients:
    """Preconditioned conjugate gradients from a start."""
    precondition = Precondition.of(system, prior)
    found, left = start, wanted.plus(system.times(start, prior), -1.0)
    step = ahead = precondition(left)
    # Measured by what the coefficients are off in prices and beliefs, not by the residual, which the full columns would rule.
    closeness, enough = left.dot(ahead), CLOSE_ENOUGH**2 * wanted.dot(precondition(wanted))
    for _ in range(PASSES):
        if closeness <= enough:
            break
        moved = system.times(step, prior)
        length = closeness / step.dot(moved)
        found, left = found.plus(step, length), left.plus(moved, -length)
        ahead = precondition(left)
        again = left.dot(ahead)
        step, closeness = ahead.plus(step, again / closeness), again
    return found


@dataclass(frozen=True)
class Precondition:
    """The inverse of the system that would be, if each insurer had quoted its share of every row."""

    system: System
    dense: tuple[Floats, Floats]
    tables: Mapping[int, tuple[Floats, Floats]]

    @classmethod
    def of(cls, system: System, prior: Prior) -> "Precondition":
        """Eigenvalues and eigenvectors of the penalties; short vocabularies are taken to have the numbers' one."""
        root = np.sqrt(system.share)

        def parted(penalty: Floats) -> tuple[Floats, Floats]:
            values, vectors = np.linalg.eigh((penalty / root / root[:, None]).astype(np.float64))
            return values.astype(np.float32), vectors.astype(np.float32)

        return cls(system, parted(prior.numbers), {i: parted(p) for i, p in prior.tables.items()})

    def __call__(self, left: Coefficients) -> Coefficients:
        """Its product with a residual."""
        root, (penalty, own) = np.sqrt(self.system.share), self.dense
        turned = (self.system.vectors.T @ (left.dense / root)) @ own
        dense = (self.system.vectors @ ((turned / (self.system.values + penalty)) @ own.T)) / root
        tables = {}
        for i, table in left.tables.items():
            penalty, own = self.tables[i]
            moved = (((table / root) @ own) / (self.system.counts[i] + penalty)) @ own.T / root
            tables[i] = moved.astype(np.float32, copy=False)
        return Coefficients(dense.astype(np.float32, copy=False), tables)


def centred(design: Design, bins: Segments, found: Coefficients, level: Floats) -> Tariffs:
    """The same prices for what was seen, and in the place of what is not known the mean of what was."""
    share = design.dense.mean(axis=0)[:, None]  # of the rows, that a column is filled for
    mean = share * found.dense  # what a column adds, on average over all rows
    dense, level = found.dense.copy(), level.copy()
    numbers = design.numbers.stop - design.bins
    of_number = np.zeros((numbers, dense.shape[1]), np.float32)
    np.add.at(of_number, bins.column, mean[: design.bins])
    always_known = share[design.bins : design.numbers.stop, 0] == 0
    dense[design.bins : design.numbers.stop][always_known] = of_number[always_known]
    # A short vocabulary has no column for "not known": its values are made to add nothing on average, and the level has the rest.
    begin = design.numbers.stop
    for size in design.short:
        own = slice(begin, begin + size)
        middle = mean[own].sum(axis=0) / max(float(share[own].sum()), 1e-9)
        dense[own] -= middle
        level += middle
        begin = own.stop
    tables = {}
    for i, table in found.tables.items():
        counts = np.bincount(design.codes[i], minlength=len(table)).astype(np.float32)
        known = counts[1:] @ table[1:] / max(1.0, float(counts[1:].sum()))
        tables[i] = table if counts[0] else np.concatenate([known[None], table[1:]])
    return Tariffs(dense, tables, level)
