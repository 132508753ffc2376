"""Do the losses ask for what the branches promise?"""

import numpy as np
import pytest
import tensorflow as tf

from kit.training.losses import pinball_loss, quote_loss


def test_the_pinball_loss_is_least_at_the_quantiles() -> None:
    """Of constant answers, the sample's own 10 %, 50 % and 90 % quantiles cost least."""
    target = np.random.default_rng(0).normal(size=(4001, 1)).astype(np.float32)
    best = np.quantile(target, [0.1, 0.5, 0.9]).astype(np.float32)

    def cost(quantiles: np.ndarray) -> float:
        return float(pinball_loss(tf.constant(np.tile(quantiles, (len(target), 1, 1))), tf.constant(target)))

    for step in np.eye(3, dtype=np.float32) * 0.05:
        assert cost(best) < cost(best + step)
        assert cost(best) < cost(best - step)


def test_the_pinball_loss_weighs_both_sides() -> None:
    """A price above the 90 % quantile costs nine times what one below it costs."""
    above = pinball_loss(tf.zeros((1, 1, 3)), tf.constant([[1.0]]))
    below = pinball_loss(tf.zeros((1, 1, 3)), tf.constant([[-1.0]]))

    assert pytest.approx(0.1 + 0.5 + 0.9) == float(above)
    assert pytest.approx(0.9 + 0.5 + 0.1) == float(below)


def test_cells_without_a_target_do_not_count() -> None:
    """Neither a NaN premium nor a missing answer changes the loss or its gradient."""
    log_premium = tf.Variable([[[0.0, 0.0, 0.0], [5.0, 5.0, 5.0]]])
    logit = tf.Variable([[0.5, 9.0]])
    with tf.GradientTape() as tape:
        loss = pinball_loss(log_premium, tf.constant([[1.0, np.nan]])) + quote_loss(
            logit, tf.constant([[1, -1]], tf.int8)
        )

    by_premium, by_logit = tape.gradient(loss, [log_premium, logit])

    assert pytest.approx(1.5 + np.log1p(np.exp(-0.5))) == float(loss)
    assert [0.0, 0.0, 0.0] == by_premium[0, 1].numpy().tolist()
    assert 0.0 == float(by_logit[0, 1])


def test_a_batch_without_any_target_costs_nothing() -> None:
    """And is finite."""
    assert 0.0 == float(pinball_loss(tf.zeros((2, 1, 3)), tf.fill((2, 1), np.nan)))
