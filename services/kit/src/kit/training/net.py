"""The two-branch net: one trunk, one branch for whether each insurer quotes, one for at what premium, and the panel's best prices.

    numeric ---- piecewise-linear --.
    codes ------ one-hot / tables --+-- encoded --+-- trunk --.
                                                  |           +-- quote_probability [B, K]
                                                  |           +-- log_premium       [B, K, 3]
                                                  '-- main ---'           |
                                                      effects             +-- panel [B, 2, 3]

The main-effects path is linear in the encoding, for every insurer: an additive tariff. The trunk adds what is not additive. The panel
head starts from the lowest of the branch's own prices, each raised by how unlikely its insurer is to quote.
"""

from dataclasses import dataclass
from typing import Any, Final

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from kit.contract import Contract
from kit.training.encoding import Segments
from kit.training.params import LossWeights, NetParams

QUOTE: Final = "quote_logit"
PREMIUM: Final = "log_premium"
PANEL: Final = "panel"
CHEAPEST: Final = 5  # the second panel figure is the mean of so many
CANDIDATES: Final = 8  # so many of the lowest prices the panel head looks at


@dataclass(frozen=True)
class Levels:
    """Where the outputs start, from training data: log premium and logit of quoting of each insurer, [K]."""

    log_premium: NDArray[np.float32]
    logit: NDArray[np.float32]


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
        outputs[QUOTE] = _both(encoded, trunk, insurers, "quote", levels.logit)
    if weights.premium:
        middle = _both(encoded, trunk, insurers, "premium", levels.log_premium)
        spread = keras.layers.Dense(
            2 * insurers, bias_initializer=keras.initializers.Constant(-2.0), kernel_initializer="zeros", name="spread"
        )(trunk)
        outputs[PREMIUM] = Quantiles(name=PREMIUM)(middle, spread)
    if weights.panel:
        best = Lowest(name="lowest")(outputs[PREMIUM], outputs[QUOTE])
        hidden = keras.layers.Dense(params.width // 2, activation="silu", name="panel_hidden")(
            keras.layers.Concatenate()([best, trunk])
        )
        middle = keras.layers.Dense(2, kernel_initializer="zeros", name="panel_middle")(hidden)
        middle = keras.layers.Add()([middle, best[:, :2]])
        spread = keras.layers.Dense(
            4, bias_initializer=keras.initializers.Constant(-2.0), kernel_initializer="zeros", name="panel_spread"
        )(hidden)
        outputs[PANEL] = Quantiles(name=PANEL)(middle, spread)
    return keras.Model({"numeric": numeric, "categorical": categorical}, outputs)


def _both(encoded: Any, trunk: Any, width: int, name: str, level: Any) -> Any:
    """An additive tariff and what the trunk has to add to it, starting from the insurers' levels."""
    zeros = keras.initializers.Zeros()
    main = keras.layers.Dense(
        width, kernel_initializer=zeros, bias_initializer=keras.initializers.Constant(level), name=f"{name}_main"
    )(encoded)
    more = keras.layers.Dense(width, kernel_initializer=zeros, use_bias=False, name=f"{name}_more")(trunk)
    return keras.layers.Add(name=f"{name}_sum")([main, more])


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
    """A first guess at the panel's cheapest and mean of five cheapest, and the lowest few prices relative to it."""

    def call(self, log_premium: Any, quote_logit: Any) -> Any:
        """[B, K, 3] and [B, K] to [B, 2 + candidates]. No gradient flows back: the branches have their own targets."""
        # An insurer that quotes with probability p counts with its price raised by -log(p): nearly not at all when p is small.
        price = tf.stop_gradient(log_premium[:, :, 1] + tf.math.softplus(-quote_logit))
        count = min(CANDIDATES, price.shape[1])
        lowest = -tf.math.top_k(-price, count).values
        few = tf.reduce_logsumexp(lowest[:, :CHEAPEST], axis=1) - tf.math.log(tf.cast(min(CHEAPEST, count), tf.float32))
        guess = tf.stack([lowest[:, 0], few], axis=1)
        return tf.concat([guess, lowest - guess[:, :1]], axis=1)
