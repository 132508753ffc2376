"""How is the net fitted? Adam over masked rows in one graph, with a cosine learning rate; the result is the average of the weights' path."""

import math
import time
from dataclasses import dataclass
from typing import Any, Final

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from kit.contract import Contract
from kit.stage import Progress
from kit.training import masking
from kit.training.encoding import segments
from kit.training.losses import pinball_loss, quote_loss
from kit.training.net import PANEL, PREMIUM, QUOTE, Levels, build
from kit.training.params import LossWeights, Params
from kit.training.slices import Rows, panel_prices

CHUNK: Final = 25  # steps between two signs of life
WARM_UP: Final = 0.05  # of all steps, with a rising learning rate


@dataclass(frozen=True, slots=True)
class Epoch:
    """The mean of the weighted loss over an epoch, and the seconds since the beginning."""

    loss: float
    seconds: float


def fit(contract: Contract, rows: Rows, params: Params, progress: Progress) -> tuple[keras.Model, list[Epoch]]:
    """The fitted net and how the loss went. The same rows and parameters give the same net on the same machine."""
    keras.utils.set_random_seed(params.fit.seed)
    rng = np.random.default_rng(params.fit.seed)
    bins = segments(contract, rows.numeric, params.net.bins)
    net = build(contract, bins, rows.quoted.shape[1], levels(rows), params.net, params.loss)
    steps = max(1, len(rows) // params.fit.batch)
    descent = Descent(net, rows, params, steps * params.fit.epochs)
    begun, history = time.monotonic(), []
    with progress.task("training", total=steps * params.fit.epochs) as task:
        for epoch in range(params.fit.epochs):
            order = rng.permutation(len(rows))[: steps * params.fit.batch].astype(np.int32).reshape(steps, -1)
            known = masking.draw(contract, params.mask, len(rows), rng)
            total = 0.0
            for first in range(0, steps, CHUNK):
                part = order[first : first + CHUNK]
                total += float(descent.run(tf.constant(part), tf.constant(known[part])))
                task.advance(len(part), f"epoch {epoch + 1}, loss {total / (first + len(part)):.4f}")
            history.append(Epoch(total / steps, round(time.monotonic() - begun, 1)))
    descent.finish()
    return net, history


def levels(rows: Rows) -> Levels:
    """Mean log premium and logit of the share of quotes, of each insurer; an insurer without any gets the market's."""
    quotes, answers = (rows.quoted == 1).sum(0), (rows.quoted >= 0).sum(0)
    share = (quotes + 1) / (answers + 2)
    log_sum = np.nansum(np.log(rows.premium), axis=0)
    market = log_sum.sum() / max(1, quotes.sum())
    log_premium = (log_sum + market) / (quotes + 1)
    return Levels(log_premium.astype(np.float32), np.log(share / (1 - share)).astype(np.float32))


def learning_rates(params: Params, steps: int) -> NDArray[np.float32]:
    """A short rise, then half a cosine down to nothing, float32[steps]."""
    at = (np.arange(steps) + 1) / steps
    rise = np.minimum(1.0, at / WARM_UP)
    rates: NDArray[np.float32] = (params.fit.learning_rate * rise * 0.5 * (1 + np.cos(math.pi * at))).astype(np.float32)
    return rates


class Descent:
    """The net's variables on their way down. Holds the training arrays as tensors."""

    def __init__(self, net: keras.Model, rows: Rows, params: Params, steps: int) -> None:
        self._net, self._params = net, params
        self._numeric, self._categorical = tf.constant(rows.numeric), tf.constant(rows.categorical)
        self._quoted = tf.constant(rows.quoted)
        self._log_premium, self._log_panel = (
            tf.constant(np.log(rows.premium)),
            tf.constant(np.log(panel_prices(rows.premium))),
        )
        self._rates = tf.constant(learning_rates(params, steps))
        self._weights = [v.value for v in net.trainable_variables]
        self._first, self._second, self._average = (
            [tf.Variable(tf.zeros_like(w)) for w in self._weights] for _ in range(3)
        )
        self._step = tf.Variable(0, dtype=tf.int32)
        self.run = tf.function(
            self._run,
            input_signature=[tf.TensorSpec((None, None), tf.int32), tf.TensorSpec((None, None, None), tf.bool)],
        )

    def _run(self, order: Any, known: Any) -> Any:
        """The steps whose rows `order` [S, batch] names, with masks [S, batch, F]; the sum of their losses."""
        total = tf.constant(0.0)
        for i in tf.range(tf.shape(order)[0]):
            total += self._descend(order[i], known[i])
        return total

    def _descend(self, which: Any, known: Any) -> Any:
        count = self._numeric.shape[1]
        numeric = tf.where(known[:, :count], tf.gather(self._numeric, which), math.nan)
        categorical = tf.where(known[:, count:], tf.gather(self._categorical, which), -1)
        with tf.GradientTape() as tape:
            outputs = self._net({"numeric": numeric, "categorical": categorical}, training=True)
            loss = total_loss(
                outputs,
                self._params.loss,
                tf.gather(self._quoted, which),
                tf.gather(self._log_premium, which),
                tf.gather(self._log_panel, which),
            )
        self._move(tape.gradient(loss, self._weights))
        return loss

    def _move(self, gradients: Any) -> None:
        """Adam (Kingma, Ba 2015) with decoupled weight decay."""
        rate = self._rates[self._step]
        self._step.assign_add(1)
        t = tf.cast(self._step, tf.float32)
        correction = tf.sqrt(1.0 - 0.999**t) / (1.0 - 0.9**t)
        keep = tf.minimum(self._params.fit.average, t / (t + 10.0))
        for weight, gradient, first, second, average in zip(
            self._weights, gradients, self._first, self._second, self._average, strict=True
        ):
            dense = tf.convert_to_tensor(gradient)
            first.assign(0.9 * first + 0.1 * dense)
            second.assign(0.999 * second + 0.001 * tf.square(dense))
            decay = self._params.fit.weight_decay if len(weight.shape) > 1 else 0.0
            weight.assign(weight - rate * (correction * first / (tf.sqrt(second) + 1e-7) + decay * weight))
            average.assign(keep * average + (1.0 - keep) * weight)

    def finish(self) -> None:
        """Leave the average of the path in the net."""
        for weight, average in zip(self._weights, self._average, strict=True):
            weight.assign(average)


def total_loss(outputs: Any, weights: LossWeights, quoted: Any, log_premium: Any, log_panel: Any) -> Any:
    """The weighted sum of the branches' losses."""
    loss = tf.constant(0.0)
    if QUOTE in outputs:
        loss += weights.quote * quote_loss(outputs[QUOTE], quoted)
    if PREMIUM in outputs:
        loss += weights.premium * pinball_loss(outputs[PREMIUM], log_premium)
    if PANEL in outputs:
        loss += weights.panel * pinball_loss(outputs[PANEL], log_panel)
    return loss
