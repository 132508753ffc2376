"""Do the losses ask for what the branches promise?"""

import numpy as np
import pytest
import tensorflow as tf

from kit.training.nets.losses import cheapest_loss, panel_loss, pinball_loss, quote_loss


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


def test_the_panel_loss_asks_for_the_least_percentage_error() -> None:
    """Of constant prices for a sample that scatters widely, the one with the least mean percentage error costs least: not the median."""
    prices = np.random.default_rng(0).normal(6.0, 0.4, 4001).astype(np.float32)
    grid = np.linspace(5.5, 6.3, 81, dtype=np.float32)
    errors = np.abs(np.expm1(grid[:, None] - prices)).mean(axis=1)

    def cost(middle: np.float32) -> float:
        quantiles = tf.constant([[[5.0, middle, 7.0]]] * len(prices))
        return float(panel_loss(quantiles, tf.constant(prices[:, None])))

    assert grid[errors.argmin()] == grid[np.argmin([cost(middle) for middle in grid])]
    assert grid[errors.argmin()] < np.median(prices) - 0.1


def test_a_price_that_is_far_off_has_a_finite_loss() -> None:
    """A net that starts anywhere finds its way."""
    assert np.isfinite(float(panel_loss(tf.fill((1, 1, 3), 80.0), tf.constant([[6.0]]))))


def test_the_cheapest_loss_counts_only_where_somebody_quoted() -> None:
    """Cross-entropy of the cheapest insurer; -1 says that nobody quoted."""
    logits = tf.constant([[0.0, 0.0], [9.0, 0.0]])

    assert pytest.approx(np.log(2)) == float(cheapest_loss(logits, tf.constant([1, -1])))
