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


def pinball_loss(log_premium: Any, target: Any) -> Any:
    """Pinball loss of log quantiles [B, K, Q] and log targets [B, K] (NaN none), summed over the quantiles.

    The median's part is mean absolute error, which on a log scale is what a mean absolute percentage error asks for.
    """
    given = tf.math.is_finite(target)
    error = tf.where(given, target, 0.0)[..., None] - log_premium
    level = tf.constant(QUANTILES, tf.float32)
    loss = tf.maximum(level * error, (level - 1.0) * error)
    return mean_where(tf.reduce_sum(loss, -1), given)
