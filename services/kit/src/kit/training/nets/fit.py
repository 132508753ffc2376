"""How is the net fitted? Adam over masked rows in one graph, with a cosine learning rate; the result is the average of the weights' path.

Each epoch draws its order and its masks from the seed and its own number, and nothing else is random: a run that goes on from a
checkpoint takes the same steps as one that was never cut off.
"""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from kit.contract import Contract
from kit.stage import Progress
from kit.training.data.slices import Rows, panel_prices
from kit.training.nets import masking, tariffs
from kit.training.nets.encoding import Segments, segments
from kit.training.nets.losses import cheapest_loss, panel_loss, pinball_loss, quote_loss
from kit.training.nets.net import LIKELY, PANEL, PREMIUM, QUOTE, SHORTLIST, Levels, build
from kit.training.nets.tariffs import Penalties
from kit.training.params import LossWeights, Params

CHUNK: Final = 25  # steps between two signs of life
WARM_UP: Final = 0.05  # of all steps, with a rising learning rate
USUAL: Final = 0.5  # of the rows: a field that fewer of them have is not missed
HELD_OUT: Final = 4096  # rows that the loss curve is also measured on
PERMUTED, MASKED, ASIDE = 0, 1, 2  # what a random stream is for


@dataclass(frozen=True, slots=True)
class Epoch:
    """The mean of the weighted loss over an epoch, on rows that are not fitted to, and the seconds since the beginning."""

    loss: float
    held_out: float
    seconds: float


@dataclass(frozen=True)
class State:
    """Everything a fit needs to go on: what was finished, and the arrays by name."""

    history: tuple[Epoch, ...]
    arrays: Mapping[str, NDArray[Any]]


class Checkpoint(Protocol):
    """Where a fit keeps its state between epochs."""

    def read(self) -> State | None:
        """The state of an earlier run over the same rows and parameters, or None."""
        ...

    def write(self, state: State) -> None:
        """Keep the state; whoever is killed meanwhile leaves the one before."""
        ...


class NoCheckpoint:
    """Keeps nothing."""

    def read(self) -> State | None:
        """None."""
        return None

    def write(self, state: State) -> None:
        """Nothing."""


def fit(
    contract: Contract,
    rows: Rows,
    held_out: Rows,
    params: Params,
    progress: Progress,
    checkpoint: Checkpoint | None = None,
) -> tuple[keras.Model, list[Epoch]]:
    """The fitted net and how the loss went. The same rows and parameters give the same net on the same machine.

    `held_out` are later rows, of which the first few thousand are watched; nothing is fitted to them.
    """
    checkpoint = checkpoint or NoCheckpoint()
    keras.utils.set_random_seed(params.fit.seed)
    bins = segments(contract, rows.numeric, params.net.bins)
    net = build(
        contract, bins, rows.quoted.shape[1], starts(contract, bins, rows, params, progress), params.net, params.loss
    )
    steps = max(1, len(rows) // params.fit.batch)
    epochs = epochs_of(params, steps)
    descent = Descent(net, Targets.of(rows), params, steps * epochs)
    history: list[Epoch] = []
    if (found := checkpoint.read()) is not None:
        descent.resume(found.arrays)
        history = list(found.history)
    seen = _seen(contract, held_out.take(slice(HELD_OUT)), params)
    begun = time.monotonic() - (history[-1].seconds if history else 0.0)
    with progress.task("training", total=steps * epochs) as task:
        task.advance(steps * len(history), f"epoch {len(history)} was done before" if history else "")
        for epoch in range(len(history), epochs):
            rng = np.random.default_rng([params.fit.seed, PERMUTED, epoch])
            order = rng.permutation(len(rows))[: steps * params.fit.batch].astype(np.int32).reshape(steps, -1)
            known = masking.draw(
                contract, params.mask, len(rows), np.random.default_rng([params.fit.seed, MASKED, epoch])
            )
            total = 0.0
            for first in range(0, steps, CHUNK):
                part = order[first : first + CHUNK]
                total += float(descent.run(tf.constant(part), tf.constant(known[part])))
                task.advance(len(part), f"epoch {epoch + 1}, loss {total / (first + len(part)):.4f}")
            aside = float(descent.loss(seen))
            history.append(Epoch(total / steps, aside, round(time.monotonic() - begun, 1)))
            checkpoint.write(State(tuple(history), descent.arrays()))
    descent.finish()
    return net, history


def epochs_of(params: Params, steps: int) -> int:
    """How many epochs of `steps` steps each: as many as are asked for, or fewer where that would be more than `most_steps`."""
    if not params.fit.most_steps:
        return params.fit.epochs
    return max(1, min(params.fit.epochs, params.fit.most_steps // steps))


def _seen(contract: Contract, rows: Rows, params: Params) -> "Targets":
    """Rows as training would show them, always with the same masks."""
    rng = np.random.default_rng([params.fit.seed, ASIDE])
    return Targets.of(rows.hidden(masking.draw(contract, params.mask, len(rows), rng)))


def starts(contract: Contract, bins: Segments, rows: Rows, params: Params, progress: Progress) -> Levels:
    """Where the outputs start: the insurers' levels, and their tariffs where the net is nested on them."""
    found = levels(rows)
    if not (params.net.nested and params.loss.premium):
        return found
    with progress.task("tariffs", total=1) as task:
        penalties = Penalties(params.net.number_penalty, params.net.code_penalty)
        additive = tariffs.fit(contract, bins, rows, params.net.long_vocabulary, penalties)
        task.advance()
    return Levels(additive.level, found.logit, found.asked, additive)


def levels(rows: Rows) -> Levels:
    """Mean log premium and logit of the share of quotes, of each insurer; an insurer without any gets the market's."""
    quotes, answers = (rows.quoted == 1).sum(0), (rows.quoted >= 0).sum(0)
    share = (quotes + 1) / (answers + 2)
    log_sum = np.nansum(np.log(rows.premium), axis=0)
    market = log_sum.sum() / max(1, quotes.sum())
    log_premium = (log_sum + market) / (quotes + 1)
    logit = np.log(share / (1 - share))
    return Levels(log_premium.astype(np.float32), logit.astype(np.float32), usually_known(rows))


def usually_known(rows: Rows) -> NDArray[np.bool_]:
    """Which fields most rows have, bool[N + M]: data of one's own may lack a field altogether."""
    return np.asarray(_known(rows).mean(axis=0) > USUAL)


def _known(rows: Rows) -> NDArray[np.bool_]:
    return np.concatenate([~np.isnan(rows.numeric), rows.categorical >= 0], axis=1)


def whole_rows(rows: Rows) -> NDArray[np.bool_]:
    """Which rows have all that is usually known, bool[B]: they are what the net's finest layer learns from."""
    return np.asarray((_known(rows) | ~usually_known(rows)).all(axis=1))


def learning_rates(params: Params, steps: int) -> NDArray[np.float32]:
    """A short rise, then half a cosine down to nothing, float32[steps]."""
    at = (np.arange(steps) + 1) / steps
    rise = np.minimum(1.0, at / WARM_UP)
    rates: NDArray[np.float32] = (params.fit.learning_rate * rise * 0.5 * (1 + np.cos(math.pi * at))).astype(np.float32)
    return rates


@dataclass(frozen=True)
class Targets:
    """Rows and all that the losses compare with, as tensors of one length B.

    `share` is the share of insurers that quoted, among those that answered (NaN: none did); `cheapest` the place of the cheapest (-1).
    """

    numeric: Any
    categorical: Any
    quoted: Any
    log_premium: Any
    log_panel: Any
    share: Any
    cheapest: Any

    @classmethod
    def of(cls, rows: Rows) -> "Targets":
        """Of some rows."""
        answered = (rows.quoted >= 0).sum(1)
        share = np.where(answered > 0, (rows.quoted == 1).sum(1) / np.maximum(answered, 1), np.nan)
        quoted = np.isfinite(rows.premium)
        place = np.where(quoted, rows.premium, np.inf).argmin(1)
        return cls(
            tf.constant(rows.numeric),
            tf.constant(rows.categorical),
            tf.constant(rows.quoted),
            tf.constant(np.log(rows.premium)),
            tf.constant(np.log(panel_prices(rows.premium))),
            tf.constant(share.astype(np.float32)),
            tf.constant(np.where(quoted.any(1), place, -1).astype(np.int32)),
        )

    def take(self, which: Any) -> "Targets":
        """Some of the rows."""
        return Targets(**{name: tf.gather(values, which) for name, values in vars(self).items()})

    def hidden(self, known: Any) -> "Targets":
        """The rows with fields hidden; `known` is bool[B, N + M]."""
        count = self.numeric.shape[1]
        return Targets(
            **vars(self)
            | {
                "numeric": tf.where(known[:, :count], self.numeric, math.nan),
                "categorical": tf.where(known[:, count:], self.categorical, -1),
            }
        )


class Descent:
    """The net's variables on their way down. Holds the training arrays as tensors."""

    def __init__(self, net: keras.Model, rows: Targets, params: Params, steps: int) -> None:
        self._net, self._rows, self._params = net, rows, params
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
        with tf.GradientTape() as tape:
            loss = self.loss(self._rows.take(which).hidden(known))
        self._move(tape.gradient(loss, self._weights))
        return loss

    def loss(self, rows: Targets) -> Any:
        """The weighted sum of the branches' losses, with the weights as they are now."""
        outputs = self._net({"numeric": rows.numeric, "categorical": rows.categorical}, training=True)
        return total_loss(outputs, self._params.loss, rows)

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

    def _variables(self) -> dict[str, Any]:
        parts = {"weight": self._weights, "first": self._first, "second": self._second, "average": self._average}
        named = {f"{name}_{i}": v for name, variables in parts.items() for i, v in enumerate(variables)}
        return named | {"step": self._step}

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Where it is, by name."""
        return {name: variable.numpy() for name, variable in self._variables().items()}

    def resume(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Go on from there. Raises KeyError or ValueError when the arrays are another net's."""
        for name, variable in self._variables().items():
            variable.assign(arrays[name])


def total_loss(outputs: Mapping[str, Any], weights: LossWeights, rows: Targets) -> Any:
    """The weighted sum of the losses of what the net answers."""
    loss = tf.constant(0.0)
    if QUOTE in outputs:
        loss += weights.quote * quote_loss(outputs[QUOTE], rows.quoted)
    if PREMIUM in outputs:
        loss += weights.premium * pinball_loss(outputs[PREMIUM], rows.log_premium)
    if PANEL in outputs:
        below = panel_loss(outputs[PANEL], rows.log_panel)
        below += pinball_loss(outputs[LIKELY][:, None, :], rows.share[:, None])
        below += weights.shortlist * cheapest_loss(outputs[SHORTLIST], rows.cheapest)
        loss += weights.panel * below
    return loss
