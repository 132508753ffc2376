"""The two-branch net: one trunk, one branch for whether each insurer quotes, one for at what premium, and what follows for the panel.

    numeric ---- piecewise-linear --.
    codes ------ one-hot / tables --+-- encoded --+-- trunk --.
                                                  |           +-- quote_logit  [B, K] --.
                                                  |           +-- log_premium  [B, K, 3]+-- panel     [B, 2, 3]
                                                  '-- main ---'                         +-- likely    [B, 3]
                                                      effects                           '-- shortlist [B, K]

The main-effects path is linear in the encoding, for every insurer: an additive tariff. The trunk adds what is not additive. Where
premiums are nested, the path starts from tariffs that a regression found and that stay fixed, and learns what they leave.

The heads below the branches take the branches' answers as given (no gradient flows back: the branches have their own targets):
- panel: log of the cheapest price and of the mean of the five cheapest. It starts from the lowest of the branch's own prices, each
  raised by how unlikely its insurer is to quote.
- likely: the share of insurers that quote. It starts from the mean probability.
- shortlist: the log-odds of being the cheapest. With prices that scatter around their medians, the chance of being the cheapest falls
  about exponentially with the distance to the cheapest and is in proportion to the chance of quoting at all; the head starts from that
  and learns, alike for all insurers, what distance and spread really mean, and for each insurer how reliable its price is.
"""

from dataclasses import dataclass
from typing import Any, Final

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from kit.contract import Contract
from kit.training.nets.encoding import Segments
from kit.training.nets.tariffs import Tariffs
from kit.training.params import LossWeights, NetParams

QUOTE: Final = "quote_logit"
PREMIUM: Final = "log_premium"
PANEL: Final = "panel"
LIKELY: Final = "likely"
SHORTLIST: Final = "shortlist"
CHEAPEST: Final = 5  # the second panel figure is the mean of so many
CANDIDATES: Final = 8  # so many of the lowest prices the panel head looks at
STEEPNESS: Final = (
    12.0  # where the shortlist begins: an insurer dearer by one of this is less likely the cheapest by a factor of e
)
DISTANCE_UNITS: Final = 16  # hidden units of the curve that distance and spread are put through


@dataclass(frozen=True)
class Levels:
    """Where the outputs start, from training data: log premium and logit of quoting of each insurer, [K]; which fields are usually
    known, bool[N + M]; and perhaps the insurers' tariffs.
    """

    log_premium: NDArray[np.float32]
    logit: NDArray[np.float32]
    asked: NDArray[np.bool_]
    tariffs: Tariffs | None = None


class Encode(keras.layers.Layer):
    """The packed row as one vector: filled bins, what is missing, one-hot codes, and embeddings of the long vocabularies."""

    def __init__(self, contract: Contract, segments: Segments, params: NetParams) -> None:
        super().__init__(name="encode")
        self._segments = segments
        sizes = [len(f.values) for f in contract.categorical]
        self._short = [i for i, size in enumerate(sizes) if size < params.long_vocabulary]
        self._long = [i for i, size in enumerate(sizes) if size >= params.long_vocabulary]
        self._sizes = sizes
        self._params = params

    def build(self, _: Any) -> None:
        """Make one table per long vocabulary and block size; row 0 is for "not known"."""
        self._tables = [
            (
                i,
                block,
                self.add_weight(
                    shape=(-(-self._sizes[i] // block) + 1, self._params.code_width),
                    initializer=keras.initializers.RandomNormal(stddev=0.05),
                    name=f"codes_{i}_{block}",
                ),
            )
            for i in self._long
            for block in (1, *self._params.block_sizes)
            if block < self._sizes[i]
        ]
        self.built = True

    def call(self, numeric: Any, categorical: Any) -> Any:
        """[B, N] and [B, M] to [B, E]."""
        segments = self._segments
        missing = tf.math.is_nan(numeric)
        number = tf.where(missing, tf.constant(-1e9, tf.float32), numeric)  # below every edge: fills no bin
        filled = (tf.gather(number, segments.column, axis=1) - segments.begin) * segments.slope
        parts = [tf.clip_by_value(filled, 0.0, 1.0), tf.cast(missing, tf.float32)]
        # One comparison makes all one-hots: code and value of every column of every short vocabulary.
        column = np.repeat(self._short, [self._sizes[i] for i in self._short])
        value = np.concatenate([np.arange(self._sizes[i]) for i in self._short]).astype(np.int32)
        parts.append(tf.cast(tf.equal(tf.gather(categorical, column, axis=1), value), tf.float32))
        for i, block, table in self._tables:
            code = categorical[:, i]
            # Whatever lies outside the vocabulary is "not known": a server must not fail on it.
            inside = (code >= 0) & (code < self._sizes[i])
            row = tf.where(inside, code // block + 1, 0)
            parts.append(tf.gather(tf.convert_to_tensor(table), row))
        return tf.concat(parts, axis=1)


def build(
    contract: Contract, segments: Segments, insurers: int, levels: Levels, params: NetParams, weights: LossWeights
) -> keras.Model:
    """The functional net with a named output for each branch that has a weight."""
    numeric = keras.Input((len(contract.numeric),), dtype="float32", name="numeric")
    categorical = keras.Input((len(contract.categorical),), dtype="int32", name="categorical")
    encoded = Encode(contract, segments, params)(numeric, categorical)
    trunk = encoded
    for depth in range(params.depth):
        trunk = keras.layers.Dense(params.width, activation="silu", name=f"trunk_{depth}")(trunk)
    outputs: dict[str, Any] = {}
    if weights.quote:
        outputs[QUOTE] = _tariffs(encoded, trunk, params, "quote", levels.logit)
    if weights.premium:
        middle = _tariffs(encoded, trunk, params, "premium", levels.log_premium)
        if levels.tariffs is not None:
            middle = _nested(numeric, categorical, encoded, middle, levels.asked, levels.tariffs, params)
        spread = keras.layers.Dense(
            2 * insurers, bias_initializer=keras.initializers.Constant(-2.0), kernel_initializer="zeros", name="spread"
        )(trunk)
        outputs[PREMIUM] = Quantiles(name=PREMIUM)(middle, spread)
    if weights.panel:
        outputs |= _below(outputs[QUOTE], outputs[PREMIUM], trunk, insurers, params.width // 2)
    return keras.Model({"numeric": numeric, "categorical": categorical}, outputs)


def _below(logit: Any, log_premium: Any, trunk: Any, insurers: int, width: int) -> dict[str, Any]:
    """The heads that start from the branches' answers: panel, likely and shortlist."""
    best = Lowest(name="lowest")(log_premium, logit)
    hidden = keras.layers.Dense(width, activation="silu", name="panel_hidden")(
        keras.layers.Concatenate()([best, trunk])
    )
    figures = 2 + 1  # two prices and a share
    move = keras.layers.Dense(figures, kernel_initializer="zeros", name="panel_middle")(hidden)
    spread = keras.layers.Dense(
        2 * figures, bias_initializer=keras.initializers.Constant(-2.0), kernel_initializer="zeros", name="panel_spread"
    )(hidden)
    middle = keras.layers.Add()([move, best[:, :figures]])
    quantiles = Quantiles(name="panel_quantiles")(middle, spread)
    return {
        PANEL: keras.layers.Identity(name=PANEL)(quantiles[:, :2]),
        LIKELY: keras.layers.Identity(name=LIKELY)(quantiles[:, 2]),
        SHORTLIST: Cheapest(insurers, name=SHORTLIST)(log_premium, logit),
    }


def _tariffs(encoded: Any, trunk: Any, params: NetParams, name: str, level: Any) -> Any:
    """Every insurer's level, what is additive in the encoding, and what the trunk has to add to it, [B, K]."""
    insurers, zeros = len(level), keras.initializers.Zeros()

    def linear(inputs: Any, part: str, bias: Any = None) -> Any:
        if params.rank:
            inputs = keras.layers.Dense(params.rank, use_bias=False, name=f"{name}_{part}_common")(inputs)
        return keras.layers.Dense(
            insurers, kernel_initializer=zeros, use_bias=bias is not None, bias_initializer=bias, name=f"{name}_{part}"
        )(inputs)

    found = linear(trunk, "more", keras.initializers.Constant(level))
    if params.additive:
        found = keras.layers.Add(name=f"{name}_sum")([found, linear(encoded, "main")])
    if params.market:
        both = keras.layers.Concatenate()([encoded, trunk])
        shared = keras.layers.Dense(1, kernel_initializer=zeros, use_bias=False, name=f"{name}_market")(both)
        found = keras.layers.Add(name=f"{name}_with_market")([found, shared])
    return found


def _nested(
    numeric: Any,
    categorical: Any,
    encoded: Any,
    middle: Any,
    asked: NDArray[np.bool_],
    tariffs: Tariffs,
    params: NetParams,
) -> Any:
    """The fixed tariffs, and what they leave: for rows that lack an answer what `middle` says, for whole rows a layer of its own.

    What a price does when answers are missing is a matter of tens of per cent, what a tariff does beside adding up is one of two. Asked
    for both, the trunk learns the first and spoils the second.
    """
    begin = encoded[:, : len(tariffs.dense)]
    fine = keras.layers.Dense(params.fine_width, activation="silu", name="fine_hidden")(begin)
    fine = keras.layers.Dense(
        len(tariffs.level),
        kernel_initializer="zeros",
        bias_initializer=keras.initializers.Constant(tariffs.level),
        name="fine",
    )(fine)
    return keras.layers.Add()([Fixed(tariffs)(encoded, categorical), Choose(asked)(numeric, categorical, fine, middle)])


class Choose(keras.layers.Layer):
    """One of two answers [B, K]: the first where every field is known that usually is, else the second."""

    def __init__(self, asked: NDArray[np.bool_]) -> None:
        super().__init__(name="whole_or_not")
        self._open = ~asked

    def call(self, numeric: Any, categorical: Any, whole: Any, other: Any) -> Any:
        """Row by row."""
        known = tf.concat([~tf.math.is_nan(numeric), categorical >= 0], axis=1)
        return tf.where(tf.reduce_all(known | self._open, axis=1, keepdims=True), whole, other)


class Fixed(keras.layers.Layer):
    """The tariffs that were found by regression, less the level: nothing here is trained."""

    def __init__(self, tariffs: Tariffs) -> None:
        super().__init__(name="tariffs", trainable=False)
        self._tariffs = tariffs

    def build(self, *_: Any) -> None:
        """Hold the coefficients."""
        self._dense = self._held("dense", self._tariffs.dense)
        self._tables = {i: self._held(f"codes_{i}", table) for i, table in self._tariffs.tables.items()}
        self.built = True

    def _held(self, name: str, values: NDArray[np.float32]) -> Any:
        initial = keras.initializers.Constant(values)
        return self.add_weight(shape=values.shape, initializer=initial, trainable=False, name=name)

    def call(self, encoded: Any, categorical: Any) -> Any:
        """[B, E and more] and [B, M] to [B, K]."""
        found = tf.matmul(encoded[:, : self._tariffs.dense.shape[0]], tf.convert_to_tensor(self._dense))
        for i, table in self._tables.items():
            code = categorical[:, i]
            inside = (code >= 0) & (code < len(self._tariffs.tables[i]) - 1)
            found += tf.gather(tf.convert_to_tensor(table), tf.where(inside, code + 1, 0))
        return found


class Quantiles(keras.layers.Layer):
    """Middle [B, K] and spreads [B, 2K] to the quantiles [B, K, 3], which never cross.

    The outer quantiles do not move the middle: it stays the median.
    """

    def call(self, middle: Any, spread: Any) -> Any:
        """Stack low, middle, high."""
        below, above = tf.split(tf.math.softplus(spread), 2, axis=1)
        still = tf.stop_gradient(middle)
        return tf.stack([still - below, middle, still + above], axis=2)


class Lowest(keras.layers.Layer):
    """A first guess at the panel's cheapest, its mean of five cheapest and its share of quotes, and the lowest few prices."""

    def call(self, log_premium: Any, quote_logit: Any) -> Any:
        """[B, K, 3] and [B, K] to [B, 3 + candidates]; the lowest prices are relative to the cheapest."""
        # An insurer that quotes with probability p counts with its price raised by -log(p): nearly not at all when p is small.
        price = tf.stop_gradient(log_premium[:, :, 1] + tf.math.softplus(-quote_logit))
        count = min(CANDIDATES, price.shape[1])
        lowest = -tf.math.top_k(-price, count).values
        few = tf.reduce_logsumexp(lowest[:, :CHEAPEST], axis=1) - tf.math.log(tf.cast(min(CHEAPEST, count), tf.float32))
        share = tf.reduce_mean(tf.sigmoid(tf.stop_gradient(quote_logit)), axis=1)
        guess = tf.stack([lowest[:, 0], few, share], axis=1)
        return tf.concat([guess, lowest - guess[:, :1]], axis=1)


class Cheapest(keras.layers.Layer):
    """How likely is each insurer to be the cheapest? Log-odds [B, K], to be put through a softmax."""

    def __init__(self, insurers: int, name: str) -> None:
        super().__init__(name=name)
        self._insurers = insurers

    def build(self, *_: Any) -> None:
        """Make one curve for all insurers, and a level and a steepness for each."""
        self._first = self.add_weight(shape=(4, DISTANCE_UNITS), initializer="glorot_uniform", name="first")
        self._bias = self.add_weight(shape=(DISTANCE_UNITS,), initializer="zeros", name="bias")
        self._second = self.add_weight(shape=(DISTANCE_UNITS, 1), initializer="zeros", name="second")
        self._level = self.add_weight(shape=(self._insurers,), initializer="zeros", name="level")
        self._steep = self.add_weight(shape=(self._insurers,), initializer="zeros", name="steep")
        self.built = True

    def call(self, log_premium: Any, quote_logit: Any) -> Any:
        """[B, K, 3] and [B, K] to [B, K]."""
        price, logit = tf.stop_gradient(log_premium), tf.stop_gradient(quote_logit)
        unlikely = tf.math.softplus(-logit)  # -log of the probability of a quote
        lowest = tf.reduce_min(price[:, :, 1] + unlikely, axis=1, keepdims=True)
        distance = price[:, :, 1] - lowest
        spread = price[:, :, 2] - price[:, :, 0]
        about = tf.stack([distance, tf.minimum(unlikely, 5.0), spread, distance / (spread + 0.05)], axis=2)
        curve = tf.einsum(
            "bkh,ho->bko", tf.nn.silu(tf.einsum("bkf,fh->bkh", about, self._first) + self._bias), self._second
        )
        return curve[:, :, 0] + self._level - (STEEPNESS + self._steep) * distance - unlikely
