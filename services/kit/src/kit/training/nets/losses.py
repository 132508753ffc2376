"""What is a good answer? The losses of the net's branches; every mean is over the cells that have a target."""

from typing import Any, Final

import tensorflow as tf

QUANTILES: Final = (0.1, 0.5, 0.9)


def mean_where(values: Any, given: Any) -> Any:
    """The mean of `values` where `given` (bool, same shape) holds; 0 when it holds nowhere."""
    weight = tf.cast(given, tf.float32)
    return tf.reduce_sum(tf.where(given, values, 0.0)) / tf.maximum(tf.reduce_sum(weight), 1.0)


def quote_loss(logit: Any, quoted: Any) -> Any:
    """Cross-entropy of logits [B, K] and int8 [B, K] (1, 0, -1 no answer)."""
    given = quoted >= 0
    loss = tf.nn.sigmoid_cross_entropy_with_logits(labels=tf.cast(quoted == 1, tf.float32), logits=logit)
    return mean_where(loss, given)


def pinball_loss(quantiles: Any, target: Any) -> Any:
    """Pinball loss of quantiles [B, K, Q] and targets [B, K] (NaN none), summed over the quantiles.

    The median's part is mean absolute error, which on a log scale with little scatter is what a percentage error asks for.
    """
    given = tf.math.is_finite(target)
    return mean_where(tf.reduce_sum(_pinball(quantiles, tf.where(given, target, 0.0)), -1), given)


def panel_loss(log_quantiles: Any, target: Any) -> Any:
    """As `pinball_loss`, but the middle one is to have the least percentage error: half of |exp(q - y) - 1| takes its place.

    From few answers prices scatter by a third, and then it matters what a single number is asked to be (Gneiting 2011, "Making and
    evaluating point forecasts"): the median of the premium is not the number with the least error in per cent, which lies below it.
    """
    given = tf.math.is_finite(target)
    known = tf.where(given, target, 0.0)
    outer = tf.reduce_sum(tf.gather(_pinball(log_quantiles, known), [0, 2], axis=-1), -1)
    # Far off, an exponential would throw the net out of its course: beyond a factor of seven the error counts as that.
    percentage = tf.abs(tf.math.expm1(tf.clip_by_value(log_quantiles[..., 1] - known, -2.0, 2.0)))
    return mean_where(outer + 0.5 * percentage, given)


def _pinball(quantiles: Any, target: Any) -> Any:
    error = target[..., None] - quantiles
    level = tf.constant(QUANTILES, tf.float32)
    return tf.maximum(level * error, (level - 1.0) * error)


def cheapest_loss(logits: Any, cheapest: Any) -> Any:
    """Cross-entropy of log-odds [B, K] and the place of the cheapest insurer, int32[B] (-1 where nobody quoted)."""
    given = cheapest >= 0
    loss = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=tf.maximum(cheapest, 0), logits=logits)
    return mean_where(loss, given)
